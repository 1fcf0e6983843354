//! Files of SQLite: each knows whose it is.

use std::path::Path;
use std::time::Duration;

use corbie_core::{Error, ErrorKind, Result};
use rusqlite::Connection;

/// A kind of file.
pub(crate) struct Kind {
    /// What it is called.
    pub name: &'static str,
    /// Marks the file as one of this kind.
    pub application: i64,
    /// The layout of the tables. A newer one is refused.
    pub format: i64,
    /// Makes the tables.
    pub tables: &'static str,
}

impl Kind {
    /// Opens the file at `path`, or makes one with empty tables. Nothing is written before the
    /// format is known to be ours.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) for a file that is none of this kind, or one of a newer
    /// version; [`Io`](ErrorKind::Io).
    pub fn open(&self, path: &Path) -> Result<Connection> {
        let connection = self.connect(path)?;
        let number = |pragma: &str| -> Result<i64> {
            let value = connection.pragma_query_value(None, pragma, |row| row.get(0));
            value.map_err(|error| self.failed(path, error))
        };
        let (application, format) = (number("application_id")?, number("user_version")?);
        let foreign =
            |cause: String| Err(Error::new(ErrorKind::Malformed, self.subject(path), cause));
        let objects: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|error| self.failed(path, error))?;
        let is_new = application == 0 && format == 0 && objects == 0;
        if !is_new && application != self.application {
            return foreign(format!("it is no {} of Corbie", self.name));
        }
        if format > self.format {
            return foreign("a newer version of Corbie wrote it".to_owned());
        }
        let setup = || -> rusqlite::Result<()> {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            if is_new {
                let script = format!(
                    "BEGIN IMMEDIATE; {} PRAGMA application_id = {}; PRAGMA user_version = {}; \
                     COMMIT;",
                    self.tables, self.application, self.format
                );
                connection.execute_batch(&script)?;
            }
            Ok(())
        };
        setup().map_err(|error| self.failed(path, error))?;
        Ok(connection)
    }

    /// One more connection to a file that is open.
    pub fn connect(&self, path: &Path) -> Result<Connection> {
        let connection = Connection::open(path).map_err(|error| self.failed(path, error))?;
        let wait = connection.busy_timeout(Duration::from_secs(5));
        wait.map_err(|error| self.failed(path, error))?;
        Ok(connection)
    }

    /// The file as an error names it.
    pub fn subject(&self, path: &Path) -> String {
        format!("{} {}", self.name, path.display())
    }

    /// An error of SQLite, by what can be done about it.
    pub fn failed(&self, path: &Path, error: rusqlite::Error) -> Error {
        let kind = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                ErrorKind::Malformed
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                ErrorKind::Busy
            }
            _ => ErrorKind::Io,
        };
        Error::new(kind, self.subject(path), &error).caused_by(error)
    }
}
