//! The ledger: what a collection holds, in SQLite.
//!
//! It is written after the store has acknowledged, never before: what it says is there, was.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use corbie_core::{
    Document, EmbedderInfo, Error, ErrorKind, Heading, Metadata, Page, Result, SparseEmbedderInfo,
    ids,
};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Marks the file as a ledger of Corbie ("CRBI").
const APPLICATION: i64 = 0x4352_4249;

/// The layout of the tables and facts. An older one is brought here when opened by an owner; a
/// newer one is refused.
///
/// | format | since then |
/// |---|---|
/// | 1 | documents, texts, chunks; what the collection is made of |
/// | 2 | an identity of the ledger's own, and where the points are |
const FORMAT: i64 = 2;

/// The names of facts.
const MAKING: &str = "making";
const COPYING: &str = "copying";

const TABLES: &str = "
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE documents (
        source TEXT PRIMARY KEY,
        root TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        recipe TEXT NOT NULL,
        text_hash TEXT NOT NULL REFERENCES texts (hash),
        structure TEXT NOT NULL
    ) STRICT;
    CREATE TABLE chunks (
        id BLOB PRIMARY KEY,
        source TEXT NOT NULL REFERENCES documents (source) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX chunks_of_source ON chunks (source);
    CREATE INDEX documents_of_text ON documents (text_hash);
";

/// The ledger of one collection. Calls are short and take turns.
#[derive(Debug)]
pub(crate) struct Ledger {
    connection: Mutex<Connection>,
    path: PathBuf,
}

/// What is known of one document without its text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// The root it was ingested from.
    pub root: String,
    /// The item's fingerprint when it was read.
    pub fingerprint: String,
    /// How it was cut and weighed.
    pub recipe: String,
    /// Its chunks.
    pub chunks: Vec<Uuid>,
}

/// A document to record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub document: Document,
    pub row: Row,
}

/// What a collection is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Making {
    /// The embedding model; `None`: keyword search only.
    pub embedder: Option<EmbedderInfo>,
    /// Which vectors are the current ones.
    pub generation: u64,
    /// The identity of this ledger.
    #[serde(default)]
    pub index: Uuid,
    /// The [name](super::Stores::name) of where the points are; `None`: it was made before others
    /// than the one in force were known.
    #[serde(default)]
    pub store: Option<String>,
    /// The model that weighs words; `None`: they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<SparseEmbedderInfo>,
}

/// What [`Document`] says beside source and text.
#[derive(Serialize, Deserialize)]
struct Structure {
    pages: Vec<Page>,
    headings: Vec<Heading>,
    metadata: Metadata,
}

impl Ledger {
    /// Opens the ledger at `path`, or makes an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path).map_err(|error| damaged(path, error))?;
        let ledger = Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
        };
        ledger.prepare()?;
        Ok(ledger)
    }

    /// Opens an existing ledger without the right to change it, beside its owner.
    pub(crate) fn read_only(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(|error| damaged(path, error))?;
        let ledger = Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
        };
        ledger.check_format()?;
        Ok(ledger)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // SQLite rolls back what a panic interrupted, so the connection stays good.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.connection()).map_err(|error| damaged(&self.path, error))
    }

    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.connection();
        let change = || {
            let transaction = connection.transaction()?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        change().map_err(|error| damaged(&self.path, error))
    }

    /// Nothing is written before the format is known to be ours.
    fn prepare(&self) -> Result<()> {
        let format = self.check_format()?;
        self.run(|connection| {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)
        })?;
        match format {
            None => self.change(|transaction| {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "application_id", APPLICATION)?;
                transaction.pragma_update(None, "user_version", FORMAT)
            }),
            Some(FORMAT) => Ok(()),
            Some(_) => self.upgrade(),
        }
    }

    /// From format 1: the ledger gets an identity.
    fn upgrade(&self) -> Result<()> {
        let making = self.making()?.map(|making| Making {
            index: Uuid::new_v4(),
            ..making
        });
        let making = making.as_ref().map(encode).transpose()?;
        self.change(|transaction| {
            if let Some(making) = &making {
                put_fact(transaction, MAKING, making)?;
            }
            transaction.pragma_update(None, "user_version", FORMAT)
        })
    }

    /// The format of our tables in the file; `None`: it is empty. Refuses everything else.
    fn check_format(&self) -> Result<Option<i64>> {
        let (application, format, tables) = self.run(|connection| {
            let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            Ok((
                number("PRAGMA application_id")?,
                number("PRAGMA user_version")?,
                number("SELECT count(*) FROM sqlite_schema")?,
            ))
        })?;
        let subject = self.path.display().to_string();
        match (application, format, tables) {
            (0, 0, 0) => Ok(None),
            (APPLICATION, 1..=FORMAT, _) => Ok(Some(format)),
            (APPLICATION, newer, _) => Err(Error::new(
                ErrorKind::Unsupported,
                subject,
                format!("it has format {newer}, but this version of Corbie knows format {FORMAT}"),
            )
            .hint("open it with the version of Corbie that wrote it, or a newer one")),
            _ => Err(Error::new(
                ErrorKind::Malformed,
                subject,
                "it is a database of another program",
            )
            .hint("move it away")),
        }
    }

    pub(crate) fn making(&self) -> Result<Option<Making>> {
        self.fact(MAKING)
    }

    pub(crate) fn set_making(&self, making: &Making) -> Result<()> {
        let value = encode(making)?;
        self.change(|transaction| put_fact(transaction, MAKING, &value))
    }

    /// What the copy is made of that is being made here, or was when it was interrupted.
    pub(crate) fn copying(&self) -> Result<Option<Making>> {
        self.fact(COPYING)
    }

    /// Whether a copy began here and never ended.
    pub(crate) fn is_unfinished_copy(&self) -> bool {
        matches!((self.making(), self.copying()), (Ok(None), Ok(Some(_))))
    }

    pub(crate) fn begin_copy(&self, making: &Making) -> Result<()> {
        let value = encode(making)?;
        self.change(|transaction| put_fact(transaction, COPYING, &value))
    }

    /// The copy is whole: from now on this is a collection.
    pub(crate) fn end_copy(&self, making: &Making) -> Result<()> {
        let value = encode(making)?;
        self.change(|transaction| {
            put_fact(transaction, MAKING, &value)?;
            let sql = "DELETE FROM facts WHERE name = ?1";
            transaction.execute(sql, [COPYING]).map(|_| ())
        })
    }

    fn fact<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let value: Option<String> = self.run(|connection| {
            let sql = "SELECT value FROM facts WHERE name = ?1";
            connection
                .query_row(sql, [name], |row| row.get(0))
                .optional()
        })?;
        value.map(|value| self.decode(&value)).transpose()
    }

    /// All documents by source.
    pub(crate) fn rows(&self) -> Result<HashMap<String, Row>> {
        self.run(|connection| {
            let mut rows = HashMap::new();
            let sql = "SELECT source, root, fingerprint, recipe FROM documents";
            let mut documents = connection.prepare(sql)?;
            let mut found = documents.query([])?;
            while let Some(row) = found.next()? {
                let document = Row {
                    root: row.get(1)?,
                    fingerprint: row.get(2)?,
                    recipe: row.get(3)?,
                    chunks: Vec::new(),
                };
                rows.insert(row.get::<_, String>(0)?, document);
            }
            let mut chunks = connection.prepare("SELECT source, id FROM chunks")?;
            let mut found = chunks.query([])?;
            while let Some(row) = found.next()? {
                let source: String = row.get(0)?;
                let id = Uuid::from_bytes(row.get(1)?);
                if let Some(document) = rows.get_mut(&source) {
                    document.chunks.push(id);
                }
            }
            Ok(rows)
        })
    }

    /// The document `source` as it was read.
    pub(crate) fn document(&self, source: &str) -> Result<Option<Document>> {
        let found: Option<(String, String)> = self.run(|connection| {
            let sql = "SELECT text, structure FROM documents
                JOIN texts ON texts.hash = documents.text_hash WHERE source = ?1";
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.query_row(sql, [source], columns).optional()
        })?;
        let Some((text, structure)) = found else {
            return Ok(None);
        };
        let structure: Structure = self.decode(&structure)?;
        Ok(Some(Document {
            source: source.to_owned(),
            text,
            pages: structure.pages,
            headings: structure.headings,
            metadata: structure.metadata,
        }))
    }

    /// Whether SQLite finds nothing wrong with the database.
    pub(crate) fn is_sound(&self) -> Result<bool> {
        let answer: String = self.run(|connection| {
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        })?;
        Ok(answer == "ok")
    }

    /// Whether `text` is the one that was recorded for `source`.
    pub(crate) fn is_text_sound(&self, source: &str, text: &str) -> Result<bool> {
        let hash = self.text_hash(source)?;
        Ok(hash.is_some_and(|hash| hash == ids::text_hash(text)))
    }

    /// The recorded hash of the text of `source`.
    pub(crate) fn text_hash(&self, source: &str) -> Result<Option<String>> {
        self.run(|connection| {
            let sql = "SELECT text_hash FROM documents WHERE source = ?1";
            let hash = connection.query_row(sql, [source], |row| row.get(0));
            hash.optional()
        })
    }

    /// The sources of documents in alphabetical order, at most `limit`, those behind `after`.
    pub(crate) fn sources(&self, after: &str, limit: usize) -> Result<Vec<String>> {
        self.run(|connection| {
            let sql = "SELECT source FROM documents WHERE source > ?1 ORDER BY source LIMIT ?2";
            let mut statement = connection.prepare(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(rusqlite::params![after, limit], |row| row.get(0))?;
            rows.collect()
        })
    }

    /// The numbers of documents and chunks.
    pub(crate) fn counts(&self) -> Result<(usize, usize)> {
        self.run(|connection| {
            let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            let documents = count("SELECT count(*) FROM documents")?;
            let chunks = count("SELECT count(*) FROM chunks")?;
            Ok((documents as usize, chunks as usize))
        })
    }

    /// Records documents in the place of what was known of their sources: all of them or none.
    pub(crate) fn record(&self, records: &[Record]) -> Result<()> {
        let records = encode_records(records)?;
        self.change(|transaction| {
            put_records(transaction, &records)?;
            remove_unused_texts(transaction)
        })
    }

    /// Forgets documents: all of them or none.
    pub(crate) fn forget(&self, sources: &[String]) -> Result<()> {
        self.change(|transaction| {
            let mut delete = transaction.prepare("DELETE FROM documents WHERE source = ?1")?;
            for source in sources {
                delete.execute([source])?;
            }
            remove_unused_texts(transaction)
        })
    }

    /// Changes, at once, what the collection is made of and which chunks its documents became.
    pub(crate) fn switch(&self, making: &Making, rows: &HashMap<String, Row>) -> Result<()> {
        let making = encode(making)?;
        self.change(|transaction| {
            transaction.execute("DELETE FROM chunks", [])?;
            let mut update =
                transaction.prepare("UPDATE documents SET recipe = ?2 WHERE source = ?1")?;
            let mut chunk = transaction.prepare("INSERT INTO chunks VALUES (?1, ?2)")?;
            for (source, row) in rows {
                update.execute([source, &row.recipe])?;
                for id in &row.chunks {
                    chunk.execute(params![id.as_bytes(), source])?;
                }
            }
            put_fact(transaction, MAKING, &making)
        })
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, value: &str) -> Result<T> {
        serde_json::from_str(value).map_err(|error| {
            Error::new(
                ErrorKind::Malformed,
                self.path.display().to_string(),
                &error,
            )
            .hint("the ledger is damaged: remove the collection and ingest again")
            .caused_by(error)
        })
    }
}

struct EncodedRecord<'a> {
    record: &'a Record,
    hash: String,
    structure: String,
}

fn encode_records<'a>(records: &'a [Record]) -> Result<Vec<EncodedRecord<'a>>> {
    let encoded = |record: &'a Record| {
        let document = &record.document;
        Ok(EncodedRecord {
            record,
            hash: ids::text_hash(&document.text),
            structure: encode(&Structure {
                pages: document.pages.clone(),
                headings: document.headings.clone(),
                metadata: document.metadata.clone(),
            })?,
        })
    };
    records.iter().map(encoded).collect()
}

fn encode(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::Internal, "a fact for the ledger", &error).caused_by(error)
    })
}

fn put_fact(transaction: &Transaction<'_>, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)";
    transaction.execute(sql, [name, value]).map(|_| ())
}

fn put_records(
    transaction: &Transaction<'_>,
    records: &[EncodedRecord<'_>],
) -> rusqlite::Result<()> {
    // A text that is there but was damaged is mended.
    let mut text = transaction.prepare(
        "INSERT INTO texts VALUES (?1, ?2)
        ON CONFLICT (hash) DO UPDATE SET text = excluded.text WHERE text <> excluded.text",
    )?;
    let mut remove = transaction.prepare("DELETE FROM documents WHERE source = ?1")?;
    let mut insert =
        transaction.prepare("INSERT INTO documents VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut chunk = transaction.prepare("INSERT INTO chunks VALUES (?1, ?2)")?;
    for EncodedRecord {
        record: Record { document, row },
        hash,
        structure,
    } in records
    {
        let source = &document.source;
        text.execute(params![hash, document.text])?;
        remove.execute([source])?;
        insert.execute(params![
            source,
            row.root,
            row.fingerprint,
            row.recipe,
            hash,
            structure
        ])?;
        for id in &row.chunks {
            chunk.execute(params![id.as_bytes(), source])?;
        }
    }
    Ok(())
}

fn remove_unused_texts(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = "DELETE FROM texts
        WHERE NOT EXISTS (SELECT 1 FROM documents WHERE documents.text_hash = texts.hash)";
    transaction.execute(sql, []).map(|_| ())
}

fn damaged(path: &Path, error: rusqlite::Error) -> Error {
    let subject = path.display().to_string();
    let (kind, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Malformed,
            "the ledger is damaged: remove the collection and ingest again",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Busy, "try again when the other program is done")
        }
        Some(ErrorCode::CannotOpen) => (ErrorKind::Io, "look at the folder's permissions"),
        Some(ErrorCode::DiskFull) => (ErrorKind::Io, "make room on the disk"),
        _ => (ErrorKind::Io, "look at the disk and the file's permissions"),
    };
    Error::new(kind, subject, &error)
        .hint(hint)
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn record(source: &str, text: &str) -> Record {
        let id = ids::document("birds", source);
        Record {
            document: Document::new(source, text),
            row: Row {
                root: "/birds".into(),
                fingerprint: "1".into(),
                recipe: "r".into(),
                chunks: vec![ids::chunk(&id, text, 0)],
            },
        }
    }

    #[test]
    fn what_is_recorded_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.making().unwrap(), None);
        let making = Making {
            embedder: None,
            generation: 3,
            index: Uuid::from_u128(7),
            store: Some("edge".into()),
            sparse: None,
        };
        ledger.set_making(&making).unwrap();
        let records = [record("a.md", "同一段"), record("b.md", "同一段")];
        ledger.record(&records).unwrap();
        drop(ledger);
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.making().unwrap(), Some(making));
        assert_eq!(ledger.counts().unwrap(), (2, 2));
        assert_eq!(ledger.rows().unwrap()["a.md"], records[0].row);
        ledger.forget(&["a.md".into()]).unwrap();
        assert_eq!(ledger.document("a.md").unwrap(), None);
        let kept = ledger.document("b.md").unwrap();
        assert_eq!(
            kept,
            Some(records[1].document.clone()),
            "a shared text stays"
        );
        ledger.record(&[record("b.md", "other")]).unwrap();
        let texts: i64 = ledger
            .run(|c| c.query_row("SELECT count(*) FROM texts", [], |row| row.get(0)))
            .unwrap();
        assert_eq!(texts, 1, "unused texts go");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::open(&path).unwrap();
        ledger.record(&[record("a.md", "text")]).unwrap();
        ledger
            .run(|c| c.pragma_update(None, "user_version", 99))
            .unwrap();
        drop(ledger);
        let before = std::fs::read(&path).unwrap();
        let error = Ledger::open(&path).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unsupported);
        assert!(error.cause().contains("99"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn other_files_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        drop(other);
        let error = Ledger::open(&path).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Malformed);
        std::fs::write(
            &path,
            b"not a database, but long enough to look at ".repeat(99),
        )
        .unwrap();
        let error = Ledger::open(&path).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{error}");
        assert!(std::fs::read(&path).unwrap().starts_with(b"not a database"));
    }
}
