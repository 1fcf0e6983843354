//! Measuring retrieval on a data set in BEIR's layout, and comparing two ways to retrieve.
//!
//! | item | answers |
//! |---|---|
//! | [`Dataset`] | what is searched, asked and right? |
//! | [`evaluate`] | what does a way to retrieve find for each query? |
//! | [`Measures`] | how good is that? |
//! | [`Evaluation::summary`] | how good is it over all queries, and how sure is that? |
//! | [`compare`] | is another way better, or was it luck? |
//!
//! A query without a relevant entry is left out; one that finds nothing counts 0. Every figure is
//! finite.

mod comparison;
mod dataset;
mod evaluation;
mod measures;
mod resampling;

use std::path::Path;
use std::sync::Arc;

use corbie_core::{
    Chunk, Document, EmbedKind, Embedder, Error, Hit, Metadata, Point, Result, RetrieveRequest,
    Retriever, Span, SparseEmbedder, Splitter, VectorStore, ids,
};

pub use comparison::{Comparison, Difference, compare};
pub use dataset::{Dataset, Entry, Titles};
pub use evaluation::{Evaluation, Summary};
pub use measures::{Found, Judged, Measures};
pub use resampling::Resampling;

use measures::DEPTH;

use crate::bm25::Bm25;
use crate::embed::embed_sparse;
use crate::{MemoryStore, SearchMode, StoreRetriever};

/// How many texts are embedded in one call.
const BATCH: usize = 256;

/// How to measure.
#[derive(Clone, Default)]
pub struct EvalOptions {
    /// Which search answers.
    pub mode: SearchMode,
    /// The embedding model; keyword mode needs none.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// How words are counted; the average length is measured on the corpus.
    pub bm25: Bm25,
    /// A model that weighs words instead.
    pub sparse: Option<Arc<dyn SparseEmbedder>>,
    /// Whether titles are part of the texts.
    pub titles: Titles,
    /// Cuts entries into chunks, and an entry scores as its best chunk. `None`: an entry is one
    /// chunk, which the embedder cuts off at its limit.
    pub splitter: Option<Arc<dyn Splitter>>,
}

/// Indexes the corpus of the data set in `dir` in memory, asks the queries of `split` and
/// measures the hits.
///
/// # Errors
///
/// When the data set cannot be read, holds no judged query, or the embedder fails.
pub async fn evaluate(dir: &Path, split: &str, options: &EvalOptions) -> Result<Evaluation> {
    let dataset = Dataset::read(dir, split)?;
    evaluate_dataset(&dataset, options).await.map_err(|error| {
        Error::new(
            error.kind().clone(),
            format!("data set {}", dir.display()),
            error,
        )
    })
}

/// Like [`evaluate`], on a data set in memory.
///
/// # Errors
///
/// When no query is judged, or the embedder fails.
pub async fn evaluate_dataset(dataset: &Dataset, options: &EvalOptions) -> Result<Evaluation> {
    let retriever = index(dataset, options).await?;
    let depth = match options.splitter {
        Some(_) => 10 * DEPTH,
        None => DEPTH,
    };
    evaluate_retriever(dataset, &retriever, depth).await
}

/// Asks `retriever` the queries of `dataset`, each for `depth` hits, and measures what it finds.
/// The `source` of a hit's chunk is the id of its entry; an entry scores as its best chunk.
///
/// # Errors
///
/// When no query is judged, or the retriever fails.
pub async fn evaluate_retriever(
    dataset: &Dataset,
    retriever: &dyn Retriever,
    depth: usize,
) -> Result<Evaluation> {
    let mut judged = Vec::new();
    for query in &dataset.queries {
        let grades = dataset.grades.get(&query.id);
        let Some(grades) = grades.filter(|grades| grades.values().any(|grade| *grade > 0)) else {
            continue;
        };
        let request = RetrieveRequest::new(&query.text).with_limit(depth);
        let hits = retriever.retrieve(request).await?;
        judged.push(Judged::new(
            &query.id,
            hits.into_iter().map(found).collect(),
            grades,
        ));
    }
    Evaluation::new(judged)
}

fn found(hit: Hit) -> Found {
    Found {
        id: hit.chunk.source,
        score: hit.score,
    }
}

async fn index(dataset: &Dataset, options: &EvalOptions) -> Result<StoreRetriever> {
    let texts = dataset.texts(options.titles);
    let mut chunks = Vec::with_capacity(texts.len());
    for (entry, text) in dataset.corpus.iter().zip(texts) {
        chunks.extend(cut(entry, text, options.splitter.as_deref())?);
    }
    let words: usize = chunks.iter().map(|c| options.bm25.length(&c.text)).sum();
    let bm25 = Bm25 {
        average_length: (words as f32 / chunks.len().max(1) as f32).max(1.0),
        ..options.bm25.clone()
    };
    let sparse = options.sparse.clone().unwrap_or_else(|| Arc::new(bm25));
    let embedder = match options.mode {
        SearchMode::Keyword => None,
        SearchMode::Dense | SearchMode::Hybrid => options.embedder.clone(),
    };
    let dimension = embedder.as_ref().map(|embedder| embedder.info().dimension);
    let store = MemoryStore::new(dimension);
    for batch in chunks.chunks(BATCH) {
        let texts: Vec<String> = batch.iter().map(|chunk| chunk.text.clone()).collect();
        let mut vectors = match &embedder {
            Some(embedder) => embedder
                .embed(&texts, EmbedKind::Document)
                .await?
                .into_iter(),
            None => Vec::new().into_iter(),
        };
        let words = match options.mode {
            SearchMode::Dense => Vec::new(),
            _ => embed_sparse(sparse.as_ref(), &texts, EmbedKind::Document).await?,
        };
        let mut words = words.into_iter();
        let point = |chunk: &Chunk| Point {
            namespace: None,
            dense: vectors.next(),
            sparse: words.next(),
            chunk: chunk.clone(),
        };
        store.upsert(batch.iter().map(point).collect()).await?;
    }
    Ok(StoreRetriever {
        store: Arc::new(store),
        embedder,
        sparse,
        mode: options.mode,
    })
}

fn cut(entry: &Entry, text: String, splitter: Option<&dyn Splitter>) -> Result<Vec<Chunk>> {
    let document = Document::new(&entry.id, text);
    let spans = match splitter {
        Some(splitter) => splitter.split(&document)?,
        None => vec![Span {
            start: 0,
            end: document.text.len(),
            tokens: 0,
            page: None,
            heading: Vec::new(),
        }],
    };
    let id = ids::document("eval", &entry.id);
    let chunk = |(ordinal, span): (usize, Span)| {
        let text = document.text[span.start..span.end].to_owned();
        Chunk {
            id: ids::chunk(&id, &text, ordinal),
            document: id,
            source: entry.id.clone(),
            text,
            start: span.start,
            end: span.end,
            page: None,
            heading: Vec::new(),
            metadata: Metadata::new(),
        }
    };
    Ok(spans.into_iter().enumerate().map(chunk).collect())
}
