//! `corbie bench`: how fast it is on this machine.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use corbie_core::{
    BoxFuture, Document, EmbedKind, Embedder, EmbedderInfo, Embedding, Error, Filter, Hit, Parser,
    Point, RetrieveRequest, Retriever, ScrollPage, SearchRequest, Selection, Span, Splitter,
    TokenCounter, VectorStore,
};
use corbie_loaders::{FolderOptions, FolderSource};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::index::{Collections, Index, IndexParts, Place, Stores};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::args::BenchCommand;

pub async fn run(app: &App, command: BenchCommand) -> Result<ExitCode> {
    let row = match command {
        BenchCommand::Search(args) => search(&args).await?,
        BenchCommand::Ingest { folder } => ingest(app, &folder).await?,
    };
    match app.output.is_json() {
        true => app.output.json(&row)?,
        false => lines(app, "", &row)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A figure a line; those that belong together indented.
fn lines(app: &App, before: &str, row: &Value) -> Result<()> {
    for (name, value) in row.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => {
                app.output.line(&format!("{before}{name}"))?;
                lines(app, "  ", value)?;
            }
            _ if name == "v" => {}
            Value::Number(number) if number.is_f64() => {
                let number = number.as_f64().unwrap_or_default();
                app.output
                    .line(&format!("{before}{name:<22} {number:.3}"))?;
            }
            value => app.output.line(&format!("{before}{name:<22} {value}"))?,
        }
    }
    Ok(())
}

#[cfg(feature = "edge")]
async fn search(args: &crate::args::BenchSearchArgs) -> Result<Value> {
    use corbie_vectorstores::bench::{BenchOptions, bench_field, search_bench};
    use corbie_vectorstores::{EdgeOptions, EdgeStore, FieldKind, IndexedField, Quantization};

    let options = BenchOptions {
        points: args.points,
        dimension: args.dimension,
        queries: args.queries,
        ..BenchOptions::default()
    };
    let edge = EdgeOptions {
        dimension: Some(options.dimension),
        // Tidying up is measured by itself.
        optimize_after: usize::MAX,
        quantization: match args.quantization {
            crate::args::QuantizationKind::None => Quantization::None,
            crate::args::QuantizationKind::Scalar => Quantization::Scalar,
            crate::args::QuantizationKind::Binary => Quantization::Binary,
        },
        on_disk: args.on_disk,
        search_effort: args.effort.unwrap_or(EdgeOptions::default().search_effort),
        indexed: vec![IndexedField {
            field: bench_field().into(),
            kind: FieldKind::Integer,
        }],
        ..EdgeOptions::default()
    };
    let given = args.vectors.as_deref().map(numbers).transpose()?;
    let scratch;
    let folder = match &args.folder {
        Some(folder) => folder,
        None => {
            scratch = Scratch::new()?;
            &scratch.0
        }
    };
    let store = EdgeStore::open(folder, edge)?;
    let figures = search_bench(&store, &options, given, async || store.optimize().await).await?;
    let mut row = json!({ "v": 1 });
    if let (Some(row), Value::Object(figures)) =
        (row.as_object_mut(), serde_json::to_value(figures)?)
    {
        row.extend(figures);
        row.insert("rss_mb".into(), json!(memory("VmRSS:")));
        row.insert("peak_rss_mb".into(), json!(memory("VmHWM:")));
    }
    Ok(row)
}

/// The numbers in a file: four bytes each, the least first.
#[cfg(feature = "edge")]
fn numbers(file: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(file).map_err(|e| Error::io(format!("`{}`", file.display()), e))?;
    let (numbers, _) = bytes.as_chunks::<4>();
    Ok(numbers
        .iter()
        .map(|four| f32::from_le_bytes(*four))
        .collect())
}

#[cfg(not(feature = "edge"))]
async fn search(_: &crate::args::BenchSearchArgs) -> Result<Value> {
    let cause = "this build has no embedded engine to measure";
    Err(Error::new(corbie_core::ErrorKind::Unsupported, "bench search", cause).into())
}

/// A folder into a collection of its own, and where the time goes. Reading and cutting run beside
/// embedding and storing, so their times do not add up to the whole.
async fn ingest(app: &App, folder: &Path) -> Result<Value> {
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

/// A folder that goes when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("corbie-bench-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A figure of this process's memory, in MiB; `None` where the system does not say.
fn memory(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some((kilobytes / 1024.0).round())
}

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
