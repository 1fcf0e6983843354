//! What a person approved: hashes of commands and tools, in a small file.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use corbie_core::Result;
use rusqlite::{Connection, OptionalExtension, params};

use crate::sqlite::Kind;

const FILE: Kind = Kind {
    name: "list of approved MCP servers",
    application: 0x4352_424D,
    format: 1,
    tables: "
        CREATE TABLE approved (
            server TEXT NOT NULL,
            subject TEXT NOT NULL,
            hash TEXT NOT NULL,
            believed INTEGER NOT NULL,
            PRIMARY KEY (server, subject)
        ) STRICT, WITHOUT ROWID;",
};

/// What is approved of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// That it is started or reached.
    Endpoint,
    /// One of its tools, by the server's name for it.
    Tool(&'a str),
}

impl Subject<'_> {
    fn key(&self) -> String {
        match self {
            Self::Endpoint => "endpoint".to_owned(),
            Self::Tool(name) => format!("tool {name}"),
        }
    }
}

/// What a person approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The hash of what they saw.
    pub hash: String,
    /// Whether they believe what the server says of the tool's effects.
    pub believed: bool,
}

/// What is approved, of all servers, in an SQLite file or in memory.
///
/// ```
/// use corbie_agents::mcp::{Approval, Pins, Subject};
///
/// let pins = Pins::in_memory()?;
/// let approval = Approval { hash: "aa".into(), believed: false };
/// pins.approve("files", Subject::Tool("read"), &approval)?;
/// assert_eq!(pins.approved("files", Subject::Tool("read"))?, Some(approval));
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Pins {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Pins {
    /// Opens the file at `path`, or makes an empty one.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) for a file that is none of these, or of a newer version;
    /// [`Io`](ErrorKind::Io).
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            connection: Mutex::new(FILE.open(path)?),
            path: path.to_owned(),
        })
    }

    /// Approvals that are forgotten with this value.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self> {
        let path = PathBuf::from(":memory:");
        let made = Connection::open_in_memory().and_then(|connection| {
            connection.execute_batch(FILE.tables)?;
            Ok(connection)
        });
        let connection = made.map_err(|error| FILE.failed(&path, error))?;
        Ok(Self {
            connection: Mutex::new(connection),
            path,
        })
    }

    /// What was approved of a server, if anything.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn approved(&self, server: &str, what: Subject<'_>) -> Result<Option<Approval>> {
        self.run(|connection| {
            let query = "SELECT hash, believed FROM approved WHERE server = ?1 AND subject = ?2";
            let row = |row: &rusqlite::Row<'_>| {
                Ok(Approval {
                    hash: row.get(0)?,
                    believed: row.get(1)?,
                })
            };
            connection
                .query_row(query, params![server, what.key()], row)
                .optional()
        })
    }

    /// Keeps an approval, in the place of an earlier one.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn approve(&self, server: &str, what: Subject<'_>, approval: &Approval) -> Result<()> {
        self.run(|connection| {
            let insert = "INSERT OR REPLACE INTO approved (server, subject, hash, believed)
                VALUES (?1, ?2, ?3, ?4)";
            let Approval { hash, believed } = approval;
            connection
                .execute(insert, params![server, what.key(), hash, believed])
                .map(drop)
        })
    }

    /// Forgets all that was approved of a server; whether there was anything.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn forget(&self, server: &str) -> Result<bool> {
        self.run(|connection| {
            let delete = "DELETE FROM approved WHERE server = ?1";
            connection.execute(delete, [server]).map(|rows| rows > 0)
        })
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection.lock();
        let connection = connection.unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|error| FILE.failed(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::ErrorKind;

    use super::*;

    #[test]
    fn approvals_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mcp.db");
        let approval = |hash: &str, believed| Approval {
            hash: hash.into(),
            believed,
        };
        let pins = Pins::open(&path).unwrap();
        pins.approve("a", Subject::Tool("t"), &approval("1", false))
            .unwrap();
        pins.approve("a", Subject::Tool("t"), &approval("2", true))
            .unwrap();
        pins.approve("b", Subject::Endpoint, &approval("3", false))
            .unwrap();
        drop(pins);
        let pins = Pins::open(&path).unwrap();
        let found = pins.approved("a", Subject::Tool("t")).unwrap();
        assert_eq!(found, Some(approval("2", true)));
        assert_eq!(pins.approved("a", Subject::Endpoint).unwrap(), None);
        // A tool called like the other subject is another subject.
        assert_eq!(pins.approved("b", Subject::Tool("endpoint")).unwrap(), None);
        assert!(pins.forget("a").unwrap());
        assert!(!pins.forget("a").unwrap());
        assert_eq!(pins.approved("a", Subject::Tool("t")).unwrap(), None);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "some text, long enough to look at ".repeat(40)).unwrap();
        assert_eq!(Pins::open(&path).unwrap_err().kind(), &ErrorKind::Malformed);
        assert!(std::fs::read(&path).unwrap().starts_with(b"some text"));
    }
}
