//! Raw completion: token ids in, token ids out, no template and no roles.

use std::ops::ControlFlow;

use corbie_core::{Result, Sampling};
use futures::channel::oneshot;
use serde::Serialize;

use super::LocalChatModel;
use super::engine::{Engine, Task};
use super::job::{Call, given_up};
use crate::sampling::Sampler;

/// What a raw completion came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Completion {
    /// The tokens written; the one that ended the text is not among them.
    pub ids: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that did not have to be computed.
    pub cached_tokens: usize,
    /// The time that reading the prompt took.
    pub prefill_seconds: f64,
    /// The time that writing took.
    pub decode_seconds: f64,
}

/// How a raw completion is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GenerateOptions {
    /// The most tokens to write.
    pub max_tokens: usize,
    /// How they are chosen.
    pub sampling: Sampling,
}

impl Default for GenerateOptions {
    /// 128 tokens, greedily.
    fn default() -> Self {
        Self {
            max_tokens: 128,
            sampling: Sampling::default(),
        }
    }
}

impl LocalChatModel {
    /// Continues a prompt of token ids, up to a token that ends the text or the limit.
    ///
    /// Dropping the future cancels the work.
    ///
    /// # Errors
    ///
    /// [`ContextTooLong`](corbie_core::ErrorKind::ContextTooLong) for a prompt that is;
    /// [`BadInput`](corbie_core::ErrorKind::BadInput) for an empty one, unknown tokens or
    /// sampling out of range; [`Overloaded`](corbie_core::ErrorKind::Overloaded) when too many wait.
    pub async fn generate(&self, prompt: Vec<u32>, options: GenerateOptions) -> Result<Completion> {
        let sampler = Sampler::new(&options.sampling)?;
        let max_tokens = self.room(prompt.len())?.min(options.max_tokens);
        let tokenizer = self.tokenizer.clone();
        self.call(move |engine, cancelled| {
            let mut ids = Vec::new();
            let task = Task {
                prompt: &prompt,
                max_tokens,
                sampler,
                ends: tokenizer.eos_ids(),
            };
            let written = engine.write(task, cancelled, |token| {
                ids.push(token);
                ControlFlow::Continue(())
            })?;
            Ok(Completion {
                text: tokenizer.decode(&ids, true),
                ids,
                prompt_tokens: prompt.len(),
                cached_tokens: written.cached,
                prefill_seconds: written.prefill.as_secs_f64(),
                decode_seconds: written.decode.as_secs_f64(),
            })
        })
        .await
    }

    /// Hands the logits that follow each token of a given text to `visit`, in order, each row as
    /// long as the vocabulary: for measurements.
    ///
    /// # Errors
    ///
    /// Those of [`LocalChatModel::generate`].
    pub async fn logits(
        &self,
        tokens: Vec<u32>,
        visit: impl FnMut(usize, &[f32]) + Send + 'static,
    ) -> Result<()> {
        self.room(tokens.len())?;
        self.call(move |engine, cancelled| engine.weigh(&tokens, cancelled, visit))
            .await
    }

    /// Has the thread do `work` in its turn.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine, &dyn Fn() -> bool) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        self.worker.submit(Call { work, reply })?;
        result
            .await
            .unwrap_or_else(|_| Err(given_up(&self.subject)))
    }
}
