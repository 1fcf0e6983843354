//! Long conversations in small contexts.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::{Agent, Outcome};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{Message, Role};
use serde_json::json;

use crate::kit::{Ledger, calls, tools};

#[tokio::test]
async fn two_hundred_turns_fit_and_the_goal_survives() {
    let turn = |n: usize| Message {
        content: format!("thought {n} {}", "word ".repeat(40)),
        ..calls(&[(
            "weather",
            json!({"city": if n.is_multiple_of(2) { "北京" } else { "上海" }}),
        )])
    };
    let mut script: Vec<Message> = (0..200).map(turn).collect();
    script.push(Message::assistant("the end"));
    let model = Arc::new(ScriptedChatModel::new(script).with_context_length(4096));
    let mut agent = Agent {
        tools: tools(&Ledger::default()),
        ..Agent::new(model.clone())
    };
    agent.options.budget.steps = None;
    agent.options.instructions = "Be brief.".into();
    // Results differ, so that it is no loop.
    agent.tools = counting();
    let run = agent.run("GOAL: watch the weather").await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::Done { .. }),
        "{:?}",
        run.outcome
    );
    let requests = model.requests();
    assert_eq!(requests.len(), 201);
    for request in requests {
        assert_eq!(request.messages[0].role, Role::System);
        assert!(request.messages[1].content.starts_with("GOAL"));
        let mut open: Vec<String> = Vec::new();
        for message in &request.messages {
            match message.role {
                Role::Tool => {
                    let id = message.tool_call_id.clone().unwrap();
                    assert!(open.contains(&id), "a result without its call");
                    open.retain(|other| *other != id);
                }
                _ => {
                    assert!(open.is_empty(), "a call without its result");
                    open.extend(message.tool_calls.iter().map(|call| call.id.clone()));
                }
            }
        }
        assert!(open.is_empty());
    }
}

pub fn counting() -> corbie_agents::Tools {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let count = AtomicUsize::new(0);
    let tool = corbie_agents::FunctionTool::new(
        "weather",
        "Weather",
        json!({"type": "object"}),
        move |_| {
            let n = count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(json!(format!("{n}: {}", "rain ".repeat(60)))) }
        },
    )
    .with_effects(crate::kit::READ);
    let tool: Arc<dyn corbie_core::Tool> = Arc::new(tool);
    corbie_agents::Tools::new([tool]).unwrap()
}
