//! Tools, calls and results as text.

use corbie_core::{ChatRequest, Message, ResponseFormat, Role, ToolSpec};
use serde_json::{Value, json};

use crate::text::Language;

/// The labels of one language, and instructions in it.
pub(super) struct Form {
    pub thought: &'static str,
    pub action: &'static str,
    pub input: &'static str,
    pub observation: &'static str,
    pub answer: &'static str,
    tools: &'static str,
    how: &'static str,
    one: &'static str,
    stops: &'static [&'static str],
}

pub(super) const ENGLISH: Form = Form {
    thought: "Thought:",
    action: "Action:",
    input: "Action Input:",
    observation: "Observation:",
    answer: "Final Answer:",
    tools: "You can use these tools:",
    how: "To use one, write:\n\
        Thought: what is needed next\n\
        Action: the name of the tool\n\
        Action Input: {\"its argument\": \"as JSON\"}\n\
        Then stop; its result comes as Observation. When you know the answer, write:\n\
        Thought: I know the answer\n\
        Final Answer: the answer",
    one: "Write the call of a tool that is needed next, as JSON: {\"name\": …, \"arguments\": …}",
    stops: &["\nObservation:"],
};

pub(super) const CHINESE: Form = Form {
    thought: "思考：",
    action: "行动：",
    input: "行动输入：",
    observation: "观察：",
    answer: "最终答案：",
    tools: "可以使用这些工具：",
    how: "要使用工具，就写：\n\
        思考：接下来需要什么\n\
        行动：工具名\n\
        行动输入：{\"参数名\": \"值\"}\n\
        然后停下，结果会作为观察给出。知道答案后，写：\n\
        思考：我知道答案了\n\
        最终答案：答案",
    one: "写出接下来需要的一个工具调用，用 JSON：{\"name\": …, \"arguments\": …}",
    stops: &["\n观察：", "\n观察:"],
};

/// The form in the language of what was asked last.
fn form(request: &ChatRequest) -> &'static Form {
    let asked = request.messages.iter().rev();
    let asked = asked
        .filter(|it| it.role == Role::User)
        .map(|it| &it.content);
    match asked.map(|text| Language::of(text)).next() {
        Some(Language::Chinese) => &CHINESE,
        _ => &ENGLISH,
    }
}

/// Writes tools, calls and results into the messages.
pub(super) fn rewrite(request: &mut ChatRequest, tools: &[ToolSpec]) {
    let form = form(request);
    let instructions =
        (!tools.is_empty()).then(|| format!("{}\n{}\n{}", form.tools, listed(tools), form.how));
    write(request, form, instructions);
    let stops = form.stops.iter().map(|stop| (*stop).to_owned());
    request.stop.extend(stops);
}

/// Asks for one call, and says by which form.
pub(super) fn call_format(request: &mut ChatRequest, tools: &[ToolSpec]) -> ResponseFormat {
    let form = form(request);
    let instructions = format!("{}\n{}\n{}", form.tools, listed(tools), form.one);
    write(request, form, Some(instructions));
    let call = |tool: &ToolSpec| {
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "enum": [tool.name]},
                "arguments": tool.parameters,
            },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        })
    };
    let calls: Vec<Value> = tools.iter().map(call).collect();
    ResponseFormat::JsonSchema(match <[Value; 1]>::try_from(calls) {
        Ok([only]) => only,
        Err(calls) => json!({ "anyOf": calls }),
    })
}

fn listed(tools: &[ToolSpec]) -> String {
    let mut text = String::new();
    for tool in tools {
        text.push_str(&format!(
            "- {}: {} {}\n",
            tool.name, tool.description, tool.parameters
        ));
    }
    text
}

fn write(request: &mut ChatRequest, form: &Form, instructions: Option<String>) {
    let messages = std::mem::take(&mut request.messages);
    let mut written: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    if let Some(text) = instructions {
        written.push(Message::system(text));
    }
    for message in messages {
        match message.role {
            Role::System => match written.first_mut() {
                // What the application says comes before what is said of tools.
                Some(first) if first.role == Role::System => {
                    first.content = format!("{}\n\n{}", message.content, first.content);
                }
                _ => written.push(message),
            },
            Role::User => written.push(Message::user(quoted(&message.content))),
            Role::Assistant => written.push(Message::assistant(said(form, &message))),
            Role::Tool => {
                let text = format!("{} {}", form.observation, quoted(&message.content));
                match written.last_mut() {
                    Some(last)
                        if last.role == Role::User
                            && last.content.starts_with(form.observation) =>
                    {
                        last.content.push('\n');
                        last.content.push_str(&text);
                    }
                    _ => written.push(Message::user(text)),
                }
            }
        }
    }
    request.messages = written;
}

/// What the model said before, in the form.
fn said(form: &Form, message: &Message) -> String {
    let mut text = String::new();
    if message.tool_calls.is_empty() {
        return format!("{} {}", form.answer, message.content);
    }
    let thought = message.reasoning.as_deref().unwrap_or(&message.content);
    if !thought.trim().is_empty() {
        text.push_str(&format!("{} {}\n", form.thought, thought.trim()));
    }
    for call in &message.tool_calls {
        text.push_str(&format!(
            "{} {}\n{} {}\n",
            form.action, call.name, form.input, call.arguments
        ));
    }
    text
}

/// A text of people or tools: lines that look like the form are marked as quotations.
fn quoted(text: &str) -> String {
    let line = |line: &str| match super::reader::label(line) {
        super::reader::Seen::Label(..) => format!("> {line}"),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
