//! Embedding: texts become vectors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, Result, SparseVector, TermWeights, TokenCounter};

/// A vector of one text. Its length is the model's dimension.
pub type Embedding = Vec<f32>;

/// What is embedded: some models prefix or encode documents and queries differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmbedKind {
    /// A passage to be found.
    Document,
    /// A question that looks for passages.
    Query,
}

/// What an [`Embedder`] is. Vectors of different identities must not meet in one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderInfo {
    /// The name to load it by.
    pub model: String,
    /// A digest of what decides its vectors: weights, tokenizer, pooling, normalisation, prompts.
    pub fingerprint: String,
    /// The length of its vectors.
    pub dimension: usize,
}

/// Turns texts into vectors whose cosine measures how alike they are.
///
/// Batch invariance is law: a text's vector depends on that text alone, bit for bit, not on the
/// other texts of the batch.
pub trait Embedder: Send + Sync {
    /// What it is.
    fn info(&self) -> &EmbedderInfo;

    /// Its own token counter: what is longer than the limit is cut off before embedding.
    fn tokens(&self) -> &dyn TokenCounter;

    /// One vector for each text, in order.
    ///
    /// # Errors
    ///
    /// When the model cannot compute or a remote service does not answer.
    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>>;
}

/// What a [`SparseEmbedder`] is. Vectors of different identities must not meet in one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparseEmbedderInfo {
    /// The name to load it by.
    pub model: String,
    /// What decides a document's vector: the digest of a model, or options written out.
    pub fingerprint: String,
    /// What the numbers of its vectors are.
    pub weights: TermWeights,
}

/// Gives texts weights for terms, by which a store finds words: BM25, or a model such as SPLADE.
///
/// Batch invariance is law, as for an [`Embedder`].
pub trait SparseEmbedder: Send + Sync {
    /// What it is.
    fn info(&self) -> SparseEmbedderInfo;

    /// One vector for each text, in order, all of the kind of weights that
    /// [`info`](SparseEmbedder::info) says.
    ///
    /// # Errors
    ///
    /// When the model cannot compute.
    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<SparseVector>>>;
}

/// The tokens of a shared embedder, as a counter of its own: what a splitter takes.
#[derive(Clone)]
pub struct EmbedderTokens(pub Arc<dyn Embedder>);

impl TokenCounter for EmbedderTokens {
    fn count(&self, text: &str) -> usize {
        self.0.tokens().count(text)
    }

    fn limit(&self) -> usize {
        self.0.tokens().limit()
    }

    fn coverage(&self, text: &str) -> f32 {
        self.0.tokens().coverage(text)
    }
}
