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

/// For each argument the first right value that fits its schema, or else the first; those that
/// may be left out and have no other value are.
fn arguments(right: &Map<String, Value>, schema: &Value) -> Value {
    let arguments = right.iter().filter_map(|(key, values)| {
        let schema = &schema["properties"][key];
        let values = values.as_array()?.iter();
        let chosen: Vec<Value> = values
            .filter(|value| value.as_str() != Some(""))
            .map(concrete)
            .collect();
        let validator = jsonschema::validator_for(schema).ok();
        let fits = |value: &&Value| validator.as_ref().is_none_or(|it| it.is_valid(value));
        let value = chosen.iter().find(fits).or(chosen.first())?;
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
