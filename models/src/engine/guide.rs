//! What a text is held to while it is written.

use corbie_core::Result;

use crate::constraint::Mask;

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
