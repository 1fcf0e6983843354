use std::collections::BTreeSet;

use super::embedder::words;
use crate::{BoxFuture, Reranker, Result};

/// A reranker without a model: a passage's score is the share of the question's words that it
/// holds.
///
/// ```
/// use corbie_core::{Reranker, testing::WordReranker};
///
/// let passages = ["乌鸦会藏食物".to_owned(), "人会种地".to_owned()];
/// let scores = WordReranker.rerank("乌鸦藏", &passages);
/// assert_eq!(futures::executor::block_on(scores)?, [1.0, 0.0]);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct WordReranker;

impl Reranker for WordReranker {
    fn rerank<'a>(
        &'a self,
        question: &'a str,
        passages: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<f32>>> {
        let asked: BTreeSet<&str> = words(question).collect();
        let score = move |passage: &String| {
            let held: BTreeSet<&str> = words(passage).collect();
            asked.intersection(&held).count() as f32 / asked.len().max(1) as f32
        };
        Box::pin(async move { Ok(passages.iter().map(score).collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fake_keeps_the_laws() {
        futures::executor::block_on(super::super::conformance::reranker(&WordReranker));
    }
}
