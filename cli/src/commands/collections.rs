//! `corbie collections` and `corbie index`: what is kept, and keeping it right.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_vectorstores::index::{
    CollectionInfo, Collections, End, Index, Problem, Stores, VerifyOptions,
};
use serde_json::{Value, json, to_value};

use crate::app::{App, COUNTED};
use crate::args::{CollectionsCommand, IndexCommand};
use crate::output::bytes;
use crate::stores::stores;

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
            let stores = app.stores(app.collections.info(&name).ok().as_ref())?;
            app.collections.remove(&name, stores.as_ref()).await?;
            match app.output.is_json() {
                true => app.output.json(&json!({ "v": 1, "removed": name }))?,
                false => app.output.line(&format!("removed {name}"))?,
            }
        }
        CollectionsCommand::Copy { name, to } => {
            let target = match app.stores_are_typed() {
                true => app.stores(None)?,
                false => app.stores(Some(&app.collections.info(&name)?))?,
            };
            let here = app.collections.clone();
            copy(app, (&here, &name), (&here, &to), target).await?;
        }
        CollectionsCommand::Backup { name, folder } => {
            let there = Collections::new(folder);
            // Into the folder, wherever new collections have their points.
            let target = match app.stores_are_typed() {
                true => app.stores(None)?,
                false => stores("edge")?,
            };
            copy(app, (&app.collections, &name), (&there, &name), target).await?;
        }
        CollectionsCommand::Restore { folder, name } => {
            let there = Collections::new(folder);
            let target = app.stores(None)?;
            copy(app, (&there, &name), (&app.collections, &name), target).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies a collection and says what was copied.
async fn copy(
    app: &App,
    from: (&Collections, &str),
    to: (&Collections, &str),
    target: Arc<dyn Stores>,
) -> Result<()> {
    let info = from.0.info(from.1)?;
    let stores = stores(info.store.as_deref().unwrap_or("edge"))?;
    let end = |(collections, name), stores| End {
        collections,
        name,
        stores,
    };
    let (from, to) = (end(from, stores.as_ref()), end(to, target.as_ref()));
    let report = Collections::copy(from, to, &()).await?;
    let (documents, points) = (report.documents, report.points);
    match app.output.is_json() {
        true => app.output.json(&json!({
            "v": 1, "collection": to.name, "store": target.name(),
            "files": documents, "chunks": points,
        }))?,
        false => app.output.line(&format!(
            "{}: {documents} files, {points} chunks, each compared with the original",
            to.name
        ))?,
    }
    Ok(())
}

pub async fn index(app: &App, command: IndexCommand) -> Result<ExitCode> {
    match command {
        IndexCommand::Rebuild { collection } => rebuild(app, &collection).await,
        IndexCommand::Verify {
            collection,
            vectors,
            repair,
        } => verify(app, &collection, VerifyOptions { vectors, repair }).await,
    }
}

async fn rebuild(app: &App, collection: &str) -> Result<ExitCode> {
    // With the embedding model in force: to change it is what rebuilding is for.
    let info = CollectionInfo {
        embedder: None,
        ..app.collections.info(collection)?
    };
    let parts = app.parts(Some(&info)).await?;
    let (_, report) = Index::rebuild(&app.collections, collection, parts, &()).await?;
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

async fn verify(app: &App, collection: &str, options: VerifyOptions) -> Result<ExitCode> {
    let index = app.open(collection).await?;
    let found = index.verify(options, &()).await?;
    if app.output.is_json() {
        let mut row = json!({ "v": 1, "collection": collection, "sound": found.is_sound() });
        if let (Some(row), Value::Object(found)) = (row.as_object_mut(), to_value(&found)?) {
            row.extend(found);
        }
        app.output.json(&row)?;
    } else {
        for finding in &found.findings {
            let source = finding.source.as_deref().unwrap_or("-");
            let chunk = finding.chunk.map(|chunk| format!("  chunk {chunk}"));
            let problem = sentence(finding.problem);
            app.output
                .line(&format!("{source}: {problem}{}", chunk.unwrap_or_default()))?;
        }
        let (documents, points) = (found.documents, found.points);
        let summary = match (found.findings.len(), found.repaired) {
            (0, _) => "nothing is wrong".to_owned(),
            (count, 0) => format!("{count} things are wrong"),
            (count, repaired) => {
                format!("{count} things were wrong, {repaired} chunks were mended")
            }
        };
        app.output.line(&format!(
            "{collection}: {documents} files, {points} chunks: {summary}"
        ))?;
        if !found.is_sound() && !options.repair {
            app.output.note(&format!(
                "`corbie index verify --collection {collection} --repair` mends what it can"
            ));
        }
    }
    // These the files must mend.
    let remains = |problem| matches!(problem, Problem::Ledger | Problem::Text);
    let mended = options.repair && !found.findings.iter().any(|f| remains(f.problem));
    Ok(match found.is_sound() || mended {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn sentence(problem: Problem) -> &'static str {
    match problem {
        Problem::Ledger => "the ledger's database is damaged",
        Problem::Text => "its text is not the one that was recorded: ingest it again",
        Problem::Chunks => "its recorded chunks are not those of its text",
        Problem::Lost => "the store has lost it:",
        Problem::Altered => "the store has something else:",
        Problem::Vector => "its vector is not its own:",
        Problem::Stray => "nobody knows of it:",
    }
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
        "sparse": info.sparse.as_ref().map_or(COUNTED, |sparse| &sparse.model),
        "store": info.store,
        "owner": info.owner.as_ref().map(|owner| owner.pid),
    })
}
