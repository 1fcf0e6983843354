//! `corbie agent`: a goal in, what came of it out. `corbie runs resume` goes on with one.

mod person;
mod report;
mod tools;
mod trace;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::{
    ASK_PERSON, Agent, AgentOptions, CallStatus, Decision, Policy, Record, Run, RunState,
    SqliteJournal, Tools, fresh_run_id, history,
};
use corbie_core::{Error, ErrorKind};

use super::argument;
use crate::app::App;
use crate::args::{AgentArgs, Approve, Means, ResumeArgs, ToolName};

pub use report::{next_step, said};
pub use trace::short;

pub async fn run(app: &App, args: AgentArgs) -> Result<ExitCode> {
    let (means, decisions) = (args.means, args.decisions);
    if let Some(run) = args.resume {
        let args = ResumeArgs {
            run,
            means,
            decisions,
        };
        return resume(app, args).await;
    }
    let goal = argument(args.goal.as_deref().unwrap_or_default())?;
    let goal = goal.trim();
    if goal.is_empty() {
        let error = Error::new(ErrorKind::BadInput, "goal", "it is empty");
        return Err(error.hint("say what is to be reached").into());
    }
    let agent = agent(app, &means, Arc::new(journal(app)?), &[]).await?;
    let (id, watch) = (fresh_run_id(), |event| trace::show(app, event));
    let work = agent.start(&id, goal, &watch);
    let run = report::unless_interrupted(app, &id, &means, work).await?;
    settle(app, &agent, run, &means).await
}

/// `corbie runs resume`, and `corbie agent --resume`.
pub async fn resume(app: &App, args: ResumeArgs) -> Result<ExitCode> {
    let ResumeArgs {
        run: id,
        means,
        decisions,
    } = args;
    let journal = Arc::new(journal(app)?);
    // An unknown run is told before anything is indexed, started or loaded for it.
    let records = history(journal.as_ref(), &id).await?;
    let state = RunState::of(&records);
    let decisions = decisions.decide.into_iter();
    let decisions: Vec<Decision> = decisions.map(|it| about(it, &state)).collect();
    let agent = agent(app, &means, journal, &records).await?;
    check_tools(&id, &state, &decisions, &agent.tools)?;
    let watch = |event| trace::show(app, event);
    let work = agent.resume(&id, decisions, &watch);
    let run = report::unless_interrupted(app, &id, &means, work).await?;
    settle(app, &agent, run, &means).await
}

/// An agent with these means, for a run in which so much happened.
async fn agent(
    app: &App,
    means: &Means,
    journal: Arc<SqliteJournal>,
    so_far: &[Record],
) -> Result<Agent> {
    Ok(Agent {
        tools: tools::assemble(app, means, so_far).await?,
        journal: Some(journal),
        options: AgentOptions {
            instructions: means.instructions.clone(),
            budget: means.budget.unwrap_or_default(),
            policy: match means.approve {
                Approve::Ask => Policy::default(),
                Approve::ReadOnly => Policy::read_only(),
                Approve::All => Policy::unattended(),
            },
            // Unasked, only where somebody is there to answer.
            ask_person: means.tools.contains(&ToolName::AskPerson)
                || (means.tools.is_empty() && io::stdin().is_terminal()),
            ..AgentOptions::default()
        },
        ..Agent::new(app.chat_model().await?)
    })
}

/// Whoever sits at a terminal decides at once; then it is said how the run stopped.
async fn settle(app: &App, agent: &Agent, mut run: Run, means: &Means) -> Result<ExitCode> {
    let watch = |event| trace::show(app, event);
    while io::stdin().is_terminal() && !app.output.is_json() {
        // On another thread, so that this one hears an interruption.
        let outcome = run.outcome.clone();
        let asked = tokio::task::spawn_blocking(move || person::ask(&outcome));
        let asked = report::unless_interrupted(app, &run.id, means, asked).await??;
        let Some(decisions) = asked else { break };
        let id = run.id;
        let work = agent.resume(&id, decisions, &watch);
        run = report::unless_interrupted(app, &id, means, work).await?;
    }
    report::show(app, &run, means)
}

/// A decision with the call that it is about: ids are the model's, and may hold a colon.
fn about(decision: Decision, state: &RunState) -> Decision {
    let split = |call: String, more: String| {
        let whole = format!("{call}:{more}");
        let ids = state.calls().iter().map(|it| it.call.id.as_str());
        let rest = |id: &str| match whole.strip_prefix(id)? {
            "" => Some(String::new()),
            rest => rest.strip_prefix(':').map(str::to_owned),
        };
        let found = ids.filter_map(|id| Some((id.to_owned(), rest(id)?)));
        found.max_by_key(|(id, _)| id.len()).unwrap_or((call, more))
    };
    match decision {
        Decision::Reject { call, reason } => {
            let (call, reason) = split(call, reason);
            Decision::Reject { call, reason }
        }
        Decision::Answer { call, result } => {
            let (call, result) = split(call, result);
            Decision::Answer { call, result }
        }
        other => other,
    }
}

/// Refuses to go on without the tools of calls that are still to run: an approval would be spent
/// on telling the model that there is no such tool.
fn check_tools(id: &str, state: &RunState, decisions: &[Decision], tools: &Tools) -> Result<()> {
    let is_settled = |call: &str| {
        decisions.iter().any(|decision| {
            matches!(decision, Decision::Reject { .. } | Decision::Answer { .. })
                && decision.call() == Some(call)
        })
    };
    let calls = state.calls().iter();
    let mut open = calls
        .filter(|it| !matches!(it.status, CallStatus::Ended(_) | CallStatus::New))
        .map(|it| &it.call)
        .filter(|call| call.name != ASK_PERSON && !is_settled(&call.id));
    let is_there = |name: &str| tools.specs().any(|spec| spec.name == name);
    let Some(call) = open.find(|call| !is_there(&call.name)) else {
        return Ok(());
    };
    let cause = format!("its call `{}` needs the tool `{}`", call.id, call.name);
    let error = Error::new(ErrorKind::BadInput, format!("run `{id}`"), cause);
    Err(error
        .hint(format!(
            "give {} again, as when it began",
            tools::option_of(&call.name)
        ))
        .into())
}

/// The journal of this machine's runs.
pub fn journal(app: &App) -> Result<SqliteJournal> {
    let folder = Path::new(app.settings.get("data_dir"));
    std::fs::create_dir_all(folder)?;
    Ok(SqliteJournal::open(&folder.join("runs.db"))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_agents::RunEvent;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_is_about_the_call_that_is_there() {
        let call = |id: &str| json!({"id": id, "name": "f", "arguments": {}});
        let replied = json!({
            "kind": "replied",
            "message": {"role": "assistant", "content": "", "tool_calls": [call("f:0"), call("f"), call("甲")]},
            "finish": "tool_calls",
            "usage": {"prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 1},
        });
        let event: RunEvent = serde_json::from_value(replied).unwrap();
        let state = RunState::of(&[Record { event, millis: 0 }]);
        for (typed, call, reason) in [
            (("f", "0:no: never"), "f:0", "no: never"),
            (("f", "0"), "f:0", ""),
            (("f", "no"), "f", "no"),
            (("甲", "不行"), "甲", "不行"),
            (("g", "no"), "g", "no"),
        ] {
            let [typed_call, more] = [typed.0, typed.1].map(str::to_owned);
            let decision = Decision::Reject {
                call: typed_call,
                reason: more,
            };
            let [call, reason] = [call, reason].map(str::to_owned);
            assert_eq!(about(decision, &state), Decision::Reject { call, reason });
        }
    }
}
