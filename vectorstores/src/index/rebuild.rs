//! Changing a collection's embedding model.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use corbie_core::{Document, Error, Result, Skipped};

use super::ledger::{Ledger, Making, Record, Row};
use super::lock::Lock;
use super::report::{IngestEvent, IngestReport, Outcome, Progress};
use super::write::{Prepared, Recorder, Writer};
use super::{Collections, Index, IndexParts, cut, elsewhere, learned, place, recipe};

impl Index {
    /// Cuts and embeds the collection `name` anew with `parts`, from the texts that the ledger
    /// keeps: no file is needed. The new vectors are made beside the old ones and take their
    /// place at once, so that an interrupted rebuild changes nothing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](corbie_core::ErrorKind::NotFound) when there is no such collection; otherwise like
    /// [`Index::open`] and [`Index::sync`].
    pub async fn rebuild(
        collections: &Collections,
        name: &str,
        parts: IndexParts,
        progress: &dyn Progress,
    ) -> Result<(Self, IngestReport)> {
        let folder = collections.existing(name)?;
        let lock = Arc::new(Lock::take(&folder.join("lock"), name, parts.wait)?);
        let ledger = Ledger::open(&folder.join("ledger.sqlite"))?;
        let Some(old_making) = ledger.making()? else {
            return Ok((
                Self::open(collections, name, parts)?,
                IngestReport::default(),
            ));
        };
        let stores = Arc::clone(&parts.stores);
        if old_making
            .store
            .as_ref()
            .is_some_and(|store| *store != stores.name())
        {
            return Err(elsewhere(name, &old_making, &stores.name()));
        }
        let making = Making {
            embedder: parts.embedder.as_ref().map(|e| e.info().clone()),
            generation: old_making.generation + 1,
            index: old_making.index,
            store: Some(stores.name()),
            sparse: learned(&parts),
        };
        let old_place = place(name, &folder, &old_making);
        let new_place = place(name, &folder, &making);
        // What an interrupted rebuild began.
        stores.remove(&new_place).await?;
        let store = stores.open(&new_place)?;
        let old = ledger.rows()?;
        let none = HashMap::new();
        let together = Recorder::Together(HashMap::new());
        let mut writer = Writer::new(name, &parts, store.as_ref(), together, &none, progress);
        writer.report.files = old.len();
        progress.event(IngestEvent::Listed { files: old.len() });
        let mut sources: Vec<&String> = old.keys().collect();
        sources.sort_unstable();
        for source in sources {
            let Some(document) = ledger.document(source)? else {
                continue;
            };
            match prepare(name, document, &old[source], &parts) {
                Ok(prepared) => writer.add(prepared).await?,
                Err(error) => writer.fail(Skipped::because(source, &error)),
            }
        }
        writer.commit().await?;
        let report = writer.report;
        let mut rows = match writer.recorder {
            Recorder::Together(rows) => rows,
            Recorder::Ledger(_) => HashMap::new(),
        };
        // A document that failed keeps its text but has no chunks and no recipe: the next
        // synchronisation tries again.
        for source in old.into_keys() {
            rows.entry(source).or_default();
        }
        drop(store);
        ledger.switch(&making, &rows)?;
        let index = Self::assemble(name, &folder, lock, ledger, &making, parts)?;
        stores.remove(&old_place).await?;
        Ok((index, report))
    }
}

fn prepare(name: &str, document: Document, old: &Row, parts: &IndexParts) -> Result<Prepared> {
    let chunks = cut::chunks(name, &document, parts.splitter.as_ref())?;
    let row = Row {
        recipe: recipe(parts),
        chunks: chunks.iter().map(|chunk| chunk.id).collect(),
        ..old.clone()
    };
    Ok(Prepared {
        record: Record { document, row },
        chunks,
        outcome: Outcome::Updated,
    })
}

/// Removes the folders of vectors that an interrupted rebuild began, or a finished one left.
pub(super) fn remove_other_generations(folder: &Path, current: u64) -> Result<()> {
    let io = |error| Error::io(folder.display().to_string(), error);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let generation = name.to_str().and_then(|name| name.strip_prefix("vectors-"));
        if generation.is_some_and(|generation| generation != current.to_string()) {
            std::fs::remove_dir_all(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}
