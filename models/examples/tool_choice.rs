//! Measures calls of small models: is the right tool called, with the right arguments?
//!
//! ```text
//! CORBIE_BFCL=… cargo run --release -p corbie-models --example tool_choice -- [--tune] MODEL.gguf…
//! ```
//!
//! The questions of `tests/fixtures/tool_choice.json`, English and Chinese, and where CORBIE_BFCL
//! names the folder with BFCL's JSON files, its category `multiple`. Each is asked twice, with the
//! tool chosen token by token and by calibrated scores of whole names (`Calibrate::Always`; a base
//! model weighs tools by the question instead, which `corbie eval calls` measures), greedily. Then the own questions again
//! where the model decides whether it calls. One half of each set, every second question, is for
//! tuning (`--tune`); the other half is what is reported.

use std::path::Path;
use std::time::Instant;

use corbie_core::{
    ChatModel, ChatRequest, Error, ErrorKind, Message, Result, Role, ToolCall, ToolChoice, ToolSpec,
};
use corbie_models::chat::{Calibrate, LocalChatModel, LocalChatOptions};
use serde_json::{Map, Value};

/// So many questions of BFCL's are asked at most.
const MOST_BFCL: usize = 100;

struct Question {
    messages: Vec<Message>,
    tools: Vec<ToolSpec>,
    /// The tool to call; `None`: none.
    tool: Option<String>,
    /// For each argument the values that are right; an empty string: it may be left out.
    arguments: Map<String, Value>,
}

#[derive(Default)]
struct Count {
    asked: usize,
    named: usize,
    right: usize,
    invalid: usize,
    seconds: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let tune = paths.iter().any(|it| it == "--tune");
    paths.retain(|it| it != "--tune");
    if paths.is_empty() {
        let cause = "a model file must be named";
        return Err(Error::new(ErrorKind::BadInput, "arguments", cause));
    }
    let half = |questions: Vec<Question>| -> Vec<Question> {
        let odd = usize::from(!tune);
        questions.into_iter().skip(odd).step_by(2).collect()
    };
    let (english, chinese) = own()?;
    let sets = [
        ("English", half(english)),
        ("Chinese", half(chinese)),
        ("BFCL", half(bfcl()?)),
    ];
    for path in &paths {
        report(&format!(
            "{path}, the {} half",
            if tune { "tuning" } else { "other" }
        ));
        for (how, calibrate) in [
            ("token by token", Calibrate::Never),
            ("calibrated", Calibrate::Always),
        ] {
            let options = LocalChatOptions {
                calibrate,
                ..LocalChatOptions::default()
            };
            let model = LocalChatModel::load(Path::new(path), options)?;
            for (set, questions) in &sets {
                let most = if *set == "BFCL" {
                    MOST_BFCL
                } else {
                    usize::MAX
                };
                let needed = questions.iter().filter(|it| it.tool.is_some()).take(most);
                let mut count = Count::default();
                for question in needed {
                    ask(&model, question, &mut count).await?;
                }
                if count.asked > 0 {
                    report(&count.line(&format!("{set}, {how}")));
                }
                let (mut needed, mut other) = ((0, 0), (0, 0));
                for question in questions.iter().filter(|_| *set != "BFCL") {
                    let reply = model.complete(question.request(ToolChoice::Auto)).await?;
                    let counted = match question.tool {
                        Some(_) => &mut needed,
                        None => &mut other,
                    };
                    counted.0 += usize::from(!reply.message.tool_calls.is_empty());
                    counted.1 += 1;
                }
                if needed.1 > 0 {
                    report(&format!(
                        "{set}, {how}, left to decide: calls for {} of {} that need one, {} of {} \
                         that do not",
                        needed.0, needed.1, other.0, other.1
                    ));
                }
            }
        }
    }
    Ok(())
}

impl Question {
    fn request(&self, tool_choice: ToolChoice) -> ChatRequest {
        ChatRequest {
            tools: self.tools.clone(),
            tool_choice,
            parallel_tool_calls: false,
            max_tokens: Some(200),
            ..ChatRequest::new(self.messages.clone())
        }
    }
}

impl Count {
    fn line(&self, what: &str) -> String {
        let Self {
            asked,
            named,
            right,
            invalid,
            ..
        } = self;
        let percent = |count: &usize| 100.0 * *count as f64 / *asked as f64;
        format!(
            "{what}: right tool {named} of {asked} ({:.0} %), right arguments too {right} ({:.0} \
             %), invalid calls {invalid}, {:.2} s a call",
            percent(named),
            percent(right),
            self.seconds / *asked as f64
        )
    }
}

async fn ask(model: &LocalChatModel, question: &Question, count: &mut Count) -> Result<()> {
    let begun = Instant::now();
    let reply = model
        .complete(question.request(ToolChoice::Required))
        .await?;
    count.seconds += begun.elapsed().as_secs_f64();
    count.asked += 1;
    let [call] = reply.message.tool_calls.as_slice() else {
        count.invalid += 1;
        return Ok(());
    };
    let named = question.tool.as_ref() == Some(&call.name);
    count.invalid += usize::from(!is_valid(call, &question.tools));
    count.named += usize::from(named);
    count.right += usize::from(named && are_right(&call.arguments, &question.arguments));
    Ok(())
}

fn is_valid(call: &ToolCall, tools: &[ToolSpec]) -> bool {
    let tool = tools.iter().find(|tool| tool.name == call.name);
    let validator = tool.map(|tool| jsonschema::validator_for(&tool.parameters));
    matches!(validator, Some(Ok(validator)) if validator.is_valid(&call.arguments))
}

/// Whether every argument is among the values that are right for it, and none is missing.
fn are_right(arguments: &Value, right: &Map<String, Value>) -> bool {
    let Some(arguments) = arguments.as_object() else {
        return false;
    };
    let known = |(key, value): (&String, &Value)| {
        let values = right.get(key).and_then(Value::as_array);
        values.is_some_and(|values| values.iter().any(|it| is_same(value, it)))
    };
    let there = |(key, values): (&String, &Value)| {
        let optional = values.as_array().is_some_and(|it| it.contains(&"".into()));
        optional || arguments.contains_key(key)
    };
    arguments.iter().all(known) && right.iter().all(there)
}

/// As BFCL compares: letters' case, spaces and some punctuation count nothing.
fn is_same(value: &Value, right: &Value) -> bool {
    match (value, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => bare(a) == bare(b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(_), Value::Object(right)) => are_right(value, right),
        _ => value == right,
    }
}

fn bare(text: &str) -> String {
    let kept = |c: &char| !" ,./-_*^".contains(*c);
    text.to_lowercase().chars().filter(kept).collect()
}

/// The own questions: English, Chinese.
fn own() -> Result<(Vec<Question>, Vec<Question>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tool_choice.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io(path.display().to_string(), error))?;
    let file: Value = parsed(&text)?;
    let questions = file["questions"].as_array().into_iter().flatten();
    let questions = questions.map(|it| {
        let tools = file["tools"][it["tools"].as_str().unwrap_or_default()].clone();
        Ok(Question {
            messages: vec![Message::user(it["ask"].as_str().unwrap_or_default())],
            tools: serde_json::from_value(tools).map_err(|error| malformed(&error))?,
            tool: it["tool"].as_str().map(str::to_owned),
            arguments: it["arguments"].as_object().cloned().unwrap_or_default(),
        })
    });
    let questions = questions.collect::<Result<Vec<Question>>>()?;
    let is_english = |it: &Question| it.messages.iter().all(|it| it.content.is_ascii());
    Ok(questions.into_iter().partition(is_english))
}

/// BFCL's questions with several tools, of which one is right.
fn bfcl() -> Result<Vec<Question>> {
    let Some(folder) = std::env::var_os("CORBIE_BFCL") else {
        report("skipped: CORBIE_BFCL is not set, so none of BFCL's questions");
        return Ok(Vec::new());
    };
    let read = |name: &str| {
        let path = Path::new(&folder).join(name);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::io(path.display().to_string(), error))?;
        text.lines().map(parsed).collect::<Result<Vec<Value>>>()
    };
    let asked = read("BFCL_v4_multiple.json")?;
    let answers = read("possible_answer/BFCL_v4_multiple.json")?;
    let named = |name: &str| name.replace('.', "_");
    let question = |(asked, answer): (&Value, &Value)| {
        let messages = asked["question"][0].as_array().into_iter().flatten();
        let messages = messages.map(|message| {
            let role = match message["role"].as_str() {
                Some("system") => Role::System,
                _ => Role::User,
            };
            Message::new(role, message["content"].as_str().unwrap_or_default())
        });
        let tools = asked["function"].as_array().into_iter().flatten();
        let tools = tools.map(|tool| {
            let mut parameters = tool["parameters"].clone();
            standard(&mut parameters);
            ToolSpec {
                name: named(tool["name"].as_str().unwrap_or_default()),
                description: tool["description"].as_str().unwrap_or_default().to_owned(),
                parameters,
            }
        });
        let right = answer["ground_truth"][0].as_object();
        let (tool, arguments) = right.and_then(|it| it.iter().next()).unzip();
        Question {
            messages: messages.collect(),
            tools: tools.collect(),
            tool: tool.map(|name| named(name)),
            arguments: arguments
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        }
    };
    Ok(asked.iter().zip(&answers).map(question).collect())
}

/// BFCL writes some types as Python calls them.
fn standard(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(kind) = fields.get_mut("type") {
                let name = match kind.as_str() {
                    Some("dict") => "object",
                    Some("float") => "number",
                    Some("tuple") => "array",
                    Some("any") => "string",
                    _ => "",
                };
                if !name.is_empty() {
                    *kind = name.into();
                }
            }
            fields.values_mut().for_each(standard);
        }
        Value::Array(items) => items.iter_mut().for_each(standard),
        _ => {}
    }
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Malformed, "questions", error)
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
