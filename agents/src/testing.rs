//! Runs as a test of what they rest on, for those who write a journal of their own.
//!
//! Scripted models and tools, and the laws of single traits, are in `corbie_core::testing`.

// A test kit fails by panicking: that is how a test reports.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use corbie_core::testing::{DyingJournal, ScriptedChatModel, ScriptedTool, call, calls, says};
use corbie_core::{ChatRequest, Effects, Journal, Message, Role, Tool};
use serde_json::{Value, json};

use crate::{Agent, Decision, Inquiry, Outcome, Policy, Run, RunState, Tools};

const GOAL: &str = "Pay twice and post twice. 付两次，发两条。";

/// What happened, each with the key of its effect.
type Happened = Arc<Mutex<Vec<(String, Value)>>>;

/// The promise that a journal makes to runs: one that dies before or just behind any of its events
/// goes on where the journal ends, in another process, and no effect happens twice.
///
/// Each call of `open` gives the same journal, empty at first, opened anew; the one before is
/// dropped by then.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{SqliteJournal, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("runs.db");
/// testing::runs_survive(|| Arc::new(SqliteJournal::open(&path).unwrap())).await;
/// # }
/// ```
///
/// # Panics
///
/// With what became of the run, where it is not what becomes of one that nobody breaks off.
pub async fn runs_survive(mut open: impl FnMut() -> Arc<dyn Journal>) {
    let quiet = Happened::default();
    let counting = Arc::new(DyingJournal::new(open(), usize::MAX));
    let whole = begin("undisturbed", counting.clone(), &quiet)
        .await
        .unwrap();
    let whole = whole.answer().map(str::to_owned);
    assert!(whole.is_some(), "the run is done when nobody breaks it off");
    let quiet = without_run(&quiet, "undisturbed");
    let events = counting.written();
    drop(counting);

    let mut asked = 0;
    for (dies_at, after) in (0..events).flat_map(|at| [(at, false), (at, true)]) {
        let run = format!("died at {dies_at}, written: {after}");
        let happened = Happened::default();
        let dying = DyingJournal::new(open(), dies_at);
        let dying = if after { dying.after_writing() } else { dying };
        let died = begin(&run, Arc::new(dying), &happened).await;
        assert!(died.is_err(), "{run}: the journal's failure is the run's");

        let (outcome, questions) = go_on(&run, open(), &happened).await;
        asked += questions;
        let done =
            matches!(&outcome, Outcome::Done { answer, .. } if Some(answer) == whole.as_ref());
        assert!(done, "{run}: {outcome:?}");
        assert_eq!(
            without_run(&happened, &run),
            quiet,
            "{run}: each effect happens once"
        );
    }
    assert!(asked > 0, "an effect without a key was never in doubt");
}

/// What the model says next: it follows from how often it has spoken, so every life says the same.
fn next(request: &ChatRequest) -> Message {
    let spoken = request.messages.iter();
    match spoken.filter(|it| it.role == Role::Assistant).count() {
        0 => calls([
            ("weather", json!({"city": "北京"})),
            ("pay", json!({"what": 1})),
        ]),
        1 => call("post", json!({"what": "一"})),
        2 => calls([("pay", json!({"what": 2})), ("post", json!({"what": "二"}))]),
        _ => says("付了，也发了。"),
    }
}

/// `weather`, which reads; `pay`, an effect with a key; `post`, one without.
fn agent(journal: Arc<dyn Journal>, happened: &Happened) -> Agent {
    let weather = ScriptedTool::new("weather").answering(|_| Ok(json!("晴")));
    let effect = |name: &str, idempotent: bool| {
        let happened = Arc::clone(happened);
        let effects = Effects {
            idempotent,
            trusted: true,
            ..Effects::default()
        };
        let tool = ScriptedTool::new(name).with_effects(effects);
        tool.answering(move |run| {
            let mut all = happened.lock().unwrap();
            if !(idempotent && all.iter().any(|(key, _)| *key == run.key)) {
                all.push((run.key.clone(), run.arguments["what"].clone()));
            }
            Ok(json!("done"))
        })
    };
    let tools = [weather, effect("pay", true), effect("post", false)];
    let tools = tools.map(|tool| Arc::new(tool) as Arc<dyn Tool>);
    let model = ScriptedChatModel::answering(|_, request| next(request));
    let mut agent = Agent {
        tools: Tools::new(tools).unwrap(),
        journal: Some(journal),
        ..Agent::new(Arc::new(model))
    };
    agent.options.policy = Policy::unattended();
    agent
}

async fn begin(
    run: &str,
    journal: Arc<dyn Journal>,
    happened: &Happened,
) -> corbie_core::Result<Run> {
    agent(journal, happened).start(run, GOAL, &|_| ()).await
}

/// The next process takes a run up, and a person says of calls in doubt whether they happened: how
/// it ends, and how often somebody was asked.
async fn go_on(run: &str, journal: Arc<dyn Journal>, happened: &Happened) -> (Outcome, usize) {
    if journal.read(run, 0).await.unwrap().is_empty() {
        return (begin(run, journal, happened).await.unwrap().outcome, 0);
    }
    let agent = agent(journal, happened);
    let state = RunState::of(&agent.history(run).await.unwrap());
    if let Some(outcome) = state.outcome().filter(|it| it.is_final()) {
        return (outcome.clone(), 0);
    }
    let (mut asked, mut decisions) = (0, Vec::new());
    loop {
        let stopped = agent.resume(run, decisions, &|_| ()).await.unwrap().outcome;
        let Outcome::NeedsInput {
            question: Inquiry::Unfinished { call, key },
        } = &stopped
        else {
            return (stopped, asked);
        };
        asked += 1;
        let call = call.id.clone();
        let did = happened
            .lock()
            .unwrap()
            .iter()
            .any(|(known, _)| known == key);
        decisions = vec![match did {
            true => Decision::Answer {
                call,
                result: "done".into(),
            },
            false => Decision::Repeat { call },
        }];
    }
}

/// What happened, named by the effects' places in the run alone.
fn without_run(happened: &Happened, run: &str) -> Vec<(String, Value)> {
    let all = happened.lock().unwrap().clone();
    let place = |key: String| key.strip_prefix(run).unwrap_or(&key).to_owned();
    all.into_iter()
        .map(|(key, what)| (place(key), what))
        .collect()
}
