//! `corbie ingest`: files and folders into a collection.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use corbie_core::{Error, ErrorKind, ids};
use corbie_loaders::{FolderOptions, Sources};
use corbie_vectorstores::{Index, IngestEvent, IngestReport};
use serde_json::json;

use crate::app::App;
use crate::args::{IngestArgs, Place};
use crate::progress::bar;

pub async fn run(app: &App, args: IngestArgs) -> Result<ExitCode> {
    let sources = Sources::new(&args.paths, &FolderOptions::default())?;
    let index = app.open_or_create(&args.collection).await?;
    let report = sync(app, &index, &sources).await?;
    if app.output.is_json() {
        let mut value = json!({ "v": 1, "collection": args.collection });
        if let (Some(value), serde_json::Value::Object(report)) =
            (value.as_object_mut(), serde_json::to_value(&report)?)
        {
            value.extend(report);
        }
        app.output.json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    for failure in &report.failed {
        app.output.line(&format!("not read: {}: {}", failure.source, failure.reason))?;
    }
    app.output.line(&summary(&report))?;
    Ok(ExitCode::SUCCESS)
}

/// The index to ask: of a folder, brought up to date first, or a collection.
pub async fn place(app: &App, place: &Place) -> Result<Index> {
    let Some(docs) = &place.docs else {
        return app.open(place.collection.as_deref().unwrap_or_default()).await;
    };
    let sources = Sources::new(std::slice::from_ref(docs), &FolderOptions::default())?;
    let index = app.open_or_create(&docs_collection(docs)?).await?;
    let report = sync(app, &index, &sources).await?;
    if report.files == 0 {
        return Err(Error::new(
            ErrorKind::BadInput,
            format!("`{}`", docs.display()),
            "there is no document in it",
        )
        .hint("name a folder with text, Markdown, HTML or PDF files")
        .into());
    }
    for failure in &report.failed {
        app.output.note(&format!("not read: {}: {}", failure.source, failure.reason));
    }
    if report.added + report.updated + report.deleted + report.restored > 0 {
        app.output.note(&summary(&report));
    }
    if report.failed.len() == report.files {
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("`{}`", docs.display()),
            "none of its files can be read",
        )
        .hint("the reasons are above")
        .into());
    }
    Ok(index)
}

/// The collection that belongs to a folder: the folder's name, and a digest of its whole path.
fn docs_collection(docs: &Path) -> Result<String> {
    let whole: PathBuf = docs
        .canonicalize()
        .map_err(|e| Error::io(docs.display().to_string(), e))?;
    let name: String = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(32)
        .collect();
    let digest = ids::text_hash(&whole.to_string_lossy());
    Ok(format!("docs-{name}-{}", &digest[..8]))
}

async fn sync(app: &App, index: &Index, sources: &Sources) -> Result<IngestReport> {
    let template = "reading {pos}/{len} [{bar:30}] {msg:.50} {elapsed}";
    let bar = bar(app.output.quiet, 0, template);
    let told = bar.clone();
    let progress = move |event: IngestEvent<'_>| match event {
        IngestEvent::Listed { files } => told.set_length(files as u64),
        IngestEvent::Done { source, .. } => {
            told.set_message(crate::output::printable(source));
            told.inc(1);
        }
        _ => {}
    };
    let report = index.sync(sources, &progress).await;
    bar.finish_and_clear();
    Ok(report?)
}

fn summary(report: &IngestReport) -> String {
    let mut parts = vec![format!("{} files", report.files)];
    let counts = [
        (report.added, "added"),
        (report.updated, "updated"),
        (report.skipped, "unchanged"),
        (report.deleted, "deleted"),
        (report.restored, "restored"),
        (report.failed.len(), "not read"),
    ];
    for (count, what) in counts {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("{}; {} chunks written", parts.join(", "), report.chunks)
}
