//! PostgreSQL with the extension pgvector as a store.
//!
//! A store is two tables: one of points, with their payload as `jsonb` and their dense vector, and
//! one of terms, from which BM25 is computed with the counts of the moment. A call is one
//! transaction. The client needs a runtime of its own kind, so the connections live on one thread
//! with one: any executor may await a call.

mod convert;
mod error;
mod filter;
mod graph;
mod read;
mod search;
mod server;
mod tables;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corbie_core::{
    BoxFuture, Error, ErrorKind, Filter, Hit, Point, Query, Result, ScrollPage, SearchRequest,
    Selection, VectorStore,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::index::{Place, Stores};
use crate::rank::{check_dense, check_point, check_sparse};
use convert::Columns;
use graph::Build;
use read::{Count, Get, Ids, IfThere, Scroll};
use search::Search;
use server::{Server, Work};
use tables::{Remove, Tables};
use write::{Delete, Upsert};

/// How many points are sent to the server together.
const PART: usize = 256;

/// After how many written points the store looks whether there are enough for the graph index.
const LOOK_AFTER: usize = 2000;

/// Where a [`PostgresStore`] is, and how it works.
#[derive(Clone, PartialEq)]
pub struct PostgresOptions {
    /// The database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. `?sslmode=` says whether the
    /// connection is secret: `prefer` (the default: where the server can), `require`, `disable`.
    /// Certificates are always checked against those that the machine trusts.
    pub url: String,
    /// The name of the table, at most 57 bytes; beside it there is `NAME_terms`.
    /// [`postgres_stores`] names the tables itself.
    pub table: String,
    /// The length of dense vectors, at most 16,000; `None`: the store keeps only sparse ones.
    pub dimension: Option<usize>,
    /// How long a call may take.
    pub timeout: Duration,
    /// How many connections are opened at most, and so how many calls run at once.
    pub connections: usize,
    /// From how many points on a graph index (HNSW) over the dense vectors is built, in the
    /// background; before, every search compares all vectors. pgvector indexes vectors of at most
    /// 2000 dimensions.
    pub hnsw_after: usize,
    /// To how many neighbours the graph links a point: pgvector's `m`, 2 to 100.
    pub hnsw_m: usize,
    /// How many candidates for neighbours are looked at when a point is linked: pgvector's
    /// `ef_construction`, at least twice `hnsw_m`, at most 1000.
    pub hnsw_ef_construction: usize,
    /// How many candidates a search of the graph looks at, at least as many as it returns:
    /// pgvector's `ef_search`, at most 1000. More find more, and take longer.
    pub hnsw_ef_search: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            url: "postgres://localhost/corbie".to_owned(),
            table: "corbie".to_owned(),
            dimension: None,
            timeout: Duration::from_secs(60),
            connections: 4,
            hnsw_after: 20_000,
            hnsw_m: 16,
            hnsw_ef_construction: 64,
            hnsw_ef_search: 100,
        }
    }
}

/// Everything but the URL, in which the password is.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("table", &self.table)
            .field("dimension", &self.dimension)
            .field("timeout", &self.timeout)
            .field("connections", &self.connections)
            .field("hnsw_after", &self.hnsw_after)
            .field("hnsw_m", &self.hnsw_m)
            .field("hnsw_ef_construction", &self.hnsw_ef_construction)
            .field("hnsw_ef_search", &self.hnsw_ef_search)
            .finish_non_exhaustive()
    }
}

/// A store in PostgreSQL (13 or newer) with pgvector (0.5 or newer; since 0.8 filtered searches of
/// large collections are faster): dense vectors under a graph index, words under BM25, filters on
/// the payload. Several programs may use one store at once.
///
/// A call that writes returns when its effect is on the server's disk; it is one transaction, and
/// readers see all of it or nothing. The server is reached at the first call, the tables are made
/// at the first write; before, the store is empty. When a connection is lost, the next call opens
/// another, and a call that was under way is begun once more: it may be, since to write again
/// changes nothing.
///
/// ```no_run
/// use corbie_core::VectorStore;
/// use corbie_vectorstores::{PostgresOptions, PostgresStore};
///
/// let store = PostgresStore::open(PostgresOptions {
///     url: "postgres://corbie:secret@localhost/corbie".into(),
///     table: "birds".into(),
///     dimension: Some(384),
///     ..PostgresOptions::default()
/// })?;
/// assert_eq!(futures::executor::block_on(store.count(None))?, 0);
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct PostgresStore {
    server: Arc<Server>,
    tables: Arc<Tables>,
    options: PostgresOptions,
    written: AtomicUsize,
}

/// The [`Stores`] of collections that live in PostgreSQL, each generation of one in a table of its
/// own, named after its [`Place::shared_name`] and with the collection's name as its comment. Of
/// `options`, `table` and `dimension` count for nothing.
///
/// # Errors
///
/// [`BadInput`](ErrorKind::BadInput) when the URL is none.
pub fn postgres_stores(options: PostgresOptions) -> Result<Arc<dyn Stores>> {
    Ok(Arc::new(PostgresStores {
        server: Arc::new(server(&options)?),
        options,
    }))
}

struct PostgresStores {
    server: Arc<Server>,
    options: PostgresOptions,
}

fn server(options: &PostgresOptions) -> Result<Server> {
    Server::new(&options.url, options.timeout, options.connections)
}

impl Stores for PostgresStores {
    fn name(&self) -> String {
        format!("postgres:{}", self.server.name())
    }

    fn open(&self, place: &Place) -> Result<Arc<dyn VectorStore>> {
        let options = PostgresOptions {
            table: place.shared_name(),
            dimension: place.dimension,
            ..self.options.clone()
        };
        let comment = format!("Corbie's collection {}", place.collection);
        let server = Arc::clone(&self.server);
        Ok(Arc::new(PostgresStore::on(server, options, &comment)?))
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        Box::pin(async {
            let tables = Tables::new(&place.shared_name(), "", place.dimension)?;
            self.server.run(&Arc::new(tables), Remove).await
        })
    }
}

impl PostgresStore {
    /// The store that `options` name. Nothing is asked of the server yet.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when the URL or the table's name is none.
    pub fn open(options: PostgresOptions) -> Result<Self> {
        let server = Arc::new(server(&options)?);
        Self::on(server, options, "A vector store of Corbie")
    }

    fn on(server: Arc<Server>, options: PostgresOptions, comment: &str) -> Result<Self> {
        let tables = Tables::new(&options.table, comment, options.dimension)?;
        Ok(Self {
            server,
            tables: Arc::new(tables),
            options,
            written: AtomicUsize::new(0),
        })
    }

    /// Builds the graph index over the dense vectors now, however few there are, unless it is
    /// there or somebody builds it. Searches and writes go on beside it. It also runs by itself
    /// after enough writes.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, or cannot build it.
    pub async fn optimize(&self) -> Result<()> {
        let built = self.build_graph(0).await;
        built.unwrap_or_else(|error| {
            let subject = "the connections to PostgreSQL";
            Err(Error::new(ErrorKind::Internal, subject, error))
        })
    }

    fn build_graph(&self, least: usize) -> JoinHandle<Result<()>> {
        let build = Build {
            least,
            hnsw_m: self.options.hnsw_m,
            hnsw_ef_construction: self.options.hnsw_ef_construction,
        };
        self.server.run_long(&self.tables, build)
    }

    fn build_graph_when_due(&self, points: usize) {
        let after = self.options.hnsw_after;
        let written = self.written.fetch_add(points, Ordering::Relaxed) + points;
        if written < after.min(LOOK_AFTER) {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        let build = self.build_graph(after);
        drop(build); // It goes on by itself.
    }

    /// Does what an empty store answers too, if there are no tables.
    fn read<W: Work<Output: Default>>(&self, work: W) -> BoxFuture<'static, Result<W::Output>> {
        self.server.run(&self.tables, IfThere(work))
    }

    fn check(&self, points: &[Point]) -> Result<()> {
        for point in points {
            check_point(point, self.options.dimension)?;
            let name = point.namespace.as_deref().unwrap_or_default();
            if name.contains('\0') {
                let subject = format!("the namespace {name:?}");
                let cause = "PostgreSQL keeps no U+0000 in a name";
                return Err(Error::new(ErrorKind::BadInput, subject, cause));
            }
        }
        Ok(())
    }
}

impl VectorStore for PostgresStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.check(&points)?;
            if points.is_empty() {
                return Ok(());
            }
            let last_of_each: BTreeMap<Uuid, Point> = points
                .into_iter()
                .map(|point| (point.id(), point))
                .collect();
            let count = last_of_each.len();
            let mut parts = Vec::new();
            let mut points = last_of_each.into_iter().peekable();
            while points.peek().is_some() {
                parts.push(Columns::new(points.by_ref().take(PART))?);
            }
            self.server.run(&self.tables, Upsert { parts }).await?;
            self.build_graph_when_due(count);
            Ok(())
        })
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &selection {
                Selection::Ids(ids) if ids.is_empty() => return Ok(()),
                Selection::Ids(_) => {}
                Selection::Filter(filter) => filter.check()?,
            }
            self.read(Delete { selection }).await
        })
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        Box::pin(async move {
            check_query(&request.query, self.options.dimension)?;
            request.condition()?;
            if request.limit == 0 {
                return Ok(Vec::new());
            }
            let candidates = self.options.hnsw_ef_search;
            self.read(Search {
                request,
                candidates,
            })
            .await
        })
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        Box::pin(async move {
            filter.map_or(Ok(()), Filter::check)?;
            let filter = filter.cloned();
            self.read(Scroll {
                filter,
                after,
                limit,
            })
            .await
        })
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<Uuid>>> {
        self.read(Ids)
    }

    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        let ids = ids.to_vec();
        self.read(Get { ids })
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            filter.map_or(Ok(()), Filter::check)?;
            let filter = filter.cloned();
            self.read(Count { filter }).await
        })
    }
}

fn check_query(query: &Query, dimension: Option<usize>) -> Result<()> {
    let (dense, sparse) = match query {
        Query::Dense(dense) => (Some(dense), None),
        Query::Sparse(sparse) => (None, Some(sparse)),
        Query::Fused { dense, sparse, .. } => (Some(dense), Some(sparse)),
    };
    if let Some(dense) = dense {
        check_dense("the query", dense, dimension)?;
    }
    sparse.map_or(Ok(()), |sparse| check_sparse("the query", sparse))
}
