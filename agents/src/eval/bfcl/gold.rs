//! The calls of a perfect model.

use corbie_core::ToolCall;
use serde_json::{Map, Value};

use super::BfclCase;
use super::standard::name;

pub(super) fn calls(case: &BfclCase) -> Vec<ToolCall> {
    let calls = case.answers.iter().enumerate();
    calls
        .filter_map(|(index, answer)| {
            let (function, right) = answer.iter().next()?;
            let name = name(function);
            let schema = case.tools.iter().find(|tool| tool.name == name);
            let schema = schema.map_or(&Value::Null, |tool| &tool.parameters);
            Some(ToolCall {
                id: format!("call_{index}"),
                name,
                arguments: arguments(right.as_object()?, schema),
            })
        })
        .collect()
}

/// For each argument the first right value that fits its schema; where none does it is left out
/// if it may be, or else the first one stands.
fn arguments(right: &Map<String, Value>, schema: &Value) -> Value {
    let arguments = right.iter().filter_map(|(key, values)| {
        let values = values.as_array()?;
        let is_empty = |value: &&Value| value.as_str() == Some("");
        let optional = values.iter().any(|value| is_empty(&value));
        let chosen = values.iter().filter(|value| !is_empty(value));
        let chosen: Vec<Value> = chosen.map(concrete).collect();
        let schema = schema["properties"].get(key);
        let validator = schema.and_then(|schema| jsonschema::validator_for(schema).ok());
        let fits = |value: &&Value| validator.as_ref().is_some_and(|it| it.is_valid(value));
        let first = chosen.first().filter(|_| !optional);
        let value = chosen.iter().find(fits).or(first)?;
        Some((key.clone(), value.clone()))
    });
    Value::Object(arguments.collect())
}

/// A value in which dicts have one value for each key, where answers list those that are right.
fn concrete(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let chosen = fields.iter().filter_map(|(key, values)| {
                let value = match values.as_array() {
                    Some(values) => values.iter().find(|it| it.as_str() != Some(""))?,
                    None => values,
                };
                Some((key.clone(), value.clone()))
            });
            Value::Object(chosen.collect())
        }
        Value::Array(items) => items.iter().map(concrete).collect(),
        other => other.clone(),
    }
}
