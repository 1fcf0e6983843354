//! Fewer hits: no more than so many, none weaker than so much.

use std::sync::Arc;

use corbie_core::{BoxFuture, Hit, Result, RetrieveRequest, Retriever};

use super::traced;
use crate::rank::fusion_depth;

/// Returns no more than so many hits, even where more are asked for.
#[derive(Clone)]
pub struct Limit {
    /// Who finds.
    pub retriever: Arc<dyn Retriever>,
    /// The most hits.
    pub most: usize,
}

impl Limit {
    /// At most `most` of what `retriever` finds.
    pub fn new(retriever: impl Retriever + 'static, most: usize) -> Self {
        Self {
            retriever: Arc::new(retriever),
            most,
        }
    }
}

impl Retriever for Limit {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        let limit = request.limit.min(self.most);
        self.retriever.retrieve(request.with_limit(limit))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}

/// Which score of a hit is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScoreOf {
    /// That of the retriever itself, by which its hits are ordered.
    #[default]
    Hit,
    /// The cosine of the embeddings.
    Dense,
    /// BM25.
    Sparse,
}

/// Drops the hits that score less than `least`.
///
/// Scores of different retrievers have different scales: cosines of one embedding model can be
/// compared with each other, and so can the scores of one reranker; those of rank fusion say
/// nothing about how well a hit matches, look at the cosine behind them instead. A hit without the
/// score that is looked at is dropped.
#[derive(Clone)]
pub struct Threshold {
    /// Who finds.
    pub retriever: Arc<dyn Retriever>,
    /// The least score of a hit.
    pub least: f32,
    /// Which score that is.
    pub score: ScoreOf,
}

impl Threshold {
    /// What `retriever` finds and itself scores `least` or more.
    pub fn new(retriever: impl Retriever + 'static, least: f32) -> Self {
        Self {
            retriever: Arc::new(retriever),
            least,
            score: ScoreOf::Hit,
        }
    }

    /// The same by another score.
    #[must_use]
    pub fn of(mut self, score: ScoreOf) -> Self {
        self.score = score;
        self
    }

    fn passes(&self, hit: &Hit) -> bool {
        let score = match self.score {
            ScoreOf::Hit => Some(hit.score),
            ScoreOf::Dense => hit.scores.dense,
            ScoreOf::Sparse => hit.scores.sparse,
        };
        score.is_some_and(|score| score >= self.least)
    }
}

impl Retriever for Threshold {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        let limit = request.limit;
        traced("threshold", limit, async move {
            // By another score than the order's, those that pass may stand further down.
            let wide = match self.score {
                ScoreOf::Hit => limit,
                ScoreOf::Dense | ScoreOf::Sparse => fusion_depth(limit),
            };
            let mut hits = self.retriever.retrieve(request.with_limit(wide)).await?;
            hits.retain(|hit| self.passes(hit));
            hits.truncate(limit);
            Ok(hits)
        })
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}
