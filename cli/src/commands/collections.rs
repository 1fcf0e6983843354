//! `corbie collections` and `corbie index`: what is kept, and keeping it right.

use std::process::ExitCode;

use anyhow::Result;
use corbie_vectorstores::index::{CollectionInfo, Index};
use serde_json::{Value, json};

use crate::app::App;
use crate::args::{CollectionsCommand, IndexCommand};
use crate::output::bytes;

pub async fn run(app: &App, command: CollectionsCommand) -> Result<ExitCode> {
    match command {
        CollectionsCommand::List => {
            for name in app.collections.names()? {
                let info = app.collections.info(&name)?;
                match app.output.is_json() {
                    true => app.output.json(&row(&info))?,
                    false => app.output.line(&format!(
                        "{:<32} {:>6} files {:>8} chunks {:>8}  {}",
                        info.name,
                        info.documents,
                        info.chunks,
                        bytes(info.bytes),
                        model(&info)
                    ))?,
                }
            }
        }
        CollectionsCommand::Show { name } => {
            let mut row = row(&app.collections.info(&name)?);
            row["digest"] = json!(app.collections.digest(&name)?);
            match app.output.is_json() {
                true => app.output.json(&row)?,
                false => {
                    if let Value::Object(row) = row {
                        for (key, value) in row.iter().filter(|(key, _)| *key != "v") {
                            let value = value.as_str().map_or(value.to_string(), str::to_owned);
                            app.output.line(&format!("{key:<12} {value}"))?;
                        }
                    }
                }
            }
        }
        CollectionsCommand::Rm { name } => {
            app.collections.remove(&name)?;
            match app.output.is_json() {
                true => app.output.json(&json!({ "v": 1, "removed": name }))?,
                false => app.output.line(&format!("removed {name}"))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn index(app: &App, command: IndexCommand) -> Result<ExitCode> {
    let IndexCommand::Rebuild { collection } = command;
    app.collections.info(&collection)?;
    let parts = app.parts(None).await?;
    let (_, report) = Index::rebuild(&app.collections, &collection, parts, &()).await?;
    let chunks = report.chunks;
    match app.output.is_json() {
        true => app
            .output
            .json(&json!({ "v": 1, "collection": collection, "chunks": chunks }))?,
        false => app
            .output
            .line(&format!("{collection}: {chunks} chunks embedded again"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn model(info: &CollectionInfo) -> &str {
    info.embedder
        .as_ref()
        .map_or("", |embedder| &embedder.model)
}

fn row(info: &CollectionInfo) -> Value {
    json!({
        "v": 1,
        "name": info.name,
        "files": info.documents,
        "chunks": info.chunks,
        "bytes": info.bytes,
        "model": model(info),
        "dimension": info.embedder.as_ref().map(|embedder| embedder.dimension),
        "owner": info.owner.as_ref().map(|owner| owner.pid),
    })
}
