//! The collection itself: found, made, removed.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use corbie_core::{Error, ErrorKind, Result};
use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::quantization_config::Quantization as ServerQuantization;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    BinaryQuantization, CollectionInfo, CreateCollection, CreateFieldIndexCollection,
    DeleteCollection, Distance, FieldType, GetCollectionInfoRequest, HnswConfigDiff,
    KeywordIndexParams, Memory, Modifier, PayloadIndexParams, QuantizationConfig, QuantizationType,
    ScalarQuantization, SparseIndexConfig, SparseVectorConfig, SparseVectorParams, VectorParams,
    VectorParamsMap, VectorsConfig,
};
use tonic::Status;

use super::QdrantStore;
use super::server::{collections, points};
use super::write::done;
use crate::engine::{
    COUNTED, DENSE, FieldKind, LEARNED, NAMESPACE, Quantization, check_dimension, indexed,
};

impl QdrantStore {
    /// Whether the collection is there; one that is not ours is refused.
    pub(super) async fn found(&self) -> Result<bool> {
        if self.found.load(Ordering::Acquire) {
            return Ok(true);
        }
        Ok(self.look().await?.is_some())
    }

    /// Makes the collection if it is not there, and what it lacks.
    pub(super) async fn make(&self) -> Result<()> {
        let mut ready = self.ready.lock().await;
        if *ready {
            return Ok(());
        }
        let info = match self.look().await? {
            Some(info) => info,
            None => self.create().await?,
        };
        for (field, kind) in indexed(&self.options.indexed)? {
            if !info.payload_schema.contains_key(&field) {
                self.index_field(field, kind).await?;
            }
        }
        *ready = true;
        Ok(())
    }

    /// Removes the collection, if it is there.
    pub(super) async fn remove(&self) -> Result<()> {
        let message = DeleteCollection {
            collection_name: self.collection.clone(),
            timeout: None,
        };
        let delete = |channel, request| async move {
            // A server says of one that is not there that it removed none.
            collections(channel).delete(request).await.map(|_| ())
        };
        match self.server.call(&self.subject, message, delete).await {
            Err(error) if error.kind() != &ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn look(&self) -> Result<Option<CollectionInfo>> {
        self.server.check_version().await?;
        let message = GetCollectionInfoRequest {
            collection_name: self.collection.clone(),
        };
        let get = |channel, request| async move {
            let answer = collections(channel).get(request).await?.into_inner();
            answer
                .result
                .ok_or_else(|| Status::unavailable("its answer is empty"))
        };
        match self.server.call(&self.subject, message, get).await {
            Ok(info) => {
                self.check(&info)?;
                self.found.store(true, Ordering::Release);
                Ok(Some(info))
            }
            Err(error) if error.kind() == &ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn check(&self, info: &CollectionInfo) -> Result<()> {
        let params = info
            .config
            .as_ref()
            .and_then(|config| config.params.as_ref());
        let dense = match params
            .and_then(|params| params.vectors_config.as_ref())
            .and_then(|vectors| vectors.config.as_ref())
        {
            Some(Config::ParamsMap(named)) => named.map.get(DENSE),
            _ => None,
        };
        let sparse = params
            .and_then(|params| params.sparse_vectors_config.as_ref())
            .and_then(|vectors| vectors.map.get(COUNTED));
        let weighed = sparse.is_some_and(|sparse| sparse.modifier() == Modifier::Idf);
        let cosine = dense.is_none_or(|dense| dense.distance() == Distance::Cosine);
        if !weighed || !cosine {
            let cause = "it was not made by Corbie: its vectors are others";
            return Err(Error::new(ErrorKind::Mismatch, &self.subject, cause)
                .hint("choose another name for the collection"));
        }
        let kept = dense.map(|dense| usize::try_from(dense.size).unwrap_or(usize::MAX));
        check_dimension(&self.subject, kept, self.options.dimension)
    }

    async fn create(&self) -> Result<CollectionInfo> {
        let create = |channel, request| async move {
            collections(channel).create(request).await.map(|_| ())
        };
        let message = self.creation();
        let created = self.server.call(&self.subject, message, create).await;
        // Another process may have made it first; then what is there counts.
        match (self.look().await?, created) {
            (Some(info), _) => Ok(info),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::new(
                ErrorKind::Unavailable,
                &self.subject,
                "it was made, and is not there",
            )
            .hint("try again when the nodes of the cluster agree")),
        }
    }

    fn creation(&self) -> CreateCollection {
        let options = &self.options;
        let memory = options.on_disk.then_some(i32::from(Memory::Cold));
        let dense = options.dimension.map(|size| VectorParams {
            size: size as u64,
            distance: Distance::Cosine.into(),
            hnsw_config: memory.map(|_| HnswConfigDiff {
                memory,
                ..HnswConfigDiff::default()
            }),
            memory,
            ..VectorParams::default()
        });
        let sparse = |modifier: Modifier| SparseVectorParams {
            modifier: Some(modifier.into()),
            index: memory.map(|_| SparseIndexConfig {
                memory,
                ..SparseIndexConfig::default()
            }),
        };
        let dense = dense.into_iter().map(|dense| (DENSE.to_owned(), dense));
        CreateCollection {
            collection_name: self.collection.clone(),
            vectors_config: Some(VectorsConfig {
                config: Some(Config::ParamsMap(VectorParamsMap {
                    map: dense.collect(),
                })),
            }),
            sparse_vectors_config: Some(SparseVectorConfig {
                map: HashMap::from([
                    (COUNTED.to_owned(), sparse(Modifier::Idf)),
                    (LEARNED.to_owned(), sparse(Modifier::None)),
                ]),
            }),
            quantization_config: quantization(options.quantization),
            shard_number: options.shard_number,
            replication_factor: options.replication_factor,
            write_consistency_factor: options.write_consistency_factor,
            ..CreateCollection::default()
        }
    }

    async fn index_field(&self, field: String, kind: FieldKind) -> Result<()> {
        // The points of one tenant are laid beside one another.
        let tenant = (field == NAMESPACE).then(|| PayloadIndexParams {
            index_params: Some(IndexParams::KeywordIndexParams(KeywordIndexParams {
                is_tenant: Some(true),
                ..KeywordIndexParams::default()
            })),
        });
        let kind = match kind {
            FieldKind::Keyword => FieldType::Keyword,
            FieldKind::Integer => FieldType::Integer,
            FieldKind::Float => FieldType::Float,
            FieldKind::Bool => FieldType::Bool,
        };
        let message = CreateFieldIndexCollection {
            collection_name: self.collection.clone(),
            wait: Some(true),
            field_name: field,
            field_type: Some(kind.into()),
            field_index_params: tenant,
            ..CreateFieldIndexCollection::default()
        };
        let index = |channel, request| async move {
            done(points(channel).create_field_index(request).await?)
        };
        self.server.call(&self.subject, message, index).await
    }
}

/// The small vectors are always in memory: they are there to be searched.
fn quantization(kind: Quantization) -> Option<QuantizationConfig> {
    let memory = Some(Memory::Pinned.into());
    let kind = match kind {
        Quantization::None => return None,
        Quantization::Scalar => ServerQuantization::Scalar(ScalarQuantization {
            r#type: QuantizationType::Int8.into(),
            quantile: Some(0.99),
            memory,
            ..ScalarQuantization::default()
        }),
        Quantization::Binary => ServerQuantization::Binary(BinaryQuantization {
            memory,
            ..BinaryQuantization::default()
        }),
    };
    Some(QuantizationConfig {
        quantization: Some(kind),
    })
}
