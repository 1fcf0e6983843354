//! Retrieving: a question becomes hits.

use std::sync::Arc;

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

    /// The same among what passes `filter`.
    #[must_use]
    pub fn filtered(mut self, filter: Option<Filter>) -> Self {
        self.filter = filter;
        self
    }
}

/// Turns a question into hits, best first: each chunk once, none outside the filter. The same
/// request over the same data gives the same hits. Implementations pass
/// `corbie_core::testing::conformance::retriever`.
pub trait Retriever: Send + Sync {
    /// At most [`RetrieveRequest::limit`] hits.
    ///
    /// # Errors
    ///
    /// When the embedder or the store fails;
    /// [`BadInput`](crate::ErrorKind::BadInput) for a filter that [`Filter::check`] refuses.
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>>;

    /// How much its ranks for this question are worth beside those of others, from 0 to 1. Less
    /// than 1 where it cannot read the question, such as an English embedding model a Chinese one.
    fn competence(&self, question: &str) -> f32 {
        let _ = question;
        1.0
    }
}

impl<R: Retriever + ?Sized> Retriever for Arc<R> {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        (**self).retrieve(request)
    }

    fn competence(&self, question: &str) -> f32 {
        (**self).competence(question)
    }
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
