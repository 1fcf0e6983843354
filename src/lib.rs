//! Corbie reads documents and acts on them: retrieval-augmented generation and agents, whole in one
//! offline process.
//!
//! ```text
//! load → split → embed → store → retrieve → prompt → generate → act
//! ```
//!
//! Every stage is a trait of [`core`], and every part can be replaced by one of yours: a test puts
//! a scripted model and an embedder without weights in the place of real ones.
//!
//! ```
//! use std::sync::Arc;
//!
//! use corbie::core::testing::{HashEmbedder, ScriptedChatModel, WordCounter};
//! use corbie::prelude::*;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # let work = tempfile::tempdir().unwrap();
//! # runtime.block_on(async {
//! let splitter = TokenSplitter::new(Arc::new(WordCounter { limit: 256 }), 64.into());
//! let parts = IndexParts::new(
//!     Some(Arc::new(HashEmbedder::new(64))),
//!     Arc::new(Parsers::standard()),
//!     Arc::new(splitter),
//! );
//! let index = Index::open(&Collections::new(work.path()), "handbook", parts)?;
//! let folder = FolderSource::new("examples/handbook".as_ref(), FolderOptions::default());
//! index.sync(&folder, "handbook", &()).await?;
//!
//! let model = ScriptedChatModel::new([Message::assistant("Full-time staff have 31 days [1].")]);
//! let answerer = Answerer::new(Arc::new(model), Arc::new(index.retriever(SearchMode::Keyword)));
//! let answer = answerer.answer("How many days of paid leave do full-time staff have?").await?;
//! assert_eq!(answer.verdict, Verdict::Answered);
//! assert!(answer.citations.iter().any(|c| c.source == "people/leave-and-expenses.txt"));
//! # Ok::<(), Error>(())
//! # })?;
//! # Ok::<(), corbie::core::Error>(())
//! ```
//!
//! | room | crate |
//! |---|---|
//! | nouns and seams | [`core`] |
//! | sources, parsers, splitters | [`loaders`] |
//! | chat models, embedders, the model hub | [`models`] |
//! | stores, the index, retrievers | [`vectorstores`] |
//! | question answering, agents | [`agents`] |

pub use corbie_agents as agents;
pub use corbie_agents::tool;
pub use corbie_core as core;
pub use corbie_loaders as loaders;
pub use corbie_models as models;
pub use corbie_vectorstores as vectorstores;

mod folder;

#[cfg(feature = "local")]
mod open;

pub use folder::index_folder;
#[cfg(feature = "local")]
pub use open::{chat_model, embedder, models_from_env};

/// What most programs use.
pub mod prelude {
    pub use crate::index_folder;
    pub use corbie_agents::{
        Agent, Answer, AnswerEvent, Answerer, Citation, Conversation, Outcome, Tools, Verdict,
    };
    pub use corbie_core::{
        ChatModel, ChatRequest, Document, Embedder, Error, Filter, Hit, Message, Parser, Result,
        RetrieveRequest, Retriever, Source, Splitter, VectorStore,
    };
    pub use corbie_loaders::{FolderOptions, FolderSource, Parsers, SplitOptions, TokenSplitter};
    pub use corbie_vectorstores::bm25::Bm25;
    pub use corbie_vectorstores::index::{Collections, Index, IndexParts, Stores, memory_stores};
    pub use corbie_vectorstores::{MemoryStore, RetrieverExt, SearchMode};
}
