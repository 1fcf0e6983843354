//! From the engine's tokens to a stream of events.

use std::ops::ControlFlow;
use std::sync::Arc;

use corbie_core::{ChatEvent, ChatStream, Error, ErrorKind, FinishReason, Result, Usage};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures::{StreamExt, stream};

use crate::dialect::ReplyParser;
use crate::engine::{Sink, Written};
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// Turns tokens into the events of one answer.
///
/// The channel is unbounded, and yet bounded: an answer has no more events than its context has
/// tokens.
pub(super) struct Answer {
    pub tokenizer: Arc<Tokenizer>,
    /// Special tokens that the parser must see as text.
    pub marks: Vec<u32>,
    pub decoder: StreamDecoder,
    pub parser: ReplyParser,
    pub prompt_tokens: usize,
    /// How many of them were known when the request came, where they were read for a choice
    /// before the answer.
    pub cached_tokens: Option<usize>,
    pub called: bool,
    pub events: UnboundedSender<Result<ChatEvent>>,
}

impl Answer {
    /// Nobody may listen any more: the engine notices before the next token.
    fn send(&mut self, events: Vec<ChatEvent>) {
        for event in events {
            self.called |= matches!(event, ChatEvent::ToolCall(_));
            drop(self.events.unbounded_send(Ok(event)));
        }
    }
}

impl Sink for Answer {
    fn token(&mut self, token: u32) -> ControlFlow<()> {
        let mut text = self.decoder.push(token);
        if self.marks.contains(&token) {
            let mark = self.tokenizer.token_bytes(token);
            text.push_str(&String::from_utf8_lossy(mark));
        }
        let events = self.parser.push(&text);
        self.send(events);
        match self.parser.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn end(mut self: Box<Self>, result: Result<Written>) {
        let decoder = std::mem::replace(&mut self.decoder, self.tokenizer.decoder());
        let mut events = self.parser.push(&decoder.finish());
        events.extend(self.parser.finish());
        self.send(events);
        let last = result.map(|written| ChatEvent::Finish {
            reason: match written.cut && !self.parser.stopped() {
                true => FinishReason::Length,
                false if self.called => FinishReason::ToolCalls,
                false => FinishReason::Stop,
            },
            usage: Usage {
                prompt_tokens: self.prompt_tokens,
                cached_tokens: self
                    .cached_tokens
                    .unwrap_or(written.cached)
                    .min(self.prompt_tokens),
                completion_tokens: written.tokens,
            },
        });
        drop(self.events.unbounded_send(last));
    }

    fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }
}

/// The events of an answer up to its end, which is an error when the engine gave it up.
pub(super) fn events(receiver: UnboundedReceiver<Result<ChatEvent>>, name: &str) -> ChatStream {
    let name = name.to_owned();
    stream::unfold(Some((receiver, name)), |state| async {
        let (mut receiver, name) = state?;
        match receiver.next().await {
            Some(Ok(event)) => {
                let last = matches!(event, ChatEvent::Finish { .. });
                Some((Ok(event), (!last).then_some((receiver, name))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(given_up(&name)), None)),
        }
    })
    .boxed()
}

/// What those who wait are told when a request ended without a word.
pub(super) fn given_up(name: &str) -> Error {
    let cause = "the local engine gave the request up";
    Error::new(ErrorKind::Internal, name, cause).hint("please report it, with the log")
}
