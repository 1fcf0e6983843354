//! Going another way from a step of a run.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::{Agent, Decision, Outcome, Policy, fork};
use corbie_core::testing::MemoryJournal;
use corbie_core::{Message, Role};
use serde_json::json;

use crate::kit::{Ledger, agent, calls};

#[tokio::test]
async fn a_fork_goes_another_way_and_repeats_nothing() {
    let ledger = Ledger::default();
    let (mut first, _) = agent(
        vec![
            calls(&[("post", json!({"text": "one"}))]),
            calls(&[("post", json!({"text": "two"}))]),
            Message::assistant("both"),
        ],
        &ledger,
    );
    first.options.policy = Policy::unattended();
    first.start("r", "Post.", &|_| ()).await.unwrap();
    assert_eq!(ledger.len(), 2);
    let journal = first.journal.as_deref().unwrap();
    for (steps, answers, texts) in [(0, 1, 2), (1, 2, 2), (2, 3, 2), (3, 4, 2)] {
        let to = format!("fork{steps}");
        fork(journal, "r", steps, &to).await.unwrap();
        let (other, model) = agent(vec![Message::assistant("another end")], &ledger);
        let other = Agent {
            journal: first.journal.clone(),
            ..other
        };
        let more: Vec<Decision> = (steps == 3)
            .then(|| Decision::Say {
                text: "And?".into(),
            })
            .into_iter()
            .collect();
        let run = other.resume(&to, more, &|_| ()).await.unwrap();
        assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "another end"));
        assert_eq!(run.spent.steps, answers, "{steps}");
        assert_eq!(ledger.len(), texts);
        let results = model.requests()[0]
            .messages
            .iter()
            .filter(|it| it.role == Role::Tool)
            .count();
        assert_eq!(results, steps.min(2));
    }
    // The first run is as it was; names are taken once; steps that are not there are refused.
    assert!(fork(journal, "r", 4, "x").await.is_err());
    assert!(fork(journal, "r", 1, "fork0").await.is_err());
    assert!(fork(journal, "nobody", 0, "x").await.is_err());
}

#[tokio::test]
async fn a_half_copied_fork_is_no_run() {
    use corbie_core::Journal;
    let journal = Arc::new(MemoryJournal::default());
    let event = json!({"kind": "forked", "version": 1, "from": "r", "steps": 1, "events": 3});
    journal.append("half", 0, event).await.unwrap();
    let event = json!({"kind": "started", "version": 1, "goal": "g", "tainted": false});
    journal.append("half", 1, event).await.unwrap();
    let (agent, _) = agent(vec![Message::assistant("?")], &Ledger::default());
    let agent = Agent {
        journal: Some(journal),
        ..agent
    };
    let error = agent.resume("half", [], &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("broken off"), "{error}");
}
