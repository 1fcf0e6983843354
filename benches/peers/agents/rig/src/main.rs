//! Microseconds a step of rig's agent loop, as `agents/examples/steps.rs` measures Corbie's: so
//! many agents at once on one thread, one tool, a model that answers at once.
//!
//! `rig-steps AGENTS STEPS` prints one number.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::future::try_join_all;
use futures::stream;
use rig_agent::agent::PromptResponse;
use rig_agent::tool::{Tool, ToolContext};
use rig_agent::{Agent, AgentBuilder};
use rig_core::completion::{AssistantContent, CompletionRequest, CompletionResponse, Usage};
use rig_core::driver::{Exchange, Model, Opened, Opening, Transport};
use rig_core::message::{Origin, ToolCall, ToolFunction, ToolName};
use rig_core::test_utils::{MOCK_API, MockFrame, MockScript};
use serde::Deserialize;
use serde_json::{Value, json};

/// Calls the tool so often, then answers.
#[derive(Clone)]
struct Caller(Arc<AtomicUsize>);

impl Transport<MockScript> for Caller {
    fn send(&self, _: CompletionRequest, _: Exchange) -> Opening<MockFrame> {
        let left = self.0.fetch_sub(1, Ordering::Relaxed);
        let content = match left > 1 {
            true => {
                let name = ToolName::new("count").expect("a name of a tool");
                let function = ToolFunction::new(name, json!({ "n": left }));
                AssistantContent::ToolCall(ToolCall::from_wire(format!("call_{left}"), function))
            }
            false => AssistantContent::text("done"),
        };
        let origin = Origin::new(MOCK_API, "caller", "caller");
        let response =
            CompletionResponse::new(vec![content], Usage::default(), origin, Value::Null);
        let frame = MockFrame::Response(Box::new(response));
        Opening::ready(Opened::new(stream::iter([Ok(frame)])))
    }
}

#[derive(Deserialize)]
struct Count {
    n: u64,
}

struct Counter;

impl Tool for Counter {
    const NAME: &'static str = "count";
    type Args = Count;
    type Output = Value;
    type Error = Infallible;

    fn description(&self) -> String {
        "Counts".into()
    }

    fn parameters(&self) -> Value {
        json!({
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "required": ["n"],
        })
    }

    async fn call(&self, _: &mut ToolContext, count: Count) -> Result<Value, Infallible> {
        Ok(json!({ "counted": count.n }))
    }
}

fn agent(steps: usize) -> (Agent, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(steps));
    let model = Model::new(MockScript::new("caller"), Caller(Arc::clone(&left)));
    let agent = AgentBuilder::new(model)
        .accept_unknown_finish_reasons(true)
        .tool(Counter)
        .default_max_turns(steps + 1)
        .build();
    (agent, left)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    let [agents, steps] = numbers[..] else {
        panic!("rig-steps AGENTS STEPS");
    };
    let all: Vec<_> = (0..agents).map(|_| agent(steps)).collect();
    let begun = Instant::now();
    let runs: Vec<PromptResponse> =
        try_join_all(all.iter().map(|(agent, _)| agent.prompt("Count.").run()))
            .await
            .expect("all reach their end");
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(runs.len(), agents);
    assert!(all.iter().all(|(_, left)| left.load(Ordering::Relaxed) == 0), "all steps were taken");
    println!("{}", took / (agents * steps) as f64 * 1e6);
}
