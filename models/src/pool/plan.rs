//! What a pool must know of a model: how much memory it takes, and how it is loaded.

use std::sync::Arc;

use corbie_core::{
    BoxFuture, ChatModel, ChatModelInfo, ChatRequest, Embedder, EmbedderInfo, Reranker, Result,
    SparseEmbedder, TokenCounter,
};
use serde::Serialize;

use crate::hub::Report;

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// To answer messages.
    Chat,
    /// To turn texts into vectors.
    Embed,
    /// To score passages.
    Rerank,
    /// To weigh the terms of texts.
    Sparse,
}

impl Duty {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embed => "embed",
            Self::Rerank => "rerank",
            Self::Sparse => "sparse",
        }
    }
}

/// Says how the models of a pool are loaded.
pub trait Plans: Send + Sync {
    /// The plan of the model called `name`: its files are found, or fetched, but only their
    /// headers are read.
    ///
    /// # Errors
    ///
    /// When there is no such model, or it is unfit for the duty.
    fn plan<'a>(
        &'a self,
        duty: Duty,
        name: &'a str,
        report: Report<'a>,
    ) -> BoxFuture<'a, Result<Plan>>;
}

/// How one model is loaded.
#[derive(Clone)]
pub struct Plan {
    /// The bytes that it cannot do without.
    pub least: usize,
    /// The bytes that it makes use of.
    pub most: usize,
    /// Of these, what its handles keep when the model itself is gone: its tokenizer.
    pub kept: usize,
    /// Loads it. Runs on a thread of its own, perhaps several times.
    pub load: Arc<Load>,
}

/// Loads a model that may take so many bytes, and tells the share that is done, from 0 to 1.
pub type Load = dyn Fn(usize, &(dyn Fn(f32) + Send + Sync)) -> Result<Loaded> + Send + Sync;

/// A model in memory.
pub enum Loaded {
    /// For [`Duty::Chat`].
    Chat(Arc<dyn ChatModel>, Arc<ChatFace>),
    /// For [`Duty::Embed`].
    Embed(Arc<dyn Embedder>, Arc<EmbedderFace>),
    /// For [`Duty::Rerank`].
    Rerank(Arc<dyn Reranker>),
    /// For [`Duty::Sparse`].
    Sparse(Arc<dyn SparseEmbedder>),
}

/// What of a chat model stays when its weights go. None of it may hold the weights.
pub struct ChatFace {
    /// What it is.
    pub info: ChatModelInfo,
    /// How it counts tokens.
    pub tokens: Option<Arc<dyn TokenCounter>>,
    /// How many tokens a request's prompt is.
    pub prompt_tokens: Box<PromptTokens>,
}

/// Counts the tokens of a request's prompt.
pub type PromptTokens = dyn Fn(&ChatRequest) -> Result<usize> + Send + Sync;

/// What of an embedder stays when its weights go. None of it may hold the weights.
pub struct EmbedderFace {
    /// What it is.
    pub info: EmbedderInfo,
    /// How it counts tokens.
    pub tokens: Arc<dyn TokenCounter>,
}
