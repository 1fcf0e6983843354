//! A journal in a file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use corbie_core::{BoxFuture, Error, ErrorKind, Journal, JournalEntry, Result};
use futures::channel::oneshot;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde_json::Value;

use crate::sqlite::Kind;

const FILE: Kind = Kind {
    name: "journal",
    // "CRBJ"
    application: 0x4352_424A,
    format: 1,
    tables: "
        CREATE TABLE events (
            run TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            event TEXT NOT NULL,
            PRIMARY KEY (run, sequence)
        ) STRICT, WITHOUT ROWID;
    ",
};

/// The most events that are written with one sync.
const MAX_GROUP: usize = 1024;
/// How long a group waits for the next event, while it is smaller than the one before.
const GATHER: Duration = Duration::from_micros(200);
/// Pages of the log after which they are moved into the tables (16 MiB).
const LOG_PAGES: u32 = 4096;

/// A [`Journal`] in an SQLite file. An event is durable when its append returns; events that
/// come together, of whatever runs, share one sync.
///
/// ```
/// use corbie_agents::SqliteJournal;
/// use corbie_core::Journal;
/// use serde_json::json;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("runs.db");
/// let journal = SqliteJournal::open(&path)?;
/// futures::executor::block_on(journal.append("run", 0, json!("started")))?;
/// drop(journal);
/// let journal = SqliteJournal::open(&path)?;
/// assert_eq!(futures::executor::block_on(journal.read("run", 0))?.len(), 1);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    /// For reading; the thread has its own for writing.
    reader: Mutex<Connection>,
    writer: Option<Sender<Append>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Append {
    run: String,
    expected: u64,
    event: String,
    done: oneshot::Sender<Result<u64>>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, or makes an empty one.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) for a file that is no journal, or one of a newer
    /// version; [`Io`](ErrorKind::Io).
    pub fn open(path: &Path) -> Result<Self> {
        let writing = FILE.open(path)?;
        writing
            .pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
            .map_err(|error| FILE.failed(path, error))?;
        let reader = Mutex::new(FILE.connect(path)?);
        let (writer, appends) = channel();
        let place = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("corbie-journal".into())
            .spawn(move || write(writing, &appends, &place))
            .map_err(|error| Error::io("thread of the journal", error))?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            writer: Some(writer),
            thread: Some(thread),
        })
    }

    /// The ids of all runs, in alphabetical order.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn runs(&self) -> Result<Vec<String>> {
        self.reading(|connection| {
            let query = "SELECT run FROM events WHERE sequence = 0 ORDER BY run";
            let mut statement = connection.prepare(query)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        })
    }

    fn reading<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        work(&reader).map_err(|error| FILE.failed(&self.path, error))
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            // What it was asked to write, it writes.
            drop(thread.join());
        }
    }
}

impl Journal for SqliteJournal {
    fn append<'a>(
        &'a self,
        run: &'a str,
        expected: u64,
        event: Value,
    ) -> BoxFuture<'a, Result<u64>> {
        let (done, written) = oneshot::channel();
        let append = Append {
            run: run.to_owned(),
            expected,
            event: event.to_string(),
            done,
        };
        let sent = self.writer.as_ref().map(|writer| writer.send(append));
        Box::pin(async move {
            let gone = || {
                let cause = "the thread that writes it ended";
                Error::new(ErrorKind::Internal, FILE.subject(&self.path), cause)
            };
            match sent {
                Some(Ok(())) => written.await.map_err(|_| gone())?,
                _ => Err(gone()),
            }
        })
    }

    fn read<'a>(&'a self, run: &'a str, from: u64) -> BoxFuture<'a, Result<Vec<JournalEntry>>> {
        Box::pin(async move {
            let rows: Vec<(i64, String)> = self.reading(|connection| {
                let query = "SELECT sequence, event FROM events WHERE run = ?1 AND sequence >= ?2 \
                             ORDER BY sequence";
                let mut statement = connection.prepare(query)?;
                let from = i64::try_from(from).unwrap_or(i64::MAX);
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
                let rows = statement.query_map(params![run, from], row)?;
                rows.collect()
            })?;
            let entry = |(sequence, event): (i64, String)| {
                let event = serde_json::from_str(&event).map_err(|error| {
                    let cause = format!("event {sequence} of run `{run}` is damaged: {error}");
                    Error::new(ErrorKind::Malformed, FILE.subject(&self.path), cause)
                })?;
                let sequence = u64::try_from(sequence).unwrap_or(0);
                Ok(JournalEntry { sequence, event })
            };
            rows.into_iter().map(entry).collect()
        })
    }
}

/// Writes what comes, in groups, until nobody can send any more.
fn write(mut connection: Connection, appends: &Receiver<Append>, path: &Path) {
    // Runs that wait for one sync come back together: without a moment's patience the first of
    // them would have a sync of its own, and the others another. A lone run never waits.
    let mut expected = 1;
    while let Ok(first) = appends.recv() {
        let mut group = vec![first];
        group.extend(appends.try_iter().take(MAX_GROUP - 1));
        while group.len() < expected
            && let Ok(next) = appends.recv_timeout(GATHER)
        {
            group.push(next);
            group.extend(appends.try_iter().take(MAX_GROUP - group.len()));
        }
        expected = group.len();
        let results = write_group(&mut connection, &group);
        match results {
            Ok(results) => {
                for (append, result) in group.into_iter().zip(results) {
                    // Nobody waits for it any more: it is written all the same.
                    drop(append.done.send(result));
                }
            }
            Err(error) => {
                let cause = error.to_string();
                for append in group {
                    let error = Error::new(ErrorKind::Io, FILE.subject(path), &cause);
                    drop(append.done.send(Err(error)));
                }
            }
        }
    }
}

/// Writes a group in one transaction; an event out of turn is refused without harm to the others.
fn write_group(
    connection: &mut Connection,
    group: &[Append],
) -> rusqlite::Result<Vec<Result<u64>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(group.len());
    {
        let mut last = transaction.prepare("SELECT max(sequence) FROM events WHERE run = ?1")?;
        let mut insert =
            transaction.prepare("INSERT INTO events (run, sequence, event) VALUES (?1, ?2, ?3)")?;
        for append in group {
            let known: Option<Option<i64>> =
                last.query_row([&append.run], |row| row.get(0)).optional()?;
            let next = known.flatten().map_or(0, |last| last + 1);
            if i64::try_from(append.expected) != Ok(next) {
                let cause = format!(
                    "expected to write event {}, the next is {next}",
                    append.expected
                );
                let error = Error::new(ErrorKind::Mismatch, format!("run `{}`", append.run), cause)
                    .hint("another process goes on with this run");
                results.push(Err(error));
                continue;
            }
            insert.execute(params![append.run, next, append.event])?;
            results.push(Ok(append.expected));
        }
    }
    transaction.commit()?;
    Ok(results)
}
