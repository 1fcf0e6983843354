//! Planners that die at any event, and go on.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use corbie_agents::plan::{DagPlanner, Kind, PlanRun, Planner, TaskQueue, Worker};
use corbie_agents::{Agent, FunctionTool, Outcome, Policy, Tools};
use corbie_core::testing::{DyingJournal, MemoryJournal, ScriptedChatModel, call, says};
use corbie_core::{
    BoxFuture, ChatModel, ChatRequest, Effects, ErrorKind, Invocation, Journal, Message, Result,
    Role, Tool,
};
use serde_json::{Value, json};

use crate::kit::one;

const GOAL: &str = "Note a and note b";

/// Answers by what it is asked, so that it says the same in every life.
fn steady() -> Arc<dyn ChatModel> {
    let model = ScriptedChatModel::answering(|_, request| answer(request));
    Arc::new(model.with_context_length(100_000))
}

fn answer(request: &ChatRequest) -> Message {
    let text = |role| {
        let mut found = request.messages.iter().filter(|it| it.role == role);
        found.next_back().map_or("", |it| it.content.as_str())
    };
    let (system, user) = (text(Role::System), text(Role::User));
    let noted = request.messages.iter().any(|it| it.role == Role::Tool);
    if system.starts_with("Write a plan") {
        says(r#"{"steps": ["note a", "note b"]}"#)
    } else if system.starts_with("Split") {
        let tasks = json!({"tasks": [
            {"id": "t1", "kind": "note", "arguments": {"text": "a"}},
            {"id": "t2", "kind": "note", "arguments": {"text": "b"}},
        ]});
        says(tasks.to_string())
    } else if system.starts_with("Judge") {
        let reached = user.contains("- note b: noted");
        says(json!({"reached": reached, "answer": "noted a, noted b"}).to_string())
    } else if system.starts_with("Name new tasks") {
        says(r#"{"tasks": ["note b"]}"#)
    } else if system.starts_with("Answer the goal") || noted {
        says("noted")
    } else {
        let is_b = user.contains("task: note b");
        call("note", json!({"text": if is_b { "b" } else { "a" }}))
    }
}

type Noted = Arc<Mutex<Vec<(String, Value)>>>;

/// An effect with a key: a service that hears a key again does nothing.
fn note(effects: &Noted) -> Arc<dyn Tool> {
    let effects = Arc::clone(effects);
    let note = FunctionTool::new("note", "Notes", one("text"), move |run: Invocation| {
        let effects = Arc::clone(&effects);
        async move {
            let mut effects = effects.lock().unwrap();
            if !effects.iter().any(|(key, _)| *key == run.key) {
                effects.push((run.key.clone(), run.arguments["text"].clone()));
            }
            Ok("noted".into())
        }
    });
    Arc::new(note.with_effects(Effects {
        idempotent: true,
        trusted: true,
        ..Effects::default()
    }))
}

fn agent(journal: &Arc<dyn Journal>, effects: &Noted) -> Agent {
    let mut agent = Agent::new(steady());
    agent.tools = Tools::new([note(effects)]).unwrap();
    agent.options.policy = Policy::unattended();
    agent.journal = Some(Arc::clone(journal));
    agent
}

type Start = for<'a> fn(&'a Arc<dyn Journal>, &'a Noted) -> BoxFuture<'a, Result<PlanRun>>;

const PLANNERS: [(&str, Start); 3] = [
    ("steps", |journal, effects| {
        Box::pin(async move {
            let planner = Planner::new(steady(), agent(journal, effects));
            planner.start("r", GOAL, &|_| ()).await
        })
    }),
    ("dag", |journal, effects| {
        Box::pin(async move {
            let mut worker = Worker::tool(note(effects), &["note"]).unwrap();
            worker.agent.options.policy = Policy::unattended();
            let kinds = vec![Kind::new("note", "Notes", one("text"))];
            let mut planner = DagPlanner::new(steady(), kinds, vec![worker]);
            planner.journal = Some(Arc::clone(journal));
            planner.start("r", GOAL, &|_| ()).await
        })
    }),
    ("queue", |journal, effects| {
        Box::pin(async move {
            let queue = TaskQueue::new(steady(), agent(journal, effects));
            queue.start("r", GOAL, &|_| ()).await
        })
    }),
];

#[tokio::test]
async fn whatever_it_dies_at_it_goes_on() {
    for (name, start) in PLANNERS {
        let quiet = Noted::default();
        let counting = Arc::new(DyingJournal::new(
            Arc::new(MemoryJournal::default()),
            usize::MAX,
        ));
        let journal: Arc<dyn Journal> = counting.clone();
        let whole = start(&journal, &quiet).await.unwrap();
        assert!(
            matches!(whole.outcome, Outcome::Done { .. }),
            "{name}: {whole:?}"
        );
        assert_eq!(quiet.lock().unwrap().len(), 2, "{name}");
        let events = counting.written();

        for (dies_at, after) in (0..events).flat_map(|at| [(at, false), (at, true)]) {
            let name = format!("{name} died at {dies_at}, written: {after}");
            let effects = Noted::default();
            let inner = Arc::new(MemoryJournal::default());
            let dying = DyingJournal::new(inner.clone(), dies_at);
            let dying = if after { dying.after_writing() } else { dying };
            let dying: Arc<dyn Journal> = Arc::new(dying);
            assert!(start(&dying, &effects).await.is_err(), "{name}");
            let living: Arc<dyn Journal> = inner;
            let run = start(&living, &effects).await.unwrap();
            assert_eq!(run.outcome, whole.outcome, "{name}");
            assert_eq!(run.steps, whole.steps, "{name}");
            assert_eq!(
                run.spent.steps, whole.spent.steps,
                "{name}: nothing is asked twice"
            );
            let mut happened = effects.lock().unwrap().clone();
            happened.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(happened, *quiet.lock().unwrap(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_run_of_another_goal_is_refused() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let planner = Planner::new(steady(), agent(&journal, &Noted::default()));
    planner.start("r", GOAL, &|_| ()).await.unwrap();
    let error = planner.start("r", "Another", &|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    // Nor is it mistaken for the run of an agent.
    let error = planner.agent.start("r", GOAL, &|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
}
