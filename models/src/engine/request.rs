//! What the engine is asked, and who takes what it writes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corbie_core::Result;

use super::Guide;
use crate::decoder::Adapter;
use crate::sampling::Sampler;

/// A text to go on from.
pub struct Request {
    /// The tokens to go on from; not empty.
    pub prompt: Vec<u32>,
    /// The most tokens to write.
    pub max_tokens: usize,
    /// How they are chosen.
    pub sampler: Sampler,
    /// Tokens that end the text.
    pub ends: Vec<u32>,
    /// What is added to the decoder's weights for it.
    pub adapter: Option<Arc<Adapter>>,
    /// What the text must be; `None`: anything.
    pub guide: Option<Box<dyn Guide>>,
    /// When it is given up.
    pub deadline: Option<Instant>,
    /// Who takes the tokens.
    pub sink: Box<dyn Sink>,
}

/// Takes the tokens of one request. It is called on the engine's thread: it must be quick.
pub trait Sink: Send {
    /// Takes the next token, and breaks when it wants no more.
    fn token(&mut self, token: u32) -> ControlFlow<()>;

    /// Takes the end.
    fn end(self: Box<Self>, result: Result<Written>);

    /// Whether nobody waits for the text any more: its request ends without a word.
    fn is_cancelled(&self) -> bool;

    /// How many of the prompt's last tokens it wants to see the logits after.
    fn weighs(&self) -> usize {
        0
    }

    /// Takes the logits after the next of those tokens, `[tokens, vocabulary]`.
    fn weigh(&mut self, _logits: &[f32]) {}
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Tokens of the prompt that were known already.
    pub cached: usize,
    /// Tokens written, the one that ends a text not among them.
    pub tokens: usize,
    /// Whether the token limit ended it.
    pub cut: bool,
    /// The time from its start to the first choice of a token.
    pub prefill: Duration,
    /// The time from then to its end.
    pub decode: Duration,
}
