//! How the engine is told to keep and look up.

use qdrant_edge::{
    BinaryQuantizationConfig, BoolIndexParams, CreateVectorName, Distance, EdgeConfig,
    EdgeConfigBuilder, EdgeSparseVectorParams, EdgeVectorParams, FloatIndexParams,
    IntegerIndexParams, KeywordIndexParams, Memory, Modifier, OperationResult, PayloadSchemaParams,
    QuantizationConfig, ScalarQuantizationConfig, ScalarType, UpdateOperation,
    VectorNameOperations,
};

use super::EdgeOptions;
use crate::engine::{COUNTED, DENSE, FieldKind, LEARNED, Quantization};

/// How a field's values are looked up. By default the engine also links the points that share a
/// value within the graph: with four fields its building took three times as long, and every
/// search, filtered or not, twice to three times. Only tenants are worth that.
pub(super) fn field_index(kind: FieldKind, links: bool, on_disk: bool) -> PayloadSchemaParams {
    let links = Some(links);
    let memory = on_disk.then_some(Memory::Cold);
    match kind {
        FieldKind::Keyword => PayloadSchemaParams::Keyword(KeywordIndexParams {
            enable_hnsw: links,
            memory,
            ..KeywordIndexParams::default()
        }),
        FieldKind::Integer => PayloadSchemaParams::Integer(IntegerIndexParams {
            enable_hnsw: links,
            memory,
            ..IntegerIndexParams::default()
        }),
        FieldKind::Float => PayloadSchemaParams::Float(FloatIndexParams {
            enable_hnsw: links,
            memory,
            ..FloatIndexParams::default()
        }),
        FieldKind::Bool => PayloadSchemaParams::Bool(BoolIndexParams {
            enable_hnsw: links,
            memory,
            ..BoolIndexParams::default()
        }),
    }
}

pub(super) fn config(options: &EdgeOptions) -> EdgeConfig {
    let cold = options.on_disk.then_some(Memory::Cold);
    let sparse = |modifier| EdgeSparseVectorParams {
        modifier,
        memory: cold,
        ..EdgeSparseVectorParams::default()
    };
    let config = EdgeConfig::builder()
        .sparse_vector(COUNTED, sparse(Some(Modifier::Idf)))
        .sparse_vector(LEARNED, sparse(None));
    // With one thread the engine reads on ours, of which there are several: to hand each read over
    // and back takes longer than the few segments of a collection gain by being read side by side.
    let build = |config: EdgeConfigBuilder| EdgeConfig {
        max_search_threads: Some(1),
        id_tracker_memory: cold,
        ..config.build()
    };
    let Some(size) = options.dimension else {
        return build(config);
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
    build(config.vector(DENSE, dense.build()))
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

/// Adds the vectors of learned weights to a store that has none.
pub(super) fn learned_weights() -> OperationResult<UpdateOperation> {
    // The engine does not show the type that it has around this one.
    let config = serde_json::from_value(serde_json::json!({ "sparse": {} }))?;
    let create = VectorNameOperations::CreateVectorName(CreateVectorName {
        vector_name: LEARNED.into(),
        config,
    });
    Ok(UpdateOperation::VectorNameOperation(create))
}
