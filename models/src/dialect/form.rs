//! What calls look like once their JSON is read.

use serde_json::{Map, Value};

use super::events::Call;

/// The call that a JSON value is: a name and arguments under any of the names that families use.
pub(super) fn call(value: Value) -> Option<Call> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    if let Some(Value::Object(function)) = fields.remove("function") {
        let id = fields.remove("id");
        fields = function;
        fields.extend(id.map(|id| ("id".to_owned(), id)));
    }
    let mut take = |keys: &[&str]| keys.iter().find_map(|key| fields.remove(*key));
    let name = take(&["name", "tool_name", "tool"])?;
    let arguments = take(&["arguments", "parameters"]);
    let id = take(&["id", "tool_call_id"]);
    Some(Call {
        id: id.and_then(|id| id.as_str().map(str::to_owned)),
        name: name.as_str().filter(|name| !name.is_empty())?.to_owned(),
        arguments: match arguments {
            Some(arguments) => self::arguments(arguments)?,
            None => Map::new(),
        },
    })
}

/// The calls of a JSON list, all of which must be calls, or of the one that `value` is.
pub(super) fn calls(value: Value) -> Option<Vec<Call>> {
    match value {
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => items.into_iter().map(call).collect(),
        one => call(one).map(|call| vec![call]),
    }
}

/// Arguments as an object; some models write them as JSON in a string, or as nothing.
pub(super) fn arguments(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        Value::Null => Some(Map::new()),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a JSON value that nothing marks as a call is one: it has both a name and arguments.
pub(super) fn looks_like_call(value: &Value) -> bool {
    let has = |keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
    has(&["name", "tool", "tool_name", "function"])
        && (has(&["arguments", "parameters"]) || value.pointer("/function/name").is_some())
}
