//! HuggingGPT with local models: a chat model splits a goal into typed tasks, and an embedding
//! model, a chat model and a tool do them.
//!
//! ```sh
//! cargo run --release --example hugginggpt -- [MODEL] [EMBEDDER] [GOAL]
//! ```
//!
//! The first worker for summaries would need the network and fails; the task falls to the next.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use corbie::agents::plan::{DagPlanner, Kind, PlanEvent, Worker};
use corbie::agents::typed::{self, Effects, Invocation, schemars, serde};
use corbie::core::EmbedKind;
use corbie::prelude::*;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "corbie::agents::typed::serde", deny_unknown_fields)]
#[schemars(crate = "corbie::agents::typed::schemars")]
struct Classify {
    /// The text
    text: String,
    /// What it may be about
    #[schemars(length(min = 2, max = 5))]
    labels: Vec<String>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "corbie::agents::typed::serde", deny_unknown_fields)]
#[schemars(crate = "corbie::agents::typed::schemars")]
struct Summarise {
    /// The text
    text: String,
}

/// Says which label an embedding model finds nearest to the text.
fn classifier(embedder: Arc<dyn Embedder>) -> Result<Worker> {
    let tool = typed::tool(
        "minilm",
        "Classifies",
        move |task: Classify, _: Invocation| {
            let embedder = Arc::clone(&embedder);
            async move {
                let text = embedder.embed(&[task.text], EmbedKind::Query).await?;
                let labels = embedder.embed(&task.labels, EmbedKind::Document).await?;
                let like = |label: &Vec<f32>| label.iter().zip(&text[0]).map(|(a, b)| a * b).sum();
                let scores: Vec<f32> = labels.iter().map(like).collect();
                let best = scores
                    .iter()
                    .zip(task.labels)
                    .max_by(|a, b| a.0.total_cmp(b.0));
                Ok::<_, Error>(best.map(|(_, label)| label))
            }
        },
    );
    Worker::tool(Arc::new(tool.with_effects(Effects::READ)), &["classify"])
}

/// A worker that is not there.
fn cloud() -> Result<Worker> {
    let work = |task: Summarise, _: Invocation| async move {
        let size = task.text.len();
        Err::<(), _>(format!("the network is off, so {size} bytes were not sent"))
    };
    let tool = typed::tool("cloud", "Summarises", work);
    Worker::tool(Arc::new(tool.with_effects(Effects::READ)), &["summarise"])
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut name = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let model = corbie::chat_model(&name("smollm2")).await?;
    let embedder = corbie::embedder(&name("minilm")).await?;
    let goal = name(
        "Is this text about birds or about boats? Also summarise it. Text: Storm petrels nest in \
         the old wall and come home only at night, when the gulls cannot see them.",
    );

    let kinds = vec![
        Kind::new(
            "classify",
            "Says which of some labels a text is about",
            typed::schema::<Classify>(),
        ),
        Kind::new(
            "summarise",
            "Summarises a text in one short sentence",
            typed::schema::<Summarise>(),
        ),
    ];
    let mut local = Worker::model("local", model.clone(), "Be brief.", &["summarise"]);
    local.agent.options.max_tokens = Some(80);
    let workers = vec![classifier(embedder)?, cloud()?, local];
    let mut planner = DagPlanner::new(model, kinds, workers);
    planner.options.steps = 3;
    planner.options.max_tokens = 400;

    let watch = |event| match event {
        PlanEvent::Planned { steps, .. } => println!("plan: {steps:#?}"),
        PlanEvent::Ended(step) => {
            for tried in &step.tried {
                println!("{}: `{}` failed: {}", step.id, tried.worker, tried.why);
            }
            println!("{}: {:?}", step.id, step.status);
        }
        _ => {}
    };
    let id = corbie::agents::fresh_run_id();
    let run = planner.start(&id, &goal, &watch).await?;
    println!("\n{:?}\n\n{}", run.outcome, run.answer);
    if !run.struck.is_empty() {
        println!("\nnot borne out: {:?}", run.struck);
    }
    Ok(())
}
