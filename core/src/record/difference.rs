//! What differs between two requests, in words.

use serde_json::Value;

use crate::{ChatRequest, Message, Role, ToolSpec};

/// The most characters of a text that are shown, and how many of them stand before the place
/// where it differs.
const SHOWN: usize = 80;
const BEFORE: usize = 20;

/// How far apart two requests are: the messages, tools and options that differ.
pub(super) fn distance(recorded: &ChatRequest, asked: &ChatRequest) -> usize {
    let messages = recorded.messages.iter().zip(&asked.messages);
    let changed = messages
        .filter(|(recorded, asked)| recorded != asked)
        .count();
    let more = recorded.messages.len().abs_diff(asked.messages.len());
    changed + more + tools(recorded, asked).len() + options(recorded, asked).len()
}

/// What differs, the options first and the messages last, as they were and as they are now.
pub(super) fn differences(recorded: &ChatRequest, asked: &ChatRequest) -> Vec<String> {
    let mut found = options(recorded, asked);
    found.extend(tools(recorded, asked));
    let messages = recorded.messages.iter().zip(&asked.messages).zip(1..);
    found.extend(
        messages.filter_map(|((recorded, asked), number)| message(number, recorded, asked)),
    );
    let both = recorded.messages.len().min(asked.messages.len());
    let behind = |messages: &[Message], what: &str| {
        let first = messages.get(both)?;
        let count = messages.len() - both;
        let text = shown(&said(first), 0);
        Some(format!(
            "{count} {what}, message {} ({}) `{text}`",
            both + 1,
            role(first)
        ))
    };
    found.extend(behind(
        &asked.messages,
        "messages are new behind the others",
    ));
    found.extend(behind(
        &recorded.messages,
        "messages are missing at the end",
    ));
    found
}

fn message(number: usize, recorded: &Message, asked: &Message) -> Option<String> {
    if recorded == asked {
        return None;
    }
    let name = format!("message {number} ({})", role(asked));
    if recorded.role != asked.role {
        return Some(format!("{name} was from {}", role(recorded)));
    }
    Some(match (said(recorded), said(asked)) {
        (was, is) if was != is => format!("{name} {}", change(&was, &is)),
        _ => format!("{name} answers another call, or has other thoughts or ids of calls"),
    })
}

/// The words and calls of a message.
fn said(message: &Message) -> String {
    let calls = message.tool_calls.iter();
    let calls = calls.map(|call| format!("{}({})", call.name, call.arguments));
    let words = (!message.content.is_empty()).then(|| message.content.clone());
    let parts: Vec<String> = words.into_iter().chain(calls).collect();
    parts.join(" ")
}

fn role(message: &Message) -> &'static str {
    match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn tools(recorded: &ChatRequest, asked: &ChatRequest) -> Vec<String> {
    let find = |tools: &[ToolSpec], name: &str| tools.iter().find(|it| it.name == name).cloned();
    let mut found = Vec::new();
    for was in &recorded.tools {
        let Some(is) = find(&asked.tools, &was.name) else {
            found.push(format!("the tool `{}` is gone", was.name));
            continue;
        };
        let texts = [
            ("description", was.description.clone(), is.description),
            (
                "schema",
                was.parameters.to_string(),
                is.parameters.to_string(),
            ),
        ];
        let changed = texts.into_iter().filter(|(_, was, is)| was != is);
        found.extend(changed.map(|(what, before, now)| {
            format!(
                "the {what} of the tool `{}` {}",
                was.name,
                change(&before, &now)
            )
        }));
    }
    for is in &asked.tools {
        if find(&recorded.tools, &is.name).is_none() {
            found.push(format!("the tool `{}` is new", is.name));
        }
    }
    if found.is_empty() && recorded.tools != asked.tools {
        found.push("the tools stand in another order".to_owned());
    }
    found
}

/// Whatever else a request says.
fn options(recorded: &ChatRequest, asked: &ChatRequest) -> Vec<String> {
    let fields = |request: &ChatRequest| {
        let rest = ChatRequest {
            messages: Vec::new(),
            tools: Vec::new(),
            ..request.clone()
        };
        serde_json::to_value(rest).unwrap_or_default()
    };
    let (was, is) = (fields(recorded), fields(asked));
    let all = was.as_object().into_iter().flatten();
    let changed = all.filter(|(name, was)| is[name.as_str()] != **was);
    let say = |(name, was): (&String, &Value)| {
        let (was, is) = (was.to_string(), is[name.as_str()].to_string());
        format!("`{name}` {}", change(&was, &is))
    };
    changed.map(say).collect()
}

/// How a text changed: both from a little before the place where they part.
fn change(was: &str, is: &str) -> String {
    let same = was
        .chars()
        .zip(is.chars())
        .take_while(|(was, is)| was == is);
    let start = same.count().saturating_sub(BEFORE);
    format!("was `{}`, now `{}`", shown(was, start), shown(is, start))
}

/// Some characters of a text, from the one of this number on.
fn shown(text: &str, start: usize) -> String {
    let mut rest = text.chars().skip(start);
    let mut part: String = rest.by_ref().take(SHOWN).collect();
    if start > 0 {
        part.insert(0, '…');
    }
    if rest.next().is_some() {
        part.push('…');
    }
    part
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ToolCall;

    fn request() -> ChatRequest {
        let call = ToolCall {
            id: "1".into(),
            name: "weather".into(),
            arguments: json!({"city": "北京"}),
        };
        let called = Message {
            tool_calls: vec![call],
            ..Message::assistant("")
        };
        let tool = |name: &str| ToolSpec {
            name: name.into(),
            description: "查询天气。".into(),
            parameters: json!({"type": "object"}),
        };
        let long = "so ".repeat(90);
        let messages = [
            Message::system(format!("Be {long} brief.")),
            Message::user("天气？"),
            called,
        ];
        ChatRequest {
            tools: vec![tool("weather"), tool("clock")],
            ..ChatRequest::new(messages)
        }
    }

    #[test]
    fn each_difference_is_named() {
        type Edit = fn(&mut ChatRequest);
        let cases: [(Edit, &[&str]); 11] = [
            (|_| {}, &[]),
            (
                |it| it.max_tokens = Some(9),
                &["`max_tokens` was `null`, now `9`"],
            ),
            (
                |it| it.tools[0].description = "查询天气预报。".into(),
                &["the description of the tool `weather` was `查询天气。`, now `查询天气预报。`"],
            ),
            (
                |it| it.tools[1].parameters = json!({"type": "null"}),
                &[
                    "the schema of the tool `clock` was `{\"type\":\"object\"}`, now `{\"type\":\"null\"}`",
                ],
            ),
            (
                |it| it.tools[0].name = "forecast".into(),
                &["the tool `weather` is gone", "the tool `forecast` is new"],
            ),
            (
                |it| it.tools.reverse(),
                &["the tools stand in another order"],
            ),
            (
                |it| it.messages[0].content.push_str(" 请用中文。"),
                &[
                    "message 1 (system) was `… so so so so  brief.`, now `… so so so so  brief. 请用中文。`",
                ],
            ),
            (
                |it| it.messages[2].tool_calls[0].arguments = json!({"city": "上海"}),
                &[
                    "message 3 (assistant) was `weather({\"city\":\"北京\"})`, now `weather({\"city\":\"上海\"})`",
                ],
            ),
            (
                |it| it.messages[2].tool_calls[0].id = "2".into(),
                &[
                    "message 3 (assistant) answers another call, or has other thoughts or ids of calls",
                ],
            ),
            (
                |it| it.messages.push(Message::tool("1", "晴")),
                &["1 messages are new behind the others, message 4 (tool) `晴`"],
            ),
            (
                |it| it.messages.truncate(1),
                &["2 messages are missing at the end, message 2 (user) `天气？`"],
            ),
        ];
        for (edit, wanted) in cases {
            let mut asked = request();
            edit(&mut asked);
            let found = differences(&request(), &asked);
            assert_eq!(found, wanted);
            assert_eq!(distance(&request(), &asked) == 0, wanted.is_empty());
        }
    }
}
