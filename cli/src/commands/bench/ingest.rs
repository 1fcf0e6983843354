//! A folder into a collection of its own, and where the time goes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use corbie_core::{
    BoxFuture, Document, EmbedKind, Embedder, EmbedderInfo, Embedding, Filter, Hit, Parser, Point,
    RetrieveRequest, Retriever, ScrollPage, SearchRequest, Selection, Span, Splitter, TokenCounter,
    VectorStore,
};
use corbie_loaders::{FolderOptions, FolderSource};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::index::{Collections, Index, IndexParts, Place, Stores};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scratch, memory};
use crate::app::App;

/// Reading and cutting run beside embedding and storing, so their times do not add up to the whole.
pub async fn run(app: &App, folder: &Path) -> Result<Value> {
    let times = Arc::new(Times::default());
    let parts = app.parts(None).await?;
    // The model is loaded before the clock runs.
    if let Some(embedder) = &parts.embedder {
        embedder
            .embed(&["warm".to_owned()], EmbedKind::Document)
            .await?;
    }
    let timed = |times: &Arc<Times>| Arc::clone(times);
    let parts = IndexParts {
        embedder: parts
            .embedder
            .map(|inner| Arc::new(TimedEmbedder(inner, timed(&times))) as Arc<dyn Embedder>),
        parser: Arc::new(TimedParser(parts.parser, timed(&times))),
        splitter: Arc::new(TimedSplitter(parts.splitter, timed(&times))),
        stores: Arc::new(TimedStores(parts.stores, timed(&times))),
        ..parts
    };
    let scratch = Scratch::new()?;
    let index = Index::open(&Collections::new(&scratch.0), "bench", parts)?;
    let source = FolderSource::new(folder, FolderOptions::default());
    let begun = Instant::now();
    let report = index.sync(&source, "bench", &()).await?;
    let whole = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let again = index.sync(&source, "bench", &()).await?;
    let unchanged = begun.elapsed().as_secs_f64();
    let query_ms = question_times(&index).await?;
    let seconds = |time: &AtomicU64| Duration::from_micros(time.load(Ordering::Relaxed));
    Ok(json!({
        "v": 1,
        "documents": report.added,
        "failed": report.failed.len(),
        "chunks": report.chunks,
        "documents_per_second": report.added as f64 / whole,
        "chunks_per_second": report.chunks as f64 / whole,
        "seconds": {
            "whole": whole,
            "parse": seconds(&times.parse).as_secs_f64(),
            "split": seconds(&times.split).as_secs_f64(),
            "embed": seconds(&times.embed).as_secs_f64(),
            "store": seconds(&times.store).as_secs_f64(),
            "unchanged_again": unchanged,
        },
        "query_ms": query_ms,
        "written_again": again.chunks,
        "peak_rss_mb": memory("VmHWM:"),
    }))
}

/// How long a hybrid search takes, its question embedded: the median over the first words of some
/// documents, in milliseconds.
async fn question_times(index: &Index) -> Result<Option<f64>> {
    let retriever = index.retriever(SearchMode::Hybrid);
    let mut times = Vec::new();
    for source in index.sources("", QUESTIONS)? {
        let text = index.document(&source)?.map(|document| document.text);
        let words: Vec<&str> = text
            .iter()
            .flat_map(|text| text.split_whitespace())
            .take(12)
            .collect();
        if words.is_empty() {
            continue;
        }
        let begun = Instant::now();
        retriever
            .retrieve(RetrieveRequest::new(words.join(" ")))
            .await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied())
}

/// How many questions are asked after an ingest.
const QUESTIONS: usize = 20;

/// Microseconds of each stage.
#[derive(Default)]
struct Times {
    parse: AtomicU64,
    split: AtomicU64,
    embed: AtomicU64,
    store: AtomicU64,
}

fn add(time: &AtomicU64, begun: Instant) {
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    time.fetch_add(micros, Ordering::Relaxed);
}

struct TimedParser(Arc<dyn Parser>, Arc<Times>);

impl Parser for TimedParser {
    fn parse<'a>(
        &'a self,
        source: &'a str,
        bytes: &'a [u8],
    ) -> BoxFuture<'a, corbie_core::Result<Document>> {
        Box::pin(async move {
            let begun = Instant::now();
            let parsed = self.0.parse(source, bytes).await;
            add(&self.1.parse, begun);
            parsed
        })
    }
}

struct TimedSplitter(Arc<dyn Splitter>, Arc<Times>);

impl Splitter for TimedSplitter {
    fn split(&self, document: &Document) -> corbie_core::Result<Vec<Span>> {
        let begun = Instant::now();
        let spans = self.0.split(document);
        add(&self.1.split, begun);
        spans
    }

    fn identity(&self) -> String {
        self.0.identity()
    }
}

struct TimedEmbedder(Arc<dyn Embedder>, Arc<Times>);

impl Embedder for TimedEmbedder {
    fn info(&self) -> &EmbedderInfo {
        self.0.info()
    }

    fn tokens(&self) -> &dyn TokenCounter {
        self.0.tokens()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, corbie_core::Result<Vec<Embedding>>> {
        Box::pin(async move {
            let begun = Instant::now();
            let vectors = self.0.embed(texts, kind).await;
            add(&self.1.embed, begun);
            vectors
        })
    }
}

struct TimedStores(Arc<dyn Stores>, Arc<Times>);

impl Stores for TimedStores {
    fn name(&self) -> String {
        self.0.name()
    }

    fn open(&self, place: &Place) -> corbie_core::Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(TimedStore(
            self.0.open(place)?,
            Arc::clone(&self.1),
        )))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, corbie_core::Result<()>> {
        self.0.remove(place)
    }
}

struct TimedStore(Arc<dyn VectorStore>, Arc<Times>);

impl TimedStore {
    async fn time<T>(&self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        add(&self.1.store, begun);
        done
    }
}

impl VectorStore for TimedStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, corbie_core::Result<()>> {
        Box::pin(self.time(self.0.upsert(points)))
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, corbie_core::Result<()>> {
        Box::pin(self.time(self.0.delete(selection)))
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, corbie_core::Result<Vec<Hit>>> {
        self.0.search(request)
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, corbie_core::Result<ScrollPage>> {
        Box::pin(self.time(self.0.scroll(filter, after, limit)))
    }

    fn ids(&self) -> BoxFuture<'_, corbie_core::Result<Vec<Uuid>>> {
        Box::pin(self.time(self.0.ids()))
    }

    fn count<'a>(
        &'a self,
        filter: Option<&'a Filter>,
    ) -> BoxFuture<'a, corbie_core::Result<usize>> {
        self.0.count(filter)
    }
}
