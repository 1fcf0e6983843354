//! A run that dies at any event goes on, and no effect happens twice.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::SqliteJournal;
use corbie_agents::testing::runs_survive;
use corbie_core::testing::MemoryJournal;

#[tokio::test]
async fn effects_happen_once_wherever_it_dies() {
    let kept = Arc::new(MemoryJournal::default());
    runs_survive(|| kept.clone()).await;
}

#[tokio::test]
async fn effects_happen_once_wherever_it_dies_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    runs_survive(|| Arc::new(SqliteJournal::open(&path).unwrap())).await;
}
