//! The engine behind blocking calls.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use corbie_core::{
    Chunk, Error, ErrorKind, Filter, Hit, Point, Query, Result, Scores, ScrollPage, SearchRequest,
    Selection, SparseVector,
};
use qdrant_edge::{
    BinaryQuantizationConfig, CountRequest, CreateIndex, Distance, EdgeConfig, EdgeShard,
    EdgeSparseVectorParams, EdgeVectorParams, FieldIndexOperations, Filter as EngineFilter,
    IdfCorpusParams, IdfParams, JsonPath, Memory, Modifier, NamedQuery, OperationResult,
    PayloadFieldSchema, PayloadSchemaType, PointId, PointInsertOperations, PointOperations,
    QuantizationConfig, QueryEnum, QueryRequest, RetrieveRequest, ScalarQuantizationConfig,
    ScalarType, ScoringQuery, ScrollRequest, SearchParams, UpdateOperation, VectorInternal,
    WithPayloadInterface, WithVector,
};
use serde_json::to_value;
use uuid::Uuid;

use super::convert::{engine_sparse, from_payload, to_engine, uuid, vectors};
use super::filter::EngineTerms;
use super::{EdgeOptions, failure};
use crate::engine::{
    DENSE, FieldKind, IndexedField, Quantization, SPARSE, check_dimension, indexed, only, translate,
};
use crate::rank::{Ranked, check_query, fuse, fusion_depth, keep_best, note};

/// How many points are looked at together when all are.
const PAGE: usize = 4096;

pub(super) struct Shard {
    shard: EdgeShard,
    folder: PathBuf,
    dimension: Option<usize>,
    search_effort: Option<usize>,
}

impl Shard {
    pub(super) fn open(folder: &Path, options: &EdgeOptions) -> Result<Self> {
        // The configuration is the first thing a new shard writes before it can hold points.
        let shard = match EdgeConfig::load(folder) {
            Some(kept) => {
                let kept = kept.map_err(|error| failure(folder, &error))?;
                let dimension = kept.vectors.get(DENSE).map(|vector| vector.size);
                let subject = format!("vector store {}", folder.display());
                check_dimension(&subject, dimension, options.dimension)?;
                EdgeShard::load(folder, Some(config(options)))
            }
            None => EdgeShard::new(folder, config(options)),
        };
        let shard = Self {
            shard: shard.map_err(|error| failure(folder, &error))?,
            folder: folder.to_owned(),
            dimension: options.dimension,
            search_effort: options.search_effort,
        };
        shard.index_fields(&options.indexed)?;
        Ok(shard)
    }

    /// Indexes the fields that are not indexed yet.
    fn index_fields(&self, more: &[IndexedField]) -> Result<()> {
        let kept = self.check(self.shard.info())?.payload_schema;
        for (field, kind) in indexed(more)? {
            let field_name: JsonPath = field.parse().map_err(|()| {
                Error::new(ErrorKind::Internal, field, "the engine takes no such field")
            })?;
            if kept.contains_key(&field_name) {
                continue;
            }
            let kind = match kind {
                FieldKind::Keyword => PayloadSchemaType::Keyword,
                FieldKind::Integer => PayloadSchemaType::Integer,
                FieldKind::Float => PayloadSchemaType::Float,
                FieldKind::Bool => PayloadSchemaType::Bool,
            };
            let index = CreateIndex {
                field_name,
                field_schema: Some(PayloadFieldSchema::FieldType(kind)),
            };
            self.write(UpdateOperation::FieldIndexOperation(
                FieldIndexOperations::CreateIndex(index),
            ))?;
        }
        Ok(())
    }

    fn check<T>(&self, result: OperationResult<T>) -> Result<T> {
        result.map_err(|error| failure(&self.folder, &error))
    }

    /// A change is acknowledged when it is on disk.
    fn write(&self, operation: UpdateOperation) -> Result<()> {
        self.check(self.shard.update(operation))?;
        self.check(self.shard.flush())
    }

    pub(super) fn optimize(&self) -> Result<()> {
        self.check(self.shard.optimize()).map(|_| ())
    }

    pub(super) fn upsert(&self, points: Vec<Point>) -> Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        let last_of_each: BTreeMap<Uuid, Point> = points
            .into_iter()
            .map(|point| (point.id(), point))
            .collect();
        let points = last_of_each.into_values().map(to_engine);
        let points = PointInsertOperations::PointsList(points.collect::<Result<_>>()?);
        self.write(UpdateOperation::PointOperation(
            PointOperations::UpsertPoints(points),
        ))
    }

    pub(super) fn delete(&self, selection: Selection) -> Result<()> {
        let ids = match selection {
            Selection::Ids(ids) => ids,
            Selection::Filter(filter) => self.ids(Some(&filter))?,
        };
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.into_iter().map(PointId::Uuid).collect();
        self.write(UpdateOperation::PointOperation(
            PointOperations::DeletePoints { ids },
        ))
    }

    pub(super) fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        let request = CountRequest {
            filter: self.resolve(filter)?,
            exact: true,
        };
        self.check(self.shard.count(request))
    }

    pub(super) fn ids(&self, filter: Option<&Filter>) -> Result<Vec<Uuid>> {
        let filter = self.resolve(filter)?;
        let mut ids = Vec::new();
        self.each_page(filter, false, |record| {
            ids.push(uuid(record.id));
            Ok(())
        })?;
        Ok(ids)
    }

    pub(super) fn scroll(
        &self,
        filter: Option<&Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<ScrollPage> {
        if limit == 0 {
            return Ok(ScrollPage::default());
        }
        let request = ScrollRequest {
            offset: after.map(PointId::Uuid),
            // One more for `after` itself, from which the engine starts, and one to see whether
            // there are more.
            limit: Some(limit.saturating_add(2)),
            filter: self.resolve(filter)?,
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: WithVector::Bool(true),
            order_by: None,
        };
        let (records, _) = self.check(self.shard.scroll(request))?;
        let fresh = records
            .into_iter()
            .filter(|record| Some(uuid(record.id)) != after);
        let mut points: Vec<Point> = fresh.map(point).collect::<Result<_>>()?;
        let more = points.len() > limit;
        points.truncate(limit);
        let last = points.last().map(Point::id);
        Ok(ScrollPage {
            points,
            next: last.filter(|_| more),
        })
    }

    pub(super) fn get(&self, ids: Vec<Uuid>) -> Result<Vec<Point>> {
        let request = RetrieveRequest {
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: Some(WithVector::Bool(true)),
            ..RetrieveRequest::new(ids.into_iter().map(PointId::Uuid).collect())
        };
        let records = self.check(self.shard.retrieve(request))?;
        records.into_iter().map(point).collect()
    }

    pub(super) fn search(&self, request: &SearchRequest) -> Result<Vec<Hit>> {
        check_query(&request.query, self.dimension)?;
        if request.limit == 0 {
            return Ok(Vec::new());
        }
        let filter = self.resolve(request.condition()?.as_ref())?;
        let corpus = match &request.namespace {
            Some(name) => self
                .resolve(Some(&Filter::namespace(name)))?
                .unwrap_or_default(),
            None => EngineFilter::default(),
        };
        let limit = request.limit;
        let mut scores: HashMap<Uuid, Scores> = HashMap::new();
        let best = match &request.query {
            Query::Dense(query) => {
                let ranked = self.by_meaning(query, filter, limit)?;
                note(&mut scores, &ranked, |scores| &mut scores.dense);
                ranked
            }
            Query::Sparse(query) => {
                let ranked = self.by_words(query, corpus, filter, limit)?;
                note(&mut scores, &ranked, |scores| &mut scores.sparse);
                ranked
            }
            Query::Fused {
                dense,
                sparse,
                dense_weight,
            } => {
                let depth = fusion_depth(limit);
                let meaning = self.by_meaning(dense, filter.clone(), depth)?;
                let words = self.by_words(sparse, corpus.clone(), filter, depth)?;
                let mut best = fuse(&[(*dense_weight, &meaning), (1.0, &words)]);
                best.truncate(limit);
                // What one mode found, the other is asked about too.
                let ids: Vec<Uuid> = best.iter().map(|(id, _)| *id).collect();
                let only = only(&EngineTerms, &ids);
                let meaning = self.by_meaning(dense, Some(only.clone()), best.len())?;
                let words = self.by_words(sparse, corpus, Some(only), best.len())?;
                note(&mut scores, &meaning, |scores| &mut scores.dense);
                note(&mut scores, &words, |scores| &mut scores.sparse);
                best
            }
        };
        self.hits(best, &scores)
    }

    fn by_meaning(
        &self,
        query: &[f32],
        filter: Option<EngineFilter>,
        limit: usize,
    ) -> Result<Vec<Ranked>> {
        let query = NamedQuery::new(VectorInternal::Dense(query.to_vec()), DENSE);
        let params = SearchParams {
            hnsw_ef: self.search_effort.map(|effort| effort.max(limit)),
            ..SearchParams::default()
        };
        self.rank(QueryEnum::Nearest(query), filter, params, limit)
    }

    fn by_words(
        &self,
        query: &SparseVector,
        corpus: EngineFilter,
        filter: Option<EngineFilter>,
        limit: usize,
    ) -> Result<Vec<Ranked>> {
        if query.is_empty() {
            return Ok(Vec::new());
        }
        let query = NamedQuery::new(VectorInternal::Sparse(engine_sparse(query)), SPARSE);
        // The engine's own statistics count deleted points until it tidies up; over a corpus,
        // even that of all points, it counts the living.
        let params = SearchParams {
            idf: Some(IdfParams::Corpus(IdfCorpusParams { corpus })),
            ..SearchParams::default()
        };
        self.rank(QueryEnum::Nearest(query), filter, params, limit)
    }

    fn rank(
        &self,
        query: QueryEnum,
        filter: Option<EngineFilter>,
        params: SearchParams,
        limit: usize,
    ) -> Result<Vec<Ranked>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let request = QueryRequest {
            query: Some(ScoringQuery::Vector(query)),
            filter,
            params: Some(params),
            ..QueryRequest::new(limit)
        };
        let found = self.check(self.shard.query(request))?;
        let ranked: Vec<Ranked> = found.iter().map(|p| (uuid(p.id), p.score)).collect();
        Ok(keep_best(ranked, limit))
    }

    fn hits(&self, best: Vec<Ranked>, scores: &HashMap<Uuid, Scores>) -> Result<Vec<Hit>> {
        let ids = best.iter().map(|(id, _)| PointId::Uuid(*id)).collect();
        let request = RetrieveRequest {
            with_payload: Some(WithPayloadInterface::Bool(true)),
            ..RetrieveRequest::new(ids)
        };
        let mut chunks: HashMap<Uuid, Chunk> = HashMap::new();
        for record in self.check(self.shard.retrieve(request))? {
            chunks.insert(uuid(record.id), from_payload(record.payload)?.chunk);
        }
        // A point that was deleted since it was found is no hit.
        let hit = |(id, score)| {
            Some(Hit {
                chunk: chunks.remove(&id)?,
                score,
                scores: scores.get(&id).copied().unwrap_or_default(),
            })
        };
        Ok(best.into_iter().filter_map(hit).collect())
    }

    /// The filter in the engine's terms. What they cannot say exactly becomes the list of points
    /// that match.
    fn resolve(&self, filter: Option<&Filter>) -> Result<Option<EngineFilter>> {
        let Some(filter) = filter else {
            return Ok(None);
        };
        filter.check()?;
        if let Some(translated) = translate(&EngineTerms, filter) {
            return Ok(Some(translated));
        }
        let mut ids = Vec::new();
        self.each_page(None, true, |record| {
            let id = uuid(record.id);
            let payload = to_value(record.payload)
                .map_err(|error| Error::new(ErrorKind::Malformed, format!("point {id}"), error))?;
            if filter.matches(&payload) {
                ids.push(id);
            }
            Ok(())
        })?;
        Ok(Some(only(&EngineTerms, &ids)))
    }

    fn each_page(
        &self,
        filter: Option<EngineFilter>,
        with_payload: bool,
        mut each: impl FnMut(qdrant_edge::Record) -> Result<()>,
    ) -> Result<()> {
        let mut offset = None;
        loop {
            let request = ScrollRequest {
                offset,
                limit: Some(PAGE),
                filter: filter.clone(),
                with_payload: Some(WithPayloadInterface::Bool(with_payload)),
                with_vector: WithVector::Bool(false),
                order_by: None,
            };
            let (records, next) = self.check(self.shard.scroll(request))?;
            records.into_iter().try_for_each(&mut each)?;
            offset = next;
            if offset.is_none() {
                return Ok(());
            }
        }
    }
}

fn point(record: qdrant_edge::Record) -> Result<Point> {
    let (dense, sparse) = vectors(record.vector);
    Ok(Point {
        dense,
        sparse,
        ..from_payload(record.payload)?
    })
}

fn config(options: &EdgeOptions) -> EdgeConfig {
    let sparse = EdgeSparseVectorParams {
        modifier: Some(Modifier::Idf),
        ..EdgeSparseVectorParams::default()
    };
    let config = EdgeConfig::builder().sparse_vector(SPARSE, sparse);
    let Some(size) = options.dimension else {
        return config.build();
    };
    let memory = match options.on_disk {
        true => Memory::Cold,
        false => Memory::Cached,
    };
    let dense = EdgeVectorParams::builder(size, Distance::Cosine).memory(memory);
    let dense = match quantization(options.quantization) {
        Some(quantization) => dense.quantization_config(quantization),
        None => dense,
    };
    config.vector(DENSE, dense.build()).build()
}

/// The small vectors are always in memory: they are there to be searched.
#[allow(deprecated)] // `always_ram` has to be named; it says nothing.
fn quantization(kind: Quantization) -> Option<QuantizationConfig> {
    let memory = Some(Memory::Pinned);
    match kind {
        Quantization::None => None,
        Quantization::Scalar => Some(
            ScalarQuantizationConfig {
                r#type: ScalarType::Int8,
                quantile: Some(0.99),
                always_ram: None,
                memory,
            }
            .into(),
        ),
        Quantization::Binary => Some(
            BinaryQuantizationConfig {
                always_ram: None,
                memory,
                encoding: None,
                query_encoding: None,
            }
            .into(),
        ),
    }
}
