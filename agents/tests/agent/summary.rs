//! Long conversations, summarised by the model.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use corbie_agents::{Agent, Outcome};
use corbie_core::testing::MemoryJournal;
use corbie_core::{BoxFuture, ChatRequest, Message, Result, ToolCall};
use serde_json::json;

/// Calls for the weather again and again, and summarises when it is told to.
struct Rambler {
    info: corbie_core::ChatModelInfo,
    requests: Mutex<Vec<ChatRequest>>,
}

impl corbie_core::ChatModel for Rambler {
    fn info(&self) -> &corbie_core::ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn corbie_core::TokenCounter> {
        None
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let words = |it: &Message| it.content.split_whitespace().count();
        Ok(request.messages.iter().map(words).sum())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<corbie_core::ChatStream>> {
        use corbie_core::{ChatEvent, FinishReason, Usage};
        use futures::StreamExt;
        let mut requests = self.requests.lock().unwrap();
        let events = if request.tools.is_empty() {
            vec![ChatEvent::Text("it was sunny".into())]
        } else if requests.len() > 60 {
            vec![ChatEvent::Text("the end".into())]
        } else {
            let call = ToolCall {
                id: String::new(),
                name: "weather".into(),
                arguments: json!({}),
            };
            let thought = format!("thought {} {}", requests.len(), "word ".repeat(30));
            vec![ChatEvent::Text(thought), ChatEvent::ToolCall(call)]
        };
        requests.push(request);
        let usage = Usage {
            completion_tokens: 1,
            ..Usage::default()
        };
        let finish = ChatEvent::Finish {
            reason: FinishReason::Stop,
            usage,
        };
        let events = events.into_iter().chain([finish]).map(Ok);
        Box::pin(async move { Ok(futures::stream::iter(events).boxed()) })
    }
}

#[tokio::test]
async fn old_messages_are_summarised_and_the_goal_stays() {
    let model = Arc::new(Rambler {
        info: corbie_core::ChatModelInfo {
            model: "rambler".into(),
            context_length: 1500,
        },
        requests: Mutex::default(),
    });
    let mut agent = Agent {
        tools: crate::window::counting(),
        journal: Some(Arc::new(MemoryJournal::default())),
        ..Agent::new(model.clone())
    };
    agent.options.summarise = true;
    agent.options.budget.steps = None;
    let run = agent.start("r", "GOAL", &|_| ()).await.unwrap();
    assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "the end"));
    let history = agent.history("r").await.unwrap();
    let summaries = history
        .iter()
        .filter(|it| matches!(it.event, corbie_agents::RunEvent::Summarised { .. }))
        .count();
    let requests = model.requests.lock().unwrap();
    let asked = requests.iter().filter(|it| it.tools.is_empty()).count();
    assert_eq!(summaries, asked);
    // One summary serves many steps.
    assert!((2..20).contains(&summaries), "{summaries}");
    let steps: Vec<&ChatRequest> = requests.iter().filter(|it| !it.tools.is_empty()).collect();
    let last = steps.last().unwrap();
    assert_eq!(last.messages[0].content, "GOAL");
    assert!(last.messages[1].content.starts_with("[Summary of"));
    assert!(last.messages[1].content.ends_with("it was sunny"));
    // What it cost is counted, and the run's own conversation is whole.
    assert_eq!(run.spent.usage.completion_tokens, steps.len() + summaries);
    assert!(
        run.messages
            .iter()
            .all(|it| !it.content.contains("[Summary of"))
    );
}
