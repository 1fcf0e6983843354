//! Hits that say something new.

use std::collections::HashMap;
use std::sync::Arc;

use corbie_core::{
    BoxFuture, EmbedKind, Embedder, Embedding, Error, ErrorKind, Hit, Result, RetrieveRequest,
    Retriever, VectorStore,
};
use uuid::Uuid;

use super::{DEPTH, traced};
use crate::embed::embed;
use crate::index::searched_text;
use crate::rank::{dot, normalized};

/// Chooses hits by maximal marginal relevance: each next one is the candidate with the most
/// `lambda · relevance - (1 - lambda) · likeness`, where likeness is the cosine with the most
/// similar hit chosen before, no less than 0 (Carbonell and Goldstein, "The Use of MMR,
/// Diversity-Based Reranking for Reordering Documents and Producing Summaries", SIGIR 1998).
///
/// Relevance is the score of the wrapped retriever, whatever it is, scaled so that the best
/// candidate has 1 and the worst 0. A hit's score is the value by which it was chosen.
#[derive(Clone)]
pub struct Mmr {
    /// Who finds the candidates.
    pub retriever: Arc<dyn Retriever>,
    /// Embeds the candidates whose vectors are not stored.
    pub embedder: Arc<dyn Embedder>,
    /// Where the embedder's vectors of the candidates are kept; `None`: all are embedded anew.
    pub store: Option<Arc<dyn VectorStore>>,
    /// What relevance counts against difference, from 0 to 1.
    pub lambda: f32,
    /// How many candidates are looked at, or as many as are asked for, if that is more.
    pub depth: usize,
}

impl Mmr {
    /// Chooses among 50 candidates, which are embedded anew; relevance and difference count alike.
    pub fn new(retriever: impl Retriever + 'static, embedder: Arc<dyn Embedder>) -> Self {
        Self {
            retriever: Arc::new(retriever),
            embedder,
            store: None,
            lambda: 0.5,
            depth: DEPTH,
        }
    }

    /// The same with the vectors that `store` keeps.
    #[must_use]
    pub fn stored_in(mut self, store: Arc<dyn VectorStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The same with relevance counting `lambda`, from 0 to 1.
    #[must_use]
    pub fn with_lambda(mut self, lambda: f32) -> Self {
        self.lambda = lambda;
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        if !(0.0..=1.0).contains(&self.lambda) {
            let cause = format!("lambda is {}", self.lambda);
            let error = Error::new(ErrorKind::BadInput, "maximal marginal relevance", cause);
            return Err(error.hint("choose a lambda from 0 (difference) to 1 (relevance)"));
        }
        let limit = request.limit;
        let wide = request.with_limit(limit.max(self.depth));
        let hits = self.retriever.retrieve(wide).await?;
        let vectors = self.vectors(&hits).await?;
        Ok(choose(hits, &vectors, self.lambda, limit))
    }

    /// The vector of each hit, of unit length.
    async fn vectors(&self, hits: &[Hit]) -> Result<Vec<Embedding>> {
        let mut stored: HashMap<Uuid, Embedding> = HashMap::new();
        if let Some(store) = &self.store {
            let ids: Vec<Uuid> = hits.iter().map(|hit| hit.chunk.id).collect();
            for point in store.get(&ids).await? {
                stored.extend(point.dense.map(|vector| (point.chunk.id, vector)));
            }
        }
        let tokens = Some(self.embedder.tokens());
        let missing: Vec<String> = hits
            .iter()
            .filter(|hit| !stored.contains_key(&hit.chunk.id))
            .map(|hit| searched_text(&hit.chunk, tokens))
            .collect();
        let mut embedded = match missing.is_empty() {
            true => Vec::new(),
            false => embed(self.embedder.as_ref(), &missing, EmbedKind::Document).await?,
        }
        .into_iter();
        let vector = |hit: &Hit| match stored.remove(&hit.chunk.id) {
            Some(vector) => normalized(vector),
            None => normalized(embedded.next().unwrap_or_default()),
        };
        Ok(hits.iter().map(vector).collect())
    }
}

impl Retriever for Mmr {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("mmr", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}

/// A hit that may be chosen.
struct Candidate {
    hit: Hit,
    relevance: f32,
    /// With the most similar hit that was chosen.
    likeness: f32,
    /// Its place among the vectors.
    at: usize,
}

fn choose(hits: Vec<Hit>, vectors: &[Embedding], lambda: f32, limit: usize) -> Vec<Hit> {
    let scores = || hits.iter().map(|hit| hit.score);
    let (least, most) = (
        scores().fold(f32::INFINITY, f32::min),
        scores().fold(f32::NEG_INFINITY, f32::max),
    );
    let relevance = |score: f32| match most > least {
        true => (score - least) / (most - least),
        false => 1.0,
    };
    let mut left: Vec<Candidate> = hits
        .into_iter()
        .enumerate()
        .map(|(at, hit)| Candidate {
            relevance: relevance(hit.score),
            likeness: 0.0,
            at,
            hit,
        })
        .collect();
    let value = |it: &Candidate| lambda * it.relevance - (1.0 - lambda) * it.likeness;
    let mut chosen = Vec::with_capacity(limit.min(left.len()));
    while chosen.len() < limit {
        // The first of equals, which the retriever put before the others.
        let best =
            left.iter()
                .enumerate()
                .reduce(|best, next| match value(next.1) > value(best.1) {
                    true => next,
                    false => best,
                });
        let Some((best, score)) = best.map(|(place, it)| (place, value(it))) else {
            break;
        };
        let Candidate { hit, at, .. } = left.remove(best);
        chosen.push(Hit { score, ..hit });
        for candidate in &mut left {
            let likeness = dot(&vectors[candidate.at], &vectors[at]);
            candidate.likeness = candidate.likeness.max(likeness);
        }
    }
    chosen
}
