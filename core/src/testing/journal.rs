use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::{BoxFuture, Error, ErrorKind, Journal, JournalEntry, Result};

/// A [`Journal`] that lives as long as the value.
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
            let entries = events.iter().zip(0..).skip(from as usize);
            Ok(entries
                .map(|(event, sequence)| JournalEntry {
                    sequence,
                    event: event.clone(),
                })
                .collect())
        })
    }
}
