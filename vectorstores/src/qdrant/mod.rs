//! Collections on a Qdrant server or cluster.
//!
//! The server's types are qdrant-client's, spoken over gRPC. A point lies there as it lies in the
//! embedded engine, so that a collection moves from one to the other by scroll and upsert.

mod address;
mod collection;
mod convert;
mod failure;
mod filter;
mod read;
mod search;
mod server;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use corbie_core::{
    BoxFuture, Filter, Hit, Point, Result, ScrollPage, SearchRequest, Selection, VectorStore,
};
use secrecy::SecretString;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::engine::{IndexedField, Quantization};
use crate::index::{Place, Stores};
use address::Address;
use server::Server;

/// Where a Qdrant server is, and how its collections are made and used.
#[derive(Debug, Clone)]
pub struct QdrantOptions {
    /// The address of its gRPC interface: `http://` or `https://`, a host and a port. Without a
    /// port it is 6334.
    pub url: String,
    /// The API key, where the server asks for one.
    pub api_key: Option<SecretString>,
    /// Whether the key may leave this machine without encryption: only in a network where nobody
    /// else listens.
    pub plain_key: bool,
    /// The length of dense vectors; `None`: the collection keeps only sparse ones.
    pub dimension: Option<usize>,
    /// How long one attempt of a call may take, connecting included.
    pub timeout: Duration,
    /// How many points are written by one call.
    pub batch: usize,
    /// How often a call that failed for a reason that may pass is repeated.
    pub retries: usize,
    /// The pause before the first repetition; it doubles each time. A server that asks for a
    /// pause of its own, of at most a minute, gets it.
    pub retry_delay: Duration,
    /// Into how many shards a new collection is cut; `None`: the server decides (one for each of
    /// its nodes). Every shard weighs words by its own points, so the scores of a sparse search
    /// are exact in one shard, and near that in several.
    pub shard_number: Option<u32>,
    /// On how many nodes each shard of a new collection is kept; `None`: the server decides (one).
    pub replication_factor: Option<u32>,
    /// How many of them must have a change before it is acknowledged; `None`: the server decides
    /// (one).
    pub write_consistency_factor: Option<u32>,
    /// How a new collection keeps vectors for the search, beside the exact ones.
    pub quantization: Quantization,
    /// Leaves the exact vectors and the indexes of a new collection on disk until they are asked
    /// for.
    pub on_disk: bool,
    /// How many candidates a search in the graph index keeps: more find more, later. `None`: what
    /// the server thinks right.
    pub search_effort: Option<usize>,
    /// Which fields of the metadata are often filtered by: their values are looked up instead of
    /// read from every point. Those that are not indexed yet are by the first write.
    pub indexed: Vec<IndexedField>,
}

impl QdrantOptions {
    /// The server at `url`, and what suits most.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            plain_key: false,
            dimension: None,
            timeout: Duration::from_secs(30),
            batch: 256,
            retries: 4,
            retry_delay: Duration::from_millis(200),
            shard_number: None,
            replication_factor: None,
            write_consistency_factor: None,
            quantization: Quantization::None,
            on_disk: false,
            search_effort: None,
            indexed: Vec::new(),
        }
    }
}

/// A collection on a Qdrant server of version 1.19 or later: dense vectors under a graph index,
/// sparse vectors under an inverted index, filters on the payload.
///
/// It keeps the laws of [`VectorStore`] as the embedded engine does. What differs is what a
/// server brings with it: many processes may use a collection at a time, the collection may be
/// cut into shards (see [`QdrantOptions::shard_number`]), and a call may find the server away.
/// Such a call is repeated, then it fails with [`Unavailable`](corbie_core::ErrorKind::Unavailable);
/// of a write in several batches, those before the failure stay. Writing again overwrites.
///
/// The collection is made by the first write; until then it reads as an empty one. It must be
/// used on a tokio runtime with I/O and time; another runtime than the first one is no obstacle.
///
/// ```no_run
/// use corbie_core::VectorStore;
/// use corbie_vectorstores::{QdrantOptions, QdrantStore};
///
/// # async fn example() -> corbie_core::Result<()> {
/// let options = QdrantOptions {
///     api_key: Some("…".into()),
///     dimension: Some(384),
///     ..QdrantOptions::new("https://qdrant.example.com:6334")
/// };
/// let store = QdrantStore::new(options, "handbook")?;
/// assert_eq!(store.count(None).await?, 0);
/// # Ok(())
/// # }
/// ```
pub struct QdrantStore {
    server: Server,
    collection: String,
    /// What errors are about.
    subject: String,
    options: QdrantOptions,
    /// Whether the collection has been seen, and is one of ours.
    found: AtomicBool,
    /// Whether it also has all it needs to be written to.
    ready: Mutex<bool>,
}

/// The [`Stores`] of collections on a Qdrant server. The dimension in `options` does not count:
/// every collection has its own.
pub fn qdrant_stores(options: QdrantOptions) -> Arc<dyn Stores> {
    Arc::new(QdrantStores { options })
}

struct QdrantStores {
    options: QdrantOptions,
}

impl QdrantStores {
    fn store(&self, place: &Place) -> Result<QdrantStore> {
        let options = QdrantOptions {
            dimension: place.dimension,
            ..self.options.clone()
        };
        QdrantStore::new(options, place.shared_name())
    }
}

impl Stores for QdrantStores {
    fn name(&self) -> String {
        // An address that is none is refused when a store is opened there, and not repeated: it
        // may hold a password.
        match Address::parse(&self.options.url) {
            Ok(address) => format!("qdrant:{}", address.name),
            Err(_) => "qdrant".to_owned(),
        }
    }

    fn open(&self, place: &Place) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(self.store(place)?))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { self.store(place)?.remove().await })
    }
}

impl QdrantStore {
    /// The store in `collection`; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`BadInput`](corbie_core::ErrorKind::BadInput) when the address is none, the key cannot
    /// be sent, or would be sent to another machine without encryption.
    pub fn new(options: QdrantOptions, collection: impl Into<String>) -> Result<Self> {
        let server = Server::new(&options)?;
        let collection = collection.into();
        Ok(Self {
            subject: format!("Qdrant collection `{collection}` on {}", server.name()),
            server,
            collection,
            options,
            found: AtomicBool::new(false),
            ready: Mutex::new(false),
        })
    }
}

impl VectorStore for QdrantStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.write(points))
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.erase(selection))
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        Box::pin(self.find(request))
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        Box::pin(self.page(filter, after, limit))
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<Uuid>>> {
        Box::pin(self.all_ids())
    }

    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        Box::pin(self.read(ids))
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        Box::pin(self.number(filter))
    }
}
