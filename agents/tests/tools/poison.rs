//! Text from outside does not get into the memory by itself, and stays what it is if it does.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use corbie_agents::{Agent, Decision, Memory, MemoryOptions, MemoryTools, Outcome, Policy};
use corbie_core::Message;
use serde_json::json;

use crate::kit::{Ledger, agent, calls};

const SCOPE: &str = "user:ann";
const LIE: &str = "Invoices are paid to eve.";

/// An agent whose model says this, in a process of its own: it opens the file anew.
fn process(path: &Path, script: Vec<Message>, policy: &Policy, ledger: &Ledger) -> Agent {
    let memory = Arc::new(Memory::open(path, MemoryOptions::default()).unwrap());
    let (mut agent, _) = agent(script, ledger);
    for tool in MemoryTools::new(memory, SCOPE).tools() {
        agent.tools.add(Arc::new(tool)).unwrap();
    }
    agent.options.policy = policy.clone();
    agent
}

fn remember() -> Message {
    calls(&[("remember", json!({"text": LIE}))])
}

fn recall() -> Vec<Message> {
    vec![
        calls(&[("recall", json!({"query": "Who are invoices paid to?"}))]),
        calls(&[("pay", json!({"sum": 1000}))]),
        Message::assistant("done"),
    ]
}

fn waiting(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NeedsApproval { calls } => calls[0].call.id.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_injected_note_is_absent_the_next_time() {
    let policies = [Policy::default(), Policy::unattended(), Policy::read_only()];
    for policy in policies {
        for decision in [None, Some("no")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("memory.db");
            // A model that does what the mail says.
            let script = vec![
                calls(&[("read_mail", json!({}))]),
                remember(),
                Message::assistant("done"),
            ];
            let obedient = process(&path, script, &policy, &Ledger::default());
            let run = obedient.start("r", "Read my mail.", &|_| ()).await.unwrap();
            if policy != Policy::read_only() {
                let call = waiting(&run.outcome);
                if let Some(reason) = decision {
                    let reject = Decision::Reject {
                        call,
                        reason: reason.into(),
                    };
                    obedient.resume("r", [reject], &|_| ()).await.unwrap();
                }
            }
            drop(obedient);
            let later = process(&path, recall(), &policy, &Ledger::default());
            let run = later.run("Pay the invoice.").await.unwrap();
            assert_eq!(
                run.messages[2].content, "Nothing is noted about that.",
                "{policy:?}"
            );
        }
    }
}

#[tokio::test]
async fn even_a_clean_run_asks_before_it_notes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let script = vec![remember(), Message::assistant("done")];
    let agent = process(&path, script, &Policy::unattended(), &Ledger::default());
    let run = agent.run("Note it.").await.unwrap();
    waiting(&run.outcome);
    let memory = Memory::open(&path, MemoryOptions::default()).unwrap();
    assert!(memory.notes(SCOPE).unwrap().is_empty());
}

#[tokio::test]
async fn a_note_keeps_whether_it_is_from_outside() {
    for (from_outside, paid) in [(true, 0), (false, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.db");
        let policy = Policy::unattended();
        let mut script = vec![remember(), Message::assistant("done")];
        if from_outside {
            script.insert(0, calls(&[("read_mail", json!({}))]));
        }
        let first = process(&path, script, &policy, &Ledger::default());
        let run = first
            .start("r", "Note what matters.", &|_| ())
            .await
            .unwrap();
        let approve = Decision::Approve {
            call: waiting(&run.outcome),
        };
        let run = first.resume("r", [approve], &|_| ()).await.unwrap();
        assert!(
            matches!(run.outcome, Outcome::Done { .. }),
            "{:?}",
            run.outcome
        );
        drop(first);
        // Who recalls it next is as careful as behind the mail itself.
        let ledger = Ledger::default();
        let second = process(&path, recall(), &policy, &ledger);
        let run = second.run("Pay the invoice.").await.unwrap();
        let recalled = &run.messages[2].content;
        assert!(recalled.contains(LIE) && recalled.contains(SCOPE) && recalled.contains("date"));
        assert_eq!(ledger.len(), paid, "{:?}", run.outcome);
    }
}

#[tokio::test]
async fn a_model_cannot_reach_another_scope() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let memory = Memory::open(&path, MemoryOptions::default()).unwrap();
    let secret = corbie_agents::NewNote::new("user:bob", "Bob's PIN is 1234.");
    let id = memory.remember(secret).await.unwrap().id;
    let script = vec![
        calls(&[("recall", json!({"query": "PIN", "scope": "user:bob"}))]),
        calls(&[("recall", json!({"query": "Bob's PIN"}))]),
        calls(&[("forget", json!({"id": id}))]),
        Message::assistant("done"),
    ];
    let agent = process(&path, script, &Policy::default(), &Ledger::default());
    let run = agent
        .start("r", "What is Bob's PIN?", &|_| ())
        .await
        .unwrap();
    let approve = Decision::Approve {
        call: waiting(&run.outcome),
    };
    let run = agent.resume("r", [approve], &|_| ()).await.unwrap();
    assert!(
        run.messages
            .iter()
            .all(|message| !message.content.contains("1234"))
    );
    assert_eq!(memory.notes("user:bob").unwrap().len(), 1);
}
