//! A slower, better judgement of many candidates.

use std::sync::Arc;

use corbie_core::{BoxFuture, Error, ErrorKind, Hit, Reranker, Result, RetrieveRequest, Retriever};

use super::{DEPTH, traced};
use crate::index::searched_text;

/// Has a reranker score what another retriever finds, and returns the best by those scores.
///
/// It asks for `depth` candidates, more than are wanted: a reranker that only saw the final hits
/// could order them, but never bring in a better one (Nogueira and Cho, "Passage Re-ranking with
/// BERT", 2019). A passage is read under its headings, as it was searched. Equal scores keep the
/// order in which they were found.
#[derive(Clone)]
pub struct Rerank {
    /// Who finds the candidates.
    pub retriever: Arc<dyn Retriever>,
    /// Who scores them.
    pub reranker: Arc<dyn Reranker>,
    /// How many candidates are scored, or as many as are asked for, if that is more. 50 unless
    /// told: the time that reranking takes grows with it.
    pub depth: usize,
}

impl Rerank {
    /// The best of 50 candidates.
    pub fn new(retriever: impl Retriever + 'static, reranker: Arc<dyn Reranker>) -> Self {
        Self {
            retriever: Arc::new(retriever),
            reranker,
            depth: DEPTH,
        }
    }

    /// The same with this many candidates.
    #[must_use]
    pub fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let (question, limit) = (request.question.clone(), request.limit);
        let wide = request.with_limit(limit.max(self.depth));
        let mut hits = self.retriever.retrieve(wide).await?;
        if hits.is_empty() {
            return Ok(hits);
        }
        let passages: Vec<String> = hits
            .iter()
            .map(|hit| searched_text(&hit.chunk, None))
            .collect();
        let scores = self.reranker.rerank(&question, &passages).await?;
        if scores.len() != hits.len() || !scores.iter().all(|score| score.is_finite()) {
            let (given, wanted) = (scores.len(), hits.len());
            let cause = format!("it gave {given} scores for {wanted} passages, or one not finite");
            let error = Error::new(ErrorKind::Malformed, "the reranker", cause);
            return Err(error.hint("search without reranking, or with another model"));
        }
        for (hit, score) in hits.iter_mut().zip(scores) {
            hit.score = score;
        }
        hits.sort_by(|left, right| right.score.total_cmp(&left.score));
        hits.truncate(limit);
        Ok(hits)
    }
}

impl Retriever for Rerank {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("rerank", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}
