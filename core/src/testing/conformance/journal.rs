use serde_json::json;

use crate::{ErrorKind, Journal};

/// The laws of [`Journal`], on an empty one.
///
/// # Panics
///
/// With the law that is broken.
pub async fn journal(journal: &dyn Journal) {
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
    let conflict = journal.append("run", 1, json!("late")).await.unwrap_err();
    assert_eq!(
        conflict.kind(),
        &ErrorKind::Mismatch,
        "a writer with an old number is refused"
    );
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
}
