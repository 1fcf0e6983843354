//! A goal pursued alone.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use corbie_agents::{Agent, Budget, Outcome, Prices, RunState, SqliteJournal, history};
use corbie_core::{Message, Role};
use serde_json::json;

use crate::kit::{READ, agent, call, tool};

fn budget() -> Budget {
    Budget {
        steps: Some(10),
        tokens: Some(10_000),
        time: Some(Duration::from_secs(600)),
        cost: Some(1.0),
        prices: Prices {
            read: 1.0,
            cached: 0.1,
            written: 2.0,
        },
    }
}

fn searching(script: Vec<Message>) -> Agent {
    let search = tool("search", READ, |query| Ok(format!("nothing about {query}")));
    let (mut agent, _) = agent(script, vec![search]);
    agent.options.budget = budget();
    agent
}

#[tokio::test]
async fn a_goal_completes_within_its_budgets_and_its_transcript_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut agent = searching(vec![
        call("search", json!({"text": "ravens"})),
        call("search", json!({"text": "乌鸦"})),
        Message::assistant("Nothing is known."),
    ]);
    agent.journal = Some(Arc::new(SqliteJournal::open(&path).unwrap()));
    let run = agent
        .start("auto", "Find out about ravens", &|_| ())
        .await
        .unwrap();
    assert!(
        matches!(run.outcome, Outcome::Done { .. }),
        "{:?}",
        run.outcome
    );
    assert_eq!(run.spent.reaches(&budget()), None);
    drop(agent);

    // Transcript and cost are there for another process.
    let journal = SqliteJournal::open(&path).unwrap();
    let state = RunState::of(&history(&journal, "auto").await.unwrap());
    assert_eq!(state.messages(), run.messages);
    let cost = state.spent().cost(&budget().prices);
    assert!(cost > 0.0 && cost == run.spent.cost(&budget().prices));
}

#[tokio::test]
async fn the_same_call_three_times_is_stuck_after_one_nudge() {
    let again = call("search", json!({"text": "ravens"}));
    let run = searching(vec![again; 10])
        .run("Find out about ravens")
        .await
        .unwrap();
    assert!(
        matches!(run.outcome, Outcome::Stuck { .. }),
        "{:?}",
        run.outcome
    );
    assert_eq!(run.spent.calls, 3);
    let nudge =
        |message: &&Message| message.role == Role::User && message.content.starts_with("Note");
    assert_eq!(run.messages.iter().filter(nudge).count(), 1);
}
