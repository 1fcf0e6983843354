//! `corbie agent`: a goal in, what came of it out.

mod person;
mod report;
mod tools;
mod trace;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::{Agent, AgentOptions, Policy, SqliteJournal};
use corbie_core::Journal;

use super::argument;
use crate::app::App;
use crate::args::{AgentArgs, Approve, ToolName};

pub async fn run(app: &App, args: AgentArgs) -> Result<ExitCode> {
    let journal: Arc<dyn Journal> = Arc::new(journal(app)?);
    let tools = tools::assemble(app, &args, journal.as_ref()).await?;
    let agent = Agent {
        tools,
        journal: Some(journal),
        options: AgentOptions {
            instructions: args.instructions.clone(),
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
    let watch = |event| trace::show(app, event);
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
        let Some(decisions) = person::ask(&run.outcome)? else {
            break;
        };
        run = agent.resume(&run.id, decisions, &watch).await?;
    }
    report::show(app, &run)
}

/// The journal of this machine's runs.
pub fn journal(app: &App) -> Result<SqliteJournal> {
    let folder = Path::new(app.settings.get("data_dir"));
    std::fs::create_dir_all(folder)?;
    Ok(SqliteJournal::open(&folder.join("runs.db"))?)
}
