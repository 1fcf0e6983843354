//! Retrieving: a question becomes hits.

use crate::{BoxFuture, Filter, Hit, Result};

/// What to look for.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrieveRequest {
    /// The question, in the user's words.
    pub question: String,
    /// Where to look; `None`: everywhere.
    pub filter: Option<Filter>,
    /// The most hits to return.
    pub limit: usize,
}

impl RetrieveRequest {
    /// The ten best hits for `question`.
    pub fn new(question: impl Into<String>) -> Self {
        Self {
            question: question.into(),
            filter: None,
            limit: 10,
        }
    }

    /// The same with another limit.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// Turns a question into hits, best first.
pub trait Retriever: Send + Sync {
    /// At most [`RetrieveRequest::limit`] hits.
    ///
    /// # Errors
    ///
    /// When the embedder or the store fails.
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>>;
}

/// Scores passages against a question, more exactly and more slowly than a search.
pub trait Reranker: Send + Sync {
    /// One score for each passage, in order; higher is better.
    ///
    /// # Errors
    ///
    /// When the model cannot compute.
    fn rerank<'a>(
        &'a self,
        question: &'a str,
        passages: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<f32>>>;
}
