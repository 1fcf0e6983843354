//! Splitting: a document becomes spans that fit a model.

use crate::{Document, Result, Span};

/// How many tokens a text is for one model, and how many the model takes.
pub trait TokenCounter: Send + Sync {
    /// The number of tokens of `text` alone, without special tokens.
    fn count(&self, text: &str) -> usize;

    /// The most tokens of text that one input may have, special tokens already subtracted.
    fn limit(&self) -> usize;

    /// How much of `text` the model's vocabulary knows, from 0 (every token is unknown to it) to
    /// 1. What an embedder says of a text it cannot read is noise: hybrid search trusts it less.
    fn coverage(&self, _text: &str) -> f32 {
        1.0
    }
}

/// Cuts a document into spans. Synchronous: it only computes.
///
/// Laws, proved by `corbie_core::testing::conformance::splitter`: spans are in order, lie on
/// character boundaries, together leave out nothing but white space, and none is over its limit.
pub trait Splitter: Send + Sync {
    /// The spans of `document` in order.
    ///
    /// # Errors
    ///
    /// When the options cannot be met, such as a limit of zero tokens.
    fn split(&self, document: &Document) -> Result<Vec<Span>>;

    /// Names the method and its options. A collection records it: spans cut under another
    /// identity are cut again.
    fn identity(&self) -> String;
}
