//! What a planner was answered, so that starting it again asks nothing twice.

use std::collections::HashMap;
use std::sync::Arc;

use corbie_core::{BoxFuture, Error, ErrorKind, Journal, JournalEntry, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// The version of the format.
const VERSION: u32 = 1;

/// The answers that a planner's run was given, by the question's name.
pub(super) struct Log {
    journal: Arc<dyn Journal>,
    id: String,
    known: HashMap<String, Value>,
    /// The number of the next entry.
    sequence: Mutex<u64>,
}

impl Log {
    /// Begins the run `id` of a planner, or goes on with it.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](ErrorKind::Mismatch) when there is a run of this id with another goal, or of
    /// something else; those of the journal.
    pub async fn open(
        journal: Option<&Arc<dyn Journal>>,
        id: &str,
        planner: &str,
        goal: &str,
    ) -> Result<Self> {
        let journal = match journal {
            Some(journal) => Arc::clone(journal),
            None => Arc::new(Passing::default()),
        };
        let started = json!({
            "kind": "plan_started", "version": VERSION, "planner": planner, "goal": goal,
        });
        let entries = journal.read(id, 0).await?;
        if let Some(first) = entries.first()
            && first.event != started
        {
            let cause = "another run has this id, or this one had another goal";
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("run `{id}`"),
                cause,
            ));
        }
        if entries.is_empty() {
            journal.append(id, 0, started).await?;
        }
        let sequence = Mutex::new(entries.len().max(1) as u64);
        let mut known = HashMap::new();
        for mut entry in entries.into_iter().skip(1) {
            if let Some(key) = entry.event["key"].as_str().map(str::to_owned) {
                known.insert(key, entry.event["value"].take());
            }
        }
        Ok(Self {
            journal,
            id: id.to_owned(),
            known,
            sequence,
        })
    }

    /// Where everything of this run is kept.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What was answered under this name.
    pub fn known<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let read = |value: &Value| {
            T::deserialize(value).map_err(|error| {
                let cause = format!("what is kept as `{key}` is not understood: {error}");
                Error::new(ErrorKind::Malformed, format!("run `{}`", self.id), cause)
            })
        };
        self.known.get(key).map(read).transpose()
    }

    /// Keeps an answer.
    pub async fn keep(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let value = serde_json::to_value(value).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("run `{}`", self.id), error)
        })?;
        let event = json!({"kind": "plan_step", "key": key, "value": value});
        let mut sequence = self.sequence.lock().await;
        *sequence = self.journal.append(&self.id, *sequence, event).await? + 1;
        Ok(())
    }
}

/// A journal for as long as a run takes, where none is asked for.
#[derive(Default)]
struct Passing(Mutex<HashMap<String, Vec<Value>>>);

impl Journal for Passing {
    fn append<'a>(
        &'a self,
        run: &'a str,
        expected: u64,
        event: Value,
    ) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut runs = self.0.lock().await;
            let events = runs.entry(run.to_owned()).or_default();
            if events.len() as u64 != expected {
                let cause = "two writers go on with it";
                return Err(Error::new(
                    ErrorKind::Mismatch,
                    format!("run `{run}`"),
                    cause,
                ));
            }
            events.push(event);
            Ok(expected)
        })
    }

    fn read<'a>(&'a self, run: &'a str, from: u64) -> BoxFuture<'a, Result<Vec<JournalEntry>>> {
        Box::pin(async move {
            let runs = self.0.lock().await;
            let events = runs.get(run).map(Vec::as_slice).unwrap_or_default();
            let entry = |(event, sequence): (&Value, u64)| JournalEntry {
                sequence,
                event: event.clone(),
            };
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            Ok(events.iter().zip(0..).skip(from).map(entry).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_passing_journal_keeps_the_laws() {
        corbie_core::testing::conformance::journal(&Passing::default()).await;
    }
}
