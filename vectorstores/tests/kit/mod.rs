//! Stand-ins that the tests of the index share: files in memory, a parser that refuses some, an
//! embedder that counts, and a store that fails when told to.

#![allow(dead_code)] // Each test binary uses its part.
#![allow(clippy::unwrap_used)]

#[cfg(any(feature = "edge", feature = "postgres", feature = "qdrant"))]
pub mod cases;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(all(feature = "edge", feature = "qdrant"))]
pub mod qdrant;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corbie_core::testing::HashEmbedder;
use corbie_core::{
    BoxFuture, Document, EmbedKind, Embedder, EmbedderInfo, Embedding, Error, ErrorKind, Filter,
    Hit, Item, Listing, Metadata, Parser, Point, Result, ScrollPage, SearchRequest, Selection,
    Source, Span, Splitter, TokenCounter, VectorStore, ids,
};
use corbie_vectorstores::MemoryStore;
use corbie_vectorstores::bm25::Bm25;
use corbie_vectorstores::index::{IndexParts, Place, Stores};
use uuid::Uuid;

/// Files in memory; a fingerprint is the text's hash and a number that touching changes.
#[derive(Default)]
pub struct Files(Mutex<BTreeMap<String, (String, u32)>>);

impl Files {
    pub fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        let own = Self::default();
        for (name, text) in files {
            own.write(name, text);
        }
        own
    }

    pub fn write(&self, name: &str, text: &str) {
        let mut files = self.0.lock().unwrap();
        files.insert(name.to_owned(), (text.to_owned(), 0));
    }

    pub fn touch(&self, name: &str) {
        self.0.lock().unwrap().get_mut(name).unwrap().1 += 1;
    }

    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

impl Source for Files {
    fn list(&self) -> BoxFuture<'_, Result<Listing>> {
        let item = |(name, (text, touched)): (&String, &(String, u32))| Item {
            source: name.clone(),
            fingerprint: format!("{}-{touched}", ids::text_hash(text)),
        };
        let items = self.0.lock().unwrap().iter().map(item).collect();
        Box::pin(async move {
            Ok(Listing {
                items,
                skipped: Vec::new(),
            })
        })
    }

    fn read<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<Vec<u8>>> {
        let text = self.0.lock().unwrap()[&item.source].0.clone();
        Box::pin(async move { Ok(text.into_bytes()) })
    }
}

/// Takes text as it is; refuses what begins with "BAD".
pub struct PlainParser;

impl Parser for PlainParser {
    fn parse<'a>(&'a self, source: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(bytes).into_owned();
            if text.starts_with("BAD") {
                return Err(Error::new(ErrorKind::Malformed, source, "it is bad"));
            }
            let mut document = Document::new(source, text);
            document.metadata = Metadata::new();
            Ok(document)
        })
    }
}

/// Makes each line a span.
pub struct LineSplitter(pub &'static str);

impl Splitter for LineSplitter {
    fn split(&self, document: &Document) -> Result<Vec<Span>> {
        let mut start = 0;
        let mut spans = Vec::new();
        for line in document.text.split('\n') {
            if !line.is_empty() {
                spans.push(Span {
                    start,
                    end: start + line.len(),
                    tokens: 1,
                    page: None,
                    heading: Vec::new(),
                });
            }
            start += line.len() + 1;
        }
        Ok(spans)
    }

    fn identity(&self) -> String {
        self.0.to_owned()
    }
}

/// Counts what it embeds; fails on the call of this number, and on texts with "UNEMBEDDABLE".
pub struct CountingEmbedder {
    inner: HashEmbedder,
    info: EmbedderInfo,
    pub texts: AtomicUsize,
    pub calls: AtomicUsize,
    pub fail_at: AtomicUsize,
}

impl CountingEmbedder {
    pub fn new(model: &str, dimension: usize) -> Arc<Self> {
        Self::like(EmbedderInfo {
            model: model.to_owned(),
            fingerprint: model.to_owned(),
            dimension,
        })
    }

    /// One that passes for another.
    pub fn like(info: EmbedderInfo) -> Arc<Self> {
        Arc::new(Self {
            inner: HashEmbedder::new(info.dimension),
            info,
            texts: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            fail_at: AtomicUsize::new(usize::MAX),
        })
    }

    pub fn taken(&self) -> usize {
        self.texts.swap(0, Ordering::SeqCst)
    }
}

impl Embedder for CountingEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn tokens(&self) -> &dyn TokenCounter {
        self.inner.tokens()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call == self.fail_at.load(Ordering::SeqCst) {
            let error = Error::new(ErrorKind::Unavailable, "the embedder", "it is away");
            return Box::pin(async move { Err(error) });
        }
        if texts.iter().any(|text| text.contains("UNEMBEDDABLE")) {
            let error = Error::new(ErrorKind::BadInput, "the embedder", "what a text");
            return Box::pin(async move { Err(error) });
        }
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        self.inner.embed(texts, kind)
    }
}

/// A store that fails on the write of this number, having done it or not.
pub struct FaultyStore {
    inner: Arc<dyn VectorStore>,
    fault: Arc<Fault>,
}

#[derive(Default)]
pub struct Fault {
    pub writes: AtomicUsize,
    pub fail_at: AtomicUsize,
    /// 1: the failing write has its effect all the same, as when a kill comes after it.
    pub after: AtomicUsize,
}

impl Fault {
    pub fn never() -> Arc<Self> {
        let fault = Self::default();
        fault.fail_at.store(usize::MAX, Ordering::SeqCst);
        Arc::new(fault)
    }
}

impl FaultyStore {
    async fn guard(&self, write: BoxFuture<'_, Result<()>>) -> Result<()> {
        let number = self.fault.writes.fetch_add(1, Ordering::SeqCst);
        if number != self.fault.fail_at.load(Ordering::SeqCst) {
            return write.await;
        }
        if self.fault.after.load(Ordering::SeqCst) == 1 {
            write.await?;
        }
        Err(Error::new(ErrorKind::Io, "the store", "it was killed"))
    }
}

impl VectorStore for FaultyStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.guard(self.inner.upsert(points)))
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.guard(self.inner.delete(selection)))
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        self.inner.search(request)
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        self.inner.scroll(filter, after, limit)
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        self.inner.count(filter)
    }
}

/// Stores in memory that outlive the index, one for each place, as those on disk do.
#[derive(Default)]
pub struct LastingStores {
    stores: Mutex<HashMap<PathBuf, Arc<MemoryStore>>>,
    fault: Arc<Fault>,
}

pub fn lasting_stores(fault: Arc<Fault>) -> Arc<dyn Stores> {
    Arc::new(LastingStores {
        fault,
        ..LastingStores::default()
    })
}

impl Stores for LastingStores {
    fn name(&self) -> String {
        "lasting".into()
    }

    fn open(&self, place: &Place) -> Result<Arc<dyn VectorStore>> {
        let mut stores = self.stores.lock().unwrap();
        let inner = stores
            .entry(place.vectors())
            .or_insert_with(|| Arc::new(MemoryStore::new(place.dimension)));
        Ok(Arc::new(FaultyStore {
            inner: inner.clone(),
            fault: Arc::clone(&self.fault),
        }))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        self.stores.lock().unwrap().remove(&place.vectors());
        Box::pin(async { Ok(()) })
    }
}

pub fn parts(embedder: Arc<CountingEmbedder>, stores: Arc<dyn Stores>) -> IndexParts {
    IndexParts {
        embedder: Some(embedder),
        parser: Arc::new(PlainParser),
        splitter: Arc::new(LineSplitter("lines")),
        contexts: None,
        sparse: Arc::new(Bm25::default()),
        stores,
        wait: Duration::ZERO,
    }
}

/// Every point of a store, in order.
pub async fn points(store: &dyn VectorStore) -> Vec<Point> {
    let mut points = Vec::new();
    let mut after = None;
    loop {
        let page = store.scroll(None, after, 100).await.unwrap();
        points.extend(page.points);
        after = page.next;
        if after.is_none() {
            return points;
        }
    }
}
