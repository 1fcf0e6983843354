//! The weather assistant: a question about two cities, two calls of a function, one answer.
//!
//! ```sh
//! cargo run --release --example weather -- [MODEL] [QUESTION]
//! ```
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use corbie::agents::AgentEvent;
use corbie::core::Tool;
use corbie::prelude::*;

/// Gets the current weather of a city. 查询城市现在的天气。
#[corbie::tool(read_only, trusted)]
async fn get_current_weather(
    /// The city, 城市
    city: String,
) -> Result<String, String> {
    match city.trim().to_lowercase().as_str() {
        "北京" | "beijing" => Ok("晴 sunny, 3 °C".to_owned()),
        "上海" | "shanghai" => Ok("雨 rain, 11 °C".to_owned()),
        _ => Err(format!("there is no station in {city}")),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| "smollm2".to_owned());
    let question = arguments.next();
    let question = question.as_deref().unwrap_or("北京和上海今天天气?");

    let weather: Arc<dyn Tool> = Arc::new(get_current_weather());
    let mut agent = Agent {
        tools: Tools::new([weather])?,
        ..Agent::new(corbie::chat_model(&model).await?)
    };
    agent.options.budget.steps = Some(6);
    agent.options.max_tokens = Some(200);
    let watch = |event| match event {
        AgentEvent::Call(call) => println!("→ {}({})", call.name, call.arguments),
        AgentEvent::Result { result, .. } => println!("← {}", result.content),
        AgentEvent::Nudged(text) => println!("! {text}"),
        _ => {}
    };
    let id = corbie::agents::fresh_run_id();
    let run = agent.start(&id, question, &watch).await?;
    match &run.outcome {
        Outcome::Done { answer, .. } => println!("\n{answer}"),
        other => println!("\nstopped: {other:?}"),
    }
    println!(
        "\n{} answers of the model, {} calls",
        run.spent.steps, run.spent.calls
    );
    Ok(())
}
