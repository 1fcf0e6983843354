//! One collection of the protocol in the embedded engine.

use std::collections::HashMap;
use std::sync::Mutex;

use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::query::Variant;
use qdrant_client::qdrant::vector_input::Variant as Input;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    BatchResult, CollectionConfig, CollectionInfo, CollectionParams, CountPoints, CreateCollection,
    CreateFieldIndexCollection, FieldType, GetPoints, Modifier, PayloadSchemaInfo,
    PayloadSchemaType, PointStruct, QueryPoints, RetrievedPoint, ScoredPoint, ScrollPoints,
    ScrollResponse, SearchParams,
};
use qdrant_edge::{
    CountRequest, CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams,
    EdgeVectorParams, FieldIndexOperations, IdfCorpusParams, IdfParams, NamedQuery, OperationError,
    PayloadFieldSchema, PayloadSchemaType as EngineType, PointId, PointInsertOperations,
    PointOperations, QueryEnum, QueryRequest, RetrieveRequest, ScoringQuery, ScrollRequest,
    UpdateOperation, VectorInternal, WithPayloadInterface, WithVector,
};
use tempfile::TempDir;
use tonic::Status;

use super::convert::{
    engine_filter, engine_id, engine_path, engine_point, protocol_id, protocol_payload,
    protocol_vectors, with_payload, with_vectors,
};

pub struct Collection {
    shard: EdgeShard,
    /// Removed after the shard in it.
    _folder: TempDir,
    pub creation: CreateCollection,
    pub indexes: Mutex<HashMap<String, Index>>,
}

/// An index of a field.
pub struct Index {
    schema: PayloadSchemaType,
    pub tenant: bool,
}

impl Collection {
    pub fn new(creation: CreateCollection) -> Result<Self, Status> {
        let folder = tempfile::tempdir()?;
        let mut config = EdgeConfig::builder();
        let vectors = creation.vectors_config.clone().and_then(|c| c.config);
        let dense = match vectors {
            None => HashMap::new(),
            Some(Config::ParamsMap(named)) => named.map,
            Some(Config::Params(_)) => return Err(Status::unimplemented("one nameless vector")),
        };
        for (name, params) in dense {
            let distance = match params.distance() {
                qdrant_client::qdrant::Distance::Cosine => Distance::Cosine,
                qdrant_client::qdrant::Distance::Dot => Distance::Dot,
                other => return Err(Status::unimplemented(other.as_str_name())),
            };
            let params = EdgeVectorParams::builder(params.size as usize, distance);
            config = config.vector(name, params.build());
        }
        let sparse = creation.sparse_vectors_config.clone().unwrap_or_default();
        for (name, params) in sparse.map {
            let modifier = match params.modifier() {
                Modifier::Idf => Some(qdrant_edge::Modifier::Idf),
                Modifier::None => None,
            };
            let params = EdgeSparseVectorParams {
                modifier,
                ..EdgeSparseVectorParams::default()
            };
            config = config.sparse_vector(name, params);
        }
        Ok(Self {
            shard: EdgeShard::new(folder.path(), config.build()).map_err(refused)?,
            _folder: folder,
            creation,
            indexes: Mutex::default(),
        })
    }

    pub fn info(&self) -> CollectionInfo {
        let indexes = self.indexes.lock().unwrap();
        let schema = |(field, index): (&String, &Index)| {
            let info = PayloadSchemaInfo {
                data_type: index.schema.into(),
                ..PayloadSchemaInfo::default()
            };
            (field.clone(), info)
        };
        CollectionInfo {
            config: Some(CollectionConfig {
                params: Some(CollectionParams {
                    vectors_config: self.creation.vectors_config.clone(),
                    sparse_vectors_config: self.creation.sparse_vectors_config.clone(),
                    ..CollectionParams::default()
                }),
                ..CollectionConfig::default()
            }),
            payload_schema: indexes.iter().map(schema).collect(),
            ..CollectionInfo::default()
        }
    }

    fn write(&self, operation: UpdateOperation) -> Result<(), Status> {
        self.shard.update(operation).map_err(refused)?;
        self.shard.flush().map_err(refused)
    }

    pub fn index_field(&self, asked: CreateFieldIndexCollection) -> Result<(), Status> {
        let params = asked.field_index_params.as_ref();
        let tenant = match params.and_then(|params| params.index_params.as_ref()) {
            None => false,
            Some(IndexParams::KeywordIndexParams(params)) => params.is_tenant == Some(true),
            Some(_) => return Err(Status::unimplemented("these parameters of an index")),
        };
        let (kind, schema) = match asked.field_type() {
            FieldType::Keyword => (EngineType::Keyword, PayloadSchemaType::Keyword),
            FieldType::Integer => (EngineType::Integer, PayloadSchemaType::Integer),
            FieldType::Float => (EngineType::Float, PayloadSchemaType::Float),
            FieldType::Bool => (EngineType::Bool, PayloadSchemaType::Bool),
            other => return Err(Status::unimplemented(other.as_str_name())),
        };
        self.write(UpdateOperation::FieldIndexOperation(
            FieldIndexOperations::CreateIndex(CreateIndex {
                field_name: engine_path(&asked.field_name)?,
                field_schema: Some(PayloadFieldSchema::FieldType(kind)),
            }),
        ))?;
        let mut indexes = self.indexes.lock().unwrap();
        indexes.insert(asked.field_name, Index { schema, tenant });
        Ok(())
    }

    pub fn upsert(&self, points: Vec<PointStruct>) -> Result<(), Status> {
        let points = points.into_iter().map(engine_point);
        let points = PointInsertOperations::PointsList(points.collect::<Result<_, _>>()?);
        self.write(UpdateOperation::PointOperation(
            PointOperations::UpsertPoints(points),
        ))
    }

    pub fn delete(&self, selector: PointsSelectorOneOf) -> Result<(), Status> {
        let operation = match selector {
            PointsSelectorOneOf::Points(points) => {
                let ids = points.ids.into_iter().map(|id| engine_id(Some(id)));
                let ids = ids.collect::<Result<Vec<PointId>, Status>>()?;
                PointOperations::DeletePoints { ids }
            }
            PointsSelectorOneOf::Filter(filter) => {
                PointOperations::DeletePointsByFilter(engine_filter(filter)?)
            }
        };
        self.write(UpdateOperation::PointOperation(operation))
    }

    pub fn count(&self, asked: CountPoints) -> Result<usize, Status> {
        let request = CountRequest {
            filter: asked.filter.map(engine_filter).transpose()?,
            exact: asked.exact == Some(true),
        };
        self.shard.count(request).map_err(refused)
    }

    pub fn scroll(&self, asked: ScrollPoints) -> Result<ScrollResponse, Status> {
        let offset = asked.offset.map(|id| engine_id(Some(id))).transpose()?;
        let request = ScrollRequest {
            offset,
            limit: asked.limit.map(|limit| limit as usize),
            filter: asked.filter.map(engine_filter).transpose()?,
            with_payload: Some(WithPayloadInterface::Bool(with_payload(
                asked.with_payload,
            )?)),
            with_vector: WithVector::Bool(with_vectors(asked.with_vectors)?),
            order_by: None,
        };
        let (records, next) = self.shard.scroll(request).map_err(refused)?;
        Ok(ScrollResponse {
            next_page_offset: next.map(protocol_id),
            result: records.into_iter().map(retrieved).collect(),
            ..ScrollResponse::default()
        })
    }

    pub fn get(&self, asked: GetPoints) -> Result<Vec<RetrievedPoint>, Status> {
        let ids = asked.ids.into_iter().map(|id| engine_id(Some(id)));
        let request = RetrieveRequest {
            with_payload: Some(WithPayloadInterface::Bool(with_payload(
                asked.with_payload,
            )?)),
            with_vector: Some(WithVector::Bool(with_vectors(asked.with_vectors)?)),
            ..RetrieveRequest::new(ids.collect::<Result<_, Status>>()?)
        };
        let records = self.shard.retrieve(request).map_err(refused)?;
        Ok(records.into_iter().map(retrieved).collect())
    }

    pub fn query(&self, asked: QueryPoints) -> Result<BatchResult, Status> {
        let Some(Variant::Nearest(nearest)) = asked.query.and_then(|query| query.variant) else {
            return Err(Status::unimplemented("another query than for the nearest"));
        };
        let vector = match nearest.variant {
            Some(Input::Dense(dense)) => VectorInternal::Dense(dense.data),
            Some(Input::Sparse(sparse)) => VectorInternal::Sparse(qdrant_edge::SparseVector {
                indices: sparse.indices,
                values: sparse.values,
            }),
            _ => return Err(Status::unimplemented("another vector")),
        };
        let query = NamedQuery::new(vector, asked.using.unwrap_or_default());
        let limit = asked.limit.unwrap_or(10) as usize;
        let request = QueryRequest {
            query: Some(ScoringQuery::Vector(QueryEnum::Nearest(query))),
            filter: asked.filter.map(engine_filter).transpose()?,
            params: asked.params.map(engine_params).transpose()?,
            with_payload: WithPayloadInterface::Bool(with_payload(asked.with_payload)?),
            ..QueryRequest::new(limit)
        };
        let found = self.shard.query(request).map_err(refused)?;
        let point = |point: qdrant_edge::ScoredPoint| ScoredPoint {
            id: Some(protocol_id(point.id)),
            payload: protocol_payload(point.payload),
            score: point.score,
            ..ScoredPoint::default()
        };
        Ok(BatchResult {
            result: found.into_iter().map(point).collect(),
        })
    }
}

fn retrieved(record: qdrant_edge::Record) -> RetrievedPoint {
    RetrievedPoint {
        id: Some(protocol_id(record.id)),
        payload: protocol_payload(record.payload),
        vectors: protocol_vectors(record.vector),
        ..RetrievedPoint::default()
    }
}

fn engine_params(params: SearchParams) -> Result<qdrant_edge::SearchParams, Status> {
    let corpus = params.idf.and_then(|idf| idf.corpus);
    let corpus = corpus.map(engine_filter).transpose()?;
    let quantization = params
        .quantization
        .map(|own| qdrant_edge::QuantizationSearchParams {
            ignore: own.ignore == Some(true),
            rescore: own.rescore,
            oversampling: own.oversampling,
        });
    Ok(qdrant_edge::SearchParams {
        hnsw_ef: params.hnsw_ef.map(|effort| effort as usize),
        idf: corpus.map(|corpus| IdfParams::Corpus(IdfCorpusParams { corpus })),
        quantization,
        ..qdrant_edge::SearchParams::default()
    })
}

fn refused(error: OperationError) -> Status {
    Status::invalid_argument(error.to_string())
}
