//! Several models in one process, under one limit of memory.
//!
//! A [`ModelPool`] loads models when they are asked for, each once, however many ask, on threads
//! of their own. What it gives out are handles: a handle loads its model again when it is used and
//! the model was evicted meanwhile, and the model stays in memory while a stream, an embedding or
//! a scoring runs on it. Before a model is loaded, those that nobody uses make room, least
//! recently used first.
//!
//! | what happens | what the caller sees |
//! |---|---|
//! | the model alone is over the limit | [`LimitExceeded`](corbie_core::ErrorKind::LimitExceeded) with the numbers, before it is loaded |
//! | the others are all in use | the call waits, first come first served, until the request's deadline or [`PoolOptions::patience`], then [`Overloaded`](corbie_core::ErrorKind::Overloaded) |
//! | loading fails, or panics | all who wait for it get the error; the next call tries again |
//! | the caller goes away | loading goes on, and the model is there for the next |
//!
//! The memory of a model is what [`estimate`](crate::estimate) foretells. A chat model that finds
//! more room than it needs uses it to remember more beginnings of prompts. The handle of an
//! evicted model keeps its tokenizer, so that token counts stay there to be had; that is charged
//! too. (A model that comes back brings a tokenizer of its own; the second is not charged.) What an evicted model took is given back at once, or, when the last request was given up
//! a moment ago, at the end of the pass that it was in.
//!
//! | file | question it answers |
//! |---|---|
//! | `plan` | what must be known of a model |
//! | `shared` | who is in memory, who goes, who waits |
//! | `wait` | how long a caller waits |
//! | `handle` | what a caller holds |

mod handle;
mod plan;
mod shared;
mod wait;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use corbie_core::{
    ChatModel, ChatRequest, EmbedKind, Embedder, Error, ErrorKind, Message, Reranker, Result,
    SparseEmbedder,
};
use serde::Serialize;

pub use plan::{ChatFace, Duty, EmbedderFace, Load, Loaded, Plan, Plans, PromptTokens};

use crate::hub::Report;
use crate::machine::memory_bytes;
use shared::{Key, Pinned, Shared};

/// What a [`ModelPool`] may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// The most bytes of all models together: weights, keys and values, buffers, tokenizers. By
    /// default three quarters of the machine's memory, or no limit where the system does not say
    /// how much it has.
    pub memory: usize,
    /// The most callers that wait for room.
    pub waiting: usize,
    /// How long a caller waits for room while the models in memory are all in use.
    pub patience: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let machine = memory_bytes().and_then(|bytes| usize::try_from(bytes).ok());
        Self {
            memory: machine.map_or(usize::MAX, |bytes| bytes / 4 * 3),
            waiting: 64,
            patience: Duration::from_secs(60),
        }
    }
}

/// Where a model is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelState {
    /// It was never loaded, or could not be.
    Absent,
    /// It is being loaded: the share that is done, from 0 to 1.
    Loading(f32),
    /// It is in memory.
    Ready,
    /// It was in memory and made room for another.
    Evicted,
}

/// How one model of a pool is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    /// The name it was asked for by.
    pub name: String,
    /// What it is loaded for.
    pub duty: Duty,
    /// Where it is.
    pub state: ModelState,
    /// The bytes that are charged for it now.
    pub bytes: usize,
    /// The bytes that it cannot do without when it is in memory.
    pub needed: usize,
    /// Requests that run on it.
    pub running: usize,
    /// When it was last used; `None`: never.
    pub last_used: Option<SystemTime>,
}

/// How a pool is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolStatus {
    /// The most bytes that all models together may take.
    pub limit: usize,
    /// The bytes that are charged now.
    pub taken: usize,
    /// Callers that wait for room.
    pub waiting: usize,
    /// Every model that was asked for, by duty and name.
    pub models: Vec<ModelStatus>,
}

/// Loads models when they are needed and evicts them when others are. See the [module](self).
///
/// Most programs have one inside [`Models`](crate::Models); one of its own needs only
/// [`Plans`].
pub struct ModelPool {
    shared: Arc<Shared>,
    plans: Arc<dyn Plans>,
}

impl ModelPool {
    /// An empty pool of the models that `plans` knows.
    pub fn new(plans: impl Plans + 'static, options: PoolOptions) -> Self {
        Self {
            shared: Arc::new(Shared::new(options)),
            plans: Arc::new(plans),
        }
    }

    /// What it may take.
    pub fn options(&self) -> &PoolOptions {
        &self.shared.options
    }

    /// A handle of the chat model called `name`, which is in memory when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`Plans::plan`] and of loading; see the [module](self).
    pub async fn chat(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn ChatModel>> {
        handle::chat(&self.model(Duty::Chat, name, report).await?)
    }

    /// A handle of the embedder called `name`, which is in memory when this returns.
    ///
    /// # Errors
    ///
    /// As [`ModelPool::chat`].
    pub async fn embedder(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn Embedder>> {
        handle::embedder(&self.model(Duty::Embed, name, report).await?)
    }

    /// A handle of the reranker called `name`, which is in memory when this returns.
    ///
    /// # Errors
    ///
    /// As [`ModelPool::chat`].
    pub async fn reranker(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn Reranker>> {
        handle::reranker(&self.model(Duty::Rerank, name, report).await?)
    }

    /// A handle of the sparse embedder called `name`, which is in memory when this returns.
    ///
    /// # Errors
    ///
    /// As [`ModelPool::chat`].
    pub async fn sparse_embedder(
        &self,
        name: &str,
        report: Report<'_>,
    ) -> Result<Arc<dyn SparseEmbedder>> {
        handle::sparse(&self.model(Duty::Sparse, name, report).await?)
    }

    /// Loads the model called `name` and lets it compute a little, so that the first request
    /// finds everything in place.
    ///
    /// # Errors
    ///
    /// As [`ModelPool::chat`].
    pub async fn warm_up(&self, duty: Duty, name: &str, report: Report<'_>) -> Result<()> {
        let model = self.model(duty, name, report).await?;
        let text = "a".to_owned();
        match model.model()? {
            Loaded::Chat(model, _) => {
                let request = ChatRequest {
                    max_tokens: Some(1),
                    ..ChatRequest::new([Message::user(text)])
                };
                model.complete(request).await.map(drop)
            }
            Loaded::Embed(model, _) => model.embed(&[text], EmbedKind::Query).await.map(drop),
            Loaded::Rerank(model) => model.rerank("a", &[text]).await.map(drop),
            Loaded::Sparse(model) => model.embed(&[text], EmbedKind::Query).await.map(drop),
        }
    }

    /// Takes the model called `name` out of memory: at once when nobody uses it, otherwise when
    /// the last request on it ends. Its handles stay good: they load it again when they are used.
    /// Gives whether it is gone already.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for a model that was never asked for.
    pub fn unload(&self, name: &str) -> Result<bool> {
        let unknown = || {
            let cause = "it was never loaded here";
            Error::new(ErrorKind::NotFound, format!("model `{name}`"), cause)
        };
        self.shared.unload(name).ok_or_else(unknown)
    }

    /// Refuses a model that needs more bytes than all models together may take: for whoever loads
    /// one beside the pool.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) with the numbers.
    pub fn check(&self, name: &str, bytes: usize) -> Result<()> {
        match bytes > self.shared.options.memory {
            true => Err(shared::too_large(name, bytes, self.shared.options.memory)),
            false => Ok(()),
        }
    }

    /// How it is doing.
    pub fn status(&self) -> PoolStatus {
        let (taken, models) = self.shared.status();
        PoolStatus {
            limit: self.shared.options.memory,
            taken,
            waiting: self.shared.waiting(),
            models,
        }
    }

    async fn model(&self, duty: Duty, name: &str, report: Report<'_>) -> Result<Pinned> {
        let name = name.to_owned();
        let key = Key { duty, name };
        if !self.shared.is_here(&key) {
            let plan = self.plans.plan(duty, &key.name, report).await?;
            self.shared.put(&key, plan);
        }
        wait::pinned(&self.shared, &key, None, report).await
    }
}
