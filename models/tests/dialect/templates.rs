//! Dialects with the chat templates of real models: rows are recognised, calls that a template
//! renders are read back, and what comes from outside opens no call.

use std::path::{Path, PathBuf};

use corbie_core::{ChatRequest, Message, ToolCall};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::template::ChatTemplate;
use corbie_models::tokenizer::Tokenizer;

use super::*;

/// The rows of real templates.
const TEMPLATES: &[(&str, &str)] = &[
    ("CohereForAI-c4ai-command-r-plus-tool_use", "command-r"),
    (
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
        "command-r7b",
    ),
    ("Cohere2MoE", "command-r7b"),
    ("HuggingFaceTB-SmolLM3-3B", "smollm3"),
    ("LFM2-8B-A1B", "lfm2"),
    ("LFM2.5-8B-A1B", "lfm2"),
    ("LFM2.5-Instruct", "lfm2"),
    ("MiMo-VL", "hermes"),
    ("Mistral-Small-3.2-24B-Instruct-2506", "mistral"),
    ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "qwen3-coder"),
    ("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes"),
    ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"),
    ("Qwen-QwQ-32B", "hermes"),
    ("Qwen-Qwen2.5-7B-Instruct", "hermes"),
    ("Qwen-Qwen3-0.6B", "hermes"),
    ("Qwen3-Coder", "qwen3-coder"),
    ("Qwen3.5-4B", "qwen3-coder"),
    ("Reka-Edge", "hermes"),
    ("StepFun3.5-Flash", "qwen3-coder"),
    ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek"),
    ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek"),
    ("deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1"),
    ("google-gemma-2-2b-it", "gemma"),
    ("google-gemma-4-31B-it", "gemma4"),
    ("google-gemma-4-31B-it-interleaved", "gemma4"),
    ("ibm-granite-granite-3.3-2B-Instruct", "granite"),
    ("ibm-granite-granite-4.0", "granite4"),
    ("ibm-granite-granite-4.1", "granite4"),
    ("llama-cpp-deepseek-r1", "deepseek"),
    ("meetkai-functionary-medium-v3.1", "functionary-v3.1"),
    ("meetkai-functionary-medium-v3.2", "functionary-v3.2"),
    ("meta-llama-Llama-3.1-8B-Instruct", "llama3"),
    ("meta-llama-Llama-3.2-3B-Instruct", "llama3"),
    ("meta-llama-Llama-3.3-70B-Instruct", "llama3"),
    ("microsoft-Phi-3.5-mini-instruct", "plain"),
    ("mistralai-Ministral-3-14B-Reasoning-2512", "mistral"),
    ("mistralai-Mistral-Nemo-Instruct-2407", "mistral-list"),
    ("openai-gpt-oss-120b", "gpt-oss"),
    ("unsloth-mistral-Devstral-Small-2507", "mistral"),
    // Syntaxes that no row knows.
    ("GLM-4.6", "plain"),
    ("MiniMax-M2", "plain"),
    ("MiniMax-M3", "plain"),
    ("moonshotai-Kimi-K2", "plain"),
    ("unsloth-Apriel-1.5", "plain"),
];

/// The real templates with their rows; none, said aloud, without the data.
fn templates() -> Vec<(ChatTemplate, &'static str)> {
    let Some(root) = std::env::var_os("CORBIE_DATA") else {
        eprintln!("skipped: CORBIE_DATA is not set");
        return Vec::new();
    };
    let folder: PathBuf = Path::new(&root).join("templates");
    TEMPLATES
        .iter()
        .map(|(name, row)| {
            let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
            let template = ChatTemplate::new(*name, &source, "<s>", "</s>").unwrap();
            (template, *row)
        })
        .collect()
}

/// All bytes, the row's marks and what looks like a special token in the template.
fn tokenizer(template: &ChatTemplate) -> (Tokenizer, Vec<String>) {
    let mut special: Vec<String> = ["<unk>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>"]
        .map(String::from)
        .to_vec();
    let marks = template.dialect().marks.iter().copied();
    let source = template.source().unwrap();
    let found = source.match_indices('<').filter_map(|(at, _)| {
        let token = &source[at..=at + source[at..].find('>')?];
        let bar = |c: char| c == '|' || c == '｜';
        let looks = token.len() < 60 && token[1..].starts_with(bar);
        (looks && !token.contains(char::is_whitespace)).then_some(token)
    });
    for token in marks.chain(found) {
        if !special.iter().any(|known| known == token) {
            special.push(token.to_owned());
        }
    }
    let mut tokens = special.clone();
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    let mut kinds = vec![3; special.len()];
    kinds.extend([6; 256]);
    let bytes = GgufWriter::new()
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &tokens)
        .f32s("tokenizer.ggml.scores", &vec![0.0; tokens.len()])
        .i32s("tokenizer.ggml.token_type", &kinds)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .bool("tokenizer.ggml.add_space_prefix", false)
        .to_bytes();
    let file = GgufFile::from_bytes("bytes", bytes).unwrap();
    (Tokenizer::from_gguf(&file).unwrap(), special)
}

fn calls(row: &Dialect) -> Vec<ToolCall> {
    let call = |number: usize, name: &str, arguments: Value| ToolCall {
        id: format!("call_{number}"),
        name: name.into(),
        arguments,
    };
    let mut calls = vec![
        call(0, "get_weather", json!({"city": "北京 \"B\"", "days": 2})),
        call(1, "search", json!({"query": "a\nb", "limit": 5})),
    ];
    if !row.parallel || row.name == "functionary-v3.2" {
        calls.truncate(1);
    }
    calls
}

/// A question, the calls that answer it, and their results.
fn request(row: &Dialect, result: &str) -> ChatRequest {
    let mut said = Message::assistant("");
    said.tool_calls = calls(row);
    let mut messages = vec![Message::user("Weather?"), said];
    for call in calls(row) {
        messages.push(Message::tool(call.id, result));
    }
    ChatRequest {
        tools: fixture(row).tools,
        ..ChatRequest::new(messages)
    }
}

#[test]
fn rows_of_real_templates_are_recognised() {
    for (template, row) in templates() {
        assert_eq!(template.dialect().name, row, "{template:?}");
    }
}

/// What a template renders of an assistant's calls is what the row reads.
#[test]
fn calls_that_templates_render_are_read_back() {
    for (template, name) in templates() {
        let row = template.dialect();
        if name == "plain" && template.source().is_some_and(|it| it.contains("think>")) {
            // Marks of thinking that no row knows stand before the call.
            continue;
        }
        let (tokenizer, special) = tokenizer(&template);
        let whole = request(row, "sunny 晴");
        let question = ChatRequest {
            messages: whole.messages[..1].to_vec(),
            ..whole.clone()
        };
        let text = |request: &ChatRequest| {
            let ids = template
                .encode_chat(&tokenizer, request)
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            // This vocabulary writes blanks so; some families' marks have the same character.
            let text = tokenizer.decode(&ids, false).replace('▁', " ");
            special.iter().fold(text, |text, token| {
                text.replace(&token.replace('▁', " "), token)
            })
        };
        let (before, after) = (text(&question), text(&whole));
        assert!(after.contains("sunny 晴"), "{after}");
        assert!(after.contains("get_weather"), "{after}");
        let same = before
            .bytes()
            .zip(after.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let mut same = (0..=same)
            .rev()
            .find(|at| after.is_char_boundary(*at))
            .unwrap();
        // What differs begins with a whole token.
        for token in &special {
            let begins = |size: &usize| {
                after[..same].ends_with(&token[..*size]) && after[same - size..].starts_with(token)
            };
            let sizes = (1..token.len()).filter(|size| token.is_char_boundary(*size));
            if let Some(size) = sizes.filter(|size| *size <= same).find(begins) {
                same -= size;
                break;
            }
        }
        let written = &after[same..];
        let (_, _, read) = read(row, &whole.tools, Opening::Answer, [written]);
        let read: Vec<_> = read
            .iter()
            .map(|it| (&it["name"], &it["arguments"]))
            .collect();
        let made = calls(row);
        let made: Vec<_> = made
            .iter()
            .map(|it| (json!(it.name), it.arguments.clone()))
            .collect();
        let made: Vec<_> = made
            .iter()
            .map(|(name, arguments)| (name, arguments))
            .collect();
        // Templates of one call an answer show the first.
        assert_eq!(read, made, "{name}: {written:?}");
    }
}

/// Marks in what a user, a tool or its description says make no special token.
#[test]
fn forged_marks_stay_text() {
    for (template, name) in templates() {
        let row = template.dialect();
        let (tokenizer, special) = tokenizer(&template);
        let forged = format!("{} {}", special.join(" "), row.example);
        let counts = |words: &str| {
            let mut request = request(row, words);
            request.messages[0].content = format!("Weather? {words}");
            request.messages[1].tool_calls[0].arguments["city"] = json!(words);
            request.tools[0].description = words.to_owned();
            let ids = template.encode_chat(&tokenizer, &request).unwrap();
            let count = |id: usize| ids.iter().filter(|known| **known as usize == id).count();
            // Tags of thinking make no role and are not guarded.
            let guarded = (0..special.len()).filter(|id| !special[*id].contains("think>"));
            guarded.map(count).collect::<Vec<_>>()
        };
        assert_eq!(counts("innocent"), counts(&forged), "{name}");
    }
}
