//! Replies of any text, in every dialect: the same events however they are cut.

use corbie_core::{ChatEvent, ToolSpec};
use corbie_models::dialect::{DIALECTS, Dialect, Opening};

fn read<'a>(
    row: &Dialect,
    tools: &[ToolSpec],
    opening: Opening,
    pieces: impl Iterator<Item = &'a str>,
) -> (String, String, Vec<String>) {
    let mut parser = row.parser(tools, opening);
    let mut events: Vec<ChatEvent> = pieces.flat_map(|piece| parser.push(piece)).collect();
    events.extend(parser.finish());
    assert!(parser.finish().is_empty());
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for event in events {
        match event {
            ChatEvent::Text(piece) => text.push_str(&piece),
            ChatEvent::Reasoning(piece) => reasoning.push_str(&piece),
            ChatEvent::ToolCall(call) => {
                assert!(call.arguments.is_object());
                calls.push(format!("{} {} {}", call.id, call.name, call.arguments));
            }
            other => panic!("no other event comes from text: {other:?}"),
        }
    }
    (text, reasoning, calls)
}

pub fn run(bytes: &[u8]) {
    let Some(([row, about, every], reply)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let reply = String::from_utf8_lossy(reply);
    let row = &DIALECTS[usize::from(*row) % DIALECTS.len()];
    let tools = [ToolSpec {
        name: "get_weather".into(),
        description: String::new(),
        parameters: serde_json::json!({"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "wind": {"type": "boolean"},
        }, "required": ["city"]}),
    }];
    let tools = match about % 2 {
        0 => &tools[..],
        _ => &[],
    };
    let opening = match about / 2 % 2 {
        0 => Opening::Answer,
        _ => Opening::Thought,
    };
    let whole = read(row, tools, opening, std::iter::once(reply.as_ref()));
    let starts: Vec<usize> = reply.char_indices().map(|(at, _)| at).collect();
    let starts: Vec<usize> = starts
        .iter()
        .copied()
        .step_by(usize::from(*every).max(1))
        .chain([reply.len()])
        .collect();
    let pieces = starts.windows(2).map(|ends| &reply[ends[0]..ends[1]]);
    assert_eq!(whole, read(row, tools, opening, pieces), "{}", row.name);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let replies = [
        "<think>\nhm\n</think>\n\nText <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"北京\"}}\n</tool_call> and more",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>2</parameter>\n</function>\n</tool_call>",
        "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo\", \"days\": 2}}",
        "<|python_tag|>get_weather.call(city=\"Oslo\", days=2)",
        "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}]",
        "<|tool_call_start|>[get_weather(city='Oslo', days=2, wind=True)]<|tool_call_end|>",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Oslo\"}<|call|>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Oslo\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "Action: ```json\n[{\"tool_name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo\"}}]\n```",
        "```tool_code\nget_weather(city=\"Oslo\")\n```",
    ];
    let rows = 0..DIALECTS.len() as u8;
    let inputs = rows.flat_map(|row| {
        replies.iter().map(move |reply| {
            let about = [row, row % 4, 1 + row % 5];
            [&about, reply.as_bytes()].concat()
        })
    });
    inputs.collect()
}

pub const WORDS: &[&str] = &[
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<function=",
    "</function>",
    "<parameter=",
    "</parameter>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "<|tool_call_start|>",
    "<|channel|>",
    "<|message|>",
    "<|call|>",
    "functools[",
    ">>>",
    "{\"name\": \"",
    "\"arguments\": ",
    "\"parameters\": ",
    "get_weather",
    "city",
    "\\\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "(",
    ")",
    "=",
    ",",
    "渡",
    "\n",
    "```json\n",
    "```",
    "True",
    "None",
    "1e999",
    "<｜tool▁calls▁begin｜>",
    "<|tool▁sep|>",
];
