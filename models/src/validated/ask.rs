//! How a form is asked for: by the request's own field, by JSON, or in words.

use corbie_core::{ChatRequest, Message, ResponseFormat, Role};
use serde_json::{Value, json};

use super::checks::form_binds;

/// The field that holds a choice which is asked for as JSON.
pub const WRAPPED: &str = "answer";

/// The ways to ask, the firmest first.
pub fn ways(request: &ChatRequest) -> Vec<ChatRequest> {
    let mut ways = vec![request.clone()];
    if let ResponseFormat::Choice(options) = &request.response_format {
        ways.push(ChatRequest {
            response_format: ResponseFormat::JsonSchema(json!({
                "type": "object",
                "properties": {WRAPPED: {"type": "string", "enum": options}},
                "required": [WRAPPED],
                "additionalProperties": false,
            })),
            ..request.clone()
        });
    }
    if request.response_format != ResponseFormat::Text {
        let mut messages = request.messages.clone();
        if form_binds(request) {
            say(
                &mut messages,
                &request.response_format,
                request.tools.is_empty(),
            );
        }
        ways.push(ChatRequest {
            messages,
            response_format: ResponseFormat::Text,
            ..request.clone()
        });
    }
    ways
}

/// Adds words that ask for the form to the last system message, and to the last other one the
/// texts to quote from that no message holds: those may come from anywhere, so they are data.
pub fn say(messages: &mut Vec<Message>, format: &ResponseFormat, always: bool) {
    let Some(mut words) = words(format) else {
        return;
    };
    if !always {
        words = format!("Whenever you do not call a tool: {words}");
    }
    if let ResponseFormat::Quote(texts) = format {
        let unsaid: Vec<Value> = texts
            .iter()
            .filter(|text| !messages.iter().any(|it| it.content.contains(*text)))
            .map(|text| json!(text))
            .collect();
        if !unsaid.is_empty() {
            let list = format!("The texts to copy from, as JSON: {}", Value::Array(unsaid));
            match messages.iter_mut().rfind(|it| it.role == Role::User) {
                Some(message) => message.content = format!("{}\n\n{list}", message.content),
                None => messages.push(Message::user(list)),
            }
        }
    }
    match messages.iter_mut().rfind(|it| it.role == Role::System) {
        Some(message) => message.content = format!("{}\n\n{words}", message.content),
        None => messages.insert(0, Message::system(words)),
    }
}

/// The form in words.
fn words(format: &ResponseFormat) -> Option<String> {
    Some(match format {
        ResponseFormat::Text => return None,
        ResponseFormat::JsonSchema(schema) => format!(
            "Answer with one JSON value and nothing else: no explanation, no code fence. It must \
             satisfy this JSON Schema:\n{schema}"
        ),
        ResponseFormat::Regex(regex) => format!(
            "Answer with a text that this regular expression matches from its first character to \
             its last, and with nothing else:\n{regex}"
        ),
        ResponseFormat::Grammar(lark) => format!(
            "Answer with a text that this grammar, written in Lark's syntax, derives from `start`, \
             and with nothing else:\n{lark}"
        ),
        ResponseFormat::Choice(options) => {
            let options: Vec<String> = options.iter().map(|it| json!(it).to_string()).collect();
            format!(
                "Answer with exactly one of these texts, without the quotation marks, and with \
                 nothing else:\n{}",
                options.join("\n")
            )
        }
        ResponseFormat::Quote(_) => {
            "Answer with a piece of one of the texts you are given, copied \
             character for character, and with nothing else: no quotation marks, nothing added, \
             nothing left out."
                .to_owned()
        }
    })
}
