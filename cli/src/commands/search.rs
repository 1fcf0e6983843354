//! `corbie search`: passages only.

use std::process::ExitCode;

use anyhow::Result;
use corbie_core::{Hit, RetrieveRequest};
use serde_json::{Value, json};

use super::argument;
use crate::app::App;
use crate::args::{OutputForm, SearchArgs};

pub async fn run(app: &App, args: SearchArgs) -> Result<ExitCode> {
    let query = argument(&args.query)?;
    let index = app.open(&args.collection).await?;
    let retriever = app.retriever(&index, app.search_mode(args.options.mode)?);
    let limit = args.options.limit.unwrap_or(10) as usize;
    let hits = retriever
        .retrieve(RetrieveRequest::new(query).with_limit(limit))
        .await?;
    if app.output.is_json() {
        let hits: Vec<Value> = hits.iter().map(row).collect();
        app.output.json(&json!({ "v": 1, "hits": hits }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if hits.is_empty() {
        app.output.note("nothing found");
    }
    for (n, hit) in hits.iter().enumerate() {
        let chunk = &hit.chunk;
        let page = chunk
            .page
            .map(|page| format!(", page {page}"))
            .unwrap_or_default();
        let (source, score) = (&chunk.source, hit.score);
        app.output.line(&match app.output.form {
            OutputForm::Md => format!("{}. `{source}`{page} — score {score:.3}\n", n + 1),
            _ => format!("[{}] {source}{page} · score {score:.3}", n + 1),
        })?;
        let quote = if app.output.form == OutputForm::Md {
            "   > "
        } else {
            "    "
        };
        for line in chunk.text.trim().lines() {
            app.output.line(&format!("{quote}{line}"))?;
        }
        app.output.line("")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(hit: &Hit) -> Value {
    let chunk = &hit.chunk;
    json!({
        "source": chunk.source,
        "page": chunk.page,
        "heading": chunk.heading,
        "start": chunk.start,
        "end": chunk.end,
        "score": hit.score,
        "text": chunk.text,
    })
}
