//! The test kit: fakes that need no model, and one conformance function for each trait.
//!
//! Fakes are for unit tests, ours and yours: a [`ScriptedChatModel`] that says what it is told,
//! a [`HashEmbedder`] whose vectors follow shared words, a [`WordReranker`] that counts them, a
//! [`MemoryJournal`], a [`FakeClock`]. The functions in [`conformance`] hold the laws that every implementation of
//! a trait must keep; they panic with the broken law.

// A test kit fails by panicking: that is how a test reports.
#![allow(clippy::unwrap_used)]

mod clock;
mod embedder;
mod journal;
mod reranker;
mod scripted;

pub mod conformance;

pub use clock::FakeClock;
pub use embedder::{HashEmbedder, WordCounter};
pub use journal::MemoryJournal;
pub use reranker::WordReranker;
pub use scripted::ScriptedChatModel;
