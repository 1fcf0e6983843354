//! The laws of each trait, as functions that panic with the law that is broken.

mod chat;
mod embedder;
mod journal;
mod reranker;
mod retriever;
mod sparse;
mod splitter;
mod store;
mod tool;

pub use chat::{Behaviour, Finding, chat_model, chat_model_behaviours};
pub use embedder::embedder;
pub use journal::{journal, journal_reopened};
pub use reranker::reranker;
pub use retriever::retriever;
pub use sparse::sparse_embedder;
pub use splitter::splitter;
pub use store::vector_store;
pub use tool::{tool, tool_effects};
