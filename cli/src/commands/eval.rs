//! `corbie eval`: quality on data with known answers.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_core::{Error, ErrorKind, Splitter};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::eval::{self, EvalOptions, Evaluation, Resampling, evaluate};
use serde::Serialize;

use crate::app::App;
use crate::args::{EvalCompareArgs, EvalRetrievalArgs, ResamplingArgs};

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
    let sparse = match mode {
        SearchMode::Dense => None,
        SearchMode::Keyword | SearchMode::Hybrid => app.sparse_embedder(None).await?,
    };
    let options = EvalOptions {
        mode,
        sparse,
        embedder: embedder.filter(|_| mode != SearchMode::Keyword),
        splitter,
        ..EvalOptions::default()
    };
    let evaluation = evaluate(&args.folder, &split, &options).await?;
    if let Some(path) = &args.per_query {
        evaluation.write(path)?;
    }
    if let Some(path) = &args.trec {
        evaluation.write_trec(path, &format!("corbie-{}", mode.as_str()))?;
    }
    let summary = evaluation.summary(&args.resampling.into());
    if app.output.is_json() {
        app.output.json(&Row { v: 1, of: &summary })?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = summary.means.named().into_iter();
    for ((name, mean), (_, (low, high))) in rows.zip(summary.intervals.named()) {
        let line = format!("{name:<12} {mean:.4}  {low:.4} to {high:.4}");
        app.output.line(&line)?;
    }
    app.output
        .line(&format!("{:<12} {}", "queries", summary.queries))?;
    app.output.note(&format!(
        "intervals: {}",
        sureness(summary.confidence, summary.resamples, summary.seed)
    ));
    Ok(ExitCode::SUCCESS)
}

pub fn compare(app: &App, args: &EvalCompareArgs) -> Result<ExitCode> {
    let [a, b] = [&args.a, &args.b].map(|path| Evaluation::read(path));
    let comparison = eval::compare(&a?, &b?, &args.resampling.into())?;
    if app.output.is_json() {
        let of = &comparison;
        app.output.json(&Row { v: 1, of })?;
        return Ok(ExitCode::SUCCESS);
    }
    app.output.line(&format!("A: {}", args.a.display()))?;
    app.output.line(&format!("B: {}", args.b.display()))?;
    let heads = ["", "A", "B", "B - A", "interval", "p"];
    let [name, a, b, difference, interval, p] = heads;
    app.output.line(&format!(
        "{name:<10}  {a:<6}  {b:<6}  {difference:<7}  {interval:<18}  {p}"
    ))?;
    for (name, of) in comparison.measures.named() {
        let verdict = match of.p < 1.0 - comparison.confidence {
            true if of.difference > 0.0 => "B is better",
            true => "A is better",
            false => "no difference shown",
        };
        let (low, high) = of.interval;
        app.output.line(&format!(
            "{name:<10}  {:.4}  {:.4}  {:+.4}  {low:+.4} to {high:+.4}  {:.4}  {verdict}",
            of.a, of.b, of.difference, of.p
        ))?;
    }
    app.output
        .line(&format!("queries     {}", comparison.queries))?;
    app.output.note(&format!(
        "intervals: {}; p: paired randomisation test",
        sureness(comparison.confidence, comparison.resamples, comparison.seed)
    ));
    Ok(ExitCode::SUCCESS)
}

/// A report as a line of JSON.
#[derive(Serialize)]
struct Row<'a, T> {
    v: u8,
    #[serde(flatten)]
    of: &'a T,
}

fn sureness(confidence: f64, resamples: usize, seed: u64) -> String {
    let percent = 100.0 * confidence;
    format!("{percent:.0} %, bootstrap over queries; {resamples} resamples, seed {seed}")
}

impl From<ResamplingArgs> for Resampling {
    fn from(args: ResamplingArgs) -> Self {
        Self {
            resamples: args.resamples as usize,
            seed: args.seed,
        }
    }
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
