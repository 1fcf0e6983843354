//! The jobs of a model's thread.

use std::ops::ControlFlow;
use std::sync::Arc;

use corbie_core::{ChatEvent, ChatStream, Error, ErrorKind, FinishReason, Result, Usage};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures::channel::oneshot;
use futures::{StreamExt, stream};

use super::engine::{Engine, Task};
use super::output::Output;
use super::worker::Job;
use crate::sampling::Sampler;
use crate::tokenizer::Tokenizer;

/// Writes one answer and sends its events.
///
/// The channel is unbounded, and yet bounded: an answer has no more events than its context has
/// tokens.
pub(super) struct Answer {
    pub tokenizer: Arc<Tokenizer>,
    pub prompt: Vec<u32>,
    pub max_tokens: usize,
    pub sampler: Sampler,
    pub output: Output,
    pub events: UnboundedSender<Result<ChatEvent>>,
}

impl Job<Engine> for Answer {
    fn run(self: Box<Self>, engine: &mut Engine) {
        let Self {
            tokenizer,
            prompt,
            max_tokens,
            sampler,
            mut output,
            events,
        } = *self;
        // Nobody may listen any more: that is noticed before the next token.
        let send = |event| drop(events.unbounded_send(event));
        let mut text = tokenizer.decoder();
        let task = Task {
            prompt: &prompt,
            max_tokens,
            sampler,
            ends: tokenizer.eos_ids(),
        };
        let written = engine.write(task, &|| events.is_closed(), |token| {
            let pieces = output.push(&text.push(token));
            pieces.into_iter().map(Ok).for_each(send);
            match output.stopped() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        let last = written.map(|written| {
            let pieces = output.push(&text.finish());
            pieces.into_iter().map(Ok).for_each(send);
            output.finish().into_iter().map(Ok).for_each(send);
            ChatEvent::Finish {
                reason: match written.cut && !output.stopped() {
                    true => FinishReason::Length,
                    false => FinishReason::Stop,
                },
                usage: Usage {
                    prompt_tokens: prompt.len(),
                    cached_tokens: written.cached,
                    completion_tokens: written.tokens,
                },
            }
        });
        send(last);
    }

    fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }
}

/// The events of an answer up to its end, which is an error when the thread gave it up.
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

/// Does some work on the engine and replies once.
pub(super) struct Call<F, T> {
    pub work: F,
    pub reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Job<Engine> for Call<F, T>
where
    F: FnOnce(&mut Engine, &dyn Fn() -> bool) -> Result<T> + Send,
    T: Send,
{
    fn run(self: Box<Self>, engine: &mut Engine) {
        let reply = self.reply;
        let result = (self.work)(engine, &|| reply.is_canceled());
        // Nobody may wait any more.
        let _ = reply.send(result);
    }

    fn is_cancelled(&self) -> bool {
        self.reply.is_canceled()
    }
}

/// What those who wait are told when a job ended without a reply.
pub(super) fn given_up(name: &str) -> Error {
    let cause = "the local engine gave the request up";
    Error::new(ErrorKind::Internal, name, cause).hint("please report it, with the log")
}
