//! Retrievers: from a question to hits, by plain values put together.
//!
//! Each is a [`Retriever`] that searches a store or changes what another one finds, so they nest
//! in any order that makes sense: `Hybrid::new(dense, keyword).rerank(model).limit(8)`.
//!
//! | retriever | answers |
//! |---|---|
//! | [`StoreRetriever`] | what matches in one store, by meaning, by words, or by both? |
//! | [`Hybrid`] | what do several retrievers find together? |
//! | [`Rerank`] | which of many candidates does a slower, better model put first? |
//! | [`Mmr`] | which hits say something new? |
//! | [`Limit`], [`Threshold`] | which hits are too many, which too weak? |
//! | [`Parents`], [`SentenceWindow`] | what stands around the hits? |
//! | [`MultiQuery`], [`Hyde`] | what is found when a model puts the question better? |
//! | [`SelfQuery`] | which conditions does the question itself name? |
//! | [`Adaptive`] | when is a cheap search enough? |
//!
//! [`Contextualizer`] works at the other end: it writes where in its document a chunk stands,
//! before the chunk is embedded.
//!
//! All keep the laws of `corbie_core::testing::conformance::retriever`. In particular nothing
//! outside the request's filter is ever returned, whatever a model says. A score is that of the
//! outermost retriever that gave one; `Hit::scores` keeps the cosine and BM25 behind it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use corbie_core::testing::{HashEmbedder, WordReranker};
//! use corbie_core::{Document, EmbedKind, Embedder, Point, RetrieveRequest, Retriever, VectorStore};
//! use corbie_vectorstores::bm25::Bm25;
//! use corbie_vectorstores::retrieve::{Hybrid, RetrieverExt, SearchMode, StoreRetriever};
//! use corbie_vectorstores::MemoryStore;
//! # use corbie_core::{Chunk, ids};
//!
//! # futures::executor::block_on(async {
//! let store: Arc<dyn VectorStore> = Arc::new(MemoryStore::new(Some(64)));
//! let embedder: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(64));
//! # let texts = ["ravens cache food", "crows use tools", "渡鸦会藏食物"];
//! # let vectors = embedder.embed(&texts.map(str::to_owned), EmbedKind::Document).await?;
//! # let document = ids::document("birds", "birds.md");
//! # store.upsert(texts.iter().zip(vectors).map(|(text, vector)| Point {
//! #     namespace: None,
//! #     chunk: Chunk {
//! #         id: ids::chunk(&document, text, 0), document, source: "birds.md".into(),
//! #         text: (*text).into(), start: 0, end: text.len(), page: None,
//! #         heading: Vec::new(), metadata: Default::default(),
//! #     },
//! #     dense: Some(vector),
//! #     sparse: Some(Bm25::default().document(text)),
//! # }).collect()).await?;
//! // … points are written …
//! let searching = |mode| StoreRetriever {
//!     store: Arc::clone(&store),
//!     embedder: Some(Arc::clone(&embedder)),
//!     sparse: Arc::new(Bm25::default()),
//!     mode,
//! };
//! let retriever = Hybrid::new(searching(SearchMode::Dense), searching(SearchMode::Keyword))
//!     .rerank(Arc::new(WordReranker))
//!     .limit(2);
//! let hits = retriever.retrieve(RetrieveRequest::new("渡鸦把食物藏在哪里？")).await?;
//! assert_eq!(hits[0].chunk.text, "渡鸦会藏食物");
//! assert!(hits.len() <= 2);
//! # Ok::<(), corbie_core::Error>(())
//! # })?;
//! # Ok::<(), corbie_core::Error>(())
//! ```

mod adaptive;
mod around;
mod ask;
mod contextual;
mod documents;
mod hybrid;
mod hyde;
mod mmr;
mod multi_query;
mod narrow;
mod parents;
mod rerank;
mod self_query;
mod sentence_window;
mod store;

use std::future::Future;
use std::sync::Arc;

use corbie_core::{BoxFuture, ChatModel, Embedder, Hit, Reranker, Result, Retriever};
use tracing::Instrument;

pub use adaptive::{Adaptive, Enough, coverage, covers};
pub use contextual::Contextualizer;
pub use documents::Documents;
pub use hybrid::{Hybrid, Part};
pub use hyde::Hyde;
pub use mmr::Mmr;
pub use multi_query::{MultiQuery, Queries};
pub use narrow::{Limit, ScoreOf, Threshold};
pub use parents::{Extent, Parents};
pub use rerank::Rerank;
pub use self_query::{Field, FieldKind, SelfQuery};
pub use sentence_window::SentenceWindow;
pub use store::{SearchMode, StoreRetriever};

/// How many candidates a slower stage looks at, unless told otherwise.
const DEPTH: usize = 50;

/// What can be done with the hits of any retriever: each method wraps it with the defaults of the
/// type that it returns.
pub trait RetrieverExt: Retriever + Sized + 'static {
    /// The best of many candidates, as `reranker` scores them.
    fn rerank(self, reranker: Arc<dyn Reranker>) -> Rerank {
        Rerank::new(self, reranker)
    }

    /// At most `most` hits, however many are asked for.
    fn limit(self, most: usize) -> Limit {
        Limit::new(self, most)
    }

    /// Without hits that score less than `least`.
    fn threshold(self, least: f32) -> Threshold {
        Threshold::new(self, least)
    }

    /// Hits that differ from each other; `embedder` says how alike they are.
    fn mmr(self, embedder: Arc<dyn Embedder>) -> Mmr {
        Mmr::new(self, embedder)
    }

    /// The sections of `documents` that the hits stand in.
    fn parents(self, documents: Arc<dyn Documents>) -> Parents {
        Parents::new(self, documents)
    }

    /// The hits with the sentences around them.
    fn sentence_window(self, documents: Arc<dyn Documents>) -> SentenceWindow {
        SentenceWindow::new(self, documents)
    }

    /// What is found for several phrasings of the question that `model` writes.
    fn multi_query(self, model: Arc<dyn ChatModel>) -> MultiQuery {
        MultiQuery::phrasings(self, model)
    }

    /// What is found for the parts that `model` takes the question apart into.
    fn decompose(self, model: Arc<dyn ChatModel>) -> MultiQuery {
        MultiQuery::parts(self, model)
    }

    /// Narrowed to the conditions on `fields` that `model` reads out of the question.
    ///
    /// # Errors
    ///
    /// Those of [`SelfQuery::new`].
    fn self_query(self, model: Arc<dyn ChatModel>, fields: Vec<Field>) -> Result<SelfQuery> {
        SelfQuery::new(self, model, fields)
    }
}

impl<R: Retriever + 'static> RetrieverExt for R {}

/// Runs a search in view of whoever traces; where nothing is asked for, it does not run.
fn traced<'a>(
    mode: &'static str,
    limit: usize,
    search: impl Future<Output = Result<Vec<Hit>>> + Send + 'a,
) -> BoxFuture<'a, Result<Vec<Hit>>> {
    let span = tracing::info_span!(
        "retrieval",
        otel.name = "retrieval",
        gen_ai.operation.name = "retrieval",
        gen_ai.request.top_k = limit,
        corbie.retrieval.mode = mode,
        corbie.retrieval.hits = tracing::field::Empty,
        error.type = tracing::field::Empty,
    );
    let seen = span.clone();
    let watched = async move {
        let found = match limit {
            0 => Ok(Vec::new()),
            _ => search.await,
        };
        match &found {
            Ok(hits) => seen.record("corbie.retrieval.hits", hits.len()),
            Err(error) => seen.record("error.type", tracing::field::debug(error.kind())),
        };
        found
    };
    Box::pin(watched.instrument(span))
}
