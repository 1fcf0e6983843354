//! A service's stream becomes chat events.

use corbie_core::{ChatEvent, Error, ErrorKind, FinishReason, Result, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::RemoteOptions;
use super::failure;
use crate::validated::Unreadable;

/// The most calls of one answer, and the most bytes of their arguments together.
const MAX_CALLS: usize = 128;
const MAX_ARGUMENTS: usize = 4 << 20;

/// One event of the stream, as far as it is read. Services leave out what they like.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Piece {
    choices: Vec<Choice>,
    usage: Option<PieceUsage>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    index: usize,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    /// DeepSeek, llama.cpp, vLLM.
    reasoning_content: Option<String>,
    /// OpenRouter, Groq, Ollama.
    reasoning: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CallPiece {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PieceUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: Option<Details>,
    /// DeepSeek.
    prompt_cache_hit_tokens: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<usize>,
}

#[derive(Debug, Default)]
struct OpenCall {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

/// Joins the pieces of one answer. It does no I/O.
#[derive(Debug)]
pub struct Assembler {
    earlier_calls: usize,
    calls: Vec<OpenCall>,
    argument_bytes: usize,
    reason: Option<FinishReason>,
    usage: Usage,
}

impl Assembler {
    /// For an answer in a conversation that made `earlier_calls` calls, whose prompt is about
    /// `prompt_tokens` long: what the service says itself replaces the estimate.
    pub fn new(earlier_calls: usize, prompt_tokens: usize) -> Self {
        Self {
            earlier_calls,
            calls: Vec::new(),
            argument_bytes: 0,
            reason: None,
            usage: Usage {
                prompt_tokens,
                ..Usage::default()
            },
        }
    }

    /// The events of one piece.
    ///
    /// # Errors
    ///
    /// What the service reports in mid-stream, by kind;
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) for calls without end.
    pub fn push(&mut self, options: &RemoteOptions, piece: Piece) -> Result<Vec<ChatEvent>> {
        if let Some(error) = piece.error.filter(|error| !error.is_null()) {
            return Err(failure::in_stream(options, &error));
        }
        if let Some(usage) = piece.usage {
            let details = usage
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens);
            self.usage = Usage {
                prompt_tokens: usage.prompt_tokens,
                cached_tokens: details.or(usage.prompt_cache_hit_tokens).unwrap_or(0),
                completion_tokens: usage.completion_tokens,
            };
        }
        let mut events = Vec::new();
        for choice in piece.choices.into_iter().filter(|choice| choice.index == 0) {
            let delta = choice.delta.unwrap_or_default();
            let texts = |text: Option<String>| text.filter(|text| !text.is_empty());
            let reasoning = texts(delta.reasoning_content).or_else(|| texts(delta.reasoning));
            events.extend(reasoning.map(ChatEvent::Reasoning));
            events.extend(texts(delta.content).map(ChatEvent::Text));
            events.extend(texts(delta.refusal).map(ChatEvent::Text));
            for call in delta.tool_calls.into_iter().flatten() {
                self.add(options, call)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.reason = Some(finish_reason(&reason));
            }
        }
        Ok(events)
    }

    /// Adds a fragment: it belongs to the call of its index, or of its id, or to the last one.
    fn add(&mut self, options: &RemoteOptions, piece: CallPiece) -> Result<()> {
        let id = piece.id.unwrap_or_default();
        let function = piece.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let at = match piece.index {
            Some(index) => self.calls.iter().position(|call| call.index == index),
            None if !id.is_empty() => self.calls.iter().position(|call| call.id == id),
            None if !name.is_empty() => None,
            None => self.calls.len().checked_sub(1),
        };
        let at = match at {
            Some(at) => at,
            None => {
                let index = piece.index.unwrap_or(self.calls.len());
                self.calls.push(OpenCall {
                    index,
                    ..OpenCall::default()
                });
                self.calls.len() - 1
            }
        };
        let arguments = function.arguments.unwrap_or_default();
        self.argument_bytes += arguments.len() + name.len() + id.len();
        if self.calls.len() > MAX_CALLS || self.argument_bytes > MAX_ARGUMENTS {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                options.subject(),
                format!("one answer makes more than {MAX_CALLS} calls or 4 MiB of arguments"),
            ));
        }
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        // Some services repeat the name in every fragment.
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// The last events: the calls, whole, and the end.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) when the stream ended without a reason,
    /// [`Malformed`](ErrorKind::Malformed) when a call's arguments are no JSON.
    pub fn finish(self, options: &RemoteOptions) -> Result<Vec<ChatEvent>> {
        let Some(reason) = self.reason else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                options.subject(),
                "its answer broke off",
            ));
        };
        let mut events = Vec::new();
        let any_calls = !self.calls.is_empty();
        // A call that the token limit cut off is no call.
        let calls = self
            .calls
            .into_iter()
            .filter(|_| reason != FinishReason::Length);
        for (number, call) in calls.enumerate() {
            let arguments = match call.arguments.trim() {
                "" => Value::Object(serde_json::Map::new()),
                text => serde_json::from_str(text).map_err(|error| {
                    let name = &call.name;
                    Error::new(
                        ErrorKind::Malformed,
                        options.subject(),
                        format!("the arguments of its call to `{name}` are no JSON: {error}"),
                    )
                    .caused_by(Unreadable {
                        text: text.to_owned(),
                        usage: self.usage,
                    })
                })?,
            };
            let id = match call.id.is_empty() {
                true => format!("call_{}", self.earlier_calls + number),
                false => call.id,
            };
            events.push(ChatEvent::ToolCall(ToolCall {
                id,
                name: call.name,
                arguments,
            }));
        }
        let reason = match reason {
            // Some services say `stop` after calls.
            FinishReason::Stop if any_calls => FinishReason::ToolCalls,
            reason => reason,
        };
        events.push(ChatEvent::Finish {
            reason,
            usage: self.usage,
        });
        Ok(events)
    }
}

fn finish_reason(text: &str) -> FinishReason {
    match text {
        "length" | "max_tokens" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}
