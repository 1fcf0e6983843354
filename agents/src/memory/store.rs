//! The tables of notes.

use corbie_core::SparseVector;
use corbie_vectorstores::bm25::Bm25;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{NewNote, Note, time};
use crate::sqlite::Kind;

pub(super) const FILE: Kind = Kind {
    name: "memory",
    // "CRBM"
    application: 0x4352_424D,
    format: 1,
    // Terms and vectors are of notes that none replaced: what is replaced cannot be found.
    tables: "
        CREATE TABLE notes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT UNIQUE,
            scope TEXT NOT NULL,
            text TEXT NOT NULL,
            written INTEGER NOT NULL,
            outside INTEGER NOT NULL,
            replaced_by INTEGER REFERENCES notes (id) ON DELETE SET NULL
        ) STRICT;
        CREATE INDEX notes_by_scope ON notes (scope, written);
        CREATE INDEX notes_by_successor ON notes (replaced_by);
        CREATE TABLE terms (
            term INTEGER NOT NULL,
            note INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
            weight REAL NOT NULL,
            PRIMARY KEY (term, note)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX terms_by_note ON terms (note);
        CREATE TABLE vectors (
            note INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
            model TEXT NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (note, model)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    ",
};

const COLUMNS: &str = "id, scope, written, outside, text";

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        scope: row.get(1)?,
        written: time(row.get(2)?),
        outside: row.get(3)?,
        text: row.get(4)?,
    })
}

/// Writes a note and gives its id; `None`: what it replaces is not there.
pub(super) fn insert(
    connection: &mut Connection,
    new: &NewNote,
    terms: &SparseVector,
    now: i64,
) -> rusqlite::Result<Option<i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = transaction
        .query_row(
            "SELECT id FROM notes WHERE key = ?1
             UNION ALL SELECT id FROM notes
             WHERE scope = ?2 AND text = ?3 AND replaced_by IS NULL AND id IS NOT ?4",
            params![new.key, new.scope, new.text, new.replaces],
            |row| row.get(0),
        )
        .optional()?;
    if known.is_some() {
        return Ok(known);
    }
    transaction.execute(
        "INSERT INTO notes (key, scope, text, written, outside) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![new.key, new.scope, new.text, now, new.outside],
    )?;
    let id = transaction.last_insert_rowid();
    if let Some(old) = new.replaces {
        let replaced = transaction.execute(
            "UPDATE notes SET replaced_by = ?1
             WHERE id = ?2 AND scope = ?3 AND replaced_by IS NULL AND id <> ?1",
            params![id, old, new.scope],
        )?;
        if replaced == 0 {
            return Ok(None);
        }
        transaction.execute("DELETE FROM terms WHERE note = ?1", [old])?;
        transaction.execute("DELETE FROM vectors WHERE note = ?1", [old])?;
    }
    insert_terms(&transaction, id, terms)?;
    transaction.commit()?;
    Ok(Some(id))
}

fn insert_terms(
    transaction: &Transaction<'_>,
    id: i64,
    terms: &SparseVector,
) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare("INSERT INTO terms (term, note, weight) VALUES (?1, ?2, ?3)")?;
    for (term, weight) in terms.indices.iter().zip(&terms.values) {
        insert.execute(params![term, id, f64::from(*weight)])?;
    }
    Ok(())
}

/// Cuts the terms of all notes anew where they were cut in another way than they are now.
pub(super) fn follow_keywords(connection: &mut Connection, bm25: &Bm25) -> rusqlite::Result<()> {
    let identity = bm25.identity();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known: Option<String> = transaction
        .query_row(
            "SELECT value FROM facts WHERE name = 'keywords'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if known.as_ref() == Some(&identity) {
        return Ok(());
    }
    transaction.execute("DELETE FROM terms", [])?;
    let texts: Vec<(i64, String)> = transaction
        .prepare("SELECT id, text FROM notes WHERE replaced_by IS NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, text) in texts {
        insert_terms(&transaction, id, &bm25.document(&text))?;
    }
    transaction.execute(
        "INSERT OR REPLACE INTO facts (name, value) VALUES ('keywords', ?1)",
        [identity],
    )?;
    transaction.commit()
}

pub(super) fn by_id(connection: &Connection, id: i64) -> rusqlite::Result<Option<Note>> {
    let query = format!("SELECT {COLUMNS} FROM notes WHERE id = ?1");
    connection.query_row(&query, [id], note).optional()
}

pub(super) fn live(connection: &Connection, scope: &str) -> rusqlite::Result<Vec<Note>> {
    let query = format!(
        "SELECT {COLUMNS} FROM notes WHERE scope = ?1 AND replaced_by IS NULL
         ORDER BY written DESC, id DESC"
    );
    connection
        .prepare(&query)?
        .query_map([scope], note)?
        .collect()
}

pub(super) fn history(connection: &Connection, id: i64) -> rusqlite::Result<Vec<Note>> {
    let query = format!(
        "WITH RECURSIVE older (older_id) AS (
            SELECT id FROM notes WHERE replaced_by = ?1
            UNION SELECT notes.id FROM notes JOIN older ON notes.replaced_by = older_id
         ) SELECT {COLUMNS} FROM notes JOIN older ON id = older_id ORDER BY id DESC"
    );
    connection.prepare(&query)?.query_map([id], note)?.collect()
}

/// Deletes the notes that a query selects, by a scope and a number, with all that they replaced.
pub(super) fn forget(
    connection: &mut Connection,
    query: &str,
    scope: &str,
    value: i64,
) -> rusqlite::Result<usize> {
    let delete = format!(
        "WITH RECURSIVE gone (gone_id) AS (
            SELECT id FROM ({query})
            UNION SELECT notes.id FROM notes JOIN gone ON notes.replaced_by = gone_id
         ) DELETE FROM notes WHERE id IN (SELECT gone_id FROM gone)"
    );
    let count = connection.execute(&delete, params![scope, value])?;
    // What is forgotten is not in the log either. Where another process reads just now, it goes
    // with the next checkpoint.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(count)
}
