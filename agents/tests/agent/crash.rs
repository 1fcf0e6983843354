//! A run that dies at any event goes on, and no effect happens twice.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corbie_agents::{Agent, Decision, Inquiry, Outcome, Policy};
use corbie_core::testing::{MemoryJournal, ScriptedChatModel};
use corbie_core::{BoxFuture, Error, ErrorKind, Journal, JournalEntry, Message, Result};
use serde_json::{Value, json};

use crate::kit::{Ledger, calls, tools};

/// A journal that dies before, or just after, it has written so many events.
struct Dying {
    inner: Arc<MemoryJournal>,
    left: AtomicUsize,
    after: bool,
}

impl Journal for Dying {
    fn append<'a>(
        &'a self,
        run: &'a str,
        expected: u64,
        event: Value,
    ) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let dead = || Error::new(ErrorKind::Io, "journal", "the process died");
            let left = self.left.load(Ordering::Relaxed);
            if left == 0 {
                if self.after {
                    self.inner.append(run, expected, event).await?;
                }
                return Err(dead());
            }
            self.left.store(left - 1, Ordering::Relaxed);
            self.inner.append(run, expected, event).await
        })
    }

    fn read<'a>(&'a self, run: &'a str, from: u64) -> BoxFuture<'a, Result<Vec<JournalEntry>>> {
        self.inner.read(run, from)
    }
}

fn script() -> Vec<Message> {
    vec![
        calls(&[
            ("weather", json!({"city": "北京"})),
            ("pay", json!({"sum": 1})),
        ]),
        calls(&[("post", json!({"text": "一"}))]),
        calls(&[("pay", json!({"sum": 2})), ("post", json!({"text": "二"}))]),
        Message::assistant("done"),
    ]
}

/// An agent that has heard the first so many answers already.
fn agent(heard: usize, journal: Arc<dyn Journal>, ledger: &Ledger) -> Agent {
    let model = ScriptedChatModel::new(script().into_iter().skip(heard));
    let mut agent = Agent {
        tools: tools(ledger),
        journal: Some(journal),
        ..Agent::new(Arc::new(model))
    };
    agent.options.policy = Policy::unattended();
    agent
}

#[tokio::test]
async fn effects_happen_once_wherever_it_dies() {
    let quiet = Ledger::default();
    let journal = Arc::new(MemoryJournal::default());
    agent(0, journal.clone(), &quiet)
        .start("r", "Work.", &|_| ())
        .await
        .unwrap();
    let events = journal.read("r", 0).await.unwrap().len();
    assert_eq!(quiet.len(), 4);

    let mut asked = 0;
    for (dies_at, after) in (0..events).flat_map(|at| [(at, false), (at, true)]) {
        let name = format!("died at {dies_at}, written: {after}");
        let ledger = Ledger::default();
        let inner = Arc::new(MemoryJournal::default());
        let dying = Dying {
            inner: inner.clone(),
            left: dies_at.into(),
            after,
        };
        let died = agent(0, Arc::new(dying), &ledger)
            .start("r", "Work.", &|_| ())
            .await;
        assert!(died.is_err(), "{name}");

        let mut ended = None;
        // Each life hears what the journal has not.
        for _ in 0..4 {
            let entries = inner.read("r", 0).await.unwrap();
            let heard = entries
                .iter()
                .filter(|it| it.event["kind"] == "replied")
                .count();
            let agent = agent(heard, inner.clone(), &ledger);
            if entries.is_empty() {
                agent.start("r", "Work.", &|_| ()).await.unwrap();
                continue;
            }
            let run = match agent.resume("r", [], &|_| ()).await {
                Ok(run) => run,
                // It had ended.
                Err(_) => break,
            };
            let Outcome::NeedsInput {
                question: Inquiry::Unfinished { call, key },
            } = &run.outcome
            else {
                ended = Some(run.outcome);
                break;
            };
            // A person looks whether it happened, and says so.
            asked += 1;
            let happened = ledger.entries().iter().any(|(known, _)| known == key);
            let call = call.id.clone();
            let decision = match happened {
                true => Decision::Answer {
                    call,
                    result: "posted".into(),
                },
                false => Decision::Repeat { call },
            };
            let run = agent.resume("r", [decision], &|_| ()).await.unwrap();
            ended = Some(run.outcome);
        }
        if let Some(outcome) = ended {
            assert!(
                matches!(outcome, Outcome::Done { .. }),
                "{name}: {outcome:?}"
            );
        }
        assert_eq!(ledger.entries(), quiet.entries(), "{name}");
    }
    assert!(asked > 0, "an effect without a key was never in doubt");
}
