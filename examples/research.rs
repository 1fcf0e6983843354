//! A research agent in the manner of AutoGPT: it plans, looks through a folder of documents, and
//! writes a report.
//!
//! ```sh
//! cargo run --release --example research -- [MODEL] [EMBEDDER] [GOAL]
//! ```
//!
//! The transcript is kept in `.corbie/research.db`; the same run goes on there when it was broken
//! off.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::Arc;

use corbie::agents::plan::{PlanEvent, Planner};
use corbie::agents::typed::{self, Effects, Invocation, schemars, serde};
use corbie::agents::{Action, AgentEvent, Rule, SqliteJournal, tools};
use corbie::core::Tool;
use corbie::prelude::*;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "corbie::agents::typed::serde", deny_unknown_fields)]
#[schemars(crate = "corbie::agents::typed::schemars")]
struct Report {
    /// The whole report, in Markdown
    text: String,
}

/// A tool that writes one file and can write no other; writing the same twice is writing it once.
fn write_report(path: PathBuf) -> impl Tool {
    let work = move |report: Report, _: Invocation| {
        let written = std::fs::write(&path, report.text);
        async move {
            written
                .map(|()| "written")
                .map_err(|error| error.to_string())
        }
    };
    typed::tool("write_report", "Writes the report. 写报告。", work).with_effects(Effects {
        idempotent: true,
        trusted: true,
        ..Effects::default()
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut name = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let model = corbie::chat_model(&name("smollm2")).await?;
    let embedder = corbie::embedder(&name("minilm")).await?;
    let goal = name("Find out when storm petrels nest and write a short report about it.");

    let index = index_folder("examples/handbook", ".corbie", embedder).await?;
    let retriever = Arc::new(index.retriever(SearchMode::Hybrid));
    let search = tools::search("search", "the handbook", retriever, 2);
    let write = write_report(PathBuf::from(".corbie/report.md"));
    let all: [Arc<dyn Tool>; 2] = [Arc::new(search), Arc::new(write)];
    let mut agent = Agent {
        tools: Tools::new(all)?,
        journal: Some(Arc::new(SqliteJournal::open(
            ".corbie/research.db".as_ref(),
        )?)),
        ..Agent::new(model.clone())
    };
    // What documents say may end in this file, and in nothing else.
    agent.options.policy.rules.push(Rule {
        tool: Some("write_report".to_owned()),
        ..Rule::any(Action::Allow)
    });
    agent.options.budget.steps = Some(6);
    agent.options.max_tokens = Some(300);
    let mut planner = Planner::new(model, agent);
    planner.options.steps = 4;
    planner.options.max_tokens = 200;
    planner.options.result_bytes = 600;
    planner.options.budget.steps = Some(40);

    let watch = |event| match event {
        PlanEvent::Planned { steps, revision } => println!("plan {revision}: {steps:#?}"),
        PlanEvent::Begun { step, text } => println!("[{step}] {text}"),
        PlanEvent::Agent { event, .. } => match event {
            AgentEvent::Call(call) => println!("    → {}({})", call.name, call.arguments),
            AgentEvent::Nudged(text) => println!("    ! {text}"),
            _ => {}
        },
        PlanEvent::Ended(step) => println!("    {:?}", step.status),
        PlanEvent::Stopped(_) => {}
    };
    let id = corbie::agents::fresh_run_id();
    let run = planner.start(&id, &goal, &watch).await?;
    println!("\n{:?}\n\n{}", run.outcome, run.answer);
    println!(
        "\nrun {id}: {} answers of the model, {} calls, {} tokens read, {} written",
        run.spent.steps,
        run.spent.calls,
        run.spent.usage.prompt_tokens,
        run.spent.usage.completion_tokens
    );
    match std::fs::read_to_string(".corbie/report.md") {
        Ok(report) => println!("\nreport.md:\n{report}"),
        Err(_) => println!("\nno report was written"),
    }
    Ok(())
}
