//! The record of an agent's run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxFuture, Result};

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Position in the run, from 0, without gaps.
    pub sequence: u64,
    /// What happened.
    pub event: Value,
}

/// Keeps the events of runs, in order, durably.
pub trait Journal: Send + Sync {
    /// Appends an event to `run` and returns its sequence number once it is durable. `expected`
    /// is the number the caller believes it will get: two writers of one run cannot interleave.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](crate::ErrorKind::Mismatch) when another writer was first.
    fn append<'a>(
        &'a self,
        run: &'a str,
        expected: u64,
        event: Value,
    ) -> BoxFuture<'a, Result<u64>>;

    /// The events of `run` from `from` on, in order. An unknown run has none.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    fn read<'a>(&'a self, run: &'a str, from: u64) -> BoxFuture<'a, Result<Vec<JournalEntry>>>;
}
