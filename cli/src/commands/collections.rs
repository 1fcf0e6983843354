//! `corbie collections` and `corbie index`: what is kept, and keeping it right.

use std::process::ExitCode;

use anyhow::Result;
use corbie_vectorstores::CollectionInfo;
use serde_json::{Value, json};

use crate::app::App;
use crate::args::{CollectionsCommand, IndexCommand};
use crate::output::bytes;

pub async fn run(app: &App, command: CollectionsCommand) -> Result<ExitCode> {
    match command {
        CollectionsCommand::List => {
            for info in app.collections.list()? {
                match app.output.is_json() {
                    true => app.output.json(&row(&info))?,
                    false => app.output.line(&format!(
                        "{:<32} {:>6} files {:>8} chunks {:>8}  {}",
                        info.name,
                        info.files,
                        info.chunks,
                        bytes(info.bytes),
                        info.model
                    ))?,
                }
            }
        }
        CollectionsCommand::Show { name } => {
            let info = app.collections.show(&name)?;
            match app.output.is_json() {
                true => app.output.json(&row(&info))?,
                false => {
                    if let Value::Object(row) = row(&info) {
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
    let chunks = app.rebuild(&collection).await?;
    match app.output.is_json() {
        true => app.output.json(&json!({ "v": 1, "collection": collection, "chunks": chunks }))?,
        false => app.output.line(&format!("{collection}: {chunks} chunks embedded again"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn row(info: &CollectionInfo) -> Value {
    json!({
        "v": 1,
        "name": info.name,
        "files": info.files,
        "chunks": info.chunks,
        "bytes": info.bytes,
        "model": info.model,
        "dimension": info.dimension,
        "digest": info.digest,
    })
}
