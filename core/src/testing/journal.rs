use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::{BoxFuture, Error, ErrorKind, Journal, JournalEntry, Result};

/// A [`Journal`] that lives as long as the value.
///
/// ```
/// use corbie_core::{Journal, testing::MemoryJournal};
/// use serde_json::json;
///
/// # futures::executor::block_on(async {
/// let journal = MemoryJournal::default();
/// journal.append("run", 0, json!({"kind": "started", "goal": "找乌鸦"})).await?;
/// assert_eq!(journal.read("run", 0).await?[0].event["goal"], "找乌鸦");
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct MemoryJournal {
    runs: Mutex<HashMap<String, Vec<Value>>>,
}

impl Journal for MemoryJournal {
    fn append<'a>(
        &'a self,
        run: &'a str,
        expected: u64,
        event: Value,
    ) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut runs = self.runs.lock().unwrap();
            let events = runs.entry(run.to_owned()).or_default();
            let next = events.len() as u64;
            if next != expected {
                return Err(Error::new(
                    ErrorKind::Mismatch,
                    format!("run `{run}`"),
                    format!("expected to write event {expected}, the next is {next}"),
                ));
            }
            events.push(event);
            Ok(next)
        })
    }

    fn read<'a>(&'a self, run: &'a str, from: u64) -> BoxFuture<'a, Result<Vec<JournalEntry>>> {
        Box::pin(async move {
            let runs = self.runs.lock().unwrap();
            let events = runs.get(run).map(Vec::as_slice).unwrap_or_default();
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let entries = events.iter().zip(0..).skip(from);
            Ok(entries
                .map(|(event, sequence)| JournalEntry {
                    sequence,
                    event: event.clone(),
                })
                .collect())
        })
    }
}

/// A journal whose process dies: it takes so many events and no more.
///
/// What another value reads from the journal behind it is what the next process finds there.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_core::Journal;
/// use corbie_core::testing::{DyingJournal, MemoryJournal};
/// use serde_json::json;
///
/// # futures::executor::block_on(async {
/// let kept = Arc::new(MemoryJournal::default());
/// let journal = DyingJournal::new(kept.clone(), 1);
/// journal.append("run", 0, json!("一")).await?;
/// assert!(journal.append("run", 1, json!("二")).await.is_err());
/// assert_eq!(kept.read("run", 0).await?.len(), 1);
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
pub struct DyingJournal {
    inner: Arc<dyn Journal>,
    left: AtomicUsize,
    written: AtomicUsize,
    /// Whether one more event is written, and nobody told.
    writes_last: AtomicBool,
}

impl DyingJournal {
    /// One that writes into `inner`, and dies before it writes the event behind these.
    pub fn new(inner: Arc<dyn Journal>, events: usize) -> Self {
        Self {
            inner,
            left: events.into(),
            written: 0.into(),
            writes_last: false.into(),
        }
    }

    /// The same, but that last event is written before it dies: nobody hears of it.
    #[must_use]
    pub fn after_writing(self) -> Self {
        self.writes_last.store(true, Ordering::Relaxed);
        self
    }

    /// How many events it has taken.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }
}

impl Journal for DyingJournal {
    fn append<'a>(
        &'a self,
        run: &'a str,
        expected: u64,
        event: Value,
    ) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let less = |left: usize| left.checked_sub(1);
            let alive = self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            if alive.is_ok() {
                self.written.fetch_add(1, Ordering::Relaxed);
                return self.inner.append(run, expected, event).await;
            }
            if self.writes_last.swap(false, Ordering::Relaxed) {
                self.inner.append(run, expected, event).await?;
            }
            Err(Error::new(ErrorKind::Io, "journal", "the process died"))
        })
    }

    fn read<'a>(&'a self, run: &'a str, from: u64) -> BoxFuture<'a, Result<Vec<JournalEntry>>> {
        self.inner.read(run, from)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::super::conformance;
    use super::*;

    #[test]
    fn the_memory_journal_keeps_the_laws() {
        block_on(conformance::journal(&MemoryJournal::default()));
        let kept = Arc::new(MemoryJournal::default());
        let open = || kept.clone() as Arc<dyn Journal>;
        block_on(conformance::journal_reopened(open));
    }
}
