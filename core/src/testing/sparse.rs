use std::collections::BTreeSet;

use super::embedder::{fnv1a, words};
use crate::{
    BoxFuture, EmbedKind, Result, SparseEmbedder, SparseEmbedderInfo, SparseVector, TermWeights,
};

/// A sparse embedder without a model: each word is a term, chosen by its hash, that weighs as much
/// as the word has letters. Its weights pass for learned ones.
///
/// ```
/// use corbie_core::{EmbedKind, SparseEmbedder, testing::WordSparseEmbedder};
///
/// let texts = ["ravens cache food".to_owned()];
/// let weights = WordSparseEmbedder.embed(&texts, EmbedKind::Document);
/// let weights = futures::executor::block_on(weights)?;
/// assert_eq!(weights[0].values.iter().sum::<f32>(), 15.0);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct WordSparseEmbedder;

impl SparseEmbedder for WordSparseEmbedder {
    fn info(&self) -> SparseEmbedderInfo {
        SparseEmbedderInfo {
            model: "words".into(),
            fingerprint: "words-1".into(),
            weights: TermWeights::Learned,
        }
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<SparseVector>>> {
        let weigh = |text: &String| {
            let words: BTreeSet<&str> = words(text).collect();
            let weights = words
                .into_iter()
                .map(|word| (fnv1a(word) as u32, word.chars().count() as f32));
            SparseVector::from_pairs(weights).learned()
        };
        Box::pin(async move { Ok(texts.iter().map(weigh).collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fake_keeps_the_laws() {
        let laws = super::super::conformance::sparse_embedder(&WordSparseEmbedder);
        futures::executor::block_on(laws);
    }
}
