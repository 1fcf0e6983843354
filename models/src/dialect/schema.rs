//! JSON Schemas of arguments, as grammars need them.

use serde_json::{Map, Value, json};

/// References to references are followed so often.
const MAX_HOPS: usize = 8;

/// The only values that a schema allows, if it lists them.
pub(super) fn constants(schema: &Value) -> Option<Vec<Value>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) if !values.is_empty() => Some(values.clone()),
        (_, Some(value)) => Some(vec![value.clone()]),
        _ => None,
    }
}

/// The schema that a reference within `root` points to.
pub(super) fn referred<'a>(mut schema: &'a Value, root: &'a Value) -> &'a Value {
    for _ in 0..MAX_HOPS {
        let place = schema.get("$ref").and_then(Value::as_str);
        let Some(target) = place.and_then(|place| root.pointer(place.strip_prefix('#')?)) else {
            break;
        };
        schema = target;
    }
    schema
}

/// The schema of an object: what says nothing of a type means one.
pub(super) fn as_object(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let says = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"];
            let mut fields = fields.clone();
            if !says.iter().any(|key| fields.contains_key(*key)) {
                fields.insert("type".to_owned(), json!("object"));
            }
            Value::Object(fields)
        }
        _ => json!({ "type": "object" }),
    }
}

/// The schema without room for properties that it does not name: a tool knows no others.
pub(super) fn closed(schema: &Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    let mut closed_fields: Map<String, Value> = fields
        .iter()
        .map(|(key, value)| {
            let value = match key.as_str() {
                "properties" | "$defs" | "definitions" => closed_all(value),
                "items" | "additionalProperties" | "not" => closed(value),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect();
    let combined = ["allOf", "anyOf", "oneOf", "$ref", "patternProperties"];
    if fields.contains_key("properties") && !combined.iter().any(|key| fields.contains_key(*key)) {
        closed_fields
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    Value::Object(closed_fields)
}

pub(super) fn closed_all(schemas: &Value) -> Value {
    match schemas {
        Value::Object(fields) => {
            let closed = fields
                .iter()
                .map(|(key, value)| (key.clone(), closed(value)));
            Value::Object(closed.collect())
        }
        other => other.clone(),
    }
}
