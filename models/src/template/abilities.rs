//! What a template makes of tools: found out by rendering a small conversation.

use std::cell::Cell;
use std::time::Instant;

use corbie_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::ChatTemplate;
use super::environment::DEADLINE;
use crate::dialect::Abilities;

/// The form in which a template wants what it shows of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Form {
    /// Arguments as a text of JSON instead of an object.
    pub text_arguments: bool,
    /// No content at all beside calls, instead of an empty one.
    pub null_content: bool,
    /// The tools as a text of JSON in the system's message.
    pub tools_in_system: bool,
    /// A description of every parameter, if only an empty one.
    pub described: bool,
}

/// minijinja's fuel for a probe.
const PROBE_FUEL: u64 = 200_000;

const NAME: &str = "probe_tool";
const VALUE: &str = "probe_value";
const RESULT: &str = "probe_result";
const SYSTEM: &str = "probe_system";

/// Finds out.
pub(super) fn probe(template: &ChatTemplate) -> (Abilities, Form) {
    // A template that goes over a limit is not asked again.
    let over_limit = Cell::new(false);
    let deadline = Instant::now() + DEADLINE;
    let shows = |messages: Value, tools: &Value, words: &[&str]| {
        if over_limit.get() {
            return false;
        }
        let rendered = template.render_within(&messages, tools, true, PROBE_FUEL, deadline);
        let is_limit = |error: &Error| *error.kind() == ErrorKind::LimitExceeded;
        over_limit.set(rendered.as_ref().is_err_and(is_limit));
        rendered.is_ok_and(|prompt| words.iter().all(|word| prompt.contains(word)))
    };
    let tools = |property: Value| {
        json!([{"type": "function", "function": {
            "name": NAME, "description": "probe",
            "parameters": {"type": "object", "properties": {"key": property}, "required": []},
        }}])
    };
    let none = Value::Null;
    let user = json!({"role": "user", "content": "probe"});
    let mut form = Form::default();
    let mut abilities = Abilities {
        system: shows(
            json!([{"role": "system", "content": SYSTEM}, user]),
            &none,
            &[SYSTEM],
        ),
        ..Abilities::default()
    };
    let bare = tools(json!({"type": "string"}));
    let described = tools(json!({"type": "string", "description": ""}));
    abilities.tools = shows(json!([user]), &bare, &[NAME]);
    if !abilities.tools {
        form.described = shows(json!([user]), &described, &[NAME]);
        let system = json!({"role": "system", "content": "", "tools": bare.to_string()});
        form.tools_in_system = !form.described && shows(json!([system, user]), &none, &[NAME]);
        abilities.tools = form.described || form.tools_in_system;
    }
    let tools = if form.described { described } else { bare };
    for (text_arguments, null_content) in
        [(false, false), (false, true), (true, true), (true, false)]
    {
        let arguments = json!({"key": VALUE});
        let arguments = match text_arguments {
            true => Value::String(arguments.to_string()),
            false => arguments,
        };
        let content = if null_content { Value::Null } else { json!("") };
        let call = json!({"role": "assistant", "content": content, "tool_calls": [{
            "id": "call00000", "type": "function",
            "function": {"name": NAME, "arguments": arguments},
        }]});
        let result = json!({"role": "tool", "tool_call_id": "call00000", "name": NAME,
            "content": RESULT});
        let conversation = json!([user, call, result]);
        if shows(conversation.clone(), &tools, &[VALUE]) {
            abilities.calls = true;
            abilities.results = shows(conversation, &tools, &[RESULT]);
            (form.text_arguments, form.null_content) = (text_arguments, null_content);
            return (abilities, form);
        }
    }
    // A template that knows no calls may still know results.
    let assistant = json!({"role": "assistant", "content": VALUE});
    let result = json!({"role": "tool", "tool_call_id": "call00000", "content": RESULT});
    abilities.results = shows(json!([user, assistant, result]), &none, &[VALUE, RESULT]);
    (abilities, form)
}
