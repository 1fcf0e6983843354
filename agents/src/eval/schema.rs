//! Calls that fit their tool, and text that tried to be a call.

use corbie_core::{ToolCall, ToolSpec};

/// Whether an answer's calls fit the tools that were offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// All of them; none at all fits too.
    Fits,
    /// One is of no tool that was offered, or its arguments break the tool's schema.
    Breaks,
    /// The text of the answer tried to be a call and is none.
    Malformed,
}

/// Whether `calls` fit `tools`, and whether `text`, where there are none, tried to be one.
///
/// ```
/// use corbie_agents::eval::{Fit, fit};
///
/// assert_eq!(fit(&[], &[], "It is sunny."), Fit::Fits);
/// assert_eq!(fit(&[], &[], "{\"name\": \"get_weather\", \"arguments\": {"), Fit::Malformed);
/// ```
pub fn fit(tools: &[ToolSpec], calls: &[ToolCall], text: &str) -> Fit {
    if calls.is_empty() {
        return match attempted(tools, text) {
            true => Fit::Malformed,
            false => Fit::Fits,
        };
    }
    let fits = |call: &ToolCall| {
        let tool = tools.iter().find(|tool| tool.name == call.name);
        let validator = tool.map(|tool| jsonschema::validator_for(&tool.parameters));
        matches!(validator, Some(Ok(validator)) if validator.is_valid(&call.arguments))
    };
    match calls.iter().all(fits) {
        true => Fit::Fits,
        false => Fit::Breaks,
    }
}

/// What text that tries to be a call begins with, whatever the family of its model.
const OPENINGS: [&str; 6] = ["{", "[", "```", "<tool_call", "<function", "functions."];

fn attempted(tools: &[ToolSpec], text: &str) -> bool {
    let text = text.trim_start();
    let opens = OPENINGS.iter().any(|opening| text.starts_with(opening));
    let calls = |tool: &ToolSpec| {
        let rest = text.strip_prefix(tool.name.as_str());
        rest.is_some_and(|rest| rest.trim_start().starts_with(['(', '{']))
    };
    opens || text.contains("\"arguments\":") || tools.iter().any(calls)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_held_to_their_schema() {
        let tools = [ToolSpec {
            name: "get_weather".into(),
            description: String::new(),
            parameters: json!({
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            }),
        }];
        let call = |name: &str, arguments| ToolCall {
            id: "1".into(),
            name: name.into(),
            arguments,
        };
        let cases = [
            (
                vec![call("get_weather", json!({"city": "Oslo"}))],
                Fit::Fits,
            ),
            (vec![call("get_weather", json!({"city": 5}))], Fit::Breaks),
            (vec![call("get_weather", json!({}))], Fit::Breaks),
            (vec![call("weather", json!({"city": "Oslo"}))], Fit::Breaks),
        ];
        for (calls, expected) in cases {
            assert_eq!(fit(&tools, &calls, ""), expected, "{calls:?}");
        }
        let texts = [
            ("get_weather(city=\"Oslo\")", Fit::Malformed),
            (" {\"name\": \"get", Fit::Malformed),
            ("I would ask get_weather (if I could).", Fit::Fits),
            ("奥斯陆天气很好。", Fit::Fits),
        ];
        for (text, expected) in texts {
            assert_eq!(fit(&tools, &[], text), expected, "{text}");
        }
    }
}
