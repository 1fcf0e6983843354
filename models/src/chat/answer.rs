//! From the engine's tokens to a stream of events.

use std::ops::ControlFlow;

use corbie_core::{ChatEvent, ChatStream, Error, ErrorKind, FinishReason, Result, Usage};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures::{StreamExt, stream};

use super::output::Output;
use crate::engine::{Sink, Written};
use crate::tokenizer::StreamDecoder;

/// Turns tokens into the events of one answer.
///
/// The channel is unbounded, and yet bounded: an answer has no more events than its context has
/// tokens.
pub(super) struct Answer {
    pub decoder: StreamDecoder,
    pub output: Output,
    pub prompt_tokens: usize,
    pub events: UnboundedSender<Result<ChatEvent>>,
}

impl Sink for Answer {
    fn token(&mut self, token: u32) -> ControlFlow<()> {
        send(&self.events, self.output.push(&self.decoder.push(token)));
        match self.output.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn end(self: Box<Self>, result: Result<Written>) {
        let Self {
            decoder,
            mut output,
            prompt_tokens,
            events,
        } = *self;
        let last = result.map(|written| {
            send(&events, output.push(&decoder.finish()));
            send(&events, output.finish());
            ChatEvent::Finish {
                reason: match written.cut && !output.stopped() {
                    true => FinishReason::Length,
                    false => FinishReason::Stop,
                },
                usage: Usage {
                    prompt_tokens,
                    cached_tokens: written.cached,
                    completion_tokens: written.tokens,
                },
            }
        });
        drop(events.unbounded_send(last));
    }

    fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }
}

/// Nobody may listen any more: the engine notices before the next token.
fn send(to: &UnboundedSender<Result<ChatEvent>>, events: Vec<ChatEvent>) {
    for event in events {
        drop(to.unbounded_send(Ok(event)));
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
