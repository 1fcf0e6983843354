//! `corbie ingest`: files and folders into a collection.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use corbie_core::{Error, ErrorKind, ids};
use corbie_loaders::{FolderOptions, FolderSource};
use corbie_vectorstores::index::{Cleanup, Index, IngestEvent, IngestReport, SyncOptions};
use serde_json::json;

use crate::app::App;
use crate::args::{self, IngestArgs, Place};
use crate::progress::bar;

pub async fn run(app: &App, args: IngestArgs) -> Result<ExitCode> {
    let roots = args
        .paths
        .iter()
        .map(|path| root(path))
        .collect::<Result<Vec<_>>>()?;
    let is_new = app.collections.info(&args.collection).is_err();
    let index = app.open_or_create(&args.collection).await?;
    let options = SyncOptions {
        cleanup: match args.cleanup {
            args::Cleanup::None => Cleanup::None,
            args::Cleanup::Incremental => Cleanup::Incremental,
            args::Cleanup::Scoped => Cleanup::Scoped,
            args::Cleanup::Full => Cleanup::Full,
        },
        dry_run: args.dry_run,
    };
    if options.cleanup == Cleanup::Full && roots.len() > 1 {
        let error = Error::new(
            ErrorKind::BadInput,
            "--cleanup full",
            "each of several paths would delete what the others brought",
        );
        return Err(error.hint("name one folder that holds all").into());
    }
    let mut report = IngestReport::default();
    for root in &roots {
        add(&mut report, sync(app, &index, root, options).await?);
    }
    if args.dry_run && is_new {
        // It was opened to be compared with: nothing is what a dry run leaves.
        let stores = index.parts().stores.clone();
        drop(index);
        app.collections
            .remove(&args.collection, stores.as_ref())
            .await?;
    }
    if app.output.is_json() {
        let mut value = json!({
            "v": 1,
            "collection": args.collection,
            "dry_run": args.dry_run,
        });
        if let (Some(value), serde_json::Value::Object(report)) =
            (value.as_object_mut(), serde_json::to_value(&report)?)
        {
            value.extend(report);
        }
        app.output.json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    for failure in &report.failed {
        app.output
            .line(&format!("not read: {}: {}", failure.source, failure.reason))?;
    }
    match args.dry_run {
        true => app
            .output
            .line(&format!("would be done: {}", counts(&report)))?,
        false => app.output.line(&summary(&report))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The index to ask: of a folder, brought up to date first, or a collection.
pub async fn place(app: &App, place: &Place) -> Result<Index> {
    let Some(docs) = &place.docs else {
        return app
            .open(place.collection.as_deref().unwrap_or_default())
            .await;
    };
    let root = root(docs)?;
    let index = app.open_or_create(&docs_collection(&root)).await?;
    let report = sync(app, &index, &root, SyncOptions::default()).await?;
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
        app.output
            .note(&format!("not read: {}: {}", failure.source, failure.reason));
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

/// The whole path of a folder or file that is there.
fn root(path: &Path) -> Result<PathBuf> {
    let subject = format!("`{}`", path.display());
    let root = path
        .canonicalize()
        .map_err(|e| Error::io(&subject, e).hint("check the path and its permissions"))?;
    if root.to_str().is_none() {
        let error = Error::new(ErrorKind::BadInput, subject, "its whole path is not UTF-8");
        return Err(error.hint("rename it").into());
    }
    Ok(root)
}

/// The collection that belongs to a folder: the folder's name, and a digest of its whole path.
fn docs_collection(root: &Path) -> String {
    let name: String = root
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(32)
        .collect();
    let digest = ids::text_hash(&root.to_string_lossy());
    format!("docs-{name}-{}", &digest[..8])
}

/// Adds what one root gave to what all gave.
fn add(sum: &mut IngestReport, part: IngestReport) {
    sum.files += part.files;
    sum.added += part.added;
    sum.updated += part.updated;
    sum.skipped += part.skipped;
    sum.deleted += part.deleted;
    sum.restored += part.restored;
    sum.chunks += part.chunks;
    sum.strays += part.strays;
    sum.failed.extend(part.failed);
}

async fn sync(app: &App, index: &Index, root: &Path, options: SyncOptions) -> Result<IngestReport> {
    let source = FolderSource::new(root, FolderOptions::default());
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
    let report = index
        .sync_with(&source, &root.to_string_lossy(), options, &progress)
        .await;
    bar.finish_and_clear();
    Ok(report?)
}

fn summary(report: &IngestReport) -> String {
    format!("{}; {} chunks written", counts(report), report.chunks)
}

fn counts(report: &IngestReport) -> String {
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
    if report.strays > 0 {
        parts.push(format!("{} chunks of nobody removed", report.strays));
    }
    parts.join(", ")
}
