//! `corbie models`: which models are here, fetching, showing and removing them.

use std::process::ExitCode;

use anyhow::Result;
use corbie_models::dialect::DIALECTS;
use corbie_models::hub::{CATALOGUE, CatalogueEntry};
use serde_json::{Value, json};

use crate::app::App;
use crate::args::{ModelsCommand, OutputForm};
use crate::output::{bytes, printable};

pub async fn run(app: &App, command: ModelsCommand) -> Result<ExitCode> {
    match command {
        ModelsCommand::List => list(app)?,
        ModelsCommand::Pull { name } => pull(app, &name).await?,
        ModelsCommand::Show { name } => show(app, &name)?,
        ModelsCommand::Dialects => dialects(app)?,
        ModelsCommand::Rm { name } => remove(app, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(app: &App) -> Result<()> {
    let cached = app.hub().list();
    let known = |entry: &CatalogueEntry| cached.iter().find(|m| m.alias == Some(entry.alias));
    let row = |name: &str, kind: Option<&str>, size: u64, title: &str, here: bool, place: &str| {
        json!({
            "v": 1, "name": name, "kind": kind, "bytes": size,
            "title": title, "cached": here, "place": place,
        })
    };
    let mut rows: Vec<Value> = Vec::new();
    for entry in CATALOGUE {
        let here = known(entry);
        let size = here.map_or(entry.bytes, |model| model.bytes);
        let place = here.map_or(entry.places.first().copied().unwrap_or(""), |m| &m.place);
        let kind = Some(entry.kind.as_str());
        rows.push(row(
            entry.alias,
            kind,
            size,
            entry.title,
            here.is_some(),
            place,
        ));
    }
    for model in cached.iter().filter(|model| model.alias.is_none()) {
        let kind = model.kind.map(|kind| kind.as_str());
        rows.push(row(&model.name, kind, model.bytes, "", true, &model.place));
    }
    if app.output.is_json() {
        return rows.iter().try_for_each(|row| app.output.json(row));
    }
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("").to_owned();
    if app.output.form == OutputForm::Md {
        app.output
            .line("| name | kind | size | here | title |\n|---|---|---|---|---|")?;
    }
    for row in &rows {
        let here = if row["cached"] == true { "here" } else { "" };
        let size = bytes(row["bytes"].as_u64().unwrap_or(0));
        let (name, kind, title) = (text(row, "name"), text(row, "kind"), text(row, "title"));
        let line = match app.output.form {
            OutputForm::Md => format!("| {name} | {kind} | {size} | {here} | {title} |"),
            _ => format!("{name:<16} {kind:<10} {size:>8}  {here:<4}  {title}"),
        };
        app.output.line(line.trim_end())?;
    }
    Ok(())
}

async fn pull(app: &App, name: &str) -> Result<()> {
    let model = app.resolve(name).await?;
    match app.output.is_json() {
        true => app.output.json(&json!({
            "v": 1,
            "name": model.name,
            "path": model.path,
            "place": model.place.to_string(),
        })),
        false => app
            .output
            .line(&format!("{} is at {}", model.name, model.path.display())),
    }
}

fn show(app: &App, name: &str) -> Result<()> {
    let facts = facts(app, name)?;
    if app.output.is_json() {
        return app.output.json(&facts);
    }
    let mut rows = Vec::new();
    for (key, value) in facts.as_object().into_iter().flatten() {
        rows.extend(lines(key, value));
    }
    if app.output.form == OutputForm::Md {
        app.output.line("| fact | value |\n|---|---|")?;
    }
    for (key, value) in rows {
        let value = printable(&value);
        app.output.line(&match app.output.form {
            OutputForm::Md => format!("| {key} | {} |", value.replace('|', "\\|")),
            _ => format!("{key:<16} {value}"),
        })?;
    }
    Ok(())
}

/// A fact for people: one line, or a line for each of its parts.
fn lines(key: &str, value: &Value) -> Vec<(String, String)> {
    let size = |value: &Value| bytes(value.as_u64().unwrap_or(0));
    let one = |value: String| vec![(key.to_owned(), value)];
    match (key, value) {
        ("v", _) => Vec::new(),
        ("bytes" | "memory_bytes" | "memory_limit", value) => one(size(value)),
        ("memory", Value::Object(parts)) => {
            // Nothing is said of what a model has not got.
            let has = |key: &str| parts.get(key).is_some_and(|bytes| *bytes != 0);
            let parts = MEMORY
                .iter()
                .filter(|(key, _)| has(key))
                .filter_map(|(key, label)| Some(((*label).to_owned(), size(parts.get(*key)?))));
            parts.collect()
        }
        ("files", Value::Array(files)) => {
            let file = |file: &Value| {
                let name = file["name"].as_str().unwrap_or_default();
                (
                    "file".to_owned(),
                    format!("{name}, {}", size(&file["bytes"])),
                )
            };
            files.iter().map(file).collect()
        }
        (_, Value::Array(items)) => {
            let texts = items.iter().filter_map(Value::as_str);
            one(texts.collect::<Vec<_>>().join(", "))
        }
        (_, Value::String(text)) if text.is_empty() => one("none".to_owned()),
        (_, Value::String(text)) => one(text.clone()),
        (_, Value::Bool(yes)) => one(if *yes { "yes" } else { "no" }.to_owned()),
        (_, Value::Null) => one("unknown".to_owned()),
        (_, other) => one(other.to_string()),
    }
}

/// The parts of the needed memory and what they are called for people.
const MEMORY: [(&str, &str); 9] = [
    ("weights", "memory: weights"),
    ("mapped", "  mapped from file"),
    ("tokenizer", "  tokenizer"),
    ("context", "  context"),
    ("workspace", "  workspace"),
    ("least", "  at least"),
    ("spare", "  kept prefixes"),
    ("total", "  at most"),
    ("longest_context", "  longest context"),
];

/// What the catalogue and, where they are here, the files themselves say of a model.
fn facts(app: &App, name: &str) -> Result<Value> {
    let entry = corbie_models::hub::find(name);
    let local = app.hub().cached(name);
    if let (None, Err(error)) = (entry, &local)
        && !matches!(error.kind(), corbie_core::ErrorKind::Offline)
    {
        return Err(local
            .err()
            .map_or_else(|| anyhow::anyhow!("no such model"), Into::into));
    }
    let mut facts = json!({ "v": 1, "name": name });
    if let Some(entry) = entry {
        facts["title"] = json!(entry.title);
        facts["kind"] = json!(entry.kind.as_str());
        facts["architecture"] = json!(entry.architecture);
        facts["parameters"] = json!(entry.parameters);
        facts["quantization"] = json!(entry.quantization);
        facts["context_length"] = json!(entry.context_length);
        facts["bytes"] = json!(entry.bytes);
        facts["memory_bytes"] = json!(entry.memory_bytes);
        facts["licence"] = json!(entry.licence);
        facts["languages"] = json!(entry.languages);
        facts["places"] = json!(entry.places);
    }
    facts["cached"] = json!(local.is_ok());
    if let Ok(model) = local {
        facts["path"] = json!(model.path);
        facts["place"] = json!(model.place.to_string());
        for (key, value) in corbie_models::describe(&model)? {
            // What the catalogue knows of a kind is more than what the files tell.
            if !(key == "kind" && facts[key].is_string()) {
                facts[key] = value;
            }
        }
        let limit = app.models.pool().options().memory;
        let least = facts["memory"]["least"].as_u64().unwrap_or(0);
        facts["fits"] = json!(least <= limit as u64);
        if limit < usize::MAX {
            facts["memory_limit"] = json!(limit);
        }
    }
    Ok(facts)
}

fn dialects(app: &App) -> Result<()> {
    if app.output.form == OutputForm::Md {
        app.output
            .line("| name | models | a call |\n|---|---|---|")?;
    }
    for row in DIALECTS {
        let (name, models) = (row.name, row.models);
        let call = row.example.replace('\n', "\\n");
        match app.output.form {
            _ if app.output.is_json() => app.output.json(&json!({
                "v": 1, "name": name, "models": models, "example": row.example,
                "parallel": row.parallel,
            }))?,
            OutputForm::Md => {
                let call = call.replace('|', "\\|");
                app.output
                    .line(&format!("| {name} | {models} | `{call}` |"))?;
            }
            _ => app
                .output
                .line(&format!("{name:<17} {models}\n{:17} {call}", ""))?,
        }
    }
    Ok(())
}

fn remove(app: &App, name: &str) -> Result<()> {
    let model = app.hub().remove(name)?;
    match app.output.is_json() {
        true => app
            .output
            .json(&json!({ "v": 1, "removed": model.name, "bytes": model.bytes })),
        false => app
            .output
            .line(&format!("removed {} ({})", model.name, bytes(model.bytes))),
    }
}
