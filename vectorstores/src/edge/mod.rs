//! The embedded Qdrant engine as a store.
//!
//! The engine's calls block, so they run on threads of their own: any executor may await them.
//! What the engine demands: its write-ahead log stays on; one process opens a shard, which the
//! index sees to with its lock; a write is flushed before it is acknowledged; `optimize` builds
//! the graph index, in the background and after enough new points, and until then search
//! is exact.

mod config;
mod convert;
mod filter;
mod shard;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corbie_core::{
    BoxFuture, Error, ErrorKind, Filter, Hit, Point, Result, ScrollPage, SearchRequest, Selection,
    VectorStore,
};
use uuid::Uuid;

use crate::engine::{IndexedField, Quantization};
use crate::index::{Place, Stores, remove_folder};
use crate::rank::check_point;
use shard::Shard;
use threads::Threads;

/// How an [`EdgeStore`] works. What is said here of vectors holds for a store that is there already
/// too, from its next optimisation on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeOptions {
    /// The length of dense vectors; `None`: the store keeps only sparse ones.
    pub dimension: Option<usize>,
    /// How many written points start an optimisation in the background. Below about 50,000
    /// points exact search takes a few milliseconds.
    pub optimize_after: usize,
    /// How many calls may run at once.
    pub threads: usize,
    /// How vectors are kept for the search, beside the exact ones.
    pub quantization: Quantization,
    /// Leaves the exact vectors, the terms and the values of fields on disk until one is asked for:
    /// with a quantization, a quarter of the memory or less.
    pub on_disk: bool,
    /// How many candidates a search in the graph index keeps: more find more, later. Never fewer
    /// than it is to find, and beyond 130,000 points never fewer than finds nearly all (250 among
    /// a million).
    pub search_effort: usize,
    /// Which fields of the metadata are often filtered by: their values are looked up instead of
    /// read from every point.
    pub indexed: Vec<IndexedField>,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            dimension: None,
            optimize_after: 20_000,
            threads: 4,
            quantization: Quantization::None,
            on_disk: false,
            search_effort: 64,
            indexed: Vec::new(),
        }
    }
}

/// A store on disk: dense vectors under a graph index, sparse vectors under an inverted index,
/// filters on the payload. The engine is Qdrant's, so a collection that outgrows this process
/// moves to a Qdrant server by scroll and upsert, without embedding anything again.
///
/// A call that writes returns when its effect is on disk. One process may open a folder at a
/// time.
pub struct EdgeStore {
    shard: Arc<Shard>,
    threads: Threads,
    optimizer: Threads,
    written: AtomicUsize,
    options: EdgeOptions,
    folder: PathBuf,
}

/// The [`Stores`] of collections that live in the embedded Qdrant engine, in their own folders.
pub fn edge_stores() -> Arc<dyn Stores> {
    edge_stores_with(EdgeOptions::default(), None)
}

/// [`edge_stores`] that work as `options` say, whatever dimension stands there, and keep all
/// vectors in the folder `root` instead, if there is one: on a faster disk, say.
pub fn edge_stores_with(options: EdgeOptions, root: Option<PathBuf>) -> Arc<dyn Stores> {
    Arc::new(EdgeStores { options, root })
}

struct EdgeStores {
    options: EdgeOptions,
    root: Option<PathBuf>,
}

impl EdgeStores {
    fn folder(&self, place: &Place) -> PathBuf {
        match &self.root {
            Some(root) => root.join(place.shared_name()),
            None => place.vectors(),
        }
    }
}

impl Stores for EdgeStores {
    fn name(&self) -> String {
        match &self.root {
            Some(root) => format!("edge:{}", root.display()),
            None => "edge".to_owned(),
        }
    }

    fn open(&self, place: &Place) -> Result<Arc<dyn VectorStore>> {
        let options = EdgeOptions {
            dimension: place.dimension,
            ..self.options.clone()
        };
        Ok(Arc::new(EdgeStore::open(&self.folder(place), options)?))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { remove_folder(&self.folder(place)) })
    }
}

impl EdgeStore {
    /// Opens the store in `folder`, or makes an empty one.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](ErrorKind::Mismatch) when it keeps vectors of another length,
    /// [`Io`](ErrorKind::Io) when it cannot be read.
    pub fn open(folder: &Path, options: EdgeOptions) -> Result<Self> {
        let shard = Arc::new(Shard::open(folder, &options)?);
        let io = |error| Error::io("the threads of a vector store", error);
        Ok(Self {
            threads: Threads::start("edge", options.threads.max(1)).map_err(io)?,
            optimizer: Threads::start("edge-optimize", 1).map_err(io)?,
            written: AtomicUsize::new(0),
            shard,
            options,
            folder: folder.to_owned(),
        })
    }

    /// Builds the graph index over what has been written, and drops what was deleted. Searches
    /// and writes go on beside it. It also runs by itself after enough writes.
    ///
    /// # Errors
    ///
    /// When the engine cannot write.
    pub async fn optimize(&self) -> Result<()> {
        let shard = Arc::clone(&self.shard);
        self.optimizer.run(move || shard.optimize()).await?
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shard) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T>> {
        let shard = Arc::clone(&self.shard);
        let running = self.threads.run(move || work(&shard));
        Box::pin(async move { running.await? })
    }

    fn optimize_when_due(&self, points: usize) {
        let written = self.written.fetch_add(points, Ordering::Relaxed) + points;
        if written < self.options.optimize_after {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        let shard = Arc::clone(&self.shard);
        let folder = self.folder.display().to_string();
        self.optimizer.start_work(move || {
            if let Err(error) = shard.optimize() {
                tracing::warn!(%error, folder, "a vector store was not optimised; search stays exact");
            }
        });
    }
}

impl VectorStore for EdgeStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for point in &points {
                check_point(point, self.options.dimension)?;
            }
            let count = points.len();
            self.call(move |shard| shard.upsert(points)).await?;
            self.optimize_when_due(count);
            Ok(())
        })
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        self.call(move |shard| shard.delete(selection))
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        self.call(move |shard| shard.search(&request))
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        let filter = filter.cloned();
        self.call(move |shard| shard.scroll(filter.as_ref(), after, limit))
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<Uuid>>> {
        self.call(|shard| shard.ids(None))
    }

    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        let ids = ids.to_vec();
        self.call(move |shard| shard.get(ids))
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        let filter = filter.cloned();
        self.call(move |shard| shard.count(filter.as_ref()))
    }
}

/// An error of the engine about the store in `folder`.
fn failure(folder: &Path, error: &qdrant_edge::OperationError) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("vector store {}", folder.display()),
        error,
    )
}
