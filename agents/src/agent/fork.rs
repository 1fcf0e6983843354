//! Going another way from a step of a run.

use corbie_core::{Error, ErrorKind, Journal, Result};

use super::event::{JOURNAL_VERSION, Record, RunEvent};
use super::runner::history;
use super::state::{CallStatus, RunState};

/// Copies the beginning of a run, up to its `steps`th answer and what came of that answer's
/// calls, into the run `to`, which [`Agent::resume`](super::Agent::resume) goes on with. Effects
/// that happened stay happened: no call is run again.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) for an unknown run; [`BadInput`](ErrorKind::BadInput) for
/// one with fewer steps, or with a call that was begun there and not seen to end;
/// [`Mismatch`](ErrorKind::Mismatch) when there is a run `to`.
pub async fn fork(journal: &dyn Journal, id: &str, steps: usize, to: &str) -> Result<()> {
    let subject = || format!("run `{id}`");
    let records = history(journal, id).await?;
    let state = RunState::of(&records);
    if steps > state.answers() {
        let cause = format!("it has {} steps, not {steps}", state.answers());
        return Err(Error::new(ErrorKind::BadInput, subject(), cause)
            .hint(format!("`corbie runs replay {id}` shows them")));
    }
    let copied = beginning(&records, steps);
    let is_open = |it: &super::CallState| matches!(it.status, CallStatus::Begun { .. });
    if RunState::of(copied).calls().iter().any(is_open) {
        let cause = "a call was begun there and not seen to end";
        return Err(Error::new(ErrorKind::BadInput, subject(), cause)
            .hint("resume the run first, or fork it at an earlier step"));
    }
    let forked = RunEvent::Forked {
        version: JOURNAL_VERSION,
        from: id.to_owned(),
        steps,
        events: copied.len(),
    };
    let first = Record {
        event: forked,
        millis: 0,
    };
    for (sequence, record) in std::iter::once(&first).chain(copied).enumerate() {
        let event = serde_json::to_value(record)
            .map_err(|error| Error::new(ErrorKind::Internal, subject(), error))?;
        journal.append(to, sequence as u64, event).await?;
    }
    Ok(())
}

/// The records up to the answer behind the `steps`th, without stops at the end.
fn beginning(records: &[Record], steps: usize) -> &[Record] {
    let mut answers = 0;
    let end = records.iter().position(|record| {
        answers += usize::from(matches!(record.event, RunEvent::Replied { .. }));
        answers > steps
    });
    let mut copied = &records[..end.unwrap_or(records.len())];
    while let [rest @ .., last] = copied
        && matches!(last.event, RunEvent::Stopped { .. } | RunEvent::Resumed)
    {
        copied = rest;
    }
    copied
}
