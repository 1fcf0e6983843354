//! Running one sequence: reading a prompt, writing tokens, keeping what the next prompt shares.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corbie_core::{Error, ErrorKind, Result};

use crate::decoder::{Decoder, Sequence, Workspace};
use crate::sampling::Sampler;

/// How many tokens of a prompt are read between two looks at whether anybody still waits: many
/// are quicker, few answer sooner, so the number follows the time they take.
const CHUNKS: RangeInclusive<usize> = 16..=256;
/// The longest that a chunk should take.
const PATIENCE: Duration = Duration::from_millis(400);
/// How many logits of a given text are computed at once: they are the length of a vocabulary.
const LOGITS_CHUNK: usize = 32;

/// A decoder at work, with the last sequence it read.
pub(super) struct Engine {
    name: String,
    sequence: Sequence,
    workspace: Workspace,
    chunk: usize,
}

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// Tokens of the prompt that were known already.
    pub cached: usize,
    /// Tokens written, the one that ends an answer not among them.
    pub tokens: usize,
    /// Whether the token limit ended it.
    pub cut: bool,
    pub prefill: Duration,
    pub decode: Duration,
}

/// What a run is asked.
pub(super) struct Task<'a> {
    pub prompt: &'a [u32],
    pub max_tokens: usize,
    pub sampler: Sampler,
    /// Tokens that end the answer.
    pub ends: &'a [u32],
}

impl Engine {
    pub fn new(name: &str, decoder: &Arc<Decoder>) -> Self {
        Self {
            name: name.to_owned(),
            sequence: decoder.sequence(),
            workspace: Workspace::default(),
            chunk: 64,
        }
    }

    /// Reads a prompt and writes tokens until one ends the answer, `on_token` breaks, or the
    /// limit is reached.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](ErrorKind::Cancelled) as soon as `cancelled` says so;
    /// [`Malformed`](ErrorKind::Malformed) when the model computes nothing but NaN.
    pub fn write(
        &mut self,
        mut task: Task<'_>,
        cancelled: &dyn Fn() -> bool,
        mut on_token: impl FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Written> {
        let begun = Instant::now();
        let (cached, last) = self.read_prompt(task.prompt, cancelled)?;
        let (sequence, workspace) = (&mut self.sequence, &mut self.workspace);
        let mut logits = sequence.read(last, 1, workspace)?;
        let prefilled = Instant::now();
        let mut tokens = 0;
        let cut = loop {
            if tokens == task.max_tokens {
                break true;
            }
            if cancelled() {
                return Err(self.cancelled());
            }
            let Some(token) = task.sampler.choose(logits, sequence.tokens()) else {
                let cause = "it computes numbers that are none";
                return Err(Error::new(ErrorKind::Malformed, &self.name, cause)
                    .hint("the model file is damaged: fetch it again"));
            };
            if task.ends.contains(&token) {
                break false;
            }
            tokens += 1;
            if on_token(token).is_break() {
                break false;
            }
            if tokens < task.max_tokens {
                logits = sequence.read(&[token], 1, workspace)?;
            }
        };
        Ok(Written {
            cached,
            tokens,
            cut,
            prefill: prefilled - begun,
            decode: prefilled.elapsed(),
        })
    }

    /// Reads the prompt but for its last tokens, beginning where the last sequence ends being
    /// the same; gives how many tokens were known, and the tokens left.
    fn read_prompt<'p>(
        &mut self,
        prompt: &'p [u32],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(usize, &'p [u32])> {
        let Some(before_last) = prompt.len().checked_sub(1) else {
            let cause = "the prompt is empty";
            return Err(Error::new(ErrorKind::BadInput, &self.name, cause));
        };
        let known = self.sequence.tokens().iter().zip(prompt);
        let shared = known.take_while(|(known, token)| known == token).count();
        // The last token is always read: its logits are wanted.
        let cached = shared.min(before_last);
        self.sequence.truncate(cached);
        let mut rest = &prompt[cached..];
        loop {
            if cancelled() {
                return Err(self.cancelled());
            }
            if rest.len() <= self.chunk {
                return Ok((cached, rest));
            }
            let (chunk, after) = rest.split_at(self.chunk);
            let begun = Instant::now();
            self.sequence.read(chunk, 0, &mut self.workspace)?;
            self.chunk = match begun.elapsed() {
                took if took < PATIENCE / 3 => self.chunk * 2,
                took if took > PATIENCE => self.chunk / 2,
                _ => self.chunk,
            }
            .clamp(*CHUNKS.start(), *CHUNKS.end());
            rest = after;
        }
    }

    /// Hands the logits that follow each token of `tokens` to `visit`, in order.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](ErrorKind::Cancelled) as soon as `cancelled` says so.
    pub fn weigh(
        &mut self,
        tokens: &[u32],
        cancelled: &dyn Fn() -> bool,
        mut visit: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        self.sequence.truncate(0);
        let mut position = 0;
        for chunk in tokens.chunks(LOGITS_CHUNK) {
            if cancelled() {
                return Err(self.cancelled());
            }
            let logits = self
                .sequence
                .read(chunk, chunk.len(), &mut self.workspace)?;
            for row in logits.chunks_exact(logits.len() / chunk.len()) {
                visit(position, row);
                position += 1;
            }
        }
        Ok(())
    }

    fn cancelled(&self) -> Error {
        Error::new(
            ErrorKind::Cancelled,
            &self.name,
            "nobody waits for the answer any more",
        )
    }
}
