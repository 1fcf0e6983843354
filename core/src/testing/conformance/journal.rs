use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{ErrorKind, Journal};

/// The laws of [`Journal`], on an empty one.
///
/// ```
/// use corbie_core::testing::{MemoryJournal, conformance};
///
/// futures::executor::block_on(conformance::journal(&MemoryJournal::default()));
/// ```
///
/// # Panics
///
/// With the law that is broken.
pub async fn journal(journal: &dyn Journal) {
    numbers(journal).await;
    race(journal).await;
    texts(journal).await;
}

/// The law of a [`Journal`] that outlives its process: one that is opened anew has everything that
/// was written before, and goes on behind it. Each call of `open` gives the same journal, opened
/// anew; the one before is dropped by then.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_core::Journal;
/// use corbie_core::testing::{MemoryJournal, conformance};
///
/// // One that lives in memory is the same value; one in a file is opened by its path.
/// let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
/// futures::executor::block_on(conformance::journal_reopened(|| journal.clone()));
/// ```
///
/// # Panics
///
/// With the law that is broken.
pub async fn journal_reopened(mut open: impl FnMut() -> Arc<dyn Journal>) {
    const LIVES: u64 = 3;
    for life in 0..LIVES {
        let journal = open();
        let kept = journal.read("reopened", 0).await.unwrap();
        let wanted: Vec<Value> = (0..life).map(event).collect();
        let found: Vec<Value> = kept.into_iter().map(|entry| entry.event).collect();
        assert_eq!(
            found, wanted,
            "what was written is there when it is opened again"
        );
        let written = journal.append("reopened", life, event(life)).await;
        assert_eq!(
            written.unwrap(),
            life,
            "the next number follows the last one"
        );
    }
    let journal = open();
    let late = journal.append("reopened", LIVES - 1, json!("late")).await;
    let late = late.unwrap_err();
    assert_eq!(
        late.kind(),
        &ErrorKind::Mismatch,
        "numbers that were taken stay taken"
    );
}

async fn numbers(journal: &dyn Journal) {
    assert!(
        journal.read("run", 0).await.unwrap().is_empty(),
        "an unknown run has no events"
    );
    for sequence in 0..3 {
        let written = journal
            .append("run", sequence, json!({ "n": sequence }))
            .await;
        assert_eq!(written.unwrap(), sequence, "sequence numbers have no gaps");
    }
    for wrong in [1, 4, u64::MAX] {
        let conflict = journal.append("run", wrong, json!("wrong")).await;
        assert_eq!(
            conflict.unwrap_err().kind(),
            &ErrorKind::Mismatch,
            "a writer with another number than the next is refused: {wrong}"
        );
    }
    journal.append("other", 0, json!("x")).await.unwrap();
    let events = journal.read("run", 1).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|entry| entry.sequence).collect();
    assert_eq!(
        numbers,
        [1, 2],
        "reading from 1 gives the events from 1 on, of this run alone"
    );
    assert_eq!(
        events[0].event,
        json!({ "n": 1 }),
        "events come back as written"
    );
    for behind in [3, 4, u64::MAX] {
        let none = journal.read("run", behind).await.unwrap();
        assert!(none.is_empty(), "there is nothing behind the end: {behind}");
    }
}

/// Writers who all believe that the next number is theirs.
async fn race(journal: &dyn Journal) {
    const WRITERS: usize = 8;
    for number in 0..3 {
        let appends = (0..WRITERS).map(|writer| journal.append("race", number, json!(writer)));
        let results = join_all(appends).await;
        let winners: Vec<usize> = (0..WRITERS).filter(|it| results[*it].is_ok()).collect();
        assert_eq!(
            winners.len(),
            1,
            "of several writers of event {number} one wins"
        );
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), &ErrorKind::Mismatch, "the others are refused");
        }
        let entries = journal.read("race", number).await.unwrap();
        assert_eq!(entries.len(), 1, "the refused events are not written");
        assert_eq!(entries[0].event, json!(winners[0]), "the winner's event is");
    }
}

/// Events and names of runs of every kind come back as they were.
async fn texts(journal: &dyn Journal) {
    for run in ["运行/一", "a 'quoted' \"run\"", "run%_", "RUN", "🐦\n"] {
        for sequence in 0..EVENTS {
            let written = journal.append(run, sequence, event(sequence)).await;
            assert_eq!(
                written.unwrap(),
                sequence,
                "run {run:?} has numbers of its own"
            );
        }
        let entries = journal.read(run, 0).await.unwrap();
        assert_eq!(entries.len() as u64, EVENTS, "run {run:?}");
        for entry in entries {
            let same = entry.event == event(entry.sequence);
            assert!(same, "event {} of run {run:?} is as it was", entry.sequence);
        }
    }
}

/// So many events differ in kind.
const EVENTS: u64 = 6;

fn event(number: u64) -> Value {
    match number % EVENTS {
        0 => json!({"kind": "started", "goal": "乌鸦把食物藏在哪里？"}),
        1 => json!({"text": "\u{0}\u{1f}\"\\\r\n\u{2028}\u{10ffff} 🐦‍⬛ é e\u{301}"}),
        2 => json!([
            null,
            true,
            i64::MIN,
            u64::MAX,
            0.1 + 0.2,
            1e300,
            [[[[]]]],
            {}
        ]),
        3 => json!("鸦 raven ".repeat(200_000)),
        4 => json!({"": {"键": {"the same": 1, "The same": 2}}}),
        _ => Value::Null,
    }
}
