//! What a chat template cannot show of tools, written into the conversation.
//!
//! Everything here is JSON in the form of OpenAI's API, as templates get it: what came from
//! outside is marked as such in it by then, and stays text whatever it looks like.

use serde_json::{Value, json};

use super::Dialect;
use super::events::Ids;
use super::write::write_json;

/// What a chat template shows of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Abilities {
    /// The tools.
    pub tools: bool,
    /// The calls that an assistant made.
    pub calls: bool,
    /// The results of calls.
    pub results: bool,
    /// Messages of the system.
    pub system: bool,
}

impl Dialect {
    /// Writes what a template of these abilities cannot show into the messages, in this row's
    /// syntax, and takes it from where the template would look for it. Ids of calls get the form
    /// that the family's templates demand.
    pub(crate) fn adapt(
        &self,
        messages: &mut Vec<Value>,
        tools: &mut Vec<Value>,
        mut abilities: Abilities,
    ) {
        self.mend_ids(messages);
        if self.is_plain() && (abilities.tools || abilities.calls) {
            // A template with a syntax of its own that no row knows.
            abilities = Abilities {
                system: abilities.system,
                ..Abilities::default()
            };
        }
        let chinese = is_chinese(messages);
        if !abilities.calls {
            for message in messages.iter_mut() {
                self.inline_calls(message);
            }
        }
        if !abilities.results {
            results_from_user(messages);
        }
        if !abilities.tools && !tools.is_empty() {
            let mut turns = self.demonstrations(chinese);
            if !abilities.results {
                results_from_user(&mut turns);
            }
            let first = usize::from(by_system(messages));
            messages.splice(first..first, turns);
            let instructions = self.instructions(tools, chinese);
            with_instructions(messages, &instructions, abilities.system);
            tools.clear();
        }
    }

    fn is_plain(&self) -> bool {
        std::ptr::eq(self, Self::plain())
    }

    fn inline_calls(&self, message: &mut Value) {
        let Some(fields) = message.as_object_mut() else {
            return;
        };
        let Some(Value::Array(calls)) = fields.remove("tool_calls") else {
            return;
        };
        let calls: Vec<(&str, &Value)> = calls
            .iter()
            .filter_map(|call| {
                let function = &call["function"];
                Some((function["name"].as_str()?, &function["arguments"]))
            })
            .collect();
        if calls.is_empty() {
            return;
        }
        let said = fields.get("content").and_then(Value::as_str).unwrap_or("");
        let content = joined(said, &self.write_calls(&calls), "\n");
        fields.insert("content".to_owned(), Value::String(content));
    }

    /// What tells a model of its tools and of how to call them.
    fn instructions(&self, tools: &[Value], chinese: bool) -> String {
        let mut listed = String::new();
        for tool in tools {
            write_json(&tool["function"], &mut listed);
            listed.push('\n');
        }
        let (name, key, value) = match chinese {
            true => ("工具名", "参数名", "值"),
            false => ("TOOL", "ARGUMENT", "VALUE"),
        };
        let call = self.write_calls(&[(name, &json!({ key: value }))]);
        match chinese {
            true => format!(
                "可以调用这些工具：\n{listed}\n需要工具时，只写出调用，不写别的：\n{call}\n\
                 得到结果后，据此回答。不需要工具时，直接用文字回答。"
            ),
            false => format!(
                "You can call these tools:\n{listed}\nWhen a tool is needed, write only the call \
                 and nothing else:\n{call}\nWhen its result has come, answer from it. When no \
                 tool is needed, answer in words."
            ),
        }
    }

    /// Turns that show how it is done, for models that were never taught.
    fn demonstrations(&self, chinese: bool) -> Vec<Value> {
        if !self.is_plain() {
            return Vec::new();
        }
        let turns = match chinese {
            true => [
                (
                    "利马现在几点？",
                    "clock",
                    "place",
                    "利马",
                    "14:05",
                    "利马现在是 14:05。",
                ),
                (
                    "把“猫”译成法语。",
                    "dictionary",
                    "word",
                    "猫",
                    "chat",
                    "“猫”的法语是 chat。",
                ),
            ],
            false => [
                (
                    "What time is it in Lima?",
                    "clock",
                    "place",
                    "Lima",
                    "14:05",
                    "It is 14:05 in Lima.",
                ),
                (
                    "What is \"cat\" in French?",
                    "dictionary",
                    "word",
                    "cat",
                    "chat",
                    "It is \"chat\".",
                ),
            ],
        };
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let mut messages = Vec::new();
        for (question, tool, key, value, result, answer) in turns {
            let call = self.write_calls(&[(tool, &json!({ key: value }))]);
            messages.extend([
                message("user", question),
                message("assistant", &call),
                message("tool", result),
                message("assistant", answer),
            ]);
        }
        let (thanks, answer) = match chinese {
            true => ("谢谢！", "不客气。"),
            false => ("Thank you!", "You are welcome."),
        };
        messages.extend([message("user", thanks), message("assistant", answer)]);
        messages
    }

    /// Gives calls whose ids the family's templates would refuse other ones.
    fn mend_ids(&self, messages: &mut [Value]) {
        if self.ids == Ids::Counted {
            return;
        }
        let mut known: Vec<(String, String)> = Vec::new();
        for message in messages {
            let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
            for call in calls.into_iter().flatten() {
                let old = call["id"].as_str().unwrap_or_default().to_owned();
                let new = match self.ids.fits(&old) {
                    true => old.clone(),
                    false => self.ids.name(known.len()),
                };
                call["id"] = json!(new);
                known.push((old, new));
            }
            let Some(id) = message.get_mut("tool_call_id") else {
                continue;
            };
            if let Some((_, new)) = known.iter().rev().find(|(old, _)| id == old) {
                *id = json!(new);
            }
        }
    }
}

fn joined(a: &str, b: &str, between: &str) -> String {
    match a.is_empty() || b.is_empty() {
        true => format!("{a}{b}"),
        false => format!("{a}{between}{b}"),
    }
}

/// Results as a user's words: those that follow one another in one message, for templates whose
/// roles must alternate.
fn results_from_user(messages: &mut Vec<Value>) {
    let mut mended: Vec<Value> = Vec::with_capacity(messages.len());
    let mut open = false;
    for message in messages.drain(..) {
        if message["role"] != "tool" {
            open = false;
            mended.push(message);
            continue;
        }
        let result = message["content"].as_str().unwrap_or_default();
        let result = format!("<tool_response>\n{result}\n</tool_response>");
        match mended.last_mut().filter(|_| open) {
            Some(last) => {
                let content = last["content"].as_str().unwrap_or_default();
                last["content"] = json!(joined(content, &result, "\n"));
            }
            None => mended.push(json!({ "role": "user", "content": result })),
        }
        open = true;
    }
    *messages = mended;
}

/// Puts instructions into the system's message, or before the first words of the user where the
/// template knows no system.
fn with_instructions(messages: &mut Vec<Value>, text: &str, system: bool) {
    let by_system = by_system(messages);
    if system && !by_system {
        messages.insert(0, json!({ "role": "system", "content": text }));
    } else if let Some(first) = messages.first_mut() {
        let said = first["content"].as_str().unwrap_or_default();
        let content = match by_system {
            true => joined(said, text, "\n\n"),
            false => joined(text, said, "\n\n"),
        };
        first["content"] = json!(content);
    }
}

fn by_system(messages: &[Value]) -> bool {
    messages
        .first()
        .is_some_and(|first| first["role"] == "system")
}

/// Whether the last question is in Chinese.
fn is_chinese(messages: &[Value]) -> bool {
    let asked = messages.iter().rev().find(|it| it["role"] == "user");
    let words = asked.and_then(|message| message["content"].as_str());
    words.is_some_and(|words| words.chars().any(is_han))
}

/// Whether a character is a Chinese one.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2fa1f}')
}
