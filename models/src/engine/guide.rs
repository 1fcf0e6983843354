//! What a text is held to while it is written.

use std::sync::Arc;

use corbie_core::Result;

/// Decides which tokens may come next.
///
/// A guide is asked for a [`Mask`] beside the decoder's pass, on another thread, and told of every
/// token that was taken.
pub trait Guide: Send {
    /// The tokens that may come next when at most `left` more may be written, the ending tokens
    /// among them where the text may end; `None`: all.
    ///
    /// # Errors
    ///
    /// When nothing may come next.
    fn mask(&mut self, left: usize) -> Result<Option<Mask>>;

    /// Takes the token that was chosen.
    ///
    /// # Errors
    ///
    /// When it was not allowed.
    fn commit(&mut self, token: u32) -> Result<()>;

    /// The tokens that must follow now and so need no choosing, at most `left` of them. They
    /// count as committed.
    ///
    /// # Errors
    ///
    /// When one of them turns out not to be allowed.
    fn forced(&mut self, left: usize) -> Result<Vec<u32>>;

    /// Whether nothing but the end may follow.
    fn must_end(&mut self) -> bool;
}

/// A set of tokens. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(Arc<[u32]>);

impl Mask {
    /// The tokens whose bit is set: bit `i % 32` of word `i / 32` is token `i`.
    pub fn from_words(words: impl Into<Arc<[u32]>>) -> Self {
        Self(words.into())
    }

    /// Whether `token` is in it.
    pub fn allows(&self, token: u32) -> bool {
        let word = self.0.get(token as usize / 32);
        word.is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Makes the logits of all other tokens minus infinity.
    pub fn apply(&self, logits: &mut [f32]) {
        for (index, logits) in logits.chunks_mut(32).enumerate() {
            match self.0.get(index) {
                Some(&u32::MAX) => {}
                Some(0) | None => logits.fill(f32::NEG_INFINITY),
                Some(word) => {
                    for (bit, logit) in logits.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
    }
}
