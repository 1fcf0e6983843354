//! Simple questions, each with the one call that is right, or none.
//!
//! A file of them is a JSON object: `tools`, as a model is shown them, and `cases`. A case has its
//! question `q`, the `tool` that is to be called (`null`: none), and what its arguments must be:
//!
//! | field | right |
//! |---|---|
//! | `args` | the same arguments and no others; a list names values that are all right, numbers are equal by value, texts but for case and the space around them, codes (short texts in capitals) exactly |
//! | `value` | an argument is an arithmetic expression of this value |
//! | `keywords` | the arguments' text holds every one of these words, whatever their case |

use std::path::Path;

use corbie_core::{Result, ToolCall, ToolSpec};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{malformed, read};
use crate::tools::calculate;

/// Questions and the tools to answer them with.
#[derive(Debug, Clone, Deserialize)]
pub struct CallCases {
    /// The tools.
    pub tools: Vec<ToolSpec>,
    /// The questions.
    pub cases: Vec<CallCase>,
}

/// A question and the call that is right.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallCase {
    /// The question.
    #[serde(rename = "q")]
    pub question: String,
    /// The tool that is to be called; `None`: none.
    pub tool: Option<String>,
    /// Its arguments, each a value or a list of values that are all right.
    pub args: Option<Map<String, Value>>,
    /// The value of the expression that it is given.
    pub value: Option<f64>,
    /// What the text that it is given must hold.
    pub keywords: Option<Vec<String>>,
}

impl CallCases {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Those of reading it; [`Malformed`](corbie_core::ErrorKind::Malformed) when it is of
    /// another form, or a case wants a tool that is not among its tools.
    pub fn load(path: &Path) -> Result<Self> {
        let read: Self = serde_json::from_str(&read(path)?).map_err(|error| {
            malformed(path, error).hint("it must be an object with `tools` and `cases`")
        })?;
        let is_known = |name: &String| read.tools.iter().any(|tool| tool.name == *name);
        for case in &read.cases {
            if let Some(tool) = case.tool.as_ref().filter(|tool| !is_known(tool)) {
                let cause = format!("`{}` wants the unknown tool `{tool}`", case.question);
                return Err(malformed(path, cause));
            }
        }
        Ok(read)
    }
}

impl CallCase {
    /// Whether its language is Chinese.
    pub fn is_chinese(&self) -> bool {
        self.question.chars().any(crate::text::is_han)
    }

    /// What is wrong with these calls; `None`: they are right.
    pub fn fault(&self, calls: &[ToolCall]) -> Option<String> {
        let (tool, call) = match (&self.tool, calls) {
            (None, []) => return None,
            (None, [call, ..]) => return Some(format!("`{}` is called, none is right", call.name)),
            (Some(tool), [call]) => (tool, call),
            (Some(tool), calls) => {
                return Some(format!("{} calls, one of `{tool}` is right", calls.len()));
            }
        };
        if *tool != call.name {
            return Some(format!("`{}` is called, not `{tool}`", call.name));
        }
        match self.arguments_fit(&call.arguments) {
            true => None,
            false => Some(format!("`{tool}` is called with {}", call.arguments)),
        }
    }

    fn arguments_fit(&self, arguments: &Value) -> bool {
        let Some(arguments) = arguments.as_object() else {
            return false;
        };
        let args = self.args.as_ref().is_none_or(|right| {
            arguments.len() == right.len()
                && right.iter().all(|(key, right)| {
                    let value = arguments.get(key);
                    value.is_some_and(|value| is_right(value, right))
                })
        });
        let mut texts = arguments.values().filter_map(Value::as_str);
        let value = self.value.is_none_or(|right| {
            let near = |value: f64| (value - right).abs() <= 1e-6 * right.abs().max(1.0);
            texts.clone().any(|text| calculate(text).is_ok_and(near))
        });
        let keywords = self.keywords.as_ref().is_none_or(|words| {
            texts.any(|text| {
                let text = text.to_lowercase();
                words.iter().all(|word| text.contains(&word.to_lowercase()))
            })
        });
        args && value && keywords
    }
}

fn is_right(value: &Value, right: &Value) -> bool {
    match (value, right) {
        (value, Value::Array(right)) if !value.is_array() => {
            right.iter().any(|right| is_right(value, right))
        }
        (Value::Number(value), Value::Number(right)) => value.as_f64() == right.as_f64(),
        (Value::String(value), Value::String(right)) => match is_code(right) {
            true => value == right,
            false => value.trim().to_lowercase() == right.trim().to_lowercase(),
        },
        _ => value == right,
    }
}

/// Whether a text is a code, such as `EUR`: its letters must be capitals in an answer too.
fn is_code(text: &str) -> bool {
    (2..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_judged_by_the_rule_of_their_case() {
        let weather =
            json!({"q": "？", "tool": "get_weather", "args": {"city": ["北京", "Beijing"]}});
        let money = json!({"q": "?", "tool": "convert", "args": {"amount": 50, "to": "EUR"}});
        let sum = json!({"q": "?", "tool": "calculator", "value": 432});
        let search = json!({"q": "?", "tool": "search", "keywords": ["kyoto", "Tea"]});
        let none = json!({"q": "?", "tool": null});
        let cases = [
            (
                &weather,
                json!([["get_weather", {"city": "beijing "}]]),
                true,
            ),
            (&weather, json!([["get_weather", {"city": "上海"}]]), false),
            (
                &weather,
                json!([["get_weather", {"city": "北京", "unit": "C"}]]),
                false,
            ),
            (&weather, json!([["get_time", {"city": "北京"}]]), false),
            (&weather, json!([]), false),
            (
                &money,
                json!([["convert", {"amount": 50.0, "to": "EUR"}]]),
                true,
            ),
            (
                &money,
                json!([["convert", {"amount": 50, "to": "eur"}]]),
                false,
            ),
            (
                &money,
                json!([["convert", {"amount": "50", "to": "EUR"}]]),
                false,
            ),
            (&money, json!([["convert", {"amount": 50}]]), false),
            (
                &sum,
                json!([["calculator", {"expression": "(18 + 18) × 12"}]]),
                true,
            ),
            (
                &sum,
                json!([["calculator", {"expression": "18 + 18 * 12"}]]),
                false,
            ),
            (
                &sum,
                json!([["calculator", {"expression": "eighteen"}]]),
                false,
            ),
            (
                &search,
                json!([["search", {"query": "tea houses in Kyoto"}]]),
                true,
            ),
            (&search, json!([["search", {"query": "Kyoto"}]]), false),
            (&none, json!([]), true),
            (&none, json!([["search", {"query": "?"}]]), false),
        ];
        for (case, calls, expected) in cases {
            let case: CallCase = serde_json::from_value(case.clone()).unwrap();
            let calls = calls.as_array().unwrap().iter().map(|call| ToolCall {
                id: "1".into(),
                name: call[0].as_str().unwrap().into(),
                arguments: call[1].clone(),
            });
            let calls: Vec<ToolCall> = calls.collect();
            let fault = case.fault(&calls);
            assert_eq!(fault.is_none(), expected, "{case:?}: {fault:?}");
        }
    }
}
