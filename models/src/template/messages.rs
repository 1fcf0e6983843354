//! Conversations in the form of OpenAI's API, which templates know.

use corbie_core::{Message, Role, ToolSpec};
use serde_json::json;

/// Messages as templates know them; results bear the name of the tool that was called.
pub(super) fn messages_json(messages: &[Message]) -> Vec<serde_json::Value> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut values = Vec::with_capacity(messages.len());
    for message in messages {
        let calls = message.tool_calls.iter();
        names.extend(calls.map(|call| (call.id.as_str(), call.name.as_str())));
        let mut value = message_json(message);
        let called = |id: &String| names.iter().rev().find(|(known, _)| known == id);
        if let Some((_, name)) = message.tool_call_id.as_ref().and_then(called) {
            value["name"] = json!(name);
        }
        values.push(value);
    }
    values
}

/// A message as templates know it.
fn message_json(message: &Message) -> serde_json::Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut value = json!({ "role": role, "content": message.content });
    if let Some(reasoning) = &message.reasoning {
        value["reasoning_content"] = json!(reasoning);
    }
    if !message.tool_calls.is_empty() {
        let call = |call: &corbie_core::ToolCall| {
            json!({
                "id": call.id,
                "type": "function",
                "function": { "name": call.name, "arguments": call.arguments },
            })
        };
        value["tool_calls"] = message.tool_calls.iter().map(call).collect();
    }
    if let Some(id) = &message.tool_call_id {
        value["tool_call_id"] = json!(id);
    }
    value
}

/// A tool as templates know it.
pub(super) fn tool_json(tool: &ToolSpec) -> serde_json::Value {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    })
}
