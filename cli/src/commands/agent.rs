//! `corbie agent`: a goal in, what came of it out. `corbie runs`: what happened.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::{
    Agent, AgentEvent, AgentOptions, Decision, Inquiry, Outcome, Policy, Run, RunEvent, RunState,
    SqliteJournal, Tools, tools,
};
use corbie_core::{Error, ErrorKind, Journal, Tool};
use serde_json::json;

use super::{argument, ingest};
use crate::app::App;
use crate::args::{AgentArgs, Approve, Place, RunsCommand, ToolName};
use crate::output::printable;

/// Passages of one search.
const PASSAGES: usize = 4;

pub async fn run(app: &App, args: AgentArgs) -> Result<ExitCode> {
    let journal: Arc<dyn Journal> = Arc::new(journal(app)?);
    let wants = |tool| args.tools.is_empty() || args.tools.contains(&tool);
    let mut all = Tools::default();
    if wants(ToolName::Calculator) {
        all.add(Arc::new(tools::calculator()))?;
    }
    let has_documents = args.docs.is_some() || args.collection.is_some();
    if args.tools.contains(&ToolName::Search) && !has_documents {
        let cause = "there are no documents to search";
        return Err(Error::new(ErrorKind::BadInput, "--tools search", cause)
            .hint("name them with --docs PATH or --collection NAME")
            .into());
    }
    if has_documents && wants(ToolName::Search) {
        let place = Place {
            docs: args.docs,
            collection: args.collection,
        };
        let index = ingest::place(app, &place).await?;
        let retriever = app.retriever(&index, app.search_mode(None)?);
        let search: Arc<dyn Tool> = Arc::new(tools::search(
            "search",
            "the documents",
            retriever,
            PASSAGES,
        ));
        all.add(search)?;
    }
    let agent = Agent {
        tools: all,
        journal: Some(journal),
        options: AgentOptions {
            instructions: args.instructions,
            budget: args.budget.unwrap_or_default(),
            policy: match args.approve {
                Approve::Ask => Policy::default(),
                Approve::ReadOnly => Policy::read_only(),
                Approve::All => Policy::unattended(),
            },
            // Unasked, only where somebody is there to answer.
            ask_person: args.tools.contains(&ToolName::AskPerson)
                || (args.tools.is_empty() && io::stdin().is_terminal()),
            ..AgentOptions::default()
        },
        ..Agent::new(app.chat_model().await?)
    };
    let watch = |event| trace(app, event);
    let mut run = match (&args.resume, &args.goal) {
        (Some(id), _) => agent.resume(id, args.decide, &watch).await?,
        (None, goal) => {
            let goal = argument(goal.as_deref().unwrap_or_default())?;
            agent
                .start(&corbie_agents::fresh_run_id(), &goal, &watch)
                .await?
        }
    };
    // Whoever sits at a terminal decides at once.
    while io::stdin().is_terminal() && !app.output.is_json() {
        let Some(decisions) = ask(&run.outcome)? else {
            break;
        };
        run = agent.resume(&run.id, decisions, &watch).await?;
    }
    report(app, &run)
}

fn journal(app: &App) -> Result<SqliteJournal> {
    let folder = Path::new(app.settings.get("data_dir"));
    std::fs::create_dir_all(folder)?;
    Ok(SqliteJournal::open(&folder.join("runs.db"))?)
}

/// Shows on standard error what happens.
fn trace(app: &App, event: AgentEvent) {
    let short = |text: &str| {
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shown: String = line.chars().take(200).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        shown
    };
    match event {
        AgentEvent::Call(call) => {
            app.output.note(&format!(
                "→ {}({})",
                call.name,
                short(&call.arguments.to_string())
            ));
        }
        AgentEvent::Progress { text, .. } => app.output.note(&format!("  … {}", short(&text))),
        AgentEvent::Result { result, .. } => {
            let mark = if result.failed { "✗" } else { "←" };
            app.output
                .note(&format!("{mark} {}", short(&result.content)));
        }
        AgentEvent::Nudged(text) => app.output.note(&format!("! {}", short(&text))),
        AgentEvent::Text(_)
        | AgentEvent::Reasoning(_)
        | AgentEvent::Begun(_)
        | AgentEvent::Stopped(_) => {}
    }
}

/// What the person at the terminal decides; `None`: nothing is asked, or they leave it.
fn ask(outcome: &Outcome) -> Result<Option<Vec<Decision>>> {
    let mut decisions = Vec::new();
    match outcome {
        Outcome::NeedsApproval { calls } => {
            for pending in calls {
                let call = pending.call.id.clone();
                let question = format!(
                    "{}({}): {}. Run it? [y]es, [n]o, [a]lways in this run, anything else: later ",
                    pending.call.name, pending.call.arguments, pending.why
                );
                decisions.push(match read(&question)?.as_str() {
                    "y" | "yes" => Decision::Approve { call },
                    "a" | "always" => Decision::ApproveTool { call },
                    "n" | "no" => Decision::Reject {
                        call,
                        reason: read("Why? ")?,
                    },
                    _ => return Ok(None),
                });
            }
        }
        Outcome::NeedsInput {
            question: Inquiry::Model { text, .. },
        } => match read(&format!("{text} "))? {
            answer if answer.is_empty() => return Ok(None),
            text => decisions.push(Decision::Say { text }),
        },
        _ => return Ok(None),
    }
    Ok(Some(decisions))
}

fn read(question: &str) -> Result<String> {
    let mut out = io::stderr().lock();
    write!(out, "{}", printable(question))?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Says how a run stopped and how it goes on.
fn report(app: &App, run: &Run) -> Result<ExitCode> {
    let code = match run.outcome {
        Outcome::Failed { .. } => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    };
    if app.output.is_json() {
        let mut object = serde_json::to_value(&run.outcome)?;
        object["v"] = json!(1);
        object["run"] = json!(run.id);
        object["spent"] = json!(run.spent);
        app.output.json(&object)?;
        return Ok(code);
    }
    match &run.outcome {
        Outcome::Done { answer, .. } => app.output.line(answer)?,
        Outcome::NeedsApproval { calls } => {
            app.output.line("It waits for your decision:")?;
            for pending in calls {
                let call = &pending.call;
                app.output.line(&format!(
                    "  {}: {}({}): {}",
                    call.id, call.name, call.arguments, pending.why
                ))?;
            }
            app.output.note(&format!(
                "corbie agent --resume {} --decide approve=CALL (or reject=CALL:WHY)",
                run.id
            ));
        }
        Outcome::NeedsInput { question } => match question {
            Inquiry::Model { text, .. } => {
                app.output.line(text)?;
                app.output
                    .note(&format!("corbie agent --resume {} --decide say=…", run.id));
            }
            Inquiry::Unfinished { call, .. } => {
                app.output.line(&format!(
                    "`{}` was begun and not seen to end: {}. Did it happen?",
                    call.name, call.arguments
                ))?;
                app.output.note(&format!(
                    "corbie agent --resume {} --decide answer={id}:RESULT if it did, repeat={id} if not",
                    run.id,
                    id = call.id
                ));
            }
        },
        Outcome::Stuck { why } => app.output.line(&format!("Stuck: {why}."))?,
        Outcome::Refused { why } => app.output.line(&format!("Refused: {why}."))?,
        Outcome::Failed { why, .. } => app.output.line(&format!("Failed: {why}"))?,
        Outcome::BudgetExceeded { limit } => {
            let limit = serde_json::to_value(limit)?;
            app.output.line(&format!(
                "The budget is spent: {}.",
                limit.as_str().unwrap_or_default()
            ))?;
            app.output
                .note(&format!("corbie agent --resume {} --budget …", run.id));
        }
    }
    let spent = &run.spent;
    app.output.note(&format!(
        "run {}: {} steps, {} calls, {} tokens read ({} cached), {} written, {:.1} s",
        run.id,
        spent.steps,
        spent.calls,
        spent.usage.prompt_tokens,
        spent.usage.cached_tokens,
        spent.usage.completion_tokens,
        spent.millis as f64 / 1000.0
    ));
    Ok(code)
}

/// `corbie runs`.
pub async fn runs(app: &App, command: RunsCommand) -> Result<ExitCode> {
    let journal = Arc::new(journal(app)?);
    let agentless = Reader(journal.clone());
    match command {
        RunsCommand::List => {
            for id in journal.runs()? {
                let records = agentless.records(&id).await?;
                let state = RunState::of(&records);
                let outcome = outcome_name(state.outcome());
                match app.output.is_json() {
                    true => app.output.json(&json!({
                        "v": 1, "run": id, "goal": state.goal(), "outcome": outcome, "spent": state.spent(),
                    }))?,
                    false => app.output.line(&format!("{id}  {outcome:<15}  {}", state.goal()))?,
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
            app.output
                .line(&format!("outcome: {}", outcome_name(state.outcome())))?;
        }
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
                    false => app
                        .output
                        .line(&format!("{sequence:>4}  {}", summary(&record.event)))?,
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
        RunEvent::Judged { call, judgement } => format!("{call}: {judgement:?}"),
        RunEvent::Granted { rule } => format!("granted: {rule:?}"),
        RunEvent::Begun { call, key } => format!("{call} begins, its key is {key}"),
        RunEvent::Ended { call, result } => format!("{call} gives: {}", result.content),
        RunEvent::Nudged { text } => format!("nudged: {text}"),
        RunEvent::Told { text } => format!("told: {text}"),
        RunEvent::Stopped { outcome } => format!("stopped: {}", outcome_name(Some(outcome))),
        RunEvent::Resumed => "resumed".to_owned(),
    }
}
