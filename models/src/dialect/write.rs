//! Calls as a row writes them: for conversations whose template knows no calls.

use corbie_core::ToolCall;
use serde_json::{Map, Value};

use super::Dialect;
use super::grammar::{Arguments, NUMBER};
use super::lark::python;

impl Dialect {
    /// What an assistant that made these calls wrote.
    ///
    /// ```
    /// use corbie_core::ToolCall;
    /// use corbie_models::dialect::Dialect;
    /// use serde_json::json;
    ///
    /// let call = ToolCall {
    ///     id: "call_0".into(),
    ///     name: "get_weather".into(),
    ///     arguments: json!({"city": "北京"}),
    /// };
    /// let written = Dialect::by_name("lfm2").map(|row| row.write(&[call]));
    /// let expected = "<|tool_call_start|>[get_weather(city=\"北京\")]<|tool_call_end|>";
    /// assert_eq!(written.as_deref(), Some(expected));
    /// ```
    pub fn write(&self, calls: &[ToolCall]) -> String {
        let calls: Vec<_> = calls
            .iter()
            .map(|call| (call.name.as_str(), &call.arguments))
            .collect();
        self.write_calls(&calls)
    }

    /// As [`Dialect::write`], from names and arguments.
    pub(super) fn write_calls(&self, calls: &[(&str, &Value)]) -> String {
        let form = &self.written;
        let mut text = format!("{}{}", form.trigger, form.lead);
        for (index, (name, arguments)) in calls.iter().enumerate() {
            match (index, self.parallel) {
                (0, _) => {}
                (_, true) => text.push_str(form.separator),
                // One answer holds one call: these were several answers.
                (_, false) => text.push_str(&format!("{}\n{}", form.end, form.trigger)),
            }
            let nothing = Map::new();
            let arguments = arguments.as_object().unwrap_or(&nothing);
            text.push_str(&form.before.replace(NUMBER, &index.to_string()));
            text.push_str(name);
            text.push_str(form.between);
            write_arguments(form.arguments, arguments, &mut text);
            text.push_str(form.after);
        }
        text.push_str(form.end);
        text
    }
}

#[cfg(feature = "local")]
impl Dialect {
    /// What opens an answer that calls the tool `name`, up to its arguments, and where the name
    /// stands in it.
    pub(crate) fn opening(&self, name: &str) -> (String, std::ops::Range<usize>) {
        let form = &self.written;
        let before = form.before.replace(NUMBER, "0");
        let mut text = format!("{}{}{before}", form.trigger, form.lead);
        let start = text.len();
        text.push_str(name);
        let end = text.len();
        text.push_str(form.between);
        (text, start..end)
    }
}

fn write_arguments(form: Arguments, arguments: &Map<String, Value>, text: &mut String) {
    match form {
        Arguments::Json => write_json(&Value::Object(arguments.clone()), text),
        Arguments::Python => {
            for (index, (key, value)) in arguments.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                text.push_str(key);
                text.push('=');
                match value {
                    Value::Array(_) | Value::Object(_) => write_json(value, text),
                    _ => text.push_str(&python(value)),
                }
            }
        }
        Arguments::Marked(quote) => write_marked(&Value::Object(arguments.clone()), quote, text),
        Arguments::Parameters => {
            for (key, value) in arguments {
                text.push_str(&format!("<parameter={key}>\n"));
                match value.as_str() {
                    Some(value) => text.push_str(value),
                    None => write_json(value, text),
                }
                text.push_str("\n</parameter>\n");
            }
        }
    }
}

/// JSON as Python writes it, with spaces after commas and colons.
pub(crate) fn write_json(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write_json(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                text.push_str(&Value::String(key.clone()).to_string());
                text.push_str(": ");
                write_json(value, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn write_marked(value: &Value, quote: &str, text: &mut String) {
    match value {
        Value::String(content) => text.push_str(&format!("{quote}{content}{quote}")),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_marked(item, quote, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(&format!("{key}:"));
                write_marked(value, quote, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}
