//! Copying a collection: from store to store, to another name, to another folder and back.

use std::collections::HashMap;
use std::time::Duration;

use corbie_core::{Chunk, Document, Error, ErrorKind, Point, Result, Selection, VectorStore, ids};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ledger::{Ledger, Making, Record, Row};
use super::lock::Lock;
use super::place::Stores;
use super::points::points_of;
use super::report::{IngestEvent, Outcome, Progress};
use super::{Collections, elsewhere, place};
use crate::rank::cosine;

/// How many points travel together.
const BATCH: usize = 512;

/// How many documents are recorded by one sync: nothing counts before the copy is whole.
const RECORDED_TOGETHER: usize = 64;

/// How near a vector that was copied must be to the original: stores may scale and round.
const SAME_VECTOR: f32 = 0.9999;

/// One end of a copy.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// Where the collection's folder is.
    pub collections: &'a Collections,
    /// Its name.
    pub name: &'a str,
    /// Where its points are.
    pub stores: &'a dyn Stores,
}

/// What was copied and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CopyReport {
    /// Documents.
    pub documents: usize,
    /// Points, each read back from where it went and compared with the original.
    pub points: usize,
}

impl Collections {
    /// Copies the collection `from` with its texts, vectors and words to `to`; nothing is embedded.
    /// Where both are the same collection it moves: its points go to another store, and what they
    /// leave behind is removed when all have arrived.
    ///
    /// Each point is read back and compared before its document counts as copied. A copy that was
    /// interrupted is not a collection, and is begun again by the next call; the original is only
    /// read.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when there is no `from`,
    /// [`BadInput`](ErrorKind::BadInput) when `to` is there already,
    /// [`Busy`](ErrorKind::Busy) when a process holds one of them,
    /// [`Mismatch`](ErrorKind::Mismatch) when `from` has its points elsewhere, or a point that
    /// arrived is not the one that was sent.
    pub async fn copy(from: End<'_>, to: End<'_>, progress: &dyn Progress) -> Result<CopyReport> {
        let folder = from.collections.existing(from.name)?;
        let _lock = Lock::take(&folder.join("lock"), from.name, Duration::from_secs(1))?;
        let ledger = Ledger::open(&folder.join("ledger.sqlite"))?;
        let making = made(&ledger, &from)?;
        let source = place(from.name, &folder, &making);
        let moves = from.collections == to.collections && from.name == to.name;
        let new = Making {
            store: Some(to.stores.name()),
            generation: if moves { making.generation + 1 } else { 1 },
            index: if moves { making.index } else { Uuid::new_v4() },
            embedder: making.embedder.clone(),
            sparse: making.sparse.clone(),
        };
        if moves {
            if making.store == new.store {
                return Err(exists(&to).hint("name another collection, or another store"));
            }
            let target = place(to.name, &folder, &new);
            to.stores.remove(&target).await?; // What an interrupted move left.
            let store = to.stores.open(&target)?;
            let old = from.stores.open(&source)?;
            let copying = Copying::new(&ledger, old.as_ref(), &from, store.as_ref(), &to);
            let (report, rows) = copying.run(None, progress).await?;
            drop(old);
            ledger.switch(&new, &rows)?;
            from.stores.remove(&source).await?;
            return Ok(report);
        }
        if to.collections.existing(to.name).is_ok_and(|folder| {
            let ledger = Ledger::read_only(&folder.join("ledger.sqlite"));
            !ledger.is_ok_and(|ledger| ledger.is_unfinished_copy())
        }) {
            let hint = format!("remove it first: `corbie collections rm {}`", to.name);
            return Err(exists(&to).hint(hint));
        }
        let new_folder = to.collections.create(to.name)?;
        let _new_lock = Lock::take(&new_folder.join("lock"), to.name, Duration::ZERO)?;
        let new_ledger = Ledger::open(&new_folder.join("ledger.sqlite"))?;
        if let Some(begun) = new_ledger.copying()? {
            to.stores
                .remove(&place(to.name, &new_folder, &begun))
                .await?;
            let sources: Vec<String> = new_ledger.rows()?.into_keys().collect();
            new_ledger.forget(&sources)?;
        }
        new_ledger.begin_copy(&new)?;
        let store = to.stores.open(&place(to.name, &new_folder, &new))?;
        let old = from.stores.open(&source)?;
        let copying = Copying::new(&ledger, old.as_ref(), &from, store.as_ref(), &to);
        let (report, _) = copying.run(Some(&new_ledger), progress).await?;
        new_ledger.end_copy(&new)?;
        Ok(report)
    }
}

fn made(ledger: &Ledger, from: &End<'_>) -> Result<Making> {
    match ledger.making()? {
        Some(making)
            if making
                .store
                .as_ref()
                .is_none_or(|s| *s == from.stores.name()) =>
        {
            Ok(making)
        }
        Some(making) => Err(elsewhere(from.name, &making, &from.stores.name())),
        None => Err(Error::new(
            ErrorKind::NotFound,
            format!("collection `{}`", from.name),
            "it was never filled",
        )),
    }
}

fn exists(to: &End<'_>) -> Error {
    let subject = format!("collection `{}`", to.name);
    Error::new(ErrorKind::BadInput, subject, "it is there already")
}

/// A copy under way.
struct Copying<'a> {
    ledger: &'a Ledger,
    old: &'a dyn VectorStore,
    old_name: &'a str,
    new: &'a dyn VectorStore,
    new_name: &'a str,
}

impl<'a> Copying<'a> {
    fn new(
        ledger: &'a Ledger,
        old: &'a dyn VectorStore,
        from: &End<'a>,
        new: &'a dyn VectorStore,
        to: &End<'a>,
    ) -> Self {
        Self {
            ledger,
            old,
            old_name: from.name,
            new,
            new_name: to.name,
        }
    }

    /// Copies every document, and records it in `ledger` if there is one.
    async fn run(
        &self,
        ledger: Option<&Ledger>,
        progress: &dyn Progress,
    ) -> Result<(CopyReport, HashMap<String, Row>)> {
        let rows = self.ledger.rows()?;
        progress.event(IngestEvent::Listed { files: rows.len() });
        let mut sources: Vec<&String> = rows.keys().collect();
        sources.sort_unstable();
        let mut report = CopyReport::default();
        let mut copied = HashMap::new();
        let mut records = Vec::new();
        for source in sources {
            let Some(document) = self.ledger.document(source)? else {
                continue;
            };
            let chunks = self.document(&document, &rows[source]).await?;
            report.documents += 1;
            report.points += chunks.len();
            let row = Row {
                chunks,
                ..rows[source].clone()
            };
            copied.insert(source.clone(), row.clone());
            if let Some(ledger) = ledger {
                records.push(Record { document, row });
                if records.len() >= RECORDED_TOGETHER {
                    ledger.record(&std::mem::take(&mut records))?;
                }
            }
            let outcome = Outcome::Added;
            progress.event(IngestEvent::Done { source, outcome });
        }
        if let Some(ledger) = ledger {
            ledger.record(&records)?;
        }
        Ok((report, copied))
    }

    /// Sends the points of one document, reads them back, and gives their ids.
    async fn document(&self, document: &Document, row: &Row) -> Result<Vec<Uuid>> {
        let old_id = ids::document(self.old_name, &document.source);
        let mut sent = points_of(self.old, &old_id).await?;
        sent.retain(|point| row.chunks.contains(&point.chunk.id));
        if sent.len() != row.chunks.len() {
            let lost = row.chunks.len() - sent.len();
            let cause = format!(
                "the store has lost {lost} of its {} points",
                row.chunks.len()
            );
            return Err(differs(document, &cause).hint(format!(
                "`corbie index verify --collection {} --repair` restores them",
                self.old_name
            )));
        }
        sent.sort_by_key(|point| point.chunk.start);
        let new_id = ids::document(self.new_name, &document.source);
        let mut ordinals: HashMap<String, usize> = HashMap::new();
        for point in &mut sent {
            let ordinal = ordinals.entry(point.chunk.text.clone()).or_default();
            point.chunk = Chunk {
                id: ids::chunk(&new_id, &point.chunk.text, *ordinal),
                document: new_id,
                ..point.chunk.clone()
            };
            *ordinal += 1;
        }
        for batch in sent.chunks(BATCH) {
            self.new.upsert(batch.to_vec()).await?;
        }
        let arrived = points_of(self.new, &new_id).await?;
        let mut arrived: HashMap<Uuid, Point> = arrived
            .into_iter()
            .map(|point| (point.chunk.id, point))
            .collect();
        for point in &sent {
            match arrived.remove(&point.chunk.id) {
                Some(other) if same(point, &other) => {}
                Some(_) => return Err(differs(document, "a point arrived altered")),
                None => return Err(differs(document, "a point did not arrive")),
            }
        }
        if !arrived.is_empty() {
            let strays = arrived.into_keys().collect();
            self.new.delete(Selection::Ids(strays)).await?;
        }
        Ok(sent.iter().map(|point| point.chunk.id).collect())
    }
}

fn differs(document: &Document, cause: &str) -> Error {
    let subject = format!("document `{}`", document.source);
    Error::new(ErrorKind::Mismatch, subject, cause)
}

fn same(sent: &Point, arrived: &Point) -> bool {
    let vectors = match (&sent.dense, &arrived.dense) {
        (None, None) => true,
        (Some(sent), Some(arrived)) => {
            sent.len() == arrived.len() && cosine(sent, arrived) >= SAME_VECTOR
        }
        _ => false,
    };
    let words = |point: &Point| point.sparse.clone().unwrap_or_default();
    vectors && sent.chunk == arrived.chunk && words(sent) == words(arrived)
}
