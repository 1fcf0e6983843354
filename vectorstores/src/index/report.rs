//! What an ingest tells while it runs and when it is done.

use corbie_core::Skipped;
use serde::{Deserialize, Serialize};

/// What an ingest did. The numbers but `chunks` count files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IngestReport {
    /// How many the source listed, unreadable ones among them.
    pub files: usize,
    /// New ones.
    pub added: usize,
    /// Changed ones, and those cut anew because the splitter's options changed.
    pub updated: usize,
    /// Unchanged ones.
    pub skipped: usize,
    /// Vanished ones, no longer found.
    pub deleted: usize,
    /// Unchanged ones of which the store had lost something.
    pub restored: usize,
    /// How many chunks were written.
    pub chunks: usize,
    /// How many chunks nothing knew of, left by an interrupted ingest or put there behind the
    /// index's back, and were removed.
    #[serde(default)]
    pub strays: usize,
    /// Those that could not be read, with the reason; what was known of them before stays.
    pub failed: Vec<Skipped>,
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Added,
    /// It was changed.
    Updated,
    /// It was unchanged.
    Skipped,
    /// It had vanished.
    Deleted,
    /// It was unchanged, but the store had lost something of it.
    Restored,
    /// It could not be read.
    Failed,
}

/// A step of an ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestEvent<'a> {
    /// The source has been listed: this many files will be done.
    Listed {
        /// Their number.
        files: usize,
    },
    /// Chunks have been embedded.
    Embedded {
        /// How many since the last such event.
        chunks: usize,
    },
    /// A file is done; unless it failed, durably.
    Done {
        /// Its name.
        source: &'a str,
        /// What became of it.
        outcome: Outcome,
    },
}

/// Hears of an ingest's steps, for a progress bar or a log.
pub trait Progress: Send + Sync {
    /// Called for each step, on the ingesting task: be quick.
    fn event(&self, event: IngestEvent<'_>);
}

/// Nobody listens.
impl Progress for () {
    fn event(&self, _event: IngestEvent<'_>) {}
}

impl<F: Fn(IngestEvent<'_>) + Send + Sync> Progress for F {
    fn event(&self, event: IngestEvent<'_>) {
        self(event);
    }
}

impl IngestReport {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Added => self.added += 1,
            Outcome::Updated => self.updated += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Deleted => self.deleted += 1,
            Outcome::Restored => self.restored += 1,
            Outcome::Failed => {}
        }
    }
}
