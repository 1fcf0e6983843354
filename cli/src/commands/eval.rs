//! `corbie eval`: quality on data with known answers.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_core::{Error, ErrorKind, Splitter};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::eval::{EvalOptions, evaluate};
use serde_json::{Value, json};

use crate::app::App;
use crate::args::EvalRetrievalArgs;

pub async fn retrieval(app: &App, args: EvalRetrievalArgs) -> Result<ExitCode> {
    let split = match args.split {
        Some(split) => split,
        None => only_split(&args.folder)?,
    };
    let mode = app.search_mode(args.mode)?;
    let embedder = match mode {
        SearchMode::Keyword if !args.chunked => None,
        _ => Some(app.embedder(None).await?),
    };
    let splitter = embedder
        .as_ref()
        .filter(|_| args.chunked)
        .map(|embedder| {
            app.splitter(embedder)
                .map(|s| Arc::new(s) as Arc<dyn Splitter>)
        })
        .transpose()?;
    let options = EvalOptions {
        mode,
        embedder: embedder.filter(|_| mode != SearchMode::Keyword),
        splitter,
        ..EvalOptions::default()
    };
    let scores = evaluate(&args.folder, &split, &options).await?;
    let Value::Object(scores) = serde_json::to_value(scores)? else {
        return Ok(ExitCode::FAILURE);
    };
    if app.output.is_json() {
        let mut row = json!({ "v": 1 });
        if let Some(row) = row.as_object_mut() {
            row.extend(scores);
        }
        app.output.json(&row)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in scores {
        let value = match value.as_u64() {
            Some(count) => count.to_string(),
            None => format!("{:.4}", value.as_f64().unwrap_or(0.0)),
        };
        app.output.line(&format!("{name:<12} {value}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The only split there is, or `test` where there are several.
fn only_split(folder: &Path) -> Result<String> {
    let qrels = folder.join("qrels");
    let files = std::fs::read_dir(&qrels).map_err(|e| {
        Error::io(qrels.display().to_string(), e).hint("name a folder in BEIR's layout")
    })?;
    let splits: Vec<String> = files
        .filter_map(|file| {
            let name = file.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".tsv").map(str::to_owned)
        })
        .collect();
    match splits.as_slice() {
        [only] => Ok(only.clone()),
        several if several.iter().any(|split| split == "test") => Ok("test".to_owned()),
        several => Err(Error::new(
            ErrorKind::BadInput,
            qrels.display().to_string(),
            format!("it has the splits {}", several.join(", ")),
        )
        .hint("choose one with --split")
        .into()),
    }
}
