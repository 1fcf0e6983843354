//! Keeping and finding: vector stores, the index with its ledger, and retrievers.
//!
//! | module | answers |
//! |---|---|
//! | [`MemoryStore`] | where are a few thousand vectors kept, exactly and without files? |
//! | `EdgeStore` (feature `edge`) | where are they kept on disk, and found fast among millions? |
//! | `PostgresStore` (feature `postgres`) | how does a PostgreSQL server with pgvector keep them? |
//! | [`Namespace`] | what does one of several tenants see of a store? |
//! | [`bm25`] | what are a text's terms, in any language, and what do they weigh? |
//! | [`index`] | how does a collection follow files that are added, changed and deleted? |
//! | [`retrieve`] | how does a question become hits? |
//! | [`eval`] | how good are the hits? |
//! | [`bench`] | how fast are they found, and how many are missed? |
//!
//! A store never embeds, and nothing here knows a model: embedders come in as
//! [`corbie_core::Embedder`].

pub mod bench;
pub mod bm25;
#[cfg(feature = "edge")]
mod edge;
mod embed;
pub mod eval;
pub mod index;
mod memory;
mod namespace;
#[cfg(feature = "postgres")]
mod postgres;
mod rank;
pub mod retrieve;

#[cfg(feature = "edge")]
pub use edge::{
    EdgeOptions, EdgeStore, FieldKind, IndexedField, Quantization, edge_stores, edge_stores_with,
};
pub use memory::MemoryStore;
pub use namespace::Namespace;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore, postgres_stores};
pub use rank::{fuse, inverse_frequency};
pub use retrieve::{RetrieverExt, SearchMode, StoreRetriever};
