//! Weighs BFCL's questions against its tools, for setting when a base model calls one.
//!
//! ```text
//! cargo run --release -p corbie-models --example decide -- MODEL.gguf BFCL_DATA IDS > SCORES
//! ```
//!
//! BFCL_DATA is the folder `bfcl_eval/data`, IDS a file of cases' ids. Each line of the output is
//! a case: its category, the tool that is right, the log-probability of the question behind
//! nothing, and that behind each tool.

use std::collections::BTreeMap;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use corbie_models::chat::{LocalChatModel, LocalChatOptions};
use corbie_models::tokenizer::EncodeOptions;
use serde_json::{Value, json};

const CATEGORIES: [&str; 3] = ["simple_python", "multiple", "irrelevance"];

/// So many characters of a question are weighed.
const WEIGHED: usize = 600;

type Rows = BTreeMap<String, Value>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, data, ids] = &arguments[..] else {
        let cause = "MODEL.gguf BFCL_DATA IDS are wanted";
        return Err(Error::new(ErrorKind::BadInput, "arguments", cause));
    };
    let model = LocalChatModel::load(Path::new(model), LocalChatOptions::default())?;
    let ids = read(ids)?;
    for category in CATEGORIES {
        let asked = rows(&format!("{data}/BFCL_v4_{category}.json"))?;
        let answers = match category {
            "irrelevance" => Rows::new(),
            _ => rows(&format!("{data}/possible_answer/BFCL_v4_{category}.json"))?,
        };
        let named = ids.split_whitespace();
        for id in named.filter(|id| id.rsplit_once('_').is_some_and(|it| it.0 == category)) {
            let Some(case) = asked.get(id) else {
                let cause = format!("there is no case `{id}`");
                return Err(Error::new(ErrorKind::NotFound, category, cause));
            };
            let right = answers.get(id).map(|it| &it["ground_truth"][0]);
            let right = right.and_then(|it| it.as_object()?.keys().next());
            let (nothing, tools) = weighed(&model, case).await?;
            report(&json!({
                "id": id, "category": category, "right": right, "nothing": nothing, "tools": tools,
            }));
        }
    }
    Ok(())
}

/// What a case's question weighs behind nothing, and behind each of its tools.
async fn weighed(model: &LocalChatModel, case: &Value) -> Result<(f64, Vec<Value>)> {
    let messages = case["question"][0].as_array();
    let last = messages.and_then(|it| it.last()?["content"].as_str());
    let question = last.unwrap_or_default().trim();
    let question: String = question.chars().take(WEIGHED).collect();
    let nothing = weigh(model, "Question:", &question).await?;
    let mut tools = Vec::new();
    for tool in case["function"].as_array().into_iter().flatten() {
        let text = |key: &str| tool[key].as_str().unwrap_or_default();
        let spaced = |name: &str| name.replace(['_', '-', '.'], " ");
        let arguments = tool["parameters"]["properties"].as_object();
        let arguments: Vec<String> = arguments
            .into_iter()
            .flatten()
            .map(|(key, _)| spaced(key))
            .collect();
        let context = format!(
            "{}: {} ({})\nQuestion:",
            spaced(text("name")),
            text("description"),
            arguments.join(", ")
        );
        let score = weigh(model, &context, &question).await?;
        tools.push(json!({ "name": text("name"), "score": score }));
    }
    Ok((nothing, tools))
}

/// The log-probability of a text on a line of its own behind a context.
async fn weigh(model: &LocalChatModel, context: &str, text: &str) -> Result<f64> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    let before = model.tokenizer().encode(context, options)?;
    let whole = format!("{context} {text}\n");
    let whole = model.tokenizer().encode(&whole, options)?;
    let shared = before.iter().zip(&whole).take_while(|(a, b)| a == b);
    let (prompt, rest) = whole.split_at(shared.count().max(1).min(whole.len()));
    let scores = model.score(prompt.to_vec(), &[rest.to_vec()]).await?;
    Ok(scores.first().copied().unwrap_or_default())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io(path, error))
}

fn rows(path: &str) -> Result<Rows> {
    let text = read(path)?;
    let row = |line: &str| -> Result<(String, Value)> {
        let row: Value = serde_json::from_str(line)
            .map_err(|error| Error::new(ErrorKind::Malformed, path, error))?;
        Ok((row["id"].as_str().unwrap_or_default().to_owned(), row))
    };
    text.lines().map(row).collect()
}

#[allow(clippy::print_stdout)]
fn report(line: &Value) {
    println!("{line}");
}
