//! Several retrievers as one, fused by their scores.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use corbie_core::{BoxFuture, Error, ErrorKind, Hit, Result, RetrieveRequest, Retriever, Scores};
use futures::future::try_join_all;
use uuid::Uuid;

use super::traced;
use crate::rank::{Ranked, fuse, fusion_depth};

/// Asks several retrievers at once and fuses their rankings by their scores, see
/// [`fuse`](crate::fuse).
///
/// A part counts by its weight times its [`competence`](Retriever::competence) for the question,
/// so that a dense part whose embedding model cannot read the question stays silent. The score of
/// a hit is the fused one; its `scores` hold the best cosine and BM25 that the parts gave it.
#[derive(Clone)]
pub struct Hybrid {
    /// Who is asked.
    pub parts: Vec<Part>,
}

/// One of several retrievers.
#[derive(Clone)]
pub struct Part {
    /// Who is asked.
    pub retriever: Arc<dyn Retriever>,
    /// What its ranking counts, from 0 up; 1 is usual.
    pub weight: f32,
}

impl Hybrid {
    /// Two retrievers that count alike.
    pub fn new(first: impl Retriever + 'static, second: impl Retriever + 'static) -> Self {
        Self { parts: Vec::new() }
            .with(first, 1.0)
            .with(second, 1.0)
    }

    /// The same with one more retriever, whose ranking counts `weight`.
    #[must_use]
    pub fn with(mut self, retriever: impl Retriever + 'static, weight: f32) -> Self {
        self.parts.push(Part {
            retriever: Arc::new(retriever),
            weight,
        });
        self
    }

    /// The parts with what each counts for this question.
    fn weighed(&self, question: &str) -> Result<Vec<(f32, &Arc<dyn Retriever>)>> {
        let mut all = Vec::with_capacity(self.parts.len());
        for Part { retriever, weight } in &self.parts {
            if !weight.is_finite() || *weight < 0.0 {
                let cause = format!("the weight {weight} of a part is no finite number from 0 up");
                return Err(Error::new(ErrorKind::BadInput, "hybrid search", cause)
                    .hint("give each part a weight such as 1"));
            }
            all.push((*weight, retriever));
        }
        let able = |(weight, retriever): &(f32, &'_ Arc<dyn Retriever>)| {
            weight * retriever.competence(question)
        };
        let weights: Vec<f32> = all.iter().map(able).collect();
        if weights.iter().any(|weight| *weight > 0.0) {
            for (part, weight) in all.iter_mut().zip(weights) {
                part.0 = weight;
            }
        }
        all.retain(|(weight, _)| *weight > 0.0);
        Ok(all)
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let limit = request.limit;
        let request = request.with_limit(fusion_depth(limit));
        let parts = self.weighed(&request.question)?;
        let asked = parts.into_iter().map(|(weight, retriever)| {
            let found = retriever.retrieve(request.clone());
            async move { Ok::<_, Error>((weight, found.await?)) }
        });
        Ok(fused(try_join_all(asked).await?, limit))
    }
}

impl Retriever for Hybrid {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("fused", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        let of = |part: &Part| part.retriever.competence(question);
        self.parts.iter().map(of).fold(0.0, f32::max)
    }
}

/// The `limit` best hits of several rankings, each counting its weight.
pub(super) fn fused(rankings: Vec<(f32, Vec<Hit>)>, limit: usize) -> Vec<Hit> {
    let rank = |hit: &Hit| (hit.chunk.id, hit.score);
    let ranked: Vec<(f32, Vec<Ranked>)> = rankings
        .iter()
        .map(|(weight, hits)| (*weight, hits.iter().map(rank).collect()))
        .collect();
    let ranked: Vec<(f32, &[Ranked])> = ranked
        .iter()
        .map(|(weight, ranked)| (*weight, ranked.as_slice()))
        .collect();
    let mut best = fuse(&ranked);
    best.truncate(limit);
    let mut found: HashMap<Uuid, Hit> = HashMap::new();
    for hit in rankings.into_iter().flat_map(|(_, hits)| hits) {
        match found.entry(hit.chunk.id) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.scores = better(known.scores, hit.scores);
            }
            Entry::Vacant(place) => {
                place.insert(hit);
            }
        }
    }
    let with_score = |(id, score)| {
        Some(Hit {
            score,
            ..found.remove(&id)?
        })
    };
    best.into_iter().filter_map(with_score).collect()
}

/// The better of each score.
pub(super) fn better(left: Scores, right: Scores) -> Scores {
    let better = |left: Option<f32>, right: Option<f32>| match (left, right) {
        (Some(left), Some(right)) => Some(left.max(right)),
        (left, right) => left.or(right),
    };
    Scores {
        dense: better(left.dense, right.dense),
        sparse: better(left.sparse, right.sparse),
    }
}
