//! Measures what the agent loop itself costs: many agents at once, on a model that answers at once.
//!
//! ```text
//! cargo run --release -p corbie-agents --example steps -- [AGENTS] [STEPS] [ROUNDS]
//! ```
//!
//! A step is an answer of the model, a judged and checked call, its run, and every event in the
//! journal. Prints microseconds a step, the median over the rounds, on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use corbie_agents::{Agent, FunctionTool, Outcome, SqliteJournal, Tools};
use corbie_core::testing::MemoryJournal;
use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Effects, Error,
    ErrorKind, FinishReason, Journal, Result, TokenCounter, Tool, ToolCall, Usage,
};
use futures::StreamExt;
use futures::future::try_join_all;
use serde_json::json;

/// Calls a tool so often, then answers.
struct Caller {
    info: ChatModelInfo,
    left: AtomicUsize,
}

impl ChatModel for Caller {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        None
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        Ok(request.messages.len())
    }

    fn stream(&self, _: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        let (event, reason) = match left > 1 {
            true => {
                let call = ToolCall {
                    id: format!("call_{left}"),
                    name: "count".into(),
                    arguments: json!({"n": left}),
                };
                (ChatEvent::ToolCall(call), FinishReason::ToolCalls)
            }
            false => (ChatEvent::Text("done".into()), FinishReason::Stop),
        };
        let usage = Usage {
            prompt_tokens: 100,
            cached_tokens: 90,
            completion_tokens: 10,
        };
        let events = [event, ChatEvent::Finish { reason, usage }];
        Box::pin(async move { Ok(futures::stream::iter(events).map(Ok).boxed()) })
    }
}

fn agent(steps: usize, journal: &Arc<dyn Journal>) -> Result<Agent> {
    let model = Caller {
        info: ChatModelInfo {
            model: "caller".into(),
            context_length: 1 << 20,
        },
        left: steps.into(),
    };
    let schema = json!({
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    });
    let count = FunctionTool::new("count", "Counts", schema, |run| async move {
        Ok(json!({"counted": run.arguments["n"]}))
    })
    .with_effects(Effects {
        read_only: true,
        trusted: true,
        ..Effects::default()
    });
    let count: Arc<dyn Tool> = Arc::new(count);
    let mut agent = Agent {
        tools: Tools::new([count])?,
        journal: Some(Arc::clone(journal)),
        ..Agent::new(Arc::new(model))
    };
    agent.options.budget.steps = None;
    Ok(agent)
}

async fn round(agents: usize, steps: usize, journal: Arc<dyn Journal>) -> Result<f64> {
    let all: Vec<Agent> = (0..agents)
        .map(|_| agent(steps, &journal))
        .collect::<Result<_>>()?;
    let begun = Instant::now();
    let runs = try_join_all(all.iter().map(|agent| agent.run("Count."))).await?;
    let took = begun.elapsed().as_secs_f64();
    let done = |outcome: &Outcome| matches!(outcome, Outcome::Done { .. });
    if !runs
        .iter()
        .all(|run| done(&run.outcome) && run.spent.steps == steps)
    {
        return Err(Error::new(
            ErrorKind::Internal,
            "runs",
            "not all reached their end",
        ));
    }
    Ok(took / (agents * steps) as f64 * 1e6)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        let number = arguments.next().and_then(|n| n.parse().ok());
        number.unwrap_or(default)
    };
    let (agents, steps, rounds) = (number(100), number(50), number(9));
    for durable in [false, true] {
        let mut figures = Vec::new();
        for index in 0..rounds {
            let path = std::env::temp_dir()
                .join(format!("corbie-steps-{}-{index}.db", std::process::id()));
            let journal: Arc<dyn Journal> = match durable {
                true => Arc::new(SqliteJournal::open(&path)?),
                false => Arc::new(MemoryJournal::default()),
            };
            figures.push(round(agents, steps, journal).await?);
            if durable {
                std::fs::remove_file(&path).map_err(|error| Error::io("journal", error))?;
            }
        }
        figures.sort_by(f64::total_cmp);
        let kind = if durable { "SQLite, synced" } else { "memory" };
        report(&format!(
            "{agents} agents of {steps} steps, journal in {kind}: {:.1} µs a step",
            figures[figures.len() / 2]
        ));
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
