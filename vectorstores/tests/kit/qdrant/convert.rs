//! The protocol's types in the engine's, and back. What the store never sends is refused.

use std::collections::HashMap;

use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::{
    Condition, DenseVector, FieldCondition, Filter, ListValue, NamedVectorsOutput, PointId,
    PointStruct, SparseVector, Struct, Value, VectorOutput, VectorsOutput, WithPayloadSelector,
    WithVectorsSelector, vector, vector_output, vectors_output, with_payload_selector,
    with_vectors_selector,
};
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    HasIdCondition, JsonPath, Match, Payload, PointStructPersisted, Range, ValueVariants,
    VectorInternal, VectorPersisted, VectorStructInternal, VectorStructPersisted,
};
use serde_json::{Number, Value as Json};
use tonic::Status;

pub fn engine_id(id: Option<PointId>) -> Result<qdrant_edge::PointId, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => match text.parse() {
            Ok(id) => Ok(qdrant_edge::PointId::Uuid(id)),
            Err(_) => Err(Status::invalid_argument("that is no UUID")),
        },
        Some(PointIdOptions::Num(number)) => Ok(qdrant_edge::PointId::NumId(number)),
        None => Err(Status::invalid_argument("no id")),
    }
}

pub fn protocol_id(id: qdrant_edge::PointId) -> PointId {
    let id = match id {
        qdrant_edge::PointId::Uuid(id) => PointIdOptions::Uuid(id.to_string()),
        qdrant_edge::PointId::NumId(number) => PointIdOptions::Num(number),
    };
    PointId {
        point_id_options: Some(id),
    }
}

pub fn engine_path(path: &str) -> Result<JsonPath, Status> {
    path.parse()
        .map_err(|()| Status::invalid_argument(format!("Invalid json path: {path}")))
}

pub fn engine_filter(filter: Filter) -> Result<qdrant_edge::Filter, Status> {
    if filter.min_should.is_some() {
        return Err(Status::unimplemented("min_should"));
    }
    let conditions = |conditions: Vec<Condition>| {
        let conditions = conditions.into_iter().map(engine_condition);
        let conditions = conditions.collect::<Result<Vec<_>, Status>>()?;
        Ok::<_, Status>((!conditions.is_empty()).then_some(conditions))
    };
    Ok(qdrant_edge::Filter {
        should: conditions(filter.should)?,
        must: conditions(filter.must)?,
        must_not: conditions(filter.must_not)?,
        ..qdrant_edge::Filter::default()
    })
}

fn engine_condition(condition: Condition) -> Result<qdrant_edge::Condition, Status> {
    match condition.condition_one_of {
        Some(ConditionOneOf::Field(field)) => {
            Ok(qdrant_edge::Condition::Field(engine_field(field)?))
        }
        Some(ConditionOneOf::Filter(filter)) => {
            Ok(qdrant_edge::Condition::Filter(engine_filter(filter)?))
        }
        Some(ConditionOneOf::HasId(ids)) => {
            let ids = ids.has_id.into_iter().map(|id| engine_id(Some(id)));
            let ids = ids.collect::<Result<HasIdCondition, Status>>()?;
            Ok(qdrant_edge::Condition::HasId(ids))
        }
        other => Err(Status::unimplemented(format!("{other:?}"))),
    }
}

fn engine_field(field: FieldCondition) -> Result<qdrant_edge::FieldCondition, Status> {
    let path = engine_path(&field.key)?;
    let test = field.r#match.and_then(|test| test.match_value);
    let value = match (test, field.range) {
        (Some(MatchValue::Keyword(text)), None) => ValueVariants::String(text),
        (Some(MatchValue::Integer(number)), None) => ValueVariants::Integer(number),
        (Some(MatchValue::Boolean(truth)), None) => ValueVariants::Bool(truth),
        (Some(MatchValue::Substring(text)), None) => {
            let test = Match::new_substring(&text);
            return Ok(qdrant_edge::FieldCondition::new_match(path, test));
        }
        (None, Some(range)) => {
            let range = Range {
                gte: range.gte.map(OrderedFloat),
                gt: range.gt.map(OrderedFloat),
                lte: range.lte.map(OrderedFloat),
                lt: range.lt.map(OrderedFloat),
            };
            return Ok(qdrant_edge::FieldCondition::new_range(path, range));
        }
        other => return Err(Status::unimplemented(format!("{other:?}"))),
    };
    let test = Match::new_value(value);
    Ok(qdrant_edge::FieldCondition::new_match(path, test))
}

pub fn engine_point(point: PointStruct) -> Result<PointStructPersisted, Status> {
    let mut vectors = HashMap::new();
    match point.vectors.and_then(|vectors| vectors.vectors_options) {
        None => {}
        Some(VectorsOptions::Vectors(named)) => {
            for (name, vector) in named.vectors {
                let vector = match vector.vector {
                    Some(vector::Vector::Dense(dense)) => VectorPersisted::Dense(dense.data),
                    Some(vector::Vector::Sparse(sparse)) => {
                        VectorPersisted::Sparse(qdrant_edge::SparseVector {
                            indices: sparse.indices,
                            values: sparse.values,
                        })
                    }
                    _ => return Err(Status::unimplemented("another vector")),
                };
                vectors.insert(name, vector);
            }
        }
        Some(VectorsOptions::Vector(_)) => {
            return Err(Status::unimplemented("one nameless vector"));
        }
    }
    let json = |(key, value)| (key, engine_json(value));
    Ok(PointStructPersisted {
        id: engine_id(point.id)?,
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(Payload(point.payload.into_iter().map(json).collect())),
    })
}

pub fn protocol_vectors(vectors: Option<VectorStructInternal>) -> Option<VectorsOutput> {
    let VectorStructInternal::Named(named) = vectors? else {
        return None;
    };
    let vector = |vector| match vector {
        VectorInternal::Dense(data) => Some(vector_output::Vector::Dense(DenseVector { data })),
        VectorInternal::Sparse(sparse) => Some(vector_output::Vector::Sparse(SparseVector {
            values: sparse.values,
            indices: sparse.indices,
        })),
        VectorInternal::MultiDense(_) => None,
    };
    let output = |(name, own): (_, VectorInternal)| {
        let output = VectorOutput {
            vector: vector(own),
            ..VectorOutput::default()
        };
        (name, output)
    };
    Some(VectorsOutput {
        vectors_options: Some(vectors_output::VectorsOptions::Vectors(
            NamedVectorsOutput {
                vectors: named.into_iter().map(output).collect(),
            },
        )),
    })
}

pub fn protocol_payload(payload: Option<Payload>) -> HashMap<String, Value> {
    let map = payload.map(|payload| payload.0).unwrap_or_default();
    let value = |(key, json)| (key, protocol_value(json));
    map.into_iter().map(value).collect()
}

pub fn with_payload(selector: Option<WithPayloadSelector>) -> Result<bool, Status> {
    match selector.and_then(|selector| selector.selector_options) {
        None => Ok(false),
        Some(with_payload_selector::SelectorOptions::Enable(whole)) => Ok(whole),
        Some(_) => Err(Status::unimplemented("a part of the payload")),
    }
}

pub fn with_vectors(selector: Option<WithVectorsSelector>) -> Result<bool, Status> {
    match selector.and_then(|selector| selector.selector_options) {
        None => Ok(false),
        Some(with_vectors_selector::SelectorOptions::Enable(all)) => Ok(all),
        Some(_) => Err(Status::unimplemented("some of the vectors")),
    }
}

fn engine_json(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(truth)) => truth.into(),
        Some(Kind::IntegerValue(integer)) => integer.into(),
        Some(Kind::DoubleValue(double)) => Number::from_f64(double).into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(engine_json).collect(),
        Some(Kind::StructValue(map)) => {
            let json = |(key, value)| (key, engine_json(value));
            map.fields.into_iter().map(json).collect()
        }
    }
}

fn protocol_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(truth) => Kind::BoolValue(truth),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Kind::IntegerValue(integer),
            None => Kind::DoubleValue(number.as_f64().unwrap()),
        },
        Json::String(text) => Kind::StringValue(text),
        Json::Array(list) => Kind::ListValue(ListValue {
            values: list.into_iter().map(protocol_value).collect(),
        }),
        Json::Object(map) => {
            let value = |(key, json)| (key, protocol_value(json));
            Kind::StructValue(Struct {
                fields: map.into_iter().map(value).collect(),
            })
        }
    };
    Value { kind: Some(kind) }
}
