//! Long-term memory: what agents still know the next time.
//!
//! A note belongs to a scope, which the application names: a person's, a project's. It has a date;
//! it may replace an older one, which is history from then on and not found any more; and it knows
//! whether text from outside was in the conversation that led to it. Such a note stays text from
//! outside for good: whoever recalls it is as careful as behind a web page. The others are the
//! application's own words, because a person approved each of them.

mod find;
mod store;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use corbie_core::{Clock, Embedder, Error, ErrorKind, Result, SystemClock};
use corbie_vectorstores::bm25::Bm25;
use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Serialize, Serializer};

use crate::text::is_hidden;

pub use tools::MemoryTools;

/// The longest note, in bytes.
const MAX_TEXT: usize = 4000;
/// The longest name of a scope, in bytes.
const MAX_SCOPE: usize = 200;

/// Notes that survive the process, in an SQLite file.
///
/// ```
/// use corbie_agents::{Memory, MemoryOptions, NewNote};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> corbie_core::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("memory.db");
/// let memory = Memory::open(&path, MemoryOptions::default())?;
/// let old = memory.remember(NewNote::new("user:ann", "Ann lives in Berlin.")).await?;
/// let moved = NewNote { replaces: Some(old.id), ..NewNote::new("user:ann", "安住在上海。") };
/// memory.remember(moved).await?;
/// let found = memory.recall("Where does Ann live? 安住在哪里？", &["user:ann"], 3).await?;
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].text, "安住在上海。");
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    path: PathBuf,
    connection: Mutex<Connection>,
    options: MemoryOptions,
    keywords: Bm25,
}

/// How notes are dated and found.
#[derive(Clone)]
pub struct MemoryOptions {
    /// Dates the notes.
    pub clock: Arc<dyn Clock>,
    /// Finds notes by what they mean, beside their words; `None`: by words alone.
    pub embedder: Option<Arc<dyn Embedder>>,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            embedder: None,
        }
    }
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Names it in this memory.
    pub id: i64,
    /// Whom or what it is about, as the application says.
    pub scope: String,
    /// When it was written.
    #[serde(rename = "date", serialize_with = "date")]
    pub written: SystemTime,
    /// Whether text from outside was in the conversation that led to it.
    pub outside: bool,
    /// What is known.
    pub text: String,
}

/// A note that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNote {
    /// Whom or what it is about.
    pub scope: String,
    /// What is known.
    pub text: String,
    /// The note of the same scope that it replaces.
    pub replaces: Option<i64>,
    /// Whether text from outside is in the conversation that leads to it.
    pub outside: bool,
    /// Names the effect: a note with a key that is known is not written again.
    pub key: Option<String>,
}

impl NewNote {
    /// A note of the application's own words.
    pub fn new(scope: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            scope: scope.into(),
            text: text.into(),
            replaces: None,
            outside: false,
            key: None,
        }
    }
}

impl Memory {
    /// Opens the memory at `path`, or makes an empty one.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) for a file that is no memory, or one of a newer
    /// version; [`Io`](ErrorKind::Io).
    pub fn open(path: &Path, options: MemoryOptions) -> Result<Self> {
        // Notes are short.
        let keywords = Bm25 {
            average_length: 20.0,
            ..Bm25::default()
        };
        let mut connection = store::FILE.open(path)?;
        let failed = |error| store::FILE.failed(path, error);
        connection
            .pragma_update(None, "secure_delete", true)
            .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
            .map_err(failed)?;
        store::follow_keywords(&mut connection, &keywords).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            options,
            keywords,
        })
    }

    /// Writes a note. One that says what another of its scope says already is that one.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a scope or a text that is empty or too long, and for a
    /// note to be replaced that is none of this scope, or replaced already; those of the file and
    /// of the embedder.
    pub async fn remember(&self, mut note: NewNote) -> Result<Note> {
        let scope = note.scope.trim();
        if scope.is_empty() || scope.len() > MAX_SCOPE || scope.contains(is_hidden) {
            let cause = format!("a scope has 1 to {MAX_SCOPE} bytes, all of them seen");
            return Err(Error::new(ErrorKind::BadInput, "scope", cause));
        }
        // What a person who approves it cannot see is not kept.
        note.text
            .retain(|c| !is_hidden(c) || matches!(c, '\n' | '\t'));
        let text = note.text.trim();
        if text.is_empty() || text.len() > MAX_TEXT {
            let cause = format!("a note has 1 to {MAX_TEXT} bytes");
            return Err(Error::new(ErrorKind::BadInput, "note", cause));
        }
        (note.scope, note.text) = (scope.to_owned(), text.to_owned());
        let now = millis(self.options.clock.now());
        let terms = self.keywords.document(&note.text);
        let written = self.with(|connection| store::insert(connection, &note, &terms, now))?;
        let Some(id) = written else {
            let id = note.replaces.unwrap_or_default();
            let cause = "there is no such note in this scope, or another replaced it";
            return Err(Error::new(ErrorKind::BadInput, format!("note {id}"), cause)
                .hint("recall the notes first"));
        };
        self.embed_missing(&[note.scope.as_str()]).await?;
        let kept = self.with(|connection| store::by_id(connection, id))?;
        kept.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("note {id}"),
                "it was just forgotten",
            )
        })
    }

    /// The notes of a scope that none replaced, newest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn notes(&self, scope: &str) -> Result<Vec<Note>> {
        self.with(|connection| store::live(connection, scope))
    }

    /// What the note replaced, newest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn history(&self, id: i64) -> Result<Vec<Note>> {
        self.with(|connection| store::history(connection, id))
    }

    /// Forgets a note and what it replaced; whether there was one.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn forget(&self, scope: &str, id: i64) -> Result<bool> {
        let query = "SELECT id FROM notes WHERE scope = ?1 AND id = ?2";
        Ok(self.forget_all(query, scope, id)? > 0)
    }

    /// Forgets everything about a scope; how many notes that were.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn forget_scope(&self, scope: &str) -> Result<usize> {
        self.forget_all("SELECT id FROM notes WHERE scope = ?1 AND ?2 = 0", scope, 0)
    }

    /// Forgets the notes of a scope that were written before a moment; how many.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn forget_before(&self, scope: &str, moment: SystemTime) -> Result<usize> {
        let query = "SELECT id FROM notes WHERE scope = ?1 AND written < ?2";
        self.forget_all(query, scope, millis(moment))
    }

    /// Forgets all but the newest notes of a scope; how many.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn keep_newest(&self, scope: &str, count: usize) -> Result<usize> {
        let query = "SELECT id FROM notes WHERE scope = ?1 AND replaced_by IS NULL
                     ORDER BY written DESC, id DESC LIMIT -1 OFFSET ?2";
        self.forget_all(query, scope, i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn forget_all(&self, query: &str, scope: &str, value: i64) -> Result<usize> {
        self.with(|connection| store::forget(connection, query, scope, value))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|error| store::FILE.failed(&self.path, error))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Milliseconds since the beginning of 1970.
fn millis(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The day in UTC.
fn date<S: Serializer>(time: &SystemTime, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let day = Timestamp::try_from(*time).map(|at| at.strftime("%Y-%m-%d").to_string());
    serializer.serialize_str(&day.unwrap_or_default())
}
