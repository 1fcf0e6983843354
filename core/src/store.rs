//! Storing: vectors are kept, found and deleted.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{BoxFuture, Chunk, Embedding, Error, ErrorKind, Filter, Hit, Result, ids};

/// The field of a payload that says whose the point is.
const NAMESPACE: &str = "namespace";

/// A chunk with the vectors it can be found by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Whose it is, where several share a store; `None`: everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What is found.
    pub chunk: Chunk,
    /// The embedding, of unit length. Absent in a collection without an embedder.
    pub dense: Option<Embedding>,
    /// Term weights for keyword search.
    pub sparse: Option<SparseVector>,
}

impl Point {
    /// The id that a store keeps it under: the chunk's, or in a namespace one of its own, so that
    /// equal chunks of two namespaces are two points.
    pub fn id(&self) -> Uuid {
        match &self.namespace {
            Some(namespace) => ids::in_namespace(namespace, &self.chunk.id),
            None => self.chunk.id,
        }
    }

    /// What filters look at: a JSON object of the chunk's fields, and `namespace` where there is
    /// one.
    ///
    /// # Errors
    ///
    /// [`Internal`](ErrorKind::Internal) when the chunk's metadata is no JSON.
    pub fn payload(&self) -> Result<Value> {
        let mut payload = serde_json::to_value(&self.chunk).map_err(|error| {
            let subject = format!("chunk {}", self.chunk.id);
            Error::new(ErrorKind::Internal, subject, &error).caused_by(error)
        })?;
        if let (Some(namespace), Value::Object(fields)) = (&self.namespace, &mut payload) {
            fields.insert(NAMESPACE.to_owned(), namespace.clone().into());
        }
        Ok(payload)
    }

    /// The point without vectors that has this [`payload`](Point::payload).
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when it is none of ours.
    pub fn from_payload(mut payload: Value) -> Result<Self> {
        let namespace = match &mut payload {
            Value::Object(fields) => fields.remove(NAMESPACE),
            _ => None,
        };
        let chunk = serde_json::from_value(payload).map_err(|error| {
            let cause = format!("it holds no chunk: {error}");
            Error::new(ErrorKind::Malformed, "a point of the vector store", cause)
                .hint("remove the collection and ingest again")
                .caused_by(error)
        })?;
        Ok(Self {
            namespace: namespace.and_then(|name| name.as_str().map(str::to_owned)),
            chunk,
            dense: None,
            sparse: None,
        })
    }
}

/// Weights of a few of very many dimensions. Indices are ascending and unique.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SparseVector {
    /// The dimensions: terms.
    pub indices: Vec<u32>,
    /// The weight of each.
    pub values: Vec<f32>,
    /// Where the weights come from. A query finds only points of its own kind.
    #[serde(default, skip_serializing_if = "TermWeights::are_counted")]
    pub weights: TermWeights,
}

/// Where the weights of terms come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TermWeights {
    /// From counting words. What a word is worth, its store says: it multiplies a query's weights
    /// with inverse document frequencies (BM25).
    #[default]
    Counted,
    /// From a model, which says itself what a term is worth (SPLADE).
    Learned,
}

impl TermWeights {
    fn are_counted(&self) -> bool {
        *self == Self::Counted
    }
}

impl SparseVector {
    /// Builds a vector from pairs in any order; weights of one index are added.
    ///
    /// ```
    /// let vector = corbie_core::SparseVector::from_pairs([(7, 1.0), (2, 0.5), (7, 1.0)]);
    /// assert_eq!(vector.indices, [2, 7]);
    /// assert_eq!(vector.values, [0.5, 2.0]);
    /// ```
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u32, f32)>) -> Self {
        let mut pairs: Vec<(u32, f32)> = pairs.into_iter().collect();
        pairs.sort_by_key(|(index, _)| *index);
        let mut vector = Self::default();
        for (index, value) in pairs {
            match vector.indices.last() {
                Some(last) if *last == index => {
                    if let Some(sum) = vector.values.last_mut() {
                        *sum += value;
                    }
                }
                _ => {
                    vector.indices.push(index);
                    vector.values.push(value);
                }
            }
        }
        vector
    }

    /// The same numbers as a model's weights.
    #[must_use]
    pub fn learned(self) -> Self {
        let weights = TermWeights::Learned;
        Self { weights, ..self }
    }

    /// Whether no dimension has a weight.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// What a search compares with.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Cosine with the dense vectors.
    Dense(Embedding),
    /// Sum over shared dimensions of the query's weight × the point's weight × the term's inverse
    /// document frequency, `ln(1 + (N - n + 0.5) / (n + 0.5))`: BM25. `N` counts the points of
    /// the whole store (or namespace) that have terms, `n` those that have this one; deleted
    /// points and the filter count for nothing. With [learned](TermWeights::Learned) weights the
    /// product of the two weights alone.
    Sparse(SparseVector),
    /// Both, fused by score: each mode's best points, and of each point the mean of its shares in
    /// both, weighted. Of `n` points the best has share 1, the worst `1 / n`, others in proportion
    /// to their scores; a point that is not among them has 0 (a convex combination of normalised
    /// scores: Bruch, Gai and Ingber, 2023).
    Fused {
        /// For the dense side.
        dense: Embedding,
        /// For the sparse side, whose shares weigh 1.
        sparse: SparseVector,
        /// What the dense shares weigh: 1 where the embedder is to be trusted as much as the
        /// words, less where it is not.
        dense_weight: f32,
    },
}

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    /// What to compare with.
    pub query: Query,
    /// Whose points may be returned and count in the frequencies of words; `None`: everybody's.
    pub namespace: Option<String>,
    /// Which points may be returned; `None`: all.
    pub filter: Option<Filter>,
    /// The most hits to return.
    pub limit: usize,
}

impl SearchRequest {
    /// The `limit` best matches of `query` among all points.
    pub fn new(query: Query, limit: usize) -> Self {
        Self {
            query,
            namespace: None,
            filter: None,
            limit,
        }
    }

    /// The same among the points that pass `filter`.
    #[must_use]
    pub fn filtered(mut self, filter: Option<Filter>) -> Self {
        self.filter = filter;
        self
    }

    /// The whole condition on a point's payload: the filter, and the namespace.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when the filter is none, see [`Filter::check`].
    pub fn condition(&self) -> Result<Option<Filter>> {
        if let Some(filter) = &self.filter {
            filter.check()?;
        }
        Ok(match (&self.namespace, &self.filter) {
            (None, filter) => filter.clone(),
            (Some(namespace), None) => Some(Filter::namespace(namespace)),
            (Some(namespace), Some(filter)) => {
                Some(Filter::all([Filter::namespace(namespace), filter.clone()]))
            }
        })
    }
}

/// Which points to delete.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// These. Ids that are not there are no error.
    Ids(Vec<Uuid>),
    /// All that match.
    Filter(Filter),
}

/// A part of all points, in ascending order of their ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScrollPage {
    /// The points.
    pub points: Vec<Point>,
    /// The id of the last point. Pass it on to get the next page; `None`: this was the last.
    pub next: Option<Uuid>,
}

/// Keeps points and finds them. It never embeds.
///
/// Everything acknowledged is durable: when a call that writes has returned `Ok`, its effect
/// survives a kill. A filter that [`Filter::check`] refuses is refused by every method with
/// [`BadInput`](crate::ErrorKind::BadInput). Implementations pass `corbie_core::testing::conformance::vector_store`.
pub trait VectorStore: Send + Sync {
    /// Writes points; one with the same id is replaced whole.
    ///
    /// # Errors
    ///
    /// [`BadInput`](crate::ErrorKind::BadInput) when a vector has the wrong length or is not
    /// finite; then nothing of the call is written.
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>>;

    /// Deletes points.
    ///
    /// # Errors
    ///
    /// When the store cannot write.
    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>>;

    /// The best matches, best first; ties by ascending id. Of a sparse query only points that
    /// share a term.
    ///
    /// # Errors
    ///
    /// [`BadInput`](crate::ErrorKind::BadInput) when a vector has the wrong length.
    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>>;

    /// Points in ascending order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the store cannot read.
    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>>;

    /// The ids of all points in ascending order: what a ledger is compared with.
    ///
    /// # Errors
    ///
    /// When the store cannot read.
    fn ids(&self) -> BoxFuture<'_, Result<Vec<Uuid>>> {
        Box::pin(async move {
            let mut ids = Vec::new();
            let mut after = None;
            loop {
                let page = self.scroll(None, after, 1000).await?;
                ids.extend(page.points.iter().map(Point::id));
                after = page.next;
                if after.is_none() {
                    return Ok(ids);
                }
            }
        })
    }

    /// The points that are kept under these ids, in any order; ids that are not there are left
    /// out. A store that can look several up at once does better than this.
    ///
    /// # Errors
    ///
    /// When the store cannot read.
    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        Box::pin(async move {
            let mut points = Vec::with_capacity(ids.len());
            for id in ids {
                let before = id.as_u128().checked_sub(1).map(Uuid::from_u128);
                let next = self.scroll(None, before, 1).await?.points;
                points.extend(next.into_iter().filter(|point| point.id() == *id));
            }
            Ok(points)
        })
    }

    /// How many points there are.
    ///
    /// # Errors
    ///
    /// When the store cannot read.
    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>>;
}
