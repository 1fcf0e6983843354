#![allow(clippy::unwrap_used)]

mod answers;
mod laws;
mod streams;

use std::collections::VecDeque;
use std::sync::Mutex;

use corbie_core::testing::WordCounter;
use corbie_core::{ChatEvent, Error, ErrorKind, FinishReason, Message, ToolCall, ToolSpec, Usage};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use serde_json::{Value, json};

use super::*;

/// One attempt of a [`Player`].
enum Attempt {
    Says(Message, FinishReason),
    Fails(Error),
    /// What comes through a channel.
    Streams(UnboundedReceiver<Result<ChatEvent>>),
}

/// A model that plays given attempts, each for 10 tokens of prompt and 3 of answer, and that
/// refuses the forms it cannot hold to.
struct Player {
    info: ChatModelInfo,
    counter: WordCounter,
    holds: fn(&ChatRequest) -> bool,
    attempts: Mutex<VecDeque<Attempt>>,
    requests: Mutex<Vec<ChatRequest>>,
}

const COST: Usage = Usage {
    prompt_tokens: 10,
    cached_tokens: 0,
    completion_tokens: 3,
};

impl Player {
    fn new(attempts: impl IntoIterator<Item = Attempt>) -> Arc<Self> {
        Self::holding(|_| true, attempts)
    }

    fn holding(
        holds: fn(&ChatRequest) -> bool,
        attempts: impl IntoIterator<Item = Attempt>,
    ) -> Arc<Self> {
        Arc::new(Self {
            info: ChatModelInfo {
                model: "player".into(),
                context_length: 4096,
            },
            counter: WordCounter { limit: 4096 },
            holds,
            attempts: Mutex::new(attempts.into_iter().collect()),
            requests: Mutex::default(),
        })
    }

    fn requests(&self) -> Vec<ChatRequest> {
        self.requests.lock().unwrap().clone()
    }

    fn validated(self: &Arc<Self>) -> Validated {
        Validated::new(self.clone(), ValidatedOptions::default())
    }
}

impl ChatModel for Player {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        Some(&self.counter)
    }

    fn prompt_tokens(&self, _: &ChatRequest) -> Result<usize> {
        Ok(COST.prompt_tokens)
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            if !(self.holds)(&request) {
                return Err(Error::new(ErrorKind::Unsupported, "player", "no such form"));
            }
            self.requests.lock().unwrap().push(request);
            match self.attempts.lock().unwrap().pop_front().unwrap() {
                Attempt::Fails(error) if error.kind() != &ErrorKind::Malformed => Err(error),
                Attempt::Fails(error) => {
                    Ok(futures::stream::once(async move { Err(error) }).boxed())
                }
                Attempt::Streams(events) => Ok(events.boxed()),
                Attempt::Says(message, reason) => {
                    let thought = message.reasoning.into_iter().map(ChatEvent::Reasoning);
                    let words = message.content.split_inclusive(' ').map(str::to_owned);
                    let mut events: Vec<ChatEvent> = thought.collect();
                    events.extend(words.map(ChatEvent::Text));
                    events.extend(message.tool_calls.into_iter().map(ChatEvent::ToolCall));
                    events.push(ChatEvent::Finish {
                        reason,
                        usage: COST,
                    });
                    Ok(futures::stream::iter(events).map(Ok).boxed())
                }
            }
        })
    }
}

fn says(content: &str) -> Attempt {
    Attempt::Says(Message::assistant(content), FinishReason::Stop)
}

fn cut(content: &str) -> Attempt {
    Attempt::Says(Message::assistant(content), FinishReason::Length)
}

fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: name.into(),
        arguments,
    }
}

fn calls(content: &str, calls: impl IntoIterator<Item = ToolCall>) -> Attempt {
    let message = Message {
        tool_calls: calls.into_iter().collect(),
        ..Message::assistant(content)
    };
    Attempt::Says(message, FinishReason::ToolCalls)
}

fn ask() -> ChatRequest {
    ChatRequest::new([
        Message::system("You know birds. 你了解鸟类。"),
        Message::user("Where do ravens cache food? 乌鸦把食物藏在哪里?"),
    ])
}

fn ask_for(response_format: corbie_core::ResponseFormat) -> ChatRequest {
    ChatRequest {
        response_format,
        ..ask()
    }
}

/// A request with the tools `find` and `count`.
fn ask_with_tools() -> ChatRequest {
    let tool = |name: &str, parameters: Value| ToolSpec {
        name: name.into(),
        description: "A tool.".into(),
        parameters,
    };
    ChatRequest {
        tools: vec![
            tool(
                "find",
                json!({"type": "object", "properties": {"place": {"type": "string"}},
                    "required": ["place"], "additionalProperties": false}),
            ),
            tool("count", Value::Null),
        ],
        ..ask()
    }
}
