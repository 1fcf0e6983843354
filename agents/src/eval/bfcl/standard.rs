//! From the leaderboard's schemas, which name types as Python does, to JSON Schema.

use serde_json::{Value, json};

/// A function's name in the letters that tools' names have.
pub(super) fn name(name: &str) -> String {
    name.replace('.', "_")
}

/// The JSON Schema of what the leaderboard writes as one.
pub(super) fn schema(written: &Value) -> Value {
    let Value::Object(fields) = written else {
        return written.clone();
    };
    let fields = fields.iter().map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("type", Value::String(kind)) => json!(kind_of(kind)),
            // The names in it are arguments, whatever they are called.
            ("properties", Value::Object(properties)) => {
                let properties = properties.iter();
                Value::Object(
                    properties
                        .map(|(name, it)| (name.clone(), schema(it)))
                        .collect(),
                )
            }
            ("items" | "additionalProperties", value) => schema(value),
            (_, value) => value.clone(),
        };
        (key.clone(), value)
    });
    Value::Object(fields.collect())
}

fn kind_of(kind: &str) -> &str {
    match kind {
        "dict" => "object",
        "float" => "number",
        "tuple" => "array",
        // The checker wants a string where anything may be.
        "any" => "string",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_renamed_where_they_are_types() {
        let written = json!({"type": "dict", "properties": {
            "type": {"type": "float", "default": {"type": "dict"}},
            "list": {"type": "array", "items": {"type": "tuple", "items": {"type": "any"}}},
        }});
        let expected = json!({"type": "object", "properties": {
            "type": {"type": "number", "default": {"type": "dict"}},
            "list": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        }});
        assert_eq!(schema(&written), expected);
        assert_eq!(name("math.sum"), "math_sum");
    }
}
