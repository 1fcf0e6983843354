//! Filters in the engine's terms.

use corbie_core::filter::{FieldPath, Step};
use corbie_core::{Filter, Range};
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, FieldCondition, Filter as EngineFilter, HasIdCondition, JsonPath, Match,
    ValueVariants,
};
use serde_json::Value;

/// The engine's form of a filter; `None` where the engine cannot say exactly the same. Values
/// are passed as data, never as text to be parsed.
pub(super) fn translate(filter: &Filter) -> Option<EngineFilter> {
    Some(match filter {
        Filter::Eq { field, value } => must(vec![equal(field, value)?]),
        Filter::In { field, values } => any(values
            .iter()
            .map(|value| equal(field, value))
            .collect::<Option<_>>()?),
        Filter::Range { field, range } => must(vec![within(field, range)?]),
        Filter::Text { field, text } => must(vec![holding(field, text)?]),
        Filter::All(filters) => must(conditions(filters)?),
        Filter::Any(filters) => any(conditions(filters)?),
        Filter::Not(filter) => EngineFilter {
            must_not: Some(vec![Condition::Filter(translate(filter)?)]),
            ..EngineFilter::default()
        },
    })
}

/// The filter that only these points pass.
pub(super) fn only(ids: impl IntoIterator<Item = uuid::Uuid>) -> EngineFilter {
    let ids: HasIdCondition = ids.into_iter().map(qdrant_edge::PointId::Uuid).collect();
    must(vec![Condition::HasId(ids)])
}

fn conditions(filters: &[Filter]) -> Option<Vec<Condition>> {
    let condition = |filter| translate(filter).map(Condition::Filter);
    filters.iter().map(condition).collect()
}

fn must(conditions: Vec<Condition>) -> EngineFilter {
    EngineFilter {
        must: (!conditions.is_empty()).then_some(conditions),
        ..EngineFilter::default()
    }
}

/// To the engine, an empty list of alternatives is no condition; to us it is never true.
fn any(conditions: Vec<Condition>) -> EngineFilter {
    if conditions.is_empty() {
        return only([]);
    }
    EngineFilter {
        should: Some(conditions),
        ..EngineFilter::default()
    }
}

fn equal(field: &str, value: &Value) -> Option<Condition> {
    let value = match value {
        Value::String(text) => ValueVariants::String(text.clone()),
        Value::Bool(truth) => ValueVariants::Bool(*truth),
        Value::Number(number) => ValueVariants::Integer(number.as_i64()?),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let condition = FieldCondition::new_match(path(field)?, Match::new_value(value));
    Some(Condition::Field(condition))
}

fn holding(field: &str, text: &str) -> Option<Condition> {
    let condition = FieldCondition::new_match(path(field)?, Match::new_substring(text));
    Some(Condition::Field(condition))
}

fn within(field: &str, range: &Range) -> Option<Condition> {
    let bounds = [range.gte, range.gt, range.lte, range.lt];
    let bounded = bounds.iter().any(Option::is_some);
    if !bounded || bounds.iter().flatten().any(|bound| bound.is_nan()) {
        return None;
    }
    let range = qdrant_edge::Range {
        gte: range.gte.map(OrderedFloat),
        gt: range.gt.map(OrderedFloat),
        lte: range.lte.map(OrderedFloat),
        lt: range.lt.map(OrderedFloat),
    };
    let condition = FieldCondition::new_range(path(field)?, range);
    Some(Condition::Field(condition))
}

/// Where a field lies in the payload. Keys are quoted; one that holds a quote itself cannot be
/// written in the engine's paths.
pub(super) fn path(field: &str) -> Option<JsonPath> {
    let mut path = String::new();
    for step in FieldPath::parse(field).ok()?.steps() {
        match step {
            Step::Key(key) if key.contains(['"', '\\']) => return None,
            Step::Key(key) if path.is_empty() => path = format!("\"{key}\""),
            Step::Key(key) => path += &format!(".\"{key}\""),
            Step::Each => path += "[]",
        }
    }
    path.parse().ok()
}
