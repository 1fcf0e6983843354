//! Points in the protocol's types, and back.

use std::collections::HashMap;

use corbie_core::{Error, ErrorKind, Point, Result, SparseVector};
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::{
    DenseVector, ListValue, NamedVectors, PointId, PointStruct, RetrievedPoint, Struct, Value,
    Vector, Vectors, VectorsOutput, vector, vector_output, vectors_output,
};
use serde_json::{Number, Value as Json};
use uuid::Uuid;

use crate::engine::{COUNTED, DENSE, LEARNED, read_sparse, sparse_name};

/// How many lists and objects within one another a payload is written with: messages are read
/// 100 levels deep, and an object takes three of them.
pub(super) const DEEPEST: usize = 30;

/// Where a payload that the protocol's values cannot express lies as text: one with lists and
/// objects too deep, or integers above 2⁶³. No filter can name it.
const EXACT: &str = "exact";

/// A point as the server keeps it.
pub(super) fn to_server(point: Point) -> Result<PointStruct> {
    let id = point_id(&point.id());
    let payload = fields(&point)?;
    let mut vectors = HashMap::new();
    if let Some(data) = point.dense {
        let dense = vector::Vector::Dense(DenseVector { data });
        vectors.insert(DENSE.to_owned(), named(dense));
    }
    if let Some(sparse) = point.sparse.filter(|sparse| !sparse.is_empty()) {
        let name = sparse_name(sparse.weights);
        let sparse = vector::Vector::Sparse(server_sparse(&sparse));
        vectors.insert(name.to_owned(), named(sparse));
    }
    Ok(PointStruct {
        id: Some(id),
        payload,
        vectors: Some(Vectors {
            vectors_options: Some(VectorsOptions::Vectors(NamedVectors { vectors })),
        }),
    })
}

/// A sparse vector, already checked, as the server wants it.
pub(super) fn server_sparse(vector: &SparseVector) -> qdrant_client::qdrant::SparseVector {
    qdrant_client::qdrant::SparseVector {
        values: vector.values.clone(),
        indices: vector.indices.clone(),
    }
}

/// The payload as it was written.
pub(super) fn payload(fields: HashMap<String, Value>) -> Result<Json> {
    let Some(Kind::StringValue(exact)) = fields.get(EXACT).and_then(|value| value.kind.as_ref())
    else {
        let json = |(key, value)| (key, from_server(value));
        return Ok(Json::Object(fields.into_iter().map(json).collect()));
    };
    serde_json::from_str(exact).map_err(|error| {
        let cause = format!("its payload is no JSON: {error}");
        Error::new(ErrorKind::Malformed, "a point of the vector store", cause)
    })
}

/// A point of ours, as it was read.
pub(super) fn point(read: RetrievedPoint) -> Result<Point> {
    let (dense, sparse) = vectors(read.vectors);
    Ok(Point {
        dense,
        sparse,
        ..Point::from_payload(payload(read.payload)?)?
    })
}

/// A point's vectors.
fn vectors(vectors: Option<VectorsOutput>) -> (Option<Vec<f32>>, Option<SparseVector>) {
    let Some(vectors_output::VectorsOptions::Vectors(mut named)) =
        vectors.and_then(|vectors| vectors.vectors_options)
    else {
        return (None, None);
    };
    let mut take = |name| named.vectors.remove(name)?.vector;
    let dense = match take(DENSE) {
        Some(vector_output::Vector::Dense(dense)) => Some(dense.data),
        _ => None,
    };
    let mut sparse = |name| match take(name) {
        Some(vector_output::Vector::Sparse(sparse)) => {
            Some(read_sparse(name, sparse.indices, sparse.values))
        }
        _ => None,
    };
    let sparse = sparse(COUNTED).or_else(|| sparse(LEARNED));
    (dense, sparse)
}

pub(super) fn point_id(id: &Uuid) -> PointId {
    PointId {
        point_id_options: Some(PointIdOptions::Uuid(id.to_string())),
    }
}

/// The id of one of our points: they are all UUIDs.
pub(super) fn uuid(id: Option<PointId>) -> Result<Uuid> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => text.parse().ok(),
        Some(PointIdOptions::Num(number)) => Some(Uuid::from_u128(u128::from(number))),
        None => None,
    }
    .ok_or_else(|| {
        let cause = "it has no id of ours";
        Error::new(ErrorKind::Malformed, "a point of the vector store", cause)
    })
}

fn named(vector: vector::Vector) -> Vector {
    Vector {
        vector: Some(vector),
        ..Vector::default()
    }
}

fn fields(point: &Point) -> Result<HashMap<String, Value>> {
    let payload = point.payload()?;
    let exact = (!expressible(&payload, 0)).then(|| payload.to_string());
    let Json::Object(map) = payload else {
        return Ok(HashMap::new());
    };
    let value = |(key, value)| (key, to_value(value, 1));
    let mut fields: HashMap<String, Value> = map.into_iter().map(value).collect();
    if let Some(exact) = exact {
        if serde_json::from_str::<Json>(&exact).is_err() {
            let subject = format!("chunk {} of `{}`", point.chunk.id, point.chunk.source);
            let cause = "its metadata holds lists or objects too deep within one another";
            return Err(Error::new(ErrorKind::BadInput, subject, cause));
        }
        fields.insert(EXACT.to_owned(), kind(Kind::StringValue(exact)));
    }
    Ok(fields)
}

/// Whether the protocol's values can say the same as `json`, which lies `depth` lists and objects
/// deep.
fn expressible(json: &Json, depth: usize) -> bool {
    let mut inner: Box<dyn Iterator<Item = &Json>> = match json {
        Json::Number(number) => return number.is_i64() || number.is_f64(),
        Json::Array(list) => Box::new(list.iter()),
        Json::Object(map) => Box::new(map.values()),
        Json::Null | Json::Bool(_) | Json::String(_) => return true,
    };
    depth <= DEEPEST && inner.all(|json| expressible(json, depth + 1))
}

fn to_value(json: Json, depth: usize) -> Value {
    kind(match json {
        Json::Null => Kind::NullValue(0),
        Json::Array(_) | Json::Object(_) if depth > DEEPEST => Kind::NullValue(0),
        Json::Bool(truth) => Kind::BoolValue(truth),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Kind::IntegerValue(integer),
            None => number
                .as_f64()
                .map_or(Kind::NullValue(0), Kind::DoubleValue),
        },
        Json::String(text) => Kind::StringValue(text),
        Json::Array(list) => {
            let value = |json| to_value(json, depth + 1);
            Kind::ListValue(ListValue {
                values: list.into_iter().map(value).collect(),
            })
        }
        Json::Object(map) => {
            let value = |(key, json)| (key, to_value(json, depth + 1));
            Kind::StructValue(Struct {
                fields: map.into_iter().map(value).collect(),
            })
        }
    })
}

/// What was read is no deeper than messages are.
fn from_server(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(truth)) => Json::Bool(truth),
        Some(Kind::IntegerValue(integer)) => Json::from(integer),
        Some(Kind::DoubleValue(double)) => {
            Number::from_f64(double).map_or(Json::Null, Json::Number)
        }
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(from_server).collect(),
        Some(Kind::StructValue(map)) => {
            let json = |(key, value)| (key, from_server(value));
            Json::Object(map.fields.into_iter().map(json).collect())
        }
    }
}

fn kind(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}
