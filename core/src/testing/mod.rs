//! The test kit: fakes that need no model, and one conformance function for each trait.
//!
//! Fakes are for unit tests, ours and yours. The functions in [`conformance`] hold the laws that
//! every implementation of a trait must keep; they panic with the broken law.
//!
//! | in the place of | stands |
//! |---|---|
//! | a chat model | [`ScriptedChatModel`], which says what it is told ([`says`], [`call`], [`calls`]) and checks what it is asked ([`Step`]); real answers again: [`Replay`](crate::record::Replay) |
//! | a tool | [`ScriptedTool`], which gives what it is told and remembers its calls |
//! | an embedder | [`HashEmbedder`], whose vectors follow shared words |
//! | a sparse embedder | [`WordSparseEmbedder`], whose terms are words |
//! | a reranker | [`WordReranker`], which counts them |
//! | a journal | [`MemoryJournal`]; one that dies: [`DyingJournal`] |
//! | a clock | [`FakeClock`] |

// A test kit fails by panicking: that is how a test reports.
#![allow(clippy::unwrap_used)]

mod clock;
mod embedder;
mod journal;
mod reranker;
mod script;
mod scripted;
mod sparse;
mod tool;

pub mod conformance;

pub use clock::FakeClock;
pub use embedder::{HashEmbedder, WordCounter};
pub use journal::{DyingJournal, MemoryJournal};
pub use reranker::WordReranker;
pub use script::{Step, call, calls, says};
pub use scripted::ScriptedChatModel;
pub use sparse::WordSparseEmbedder;
pub use tool::ScriptedTool;
