//! Raw completion: token ids in, token ids out, no template and no roles.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corbie_core::{ChatRequest, ResponseFormat, Result, Sampling, ToolChoice, ToolSpec};
use futures::channel::oneshot;
use serde::Serialize;

use super::LocalChatModel;
use super::answer::given_up;
use crate::decoder::{Decoder, Workspace};
use crate::dialect::Opening;
use crate::engine::{Request, Sink, Written};
use crate::sampling::Sampler;

/// How many logits of a given text are computed at once: they are the length of a vocabulary.
const LOGITS_CHUNK: usize = 32;

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
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// The most tokens to write.
    pub max_tokens: usize,
    /// How they are chosen.
    pub sampling: Sampling,
    /// What the text must be, from its first token on.
    pub format: ResponseFormat,
    /// Where there are some, the text is calls of them, in the model's dialect.
    pub tools: Vec<ToolSpec>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

impl Default for GenerateOptions {
    /// 128 tokens, greedily.
    fn default() -> Self {
        Self {
            max_tokens: 128,
            sampling: Sampling::default(),
            format: ResponseFormat::Text,
            tools: Vec::new(),
            timeout: None,
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
    /// options out of range; those of [`Grammars::compile`](crate::constraint::Grammars::compile)
    /// for a form; [`Overloaded`](corbie_core::ErrorKind::Overloaded) when too many wait.
    pub async fn generate(&self, prompt: Vec<u32>, options: GenerateOptions) -> Result<Completion> {
        let sampler = Sampler::new(&options.sampling)?;
        let max_tokens = self.room(prompt.len())?.min(options.max_tokens);
        let held = ChatRequest {
            tool_choice: match options.tools.is_empty() {
                true => ToolChoice::None,
                false => ToolChoice::Required,
            },
            tools: options.tools,
            response_format: options.format,
            ..ChatRequest::default()
        };
        let guide = self.guide(&held, Opening::Answer, max_tokens)?;
        let (reply, result) = oneshot::channel();
        let prompt_tokens = prompt.len();
        self.engine.submit(Request {
            prompt,
            max_tokens,
            sampler,
            ends: self.tokenizer.eos_ids().to_vec(),
            adapter: self.adapter.clone(),
            guide,
            deadline: options
                .timeout
                .and_then(|it| Instant::now().checked_add(it)),
            sink: Box::new(Tokens {
                ids: Vec::new(),
                reply,
            }),
        })?;
        let result = result.await.map_err(|_| given_up(&self.subject))?;
        let (ids, written) = result?;
        Ok(Completion {
            text: self.tokenizer.decode(&ids, true),
            ids,
            prompt_tokens,
            cached_tokens: written.cached,
            prefill_seconds: written.prefill.as_secs_f64(),
            decode_seconds: written.decode.as_secs_f64(),
        })
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
        let mut visit = visit;
        self.call(move |decoder, workspace, cancelled| {
            let mut sequence = decoder.sequence();
            let mut position = 0;
            for chunk in tokens.chunks(LOGITS_CHUNK) {
                if cancelled() {
                    return Ok(());
                }
                let logits = sequence.read(chunk, chunk.len(), workspace)?;
                for row in logits.chunks_exact(decoder.vocabulary()) {
                    visit(position, row);
                    position += 1;
                }
            }
            Ok(())
        })
        .await
    }

    /// Has the engine's thread do `work` in its turn.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Decoder>, &mut Workspace, &dyn Fn() -> bool) -> Result<T>
        + Send
        + 'static,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        self.engine.call(move |decoder, workspace| {
            if !reply.is_canceled() {
                let done = work(decoder, workspace, &|| reply.is_canceled());
                // Nobody may wait any more.
                let _ = reply.send(done);
            }
        })?;
        result
            .await
            .unwrap_or_else(|_| Err(given_up(&self.subject)))
    }
}

/// Collects the tokens of a completion.
struct Tokens {
    ids: Vec<u32>,
    reply: oneshot::Sender<Result<(Vec<u32>, Written)>>,
}

impl Sink for Tokens {
    fn token(&mut self, token: u32) -> ControlFlow<()> {
        self.ids.push(token);
        ControlFlow::Continue(())
    }

    fn end(self: Box<Self>, result: Result<Written>) {
        let Self { ids, reply } = *self;
        // Nobody may wait any more.
        let _ = reply.send(result.map(|written| (ids, written)));
    }

    fn is_cancelled(&self) -> bool {
        self.reply.is_canceled()
    }
}
