//! `corbie runs`: what happened in runs of agents, and going on with them.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::{Judgement, Outcome, RunEvent, RunState, SqliteJournal, fresh_run_id};
use serde_json::json;

use super::agent::{self, journal, next_step, said, short};
use crate::app::App;
use crate::args::RunsCommand;

/// `corbie runs`.
pub async fn run(app: &App, command: RunsCommand) -> Result<ExitCode> {
    let journal = Arc::new(journal(app)?);
    let agentless = Reader(journal.clone());
    match command {
        RunsCommand::List => {
            for id in journal.runs()? {
                let records = match agentless.records(&id).await {
                    Ok(records) => records,
                    Err(error) => {
                        // One that cannot be read does not hide the others.
                        app.output.note(&format!("left out: {error}"));
                        continue;
                    }
                };
                let state = RunState::of(&records);
                let outcome = outcome_name(state.outcome());
                match app.output.is_json() {
                    true => app.output.json(&json!({
                        "v": 1, "run": id, "goal": state.goal(), "outcome": outcome, "spent": state.spent(),
                    }))?,
                    false => app
                        .output
                        .line(&format!("{id}  {outcome:<15}  {}", short(state.goal())))?,
                }
            }
        }
        RunsCommand::Show { run } => {
            let state = RunState::of(&agentless.records(&run).await?);
            if app.output.is_json() {
                app.output.json(&json!({
                    "v": 1, "run": run, "goal": state.goal(), "outcome": state.outcome(),
                    "messages": state.messages(), "spent": state.spent(),
                }))?;
                return Ok(ExitCode::SUCCESS);
            }
            for message in state.messages() {
                let role = serde_json::to_value(message.role)?;
                let role = role.as_str().unwrap_or_default().to_owned();
                if !message.content.is_empty() {
                    app.output.line(&format!("{role}: {}", message.content))?;
                }
                for call in &message.tool_calls {
                    app.output
                        .line(&format!("{role}: → {}({})", call.name, call.arguments))?;
                }
            }
            let outcome = state.outcome();
            app.output
                .line(&format!("outcome: {}", outcome_name(outcome)))?;
            if let Some(outcome) = outcome.filter(|it| !matches!(it, Outcome::Done { .. })) {
                app.output.line(&said(outcome, &[]))?;
            }
            if let Some(next) = next_step(app, &run, None, outcome) {
                app.output.note(&next);
            }
        }
        RunsCommand::Fork { run, steps } => {
            let to = fresh_run_id();
            corbie_agents::fork(journal.as_ref(), &run, steps, &to).await?;
            match app.output.is_json() {
                true => app
                    .output
                    .json(&json!({"v": 1, "run": to, "from": run, "steps": steps}))?,
                false => app.output.line(&to)?,
            }
            if let Some(next) = next_step(app, &to, None, None) {
                app.output.note(&next);
            }
        }
        RunsCommand::Resume(args) => return agent::resume(app, *args).await,
        RunsCommand::Replay { run } => {
            let mut state = RunState::default();
            for (sequence, record) in agentless.records(&run).await?.into_iter().enumerate() {
                state.apply(&record);
                let event = serde_json::to_value(&record)?;
                match app.output.is_json() {
                    true => app.output.json(&json!({
                        "v": 1, "sequence": sequence, "event": event,
                        "messages": state.messages().len(), "spent": state.spent(),
                    }))?,
                    false => app.output.line(&format!(
                        "{sequence:>4}  {}",
                        short(&summary(&record.event))
                    ))?,
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads runs without a model.
struct Reader(Arc<SqliteJournal>);

impl Reader {
    async fn records(&self, id: &str) -> Result<Vec<corbie_agents::Record>> {
        Ok(corbie_agents::history(self.0.as_ref(), id).await?)
    }
}

fn outcome_name(outcome: Option<&Outcome>) -> String {
    let value = outcome.and_then(|outcome| serde_json::to_value(outcome).ok());
    let name = value.as_ref().and_then(|value| value["outcome"].as_str());
    name.unwrap_or("interrupted").to_owned()
}

fn summary(event: &RunEvent) -> String {
    match event {
        RunEvent::Started { goal, .. } => format!("started: {goal}"),
        RunEvent::Replied { message, .. } if message.tool_calls.is_empty() => {
            format!("the model: {}", message.content)
        }
        RunEvent::Replied { message, .. } => {
            let calls = message.tool_calls.iter();
            let calls: Vec<String> = calls
                .map(|call| format!("{}({})", call.name, call.arguments))
                .collect();
            format!("the model calls {}", calls.join(", "))
        }
        RunEvent::Judged { call, judgement } => match judgement {
            Judgement::Allowed => format!("{call} may run"),
            Judgement::Edited(arguments) => format!("{call} may run with {arguments}"),
            Judgement::Asked(why) => format!("{call} waits for a person: {why}"),
            Judgement::Refused(why) => format!("{call} is refused: {why}"),
        },
        RunEvent::Granted { rule } => format!("granted: {}", json!(rule)),
        RunEvent::Begun { call, key } => format!("{call} begins, its key is {key}"),
        RunEvent::Ended { call, result } => format!("{call} gives: {}", result.content),
        RunEvent::Forked { from, steps, .. } => format!("copied from run {from}, {steps} steps"),
        RunEvent::Amended { call, arguments } => format!("{call} gets the arguments {arguments}"),
        RunEvent::HandedOff { to } => format!("handed to {to}"),
        RunEvent::Summarised { messages, text, .. } => {
            format!("{messages} messages summarised: {text}")
        }
        RunEvent::Nudged { text } => format!("nudged: {text}"),
        RunEvent::Told { text } => format!("told: {text}"),
        RunEvent::Stopped { outcome } => format!("stopped: {}", outcome_name(Some(outcome))),
        RunEvent::Resumed => "resumed".to_owned(),
    }
}
