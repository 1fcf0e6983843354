//! The leaderboard's rules for calls.

use corbie_core::ToolCall;
use serde_json::{Map, Value};

use super::python::{Type, equal, standard, standard_value};
use super::{BfclCase, standard::name};

type Verdict = Result<(), String>;

/// Whether calls are right: as many as the answers, in any order where several are wanted.
pub(super) fn fault(case: &BfclCase, calls: &[ToolCall], parallel: bool) -> Verdict {
    if calls.len() != case.answers.len() {
        let wanted = case.answers.len();
        return Err(format!("{} calls, {wanted} are right", calls.len()));
    }
    let mut matched = vec![false; calls.len()];
    for answer in &case.answers {
        let (function, right) = expected(answer)?;
        // What is called when one call is wanted is held to the function that is offered.
        let found = case.functions.iter().find(|it| it["name"] == function);
        let function = match parallel || case.category.contains("multiple") {
            true => found,
            false => case.functions.first(),
        };
        let function = function.ok_or("the answer names no function of the case")?;
        let mut fault = String::new();
        let fits = |index: &usize| match matched[*index] {
            true => false,
            false => match call_fits(function, &calls[*index], right) {
                Ok(()) => true,
                Err(cause) => {
                    fault = cause;
                    false
                }
            },
        };
        match (0..calls.len()).find(fits) {
            Some(index) => matched[index] = true,
            None => return Err(fault),
        }
    }
    Ok(())
}

/// The function's name and the values that are right for its arguments.
fn expected(answer: &Map<String, Value>) -> Result<(&str, &Map<String, Value>), String> {
    let (function, right) = answer.iter().next().ok_or("the answer is empty")?;
    let right = right.as_object().ok_or("the answer has no arguments")?;
    Ok((function, right))
}

fn call_fits(function: &Value, call: &ToolCall, right: &Map<String, Value>) -> Verdict {
    let wanted = name(function["name"].as_str().unwrap_or_default());
    if call.name != wanted {
        return Err(format!("`{}` is called, not `{wanted}`", call.name));
    }
    let nothing = Map::new();
    let arguments = call.arguments.as_object().unwrap_or(&nothing);
    let parameters = &function["parameters"];
    let required = parameters["required"].as_array().into_iter().flatten();
    for key in required.filter_map(Value::as_str) {
        if !arguments.contains_key(key) {
            return Err(format!("`{key}` is missing"));
        }
    }
    for (key, value) in arguments {
        let schema = parameters["properties"].get(key);
        let values = right.get(key).and_then(Value::as_array);
        let (Some(schema), Some(values)) = (schema, values) else {
            return Err(format!("`{key}` is unexpected"));
        };
        argument_fits(key, value, schema, values)?;
    }
    let optional = |values: &Value| {
        let values = values.as_array();
        values.is_some_and(|values| values.iter().any(is_empty))
    };
    match right
        .iter()
        .find(|(key, values)| !arguments.contains_key(*key) && !optional(values))
    {
        Some((key, _)) => Err(format!("`{key}` is missing and may not be")),
        None => Ok(()),
    }
}

/// Among the values that are right, the empty text says that the argument may be left out.
fn is_empty(value: &Value) -> bool {
    value.as_str() == Some("")
}

fn argument_fits(key: &str, value: &Value, schema: &Value, right: &[Value]) -> Verdict {
    let named = schema["type"].as_str().unwrap_or_default();
    let kind = Type::named(named).ok_or_else(|| format!("`{key}` has the unknown type {named}"))?;
    let nested = match kind {
        Type::List => schema["items"]["type"].as_str().and_then(Type::named),
        _ => None,
    };
    // A whole number passes for another one, and nothing else for anything.
    let number = match (named, Type::of(value)) {
        ("float", Type::Int) => value.as_f64().map(Value::from),
        _ => None,
    };
    let value = number.as_ref().unwrap_or(value);
    let variable = has_type(value, right, kind, nested)
        .ok_or_else(|| format!("`{key}` is {value}, not of the type {named}"))?;
    let fits = match (variable, kind, nested) {
        (false, Type::Dict, _) => dict_fits(value, right),
        (false, Type::List, Some(Type::Dict)) => dicts_fit(value, right),
        (false, Type::Str, _) => text_fits(value, right),
        (false, Type::List, _) => list_fits(value, right),
        _ => right.iter().any(|it| equal(value, it)),
    };
    match fits {
        true => Ok(()),
        false => Err(format!(
            "`{key}` is {value}, right are {}",
            Value::from(right)
        )),
    }
}

/// Whether a value has its type, or else that of the right values: then it stands for a variable
/// (`Some(true)`). Lists are looked into, one level deep.
fn has_type(value: &Value, right: &[Value], kind: Type, nested: Option<Type>) -> Option<bool> {
    let known = right.iter().find(|it| !is_empty(it)).map(Type::of);
    let variable = known.is_some_and(|known| known != kind);
    if Type::of(value) == kind {
        let Some(nested) = nested else {
            return Some(variable);
        };
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let fits = |right: &Value| match right.as_array() {
            Some(right) => {
                let fits = |item: &Value| has_type(item, right, nested, None).is_some();
                items.iter().all(fits)
            }
            None => true,
        };
        return right.iter().any(fits).then_some(variable);
    }
    (known == Some(Type::of(value))).then_some(true)
}

fn text_fits(value: &Value, right: &[Value]) -> bool {
    let Some(text) = value.as_str().map(standard) else {
        return false;
    };
    let texts = right.iter().filter_map(Value::as_str);
    texts.map(standard).any(|it| it == text)
}

/// Lists are compared item by item; an empty text among the right ones is an empty list.
fn list_fits(value: &Value, right: &[Value]) -> bool {
    let value = Value::from_iter(items(value));
    right
        .iter()
        .any(|right| equal(&value, &Value::from_iter(items(right))))
}

/// The items of a list, or the letters of a text, which is one in Python.
fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.iter().map(standard_value).collect(),
        Value::String(text) => text
            .chars()
            .map(|c| standard(&c.to_string()).into())
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether every value of a dict is among those that are right for its key, and none is missing.
fn dict_fits(value: &Value, right: &[Value]) -> bool {
    let Some(fields) = value.as_object() else {
        return false;
    };
    right.iter().filter_map(Value::as_object).any(|right| {
        let known = |(key, value): (&String, &Value)| {
            let value = standard_value(value);
            let values = right.get(key).and_then(Value::as_array);
            let same = |it: &Value| equal(&value, &standard_value(it));
            values.is_some_and(|values| values.iter().any(same))
        };
        let there = |(key, values): (&String, &Value)| {
            let optional = values.as_array().is_some_and(|it| it.iter().any(is_empty));
            optional || fields.contains_key(key)
        };
        fields.iter().all(known) && right.iter().all(there)
    })
}

/// Whether a list of dicts fits one of the right lists, in order.
fn dicts_fit(value: &Value, right: &[Value]) -> bool {
    let Some(dicts) = value.as_array() else {
        return false;
    };
    right.iter().any(|right| {
        let right = right.as_array().map_or(&[][..], Vec::as_slice);
        let fits = |(dict, right): (&Value, &Value)| dict_fits(dict, std::slice::from_ref(right));
        dicts.len() == right.len() && dicts.iter().zip(right).all(fits)
    })
}
