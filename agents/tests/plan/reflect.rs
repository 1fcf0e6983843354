//! Reflection.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::Outcome;
use corbie_agents::plan::Reflection;
use corbie_core::Message;

use crate::kit::{agent, says};

#[tokio::test]
async fn faults_are_mended() {
    let critic = says(&[
        r#"{"ok": false, "issues": ["没有写明气温"]}"#,
        r#"{"ok": true, "issues": []}"#,
    ]);
    let drafts = ["北京晴。", "北京晴，3度。"].map(Message::assistant);
    let (agent, works) = agent(drafts.to_vec(), Vec::new());
    let run = Reflection::new(agent, critic)
        .run("写一句北京天气")
        .await
        .unwrap();
    assert_eq!((run.answer.as_str(), run.steps.len()), ("北京晴，3度。", 2));
    let told = &works.requests()[1].messages[0].content;
    assert!(
        told.contains("北京晴。") && told.contains("没有写明气温"),
        "{told}"
    );
}

#[tokio::test]
async fn the_best_draft_is_kept() {
    let critic = says(&[
        r#"{"ok": false, "issues": ["a"]}"#,
        r#"{"ok": false, "issues": ["a", "b"]}"#,
        r#"{"ok": false, "issues": ["a"]}"#,
    ]);
    let drafts = ["one", "two", "three"].map(Message::assistant);
    let (agent, _) = agent(drafts.to_vec(), Vec::new());
    let run = Reflection::new(agent, critic).run("Count.").await.unwrap();
    assert_eq!(run.answer, "one", "the earlier of two that are as good");
    assert!(matches!(run.outcome, Outcome::Done { .. }));
    assert_eq!(run.steps.len(), 3, "it is bounded");
}

#[tokio::test]
async fn a_program_finds_fault_too_and_stubbornness_ends_it() {
    let (agent, works) = agent(vec![Message::assistant("long"); 9], Vec::new());
    let mut reflection = Reflection::new(agent, says(&[]));
    reflection.check = Some(Arc::new(|text| {
        let wrong = text.len() > 3;
        wrong.then(|| "too long".to_owned()).into_iter().collect()
    }));
    let run = reflection.run("Be brief.").await.unwrap();
    assert_eq!(run.answer, "long");
    assert_eq!(works.requests().len(), 2, "the same draft again ends it");
}
