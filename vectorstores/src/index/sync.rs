//! Bringing a collection up to date with a source.

use std::collections::{HashMap, HashSet};

use corbie_core::{Document, Error, ErrorKind, Result, Selection, Skipped, Source};
use tokio::sync::mpsc;

use super::ledger::{Ledger, Record, Row};
use super::plan::{Cleanup, Plan, Work, plan};
use super::report::{IngestEvent, IngestReport, Outcome, Progress};
use super::write::{Prepared, Recorder, Writer};
use super::{Index, IndexParts, cut};

/// How many documents may wait, read and cut, while others are embedded.
const WAITING: usize = 32;

/// How many points one call deletes.
const DELETED_AT_ONCE: usize = 4096;

/// How a source is brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncOptions {
    /// What becomes of documents that changed or vanished.
    pub cleanup: Cleanup,
    /// Nothing is written: the report says what would be done. A file that was touched counts as
    /// changed, since it is not read.
    pub dry_run: bool,
}

impl Index {
    /// [`sync_with`](Index::sync_with) the default options: what vanished from this root is
    /// deleted.
    ///
    /// # Errors
    ///
    /// Like [`Index::sync_with`].
    pub async fn sync(
        &self,
        source: &dyn Source,
        root: &str,
        progress: &dyn Progress,
    ) -> Result<IngestReport> {
        let options = SyncOptions::default();
        self.sync_with(source, root, options, progress).await
    }

    /// Brings the collection up to date with `source`, whose documents it remembers as those of
    /// `root` (a canonical path or a URL): reads what is new or changed, restores what the store
    /// has lost, and deletes what has vanished, as [`Cleanup`] says.
    ///
    /// What has been reported as [`Done`](IngestEvent::Done) is durable. Dropping the future or
    /// killing the process at any moment loses at most the work since; the next call ends with
    /// the same points as an undisturbed one.
    ///
    /// # Errors
    ///
    /// When the source cannot be listed, or the embedder, the store or the ledger fails. A file
    /// that cannot be read, parsed or embedded is no error: it is listed in the report.
    pub async fn sync_with(
        &self,
        source: &dyn Source,
        root: &str,
        options: SyncOptions,
        progress: &dyn Progress,
    ) -> Result<IngestReport> {
        let _turn = self.writer.lock().await;
        let listing = source.list().await?;
        let files = listing.items.len() + listing.skipped.len();
        progress.event(IngestEvent::Listed { files });
        let rows = self.ledger.rows()?;
        let present: HashSet<_> = self.store.ids().await?.into_iter().collect();
        let recipe = self.recipe();
        let plan = plan(&rows, &present, listing, root, &recipe, options.cleanup);
        drop(present);
        if options.dry_run {
            return Ok(foretold(plan, files, progress));
        }

        let mut writer = Writer::new(
            &self.collection,
            &self.parts,
            self.store.as_ref(),
            Recorder::Ledger(&self.ledger),
            &rows,
            progress,
        );
        writer.report.files = files;
        writer.orphans = plan.orphans.clone();
        self.forget(&plan, &rows, &mut writer).await?;
        plan.unchanged
            .iter()
            .for_each(|source| writer.done(source, Outcome::Skipped));
        plan.failed
            .iter()
            .cloned()
            .for_each(|file| writer.fail(file));

        let (sender, receiver) = mpsc::channel(WAITING);
        let preparing = Preparing {
            collection: &self.collection,
            parts: &self.parts,
            ledger: &self.ledger,
            rows: &rows,
            root,
            recipe: &recipe,
        };
        let produce = async move {
            for work in plan.work {
                let prepared = preparing.prepare(source, work).await;
                if sender.send(prepared).await.is_err() {
                    break; // The writer failed and will say why.
                }
            }
        };
        let ((), written) = futures::join!(produce, write_all(&mut writer, receiver));
        written?;

        let orphans: Vec<_> = writer.orphans.iter().copied().collect();
        writer.report.strays = orphans.len();
        for ids in orphans.chunks(DELETED_AT_ONCE) {
            self.store.delete(Selection::Ids(ids.to_vec())).await?;
        }
        let mut report = writer.report;
        report.failed.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(report)
    }

    /// Deletes what has vanished: first from the store, so that nothing of it can be found once
    /// the ledger has forgotten it.
    async fn forget(
        &self,
        plan: &Plan,
        rows: &HashMap<String, Row>,
        writer: &mut Writer<'_>,
    ) -> Result<()> {
        if plan.forget.is_empty() {
            return Ok(());
        }
        let chunks = plan.forget.iter().filter_map(|source| rows.get(source));
        let ids: Vec<_> = chunks.flat_map(|row| &row.chunks).copied().collect();
        for ids in ids.chunks(DELETED_AT_ONCE) {
            self.store.delete(Selection::Ids(ids.to_vec())).await?;
        }
        self.ledger.forget(&plan.forget)?;
        let forgotten = plan.forget.iter();
        forgotten.for_each(|source| writer.done(source, Outcome::Deleted));
        Ok(())
    }
}

/// What a plan would come to.
fn foretold(plan: Plan, files: usize, progress: &dyn Progress) -> IngestReport {
    let mut report = IngestReport {
        files,
        strays: plan.orphans.len(),
        failed: plan.failed,
        ..IngestReport::default()
    };
    let deleted = plan.forget.iter().map(|s| (s.as_str(), Outcome::Deleted));
    let kept = plan
        .unchanged
        .iter()
        .map(|s| (s.as_str(), Outcome::Skipped));
    let written = plan.work.iter().map(|work| (work.source(), work.outcome()));
    for (source, outcome) in deleted.chain(kept).chain(written) {
        report.count(outcome);
        progress.event(IngestEvent::Done { source, outcome });
    }
    report.failed.sort_by(|a, b| a.source.cmp(&b.source));
    report
}

/// Writes what arrives. When it fails, the receiver goes with it, which ends the producer too.
async fn write_all(
    writer: &mut Writer<'_>,
    mut receiver: mpsc::Receiver<Result<Prepared, Failure>>,
) -> Result<()> {
    while let Some(prepared) = receiver.recv().await {
        match prepared {
            Ok(prepared) => writer.add(prepared).await?,
            Err(Failure::File(skipped)) => writer.fail(skipped),
            Err(Failure::Ledger(error)) => return Err(error),
        }
    }
    writer.commit().await
}

/// What is needed to prepare documents for writing.
struct Preparing<'a> {
    collection: &'a str,
    parts: &'a IndexParts,
    ledger: &'a Ledger,
    rows: &'a HashMap<String, Row>,
    root: &'a str,
    recipe: &'a str,
}

/// Why a document is not ready.
enum Failure {
    /// It is the file's fault: the others go on.
    File(Skipped),
    /// The ledger cannot be read: nothing goes on.
    Ledger(Error),
}

impl Preparing<'_> {
    async fn prepare(&self, source: &dyn Source, work: Work) -> Result<Prepared, Failure> {
        let name = work.source().to_owned();
        let bad = |error: Error| Failure::File(Skipped::because(&name, &error));
        let known = self.rows.get(&name);
        let (document, root, fingerprint, mut outcome) = match work {
            Work::Read(item, outcome) => {
                let bytes = source.read(&item).await.map_err(bad)?;
                let parser = self.parts.parser.as_ref();
                let mut document = parser.parse(&item.source, &bytes).await.map_err(bad)?;
                document.source = item.source;
                (document, self.root.to_owned(), item.fingerprint, outcome)
            }
            Work::Recut(source, outcome) => {
                let document = self.stored(&source).map_err(Failure::Ledger)?;
                let row = known.cloned().unwrap_or_default();
                (document, row.root, row.fingerprint, outcome)
            }
        };
        let splitter = self.parts.splitter.as_ref();
        let chunks = cut::chunks(self.collection, &document, splitter).map_err(bad)?;
        if outcome == Outcome::Updated
            && known.is_some_and(|row| row.fingerprint != fingerprint || row.root != root)
            && self.is_stored(&document).map_err(Failure::Ledger)?
        {
            // Touched or moved, but not changed. It goes through all the same: what the store
            // may have lost of it is restored.
            outcome = Outcome::Skipped;
        }
        let row = Row {
            root,
            fingerprint,
            recipe: self.recipe.to_owned(),
            chunks: chunks.iter().map(|chunk| chunk.id).collect(),
        };
        Ok(Prepared {
            record: Record { document, row },
            chunks,
            outcome,
        })
    }

    fn stored(&self, source: &str) -> Result<Document> {
        self.ledger.document(source)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("document `{source}`"),
                "the ledger lists it but has no text of it",
            )
        })
    }

    fn is_stored(&self, document: &Document) -> Result<bool> {
        let stored = self.ledger.document(&document.source)?;
        Ok(stored.as_ref() == Some(document))
    }
}
