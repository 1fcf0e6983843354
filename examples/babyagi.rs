//! BabyAGI: a queue of tasks that a model fills, and that ends when the goal is reached.
//!
//! ```sh
//! cargo run --release --example babyagi -- [MODEL] [EMBEDDER]
//! ```
//!
//! Whether the sum is right, a program can tell: no model is asked about it.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use corbie::agents::plan::{PlanEvent, TaskQueue};
use corbie::agents::tools;
use corbie::core::Tool;
use corbie::prelude::*;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut name = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let model = corbie::chat_model(&name("smollm2")).await?;
    let embedder = corbie::embedder(&name("minilm")).await?;

    let calculator: Arc<dyn Tool> = Arc::new(tools::calculator());
    let mut agent = Agent {
        tools: Tools::new([calculator])?,
        ..Agent::new(model.clone())
    };
    agent.options.budget.steps = Some(6);
    agent.options.max_tokens = Some(200);
    let mut queue = TaskQueue::new(model, agent);
    queue.embedder = Some(embedder);
    queue.options.budget.steps = Some(40);
    queue.options.max_tokens = 200;
    queue.reached = Some(Arc::new(|steps| {
        let right = |result: &str| {
            result
                .split(|c: char| !c.is_ascii_digit())
                .any(|it| it == "5")
        };
        let found = steps
            .iter()
            .find(|step| step.status.result().is_some_and(right));
        found.map(|_| "2 + 3 = 5".to_owned())
    }));

    let watch = |event| match event {
        PlanEvent::Begun { step, text } => println!("[{step}] {text}"),
        PlanEvent::Ended(step) => println!("    {:?}", step.status),
        PlanEvent::Planned { steps, .. } => println!("    queue: {steps:?}"),
        _ => {}
    };
    let id = corbie::agents::fresh_run_id();
    let run = queue.start(&id, "Add 2 and 3", &watch).await?;
    println!("\n{:?}", run.outcome);
    for step in &run.steps {
        println!("task {}: {} – {:?}", step.id, step.text, step.status);
    }
    Ok(())
}
