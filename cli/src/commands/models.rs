//! `corbie models`: which models are here, fetching, showing and removing them.

use std::process::ExitCode;

use anyhow::Result;
use corbie_models::dialect::DIALECTS;
use corbie_models::hub::{CATALOGUE, CatalogueEntry};
use serde_json::{Value, json};

use crate::app::App;
use crate::args::{ModelsCommand, OutputForm};
use crate::output::bytes;

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
    let Value::Object(facts) = facts else {
        return Ok(());
    };
    for (key, value) in facts.iter().filter(|(key, _)| *key != "v") {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Null => "unknown".to_owned(),
            other => other.to_string(),
        };
        app.output.line(&format!("{key:<16} {value}"))?;
    }
    Ok(())
}

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
            facts[key] = value;
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
