//! What Python thinks of values: their types, and which are equal.

use serde_json::{Number, Value};

/// A type of Python that JSON has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Str,
    Int,
    Float,
    Bool,
    List,
    Dict,
    None,
}

impl Type {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::Str,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Int,
            Value::Bool(_) => Self::Bool,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Dict,
            Value::Null => Self::None,
        }
    }

    /// The type that the leaderboard calls so.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" | "any" => Self::Str,
            "integer" => Self::Int,
            "float" => Self::Float,
            "boolean" => Self::Bool,
            "array" | "tuple" => Self::List,
            "dict" => Self::Dict,
            _ => return None,
        })
    }
}

/// Whether `a == b` in Python: numbers by value, and a truth value is one.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |(key, value): (&String, &Value)| b.get(key).is_some_and(|b| equal(value, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Bool(_) | Value::Number(_), Value::Bool(_) | Value::Number(_)) => {
            match (whole(a), whole(b)) {
                (Some(a), Some(b)) => a == b,
                _ => real(a) == real(b),
            }
        }
        _ => a == b,
    }
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(truth) => Some(i128::from(*truth)),
        Value::Number(number) => {
            let signed = number.as_i64().map(i128::from);
            signed.or_else(|| number.as_u64().map(i128::from))
        }
        _ => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Number(number) => Number::as_f64(number),
        _ => None,
    }
}

/// A text without what does not count when texts are compared.
pub(super) fn standard(text: &str) -> String {
    let counts = |c: &char| !" ,./-_*^".contains(*c);
    let kept: String = text.chars().filter(counts).collect();
    kept.to_lowercase().replace('\'', "\"")
}

/// A value that is text so, any other as it is.
pub(super) fn standard_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(standard(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_equal_as_python_says() {
        let cases = [
            (json!(5), json!(5.0), true),
            (json!(true), json!(1), true),
            (json!([0, "a"]), json!([false, "a"]), true),
            (json!({"a": 1}), json!({"a": 1.0}), true),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), false),
            (json!("1"), json!(1), false),
            (json!(null), json!(false), false),
            (json!(u64::MAX), json!(i64::MAX), false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(equal(&a, &b), expected, "{a} == {b}");
            assert_eq!(equal(&b, &a), expected, "{b} == {a}");
        }
        assert_eq!(standard("April 1, 2024 - 'x_Y'"), "april12024\"xy\"");
    }
}
