//! Keeping and finding: vector stores, the index with its ledger, and retrievers.
//!
//! | module | answers |
//! |---|---|
//! | [`MemoryStore`] | where are a few thousand vectors kept, exactly and without files? |
//! | `EdgeStore` (feature `edge`) | where are they kept on disk, and found fast among millions? |
//! | `QdrantStore` (feature `qdrant`) | where do many processes share them, on a server or a cluster? |
//! | `PostgresStore` (feature `postgres`) | how does a PostgreSQL server with pgvector keep them? |
//! | [`Namespace`] | what does one of several tenants see of a store? |
//! | [`bm25`] | what are a text's terms, in any language, and what do they weigh? |
//! | [`index`] | how does a collection follow files that are added, changed and deleted? |
//! | [`retrieve`] | how does a question become hits? |
//! | [`eval`] | how good are the hits? |
//! | [`bench`](mod@bench) | how fast are they found, and how many are missed? |
//!
//! A store never embeds, and nothing here knows a model: embedders come in as
//! [`corbie_core::Embedder`].

pub mod bench;
pub mod bm25;
#[cfg(feature = "edge")]
mod edge;
mod embed;
#[cfg(any(feature = "edge", feature = "qdrant"))]
mod engine;
pub mod eval;
pub mod index;
mod memory;
mod namespace;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "qdrant")]
mod qdrant;
mod rank;
pub mod retrieve;

#[cfg(feature = "edge")]
pub use edge::{EdgeOptions, EdgeStore, edge_stores, edge_stores_with};
#[cfg(any(feature = "edge", feature = "qdrant"))]
pub use engine::{FieldKind, IndexedField, Quantization};
pub use memory::MemoryStore;
pub use namespace::Namespace;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore, postgres_stores};
#[cfg(feature = "qdrant")]
pub use qdrant::{QdrantOptions, QdrantStore, qdrant_stores};
pub use rank::{fuse, inverse_frequency};
pub use retrieve::{RetrieverExt, SearchMode, StoreRetriever};
