//! The nouns and seams of Corbie.
//!
//! Everything Corbie does is one flow, and its words are used everywhere in this order:
//!
//! ```text
//! load → split → embed → store → retrieve → prompt → generate → act
//! ```
//!
//! This crate holds the data that travels along it and the traits that each stage implements.
//! It does no I/O, starts no runtime and knows no model: implementers depend on it and on
//! nothing else of Corbie.
//!
//! | stage | trait | data |
//! |---|---|---|
//! | load | [`Source`], [`Parser`] | [`Item`] → [`Document`] |
//! | split | [`Splitter`], [`TokenCounter`] | [`Document`] → [`Span`]s → [`Chunk`]s |
//! | embed | [`Embedder`] | texts → [`Embedding`]s |
//! | store | [`VectorStore`] | [`Point`]s, [`Filter`] |
//! | retrieve | [`Retriever`], [`Reranker`] | question → [`Hit`]s |
//! | prompt | | [`PromptTemplate`] |
//! | generate | [`ChatModel`] | [`ChatRequest`] → [`ChatEvent`]s |
//! | act | [`Tool`], [`Journal`] | [`ToolCall`] |
//!
//! [`record`] writes down what a chat model answers, and answers the same again without it. The
//! feature `testing` adds fakes (a scripted chat model and tool, a deterministic embedder, an
//! in-memory journal) and one conformance function for each trait.

mod clock;
mod document;
mod error;
pub mod filter;
pub mod ids;
mod names;
pub mod schema;
mod sentences;

mod load;
mod split;

mod embed;
mod store;

mod retrieve;

mod chat;
mod prompt;
pub mod record;

mod journal;
mod tool;

#[cfg(feature = "testing")]
pub mod testing;

pub use chat::{
    ChatEvent, ChatModel, ChatModelInfo, ChatReply, ChatRequest, ChatStream, FinishReason, Message,
    ResponseFormat, Role, Sampling, ToolChoice, Usage,
};
pub use clock::{Clock, SystemClock};
pub use document::{Chunk, Document, Heading, Hit, Metadata, Page, Scores, Span};
pub use embed::{
    EmbedKind, Embedder, EmbedderInfo, EmbedderTokens, Embedding, SparseEmbedder,
    SparseEmbedderInfo,
};
pub use error::{Error, ErrorKind, Result};
pub use filter::{Filter, Range};
pub use journal::{Journal, JournalEntry};
pub use load::{Item, Listing, MediaType, Parser, Skipped, Source};
pub use names::is_plain_path;
pub use prompt::PromptTemplate;
pub use retrieve::{Reranker, RetrieveRequest, Retriever};
pub use sentences::sentences;
pub use split::{Splitter, TokenCounter};
pub use store::{
    Point, Query, ScrollPage, SearchRequest, Selection, SparseVector, TermWeights, VectorStore,
};
pub use tool::{Effects, Invocation, Tool, ToolCall, ToolSpec};

/// A boxed future that may be sent between threads: what every asynchronous seam returns.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;
