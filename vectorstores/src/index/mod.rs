//! The index: a collection that follows its files.
//!
//! A collection is a folder: a lock, a ledger in SQLite, and the store's vectors, unless these are
//! on a server. The ledger
//! records what was read from where, with which fingerprint, and which chunks it became. Order
//! is always embed, store, record: after a kill at any moment the store may hold more than the
//! ledger says, never less, and the next [`Index::sync`] puts it right.
//!
//! | file | answers |
//! |---|---|
//! | `plan` | what has to be done? |
//! | `sync` | how does it flow? |
//! | `write` | in what order is it written? |
//! | `place` | where are its points? |
//! | `points` | what does its store hold of a document? |
//! | `cut` | what is stored of a document? |
//! | `verify` | is all of that true? |
//! | `rebuild` | how does a collection change its embedding model? |
//! | `transfer` | how is it copied, to another store or place? |
//! | `ledger` | what is recorded? |
//! | `collections` | which collections are there? |
//! | `lock` | who owns one? |

mod collections;
mod cut;
mod ledger;
mod lock;
mod owned;
mod place;
mod plan;
mod points;
mod rebuild;
mod report;
mod sync;
mod transfer;
mod verify;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use corbie_core::{
    Document, Embedder, Error, ErrorKind, Parser, Result, SparseEmbedder, SparseEmbedderInfo,
    Splitter, TermWeights, VectorStore,
};

use uuid::Uuid;

use crate::bm25::Bm25;
use crate::retrieve::Contextualizer;
use crate::{SearchMode, StoreRetriever};

pub use collections::{CollectionInfo, Collections};
pub(crate) use cut::searched_text;
pub use lock::Owner;
#[cfg(feature = "edge")]
pub(crate) use place::remove_folder;
pub use place::{Place, Stores, memory_stores};
pub use plan::Cleanup;
pub use report::{IngestEvent, IngestReport, Outcome, Progress};

pub use sync::SyncOptions;
pub use transfer::{CopyReport, End};
pub use verify::{Finding, Problem, Verification, VerifyOptions};

use ledger::{Ledger, Making};
use lock::Lock;
use owned::OwnedStore;

/// What an [`Index`] is made of.
#[derive(Clone)]
pub struct IndexParts {
    /// Embeds chunks and questions; `None`: keyword search only.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Turns bytes into documents.
    pub parser: Arc<dyn Parser>,
    /// Cuts documents.
    pub splitter: Arc<dyn Splitter>,
    /// Writes where each chunk stands in its document, which is searched with its text; `None`:
    /// only headings are. A chunk keeps what was written as long as its own text stays.
    pub contexts: Option<Contextualizer>,
    /// Weighs words: BM25, or a model.
    pub sparse: Arc<dyn SparseEmbedder>,
    /// Where the points are.
    pub stores: Arc<dyn Stores>,
    /// How long to wait for another process that holds the collection.
    pub wait: Duration,
}

impl IndexParts {
    /// These parts, with default keyword weights and vectors in memory; a collection that another
    /// process holds is waited for one second.
    pub fn new(
        embedder: Option<Arc<dyn Embedder>>,
        parser: Arc<dyn Parser>,
        splitter: Arc<dyn Splitter>,
    ) -> Self {
        Self {
            embedder,
            parser,
            splitter,
            contexts: None,
            sparse: Arc::new(Bm25::default()),
            stores: memory_stores(),
            wait: Duration::from_secs(1),
        }
    }
}

/// Tells which version of a document there is now: a text that changes whenever the document's
/// does, or `None` when the document is gone.
pub type Versions = Arc<dyn Fn(&str) -> Result<Option<String>> + Send + Sync>;

/// A collection that this process owns, kept up to date with its sources.
///
/// Searches may run beside a [`sync`](Index::sync); two syncs take turns.
pub struct Index {
    collection: String,
    parts: IndexParts,
    store: Arc<dyn VectorStore>,
    ledger: Arc<Ledger>,
    folder: PathBuf,
    writer: tokio::sync::Mutex<()>,
    lock: Arc<Lock>,
}

impl Index {
    /// Opens the collection `name` among `collections`, or makes it.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a name that is none,
    /// [`Busy`](ErrorKind::Busy) when another process holds the collection,
    /// [`Mismatch`](ErrorKind::Mismatch) when it was made with another embedding model or has its
    /// points elsewhere,
    /// [`Unsupported`](ErrorKind::Unsupported) when a newer Corbie wrote it. In none of these
    /// cases is anything changed.
    pub fn open(collections: &Collections, name: &str, parts: IndexParts) -> Result<Self> {
        let folder = collections.create(name)?;
        let lock = Arc::new(Lock::take(&folder.join("lock"), name, parts.wait)?);
        let ledger = Ledger::open(&folder.join("ledger.sqlite"))?;
        let embedder = parts.embedder.as_ref().map(|e| e.info().clone());
        let store = Some(parts.stores.name());
        let sparse = learned(&parts);
        let making = match ledger.making()? {
            Some(making) if making.sparse != sparse => {
                return Err(other_words(name, &making, sparse.as_ref()));
            }
            Some(making) if making.embedder != embedder => {
                return Err(mismatch(name, &making, embedder.as_ref()));
            }
            Some(making) if making.store == store => making,
            Some(making) if making.store.is_none() => {
                let making = Making { store, ..making };
                ledger.set_making(&making)?;
                making
            }
            Some(making) => return Err(elsewhere(name, &making, &parts.stores.name())),
            None => {
                let making = Making {
                    embedder,
                    generation: 1,
                    index: Uuid::new_v4(),
                    store,
                    sparse,
                };
                ledger.set_making(&making)?;
                making
            }
        };
        Self::assemble(name, &folder, lock, ledger, &making, parts)
    }

    fn assemble(
        name: &str,
        folder: &Path,
        lock: Arc<Lock>,
        ledger: Ledger,
        making: &Making,
        parts: IndexParts,
    ) -> Result<Self> {
        rebuild::remove_other_generations(folder, making.generation)?;
        let store = parts.stores.open(&place(name, folder, making))?;
        Ok(Self {
            collection: name.to_owned(),
            store: Arc::new(OwnedStore {
                store,
                _lock: Arc::clone(&lock),
            }),
            parts,
            ledger: Arc::new(ledger),
            folder: folder.to_owned(),
            writer: tokio::sync::Mutex::default(),
            lock,
        })
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        &self.collection
    }

    /// The collection's store.
    pub fn store(&self) -> &Arc<dyn VectorStore> {
        &self.store
    }

    /// What the index is made of.
    pub fn parts(&self) -> &IndexParts {
        &self.parts
    }

    /// A retriever over the collection.
    pub fn retriever(&self, mode: SearchMode) -> StoreRetriever {
        StoreRetriever {
            store: Arc::clone(&self.store),
            embedder: self.parts.embedder.clone(),
            sparse: Arc::clone(&self.parts.sparse),
            mode,
        }
    }

    /// The document `source` as it was read, even when its file is gone: what citations are
    /// checked against.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn document(&self, source: &str) -> Result<Option<Document>> {
        self.ledger.document(source)
    }

    /// Tells which version of a document the collection holds now: the hash of its text. It may
    /// outlive the index.
    pub fn versions(&self) -> Versions {
        let ledger = Arc::clone(&self.ledger);
        Arc::new(move |source| ledger.text_hash(source))
    }

    /// The collection's folder, where other things of it may be kept. It goes with the collection.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The sources of its documents in alphabetical order: at most `limit` of those behind
    /// `after`, where an empty text stands before all.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn sources(&self, after: &str, limit: usize) -> Result<Vec<String>> {
        self.ledger.sources(after, limit)
    }

    /// The number of documents.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub fn documents(&self) -> Result<usize> {
        Ok(self.ledger.counts()?.0)
    }

    /// Tells other processes that find the collection held where this one serves it.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be written.
    pub fn announce(&self, address: Option<String>) -> Result<()> {
        let subject = format!("the lock of collection `{}`", self.collection);
        let announced = self.lock.announce(address);
        announced.map_err(|error| Error::io(subject, error))
    }

    /// Names how documents are cut and weighed: those recorded under another name are cut anew.
    fn recipe(&self) -> String {
        recipe(&self.parts)
    }
}

fn recipe(parts: &IndexParts) -> String {
    let (splitter, words) = (parts.splitter.identity(), parts.sparse.info().fingerprint);
    match &parts.contexts {
        None => format!("1 {splitter} {words}"),
        Some(contexts) => format!("1 {splitter} {words} {}", contexts.identity()),
    }
}

fn place(collection: &str, folder: &Path, making: &Making) -> Place {
    Place {
        collection: collection.to_owned(),
        index: making.index,
        generation: making.generation,
        dimension: making.embedder.as_ref().map(|info| info.dimension),
        folder: folder.to_owned(),
    }
}

/// The model that weighs words, where one does: counted words may be counted anew in place.
fn learned(parts: &IndexParts) -> Option<SparseEmbedderInfo> {
    let info = parts.sparse.info();
    Some(info).filter(|info| info.weights == TermWeights::Learned)
}

fn other_words(name: &str, making: &Making, wanted: Option<&SparseEmbedderInfo>) -> Error {
    let call = |info: Option<&SparseEmbedderInfo>| match info {
        Some(info) => info.model.clone(),
        None => "bm25".to_owned(),
    };
    let (made, wanted) = (call(making.sparse.as_ref()), call(wanted));
    let (cause, hint) = match made == wanted {
        true => (
            format!("its words were weighed by another version of `{made}` than the one given now"),
            String::new(),
        ),
        false => (
            format!("its words were weighed by `{made}`, not by `{wanted}`"),
            format!("use `--sparse {made}`, or "),
        ),
    };
    Error::new(ErrorKind::Mismatch, format!("collection `{name}`"), cause).hint(format!(
        "{hint}weigh them again: `corbie index rebuild --collection {name} --sparse {wanted}`"
    ))
}

fn elsewhere(name: &str, making: &Making, wanted: &str) -> Error {
    let made = making.store.as_deref().unwrap_or_default();
    let cause = format!("its points are in `{made}`, not in `{wanted}`");
    let error = Error::new(ErrorKind::Mismatch, format!("collection `{name}`"), cause);
    error.hint(format!(
        "open it without `--store`, or move it: \
         `corbie collections copy {name} {name} --store {wanted}`"
    ))
}

fn mismatch(name: &str, making: &Making, wanted: Option<&corbie_core::EmbedderInfo>) -> Error {
    let call = |info: Option<&corbie_core::EmbedderInfo>| match info {
        Some(info) => format!("embedding model `{}`", info.model),
        None => "no embedding model".to_owned(),
    };
    let made = making.embedder.as_ref();
    let same_name = made.map(|info| &info.model) == wanted.map(|info| &info.model);
    let cause = match same_name {
        true => format!(
            "it was made with another version of {} than the one given now",
            call(made)
        ),
        false => format!("it was made with {}, not with {}", call(made), call(wanted)),
    };
    let error = Error::new(ErrorKind::Mismatch, format!("collection `{name}`"), cause);
    match (made, wanted) {
        (Some(made), Some(wanted)) if !same_name => error.hint(format!(
            "use `--embedder {}`, or embed it again: \
             `corbie index rebuild --collection {name} --embedder {}`",
            made.model, wanted.model
        )),
        (_, Some(wanted)) => error.hint(format!(
            "embed it again: `corbie index rebuild --collection {name} --embedder {}`",
            wanted.model
        )),
        (Some(made), None) => error.hint(format!("use `--embedder {}`", made.model)),
        (None, None) => error,
    }
}
