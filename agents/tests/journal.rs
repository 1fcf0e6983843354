//! The journal in a file: the laws of every journal, and what a file adds.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::SqliteJournal;
use corbie_core::testing::conformance;
use corbie_core::{ErrorKind, Journal};
use serde_json::json;

#[tokio::test]
async fn it_keeps_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("runs.db")).unwrap();
    conformance::journal(&journal).await;
    let runs = journal.runs().unwrap();
    assert!(
        runs.is_sorted() && runs.contains(&"运行/一".to_owned()),
        "{runs:?}"
    );
}

#[tokio::test]
async fn it_keeps_them_when_it_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let open = || Arc::new(SqliteJournal::open(&path).unwrap()) as Arc<dyn Journal>;
    conformance::journal_reopened(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_processes_that_write_one_event_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let open = || SqliteJournal::open(&path).unwrap();
    let journals: Vec<Arc<SqliteJournal>> = (0..4).map(|_| Arc::new(open())).collect();
    for number in 0..25 {
        let writers = journals
            .iter()
            .cloned()
            .enumerate()
            .map(|(writer, journal)| {
                tokio::spawn(async move { journal.append("run", number, json!(writer)).await })
            });
        let mut winners = Vec::new();
        for (writer, written) in writers.collect::<Vec<_>>().into_iter().enumerate() {
            match written.await.unwrap() {
                Ok(_) => winners.push(writer),
                Err(error) => assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}"),
            }
        }
        let entries = journals[0].read("run", number).await.unwrap();
        assert_eq!((winners.len(), entries.len()), (1, 1));
        assert_eq!(entries[0].event, json!(winners[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_write_together_and_find_it_all_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    let writers = (0..40).map(|run| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            for n in 0..25 {
                let event = json!({"run": run, "n": n});
                journal
                    .append(&format!("run {run}"), n, event)
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    drop(journal);
    let journal = SqliteJournal::open(&path).unwrap();
    assert_eq!(journal.runs().unwrap().len(), 40);
    for run in 0..40 {
        let entries = journal.read(&format!("run {run}"), 0).await.unwrap();
        let right = (0..25).all(|n| entries[n].event == json!({"run": run, "n": n}));
        assert!(entries.len() == 25 && right, "run {run}");
    }
}

#[tokio::test]
async fn two_processes_cannot_write_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (one, two) = (
        SqliteJournal::open(&path).unwrap(),
        SqliteJournal::open(&path).unwrap(),
    );
    one.append("run", 0, json!(0)).await.unwrap();
    let late = two.append("run", 0, json!(0)).await.unwrap_err();
    assert_eq!(late.kind(), &ErrorKind::Mismatch);
    two.append("run", 1, json!(1)).await.unwrap();
    assert_eq!(one.read("run", 0).await.unwrap().len(), 2);
}

#[test]
fn what_is_no_journal_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, and longer than a header of SQLite is. ".repeat(40),
    )
    .unwrap();
    let other = folder.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(connection);
    for path in [text, other] {
        let before = std::fs::read(&path).unwrap();
        let error = SqliteJournal::open(&path).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
