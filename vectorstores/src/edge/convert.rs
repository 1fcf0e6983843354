//! Points in the engine's terms, and back.

use std::collections::HashMap;

use corbie_core::{Point, Result, SparseVector};
use qdrant_edge::external::serde_json::Value;
use qdrant_edge::{
    Payload, PointId, PointStructPersisted, VectorInternal, VectorPersisted, VectorStructInternal,
    VectorStructPersisted,
};
use uuid::Uuid;

use crate::engine::{COUNTED, DENSE, LEARNED, read_sparse, sparse_name};

/// A point as the engine keeps it.
pub(super) fn to_engine(point: Point) -> Result<PointStructPersisted> {
    let id = point.id();
    let payload = match point.payload()? {
        Value::Object(map) => Payload(map),
        _ => Payload::default(),
    };
    let mut vectors = HashMap::new();
    if let Some(dense) = point.dense {
        vectors.insert(DENSE.into(), VectorPersisted::Dense(dense));
    }
    if let Some(sparse) = point.sparse.filter(|sparse| !sparse.is_empty()) {
        vectors.insert(
            sparse_name(sparse.weights).into(),
            VectorPersisted::Sparse(engine_sparse(&sparse)),
        );
    }
    Ok(PointStructPersisted {
        id: PointId::Uuid(id),
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(payload),
    })
}

/// A sparse vector, already checked, as the engine wants it.
pub(super) fn engine_sparse(vector: &SparseVector) -> qdrant_edge::SparseVector {
    qdrant_edge::SparseVector {
        indices: vector.indices.clone(),
        values: vector.values.clone(),
    }
}

/// The point in a payload, without its vectors.
pub(super) fn from_payload(payload: Option<Payload>) -> Result<Point> {
    let map = payload.map(|payload| payload.0).unwrap_or_default();
    Point::from_payload(Value::Object(map))
}

/// A point's vectors.
pub(super) fn vectors(
    vector: Option<VectorStructInternal>,
) -> (Option<Vec<f32>>, Option<SparseVector>) {
    let Some(VectorStructInternal::Named(mut named)) = vector else {
        return (None, None);
    };
    let dense = match named.remove(DENSE) {
        Some(VectorInternal::Dense(dense)) => Some(dense),
        _ => None,
    };
    let mut sparse = |name| match named.remove(name) {
        Some(VectorInternal::Sparse(sparse)) => {
            Some(read_sparse(name, sparse.indices, sparse.values))
        }
        _ => None,
    };
    let sparse = sparse(COUNTED).or_else(|| sparse(LEARNED));
    (dense, sparse)
}

/// The id of one of our points: they are all UUIDs.
pub(super) fn uuid(id: PointId) -> Uuid {
    match id {
        PointId::Uuid(id) => id,
        PointId::NumId(number) => Uuid::from_u128(u128::from(number)),
    }
}
