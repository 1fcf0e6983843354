//! Measures answers in a form: are they all valid, and what does holding them to it cost?
//!
//! ```text
//! CORBIE_DATA=… CORBIE_BFCL=… cargo run --release -p corbie-models --example constrained -- MODEL.gguf [N] [TOKENS] [ROUNDS]
//! ```
//!
//! N texts at temperature 1 by the schemas of the JSON Schema Test Suite (drafts 7 and 2020-12)
//! and, where CORBIE_BFCL names the folder with BFCL's JSON files, of its tools, each of at most
//! TOKENS tokens: every one must parse and be valid by another validator. Then, ROUNDS times,
//! greedy text with and without a form.

use std::path::Path;

use corbie_core::{ChatRequest, Error, ErrorKind, Message, ResponseFormat, Result, Sampling};
use corbie_models::chat::{GenerateOptions, LocalChatModel, LocalChatOptions};
use futures::StreamExt;
use serde_json::{Value, json};

/// So many texts are written at a time.
const TOGETHER: usize = 8;
const ANYTHING: &str = "a form that allows everything";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let missing = |what: &str| Error::new(ErrorKind::BadInput, "arguments", what);
    let path = arguments
        .next()
        .ok_or_else(|| missing("a model file must be named"))?;
    let mut number = |default| {
        let number = arguments.next().and_then(|n| n.parse().ok());
        number.unwrap_or(default)
    };
    let (wanted, max_tokens): (usize, usize) = (number(1000), number(160));
    let rounds = number(20);
    let data = std::env::var("CORBIE_DATA").map_err(|_| missing("CORBIE_DATA is not set"))?;
    let schemas = schemas(Path::new(&data));
    let model = LocalChatModel::load(Path::new(&path), LocalChatOptions::default())?;
    let question = Message::user("Answer in JSON. 用 JSON 回答。");
    let prompt = model
        .template()
        .encode_chat(model.tokenizer(), &ChatRequest::new([question]))?;

    let (mut valid, mut refused, mut small, mut bad) = (0, 0, 0, Vec::new());
    let texts = schemas.iter().cycle().take(10 * wanted).enumerate();
    let mut texts = futures::stream::iter(texts)
        .map(|(index, schema)| {
            let sampling = Sampling {
                temperature: 1.0,
                seed: Some(index as u64),
                ..Sampling::default()
            };
            let options = GenerateOptions {
                max_tokens,
                sampling,
                format: ResponseFormat::JsonSchema(schema.1.clone()),
                ..GenerateOptions::default()
            };
            let written = model.generate(prompt.clone(), options);
            async move { (schema, written.await) }
        })
        .buffered(TOGETHER);
    while let Some(((name, schema, draft), written)) = texts.next().await {
        let text = match written {
            Ok(completion) => completion.text,
            Err(error) if error.kind() == &ErrorKind::LimitExceeded => {
                small += 1;
                continue;
            }
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        let validator = jsonschema::options().with_draft(*draft).build(schema);
        let is_valid = match (serde_json::from_str::<Value>(&text), validator) {
            (Ok(value), Ok(validator)) => validator.is_valid(&value),
            // Schemas that point elsewhere are beyond the validator, not beyond JSON.
            (Ok(_), Err(_)) => true,
            (Err(_), _) => false,
        };
        match is_valid {
            true => valid += 1,
            false => bad.push(format!("{name}: {text}")),
        }
        if valid + bad.len() == wanted {
            break;
        }
    }
    drop(texts);
    report(&format!(
        "{valid} of {} texts valid; {refused} times a schema was refused by name, {small} times \
         for its limits, before any token ({} schemas)",
        valid + bad.len(),
        schemas.len(),
    ));
    bad.iter().take(10).for_each(|line| report(line));

    for (name, form) in forms() {
        speed(&model, name, &form, rounds).await?;
    }
    Ok(())
}

/// Forms whose answers go on to the token limit.
fn forms() -> [(&'static str, ResponseFormat); 2] {
    let sentences = json!({
        "type": "array", "minItems": 10,
        "items": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
            "required": ["title", "year"],
            "additionalProperties": false,
        },
    });
    [
        (ANYTHING, ResponseFormat::Regex("(?s:.*)".into())),
        ("a schema", ResponseFormat::JsonSchema(sentences)),
    ]
}

/// Compares greedy text without a form and in one, in turn; the ratio is the median of each
/// round's.
async fn speed(
    model: &LocalChatModel,
    name: &str,
    form: &ResponseFormat,
    rounds: usize,
) -> Result<()> {
    let (mut free, mut held, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let plain = GenerateOptions {
        max_tokens: 320,
        ..GenerateOptions::default()
    };
    let formed = GenerateOptions {
        format: form.clone(),
        ..plain.clone()
    };
    for round in 0..=rounds as u32 {
        let prompt: Vec<u32> = (0..100).map(|i| 100 + round + i * 7 % 5000).collect();
        let mut speeds = [0.0; 2];
        let mut ids = [Vec::new(), Vec::new()];
        for turn in 0..2 {
            let which = (round as usize + turn) % 2;
            let options = [&plain, &formed][which].clone();
            let written = model.generate(prompt.clone(), options).await?;
            speeds[which] = written.ids.len() as f64 / written.decode_seconds;
            ids[which] = written.ids;
        }
        if name == ANYTHING && ids[0] != ids[1] {
            report("OTHER TOKENS under a form that allows everything");
        }
        // The first round warms up.
        if round > 0 {
            free.push(speeds[0]);
            held.push(speeds[1]);
            ratios.push(speeds[1] / speeds[0]);
        }
    }
    report(&format!(
        "greedy text: {:.1} tokens/s, held to {name} {:.1}: {:.1} %",
        median(free),
        median(held),
        100.0 * median(ratios)
    ));
    Ok(())
}

/// Schemas with their names and drafts, in turn from each source.
fn schemas(data: &Path) -> Vec<(String, Value, jsonschema::Draft)> {
    use jsonschema::Draft::{Draft7, Draft202012};
    let mut found = Vec::new();
    let suite = data.join("jsonschema/JSON-Schema-Test-Suite/tests");
    for (folder, draft) in [("draft7", Draft7), ("draft2020-12", Draft202012)] {
        for file in files(&suite.join(folder), "json") {
            for group in read(&file).as_array().into_iter().flatten() {
                let name = format!("{folder} {}", group["description"]);
                found.push((name, group["schema"].clone(), draft));
            }
        }
    }
    let Some(bfcl) = std::env::var_os("CORBIE_BFCL") else {
        report("skipped: CORBIE_BFCL is not set, so no tools of BFCL");
        return found;
    };
    for file in files(Path::new(&bfcl), "json") {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap_or_default();
            for tool in row["function"].as_array().into_iter().flatten() {
                let mut schema = tool["parameters"].clone();
                standard(&mut schema);
                found.push((tool["name"].to_string(), schema, Draft202012));
            }
        }
    }
    found
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

fn read(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    files.sort();
    files
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
