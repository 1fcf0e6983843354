//! The format for models without a template.

use corbie_core::{Error, ErrorKind, Message, Result, Role};

use crate::dialect::is_han;

/// What ends an answer in the plain format: the next question, or a second blank line.
pub const PLAIN_STOPS: &[&str] = &["\nQuestion:", "\n问题：", "\n\n\n"];

/// The conversation as text to continue.
pub fn render(messages: &[Message], add_generation_prompt: bool) -> String {
    let chinese = messages
        .iter()
        .rev()
        .find(|message| message.role == Role::User)
        .is_some_and(|message| message.content.chars().any(is_han));
    let (question, answer, result) = match chinese {
        true => ("问题：", "回答：", "结果："),
        false => ("Question: ", "Answer: ", "Result: "),
    };
    let mut prompt = String::new();
    for message in messages {
        let label = match message.role {
            Role::System => "",
            Role::User => question,
            Role::Assistant => answer,
            Role::Tool => result,
        };
        prompt.push_str(label);
        prompt.push_str(message.content.trim());
        prompt.push_str(if message.role == Role::User {
            "\n"
        } else {
            "\n\n"
        });
    }
    if add_generation_prompt {
        prompt.push_str(answer.trim_end());
    }
    prompt
}

/// Messages from the form of OpenAI's API.
pub fn messages(value: &serde_json::Value) -> Result<Vec<Message>> {
    let bad = |cause: String| Error::new(ErrorKind::BadInput, "messages", cause);
    let list = value
        .as_array()
        .ok_or_else(|| bad("they are not a list".into()))?;
    let message = |value: &serde_json::Value| {
        let role = match value["role"].as_str() {
            Some("system" | "developer") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => return Err(bad(format!("no role is called {}", value["role"]))),
        };
        Ok(Message::new(
            role,
            value["content"].as_str().unwrap_or_default(),
        ))
    };
    list.iter().map(message).collect()
}
