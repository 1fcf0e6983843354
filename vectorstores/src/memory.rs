//! The exact store in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use corbie_core::{
    BoxFuture, Chunk, Filter, Hit, Point, Query, Result, Scores, ScrollPage, SearchRequest,
    Selection, SparseVector, TermWeights, VectorStore,
};
use serde_json::Value;
use uuid::Uuid;

use crate::rank::{
    Ranked, check_point, check_query, dot, fuse, fusion_depth, inverse_frequency, keep_best,
    normalized,
};

/// A store that compares a query with every point it holds: exact, without files, gone with the
/// process.
///
/// It is the measure of every other store, and the right one for tests and for a few ten
/// thousand points. Searches run side by side; a write waits for them.
///
/// ```
/// use corbie_core::VectorStore;
/// use corbie_vectorstores::MemoryStore;
///
/// let store = MemoryStore::new(Some(384));
/// assert_eq!(futures::executor::block_on(store.count(None))?, 0);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    dimension: Option<usize>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Ordered by id, as scrolling and ties want it.
    entries: BTreeMap<Uuid, Entry>,
    /// The words of each namespace; under `None` those of all points.
    words: HashMap<Option<String>, Words>,
}

#[derive(Debug, Default)]
struct Words {
    /// How many points hold each term.
    frequencies: HashMap<u32, usize>,
    /// How many points have terms.
    points: usize,
}

#[derive(Debug)]
struct Entry {
    /// The point, but its chunk's text, which the payload has.
    point: Point,
    /// What filters look at.
    payload: Value,
}

impl MemoryStore {
    /// An empty store of dense vectors of this many dimensions; `None`: of sparse ones only.
    pub fn new(dimension: Option<usize>) -> Self {
        Self {
            dimension,
            state: RwLock::default(),
        }
    }

    // A panic while the lock is held can only come from a failed allocation between two whole
    // updates, so the state behind a poisoned lock is still good.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, points: Vec<Point>) -> Result<()> {
        let mut entries = Vec::with_capacity(points.len());
        for point in points {
            check_point(&point, self.dimension)?;
            entries.push((point.id(), Entry::new(point)?));
        }
        let mut state = self.write();
        for (id, entry) in entries {
            state.remove(&id);
            state.insert(id, entry);
        }
        Ok(())
    }

    fn find(&self, request: &SearchRequest) -> Result<Vec<Hit>> {
        let (dense, sparse) = match &request.query {
            Query::Dense(dense) => (Some(dense), None),
            Query::Sparse(sparse) => (None, Some(sparse)),
            Query::Fused { dense, sparse, .. } => (Some(dense), Some(sparse)),
        };
        check_query(&request.query, self.dimension)?;
        let filter = request.condition()?;
        let filter = filter.as_ref();
        if request.limit == 0 {
            return Ok(Vec::new());
        }
        let state = self.read();
        let dense = dense.map(|vector| normalized(vector.clone()));
        let weighted = sparse.map(|query| state.weigh(&request.namespace, query));
        let (depth, dense_weight) = match &request.query {
            Query::Fused { dense_weight, .. } => (fusion_depth(request.limit), *dense_weight),
            _ => (request.limit, 1.0),
        };
        let by_dense = dense
            .as_ref()
            .map(|query| keep_best(state.score(filter, |entry| entry.dense_score(query)), depth));
        let by_sparse = weighted.as_ref().map(|query| {
            keep_best(
                state.score(filter, |entry| entry.sparse_score(query)),
                depth,
            )
        });
        let mut best = match (by_dense, by_sparse) {
            (Some(dense), Some(sparse)) => fuse(&[(dense_weight, &dense), (1.0, &sparse)]),
            (Some(ranked), None) | (None, Some(ranked)) => ranked,
            (None, None) => Vec::new(),
        };
        best.truncate(request.limit);
        let hit = |(id, score): Ranked| {
            let entry = &state.entries[&id];
            let scores = Scores {
                dense: dense.as_ref().and_then(|query| entry.dense_score(query)),
                sparse: weighted
                    .as_ref()
                    .and_then(|query| entry.sparse_score(query)),
            };
            Hit {
                chunk: entry.chunk(),
                score,
                scores,
            }
        };
        Ok(best.into_iter().map(hit).collect())
    }
}

impl State {
    fn insert(&mut self, id: Uuid, entry: Entry) {
        self.count(&entry, Words::add);
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: &Uuid) {
        if let Some(entry) = self.entries.remove(id) {
            self.count(&entry, Words::subtract);
        }
    }

    fn count(&mut self, entry: &Entry, change: impl Fn(&mut Words, &[u32])) {
        if entry.terms().is_empty() {
            return;
        }
        let own = entry.point.namespace.clone().map(Some);
        for namespace in own.into_iter().chain([None]) {
            change(self.words.entry(namespace).or_default(), entry.terms());
        }
    }

    fn weigh(&self, namespace: &Option<String>, query: &SparseVector) -> SparseVector {
        if query.weights == TermWeights::Learned {
            return query.clone();
        }
        let none = Words::default();
        let words = self.words.get(namespace).unwrap_or(&none);
        let weigh = |(index, value): (&u32, &f32)| {
            let frequency = words.frequencies.get(index).copied().unwrap_or(0);
            (*index, value * inverse_frequency(words.points, frequency))
        };
        SparseVector::from_pairs(query.indices.iter().zip(&query.values).map(weigh))
    }

    /// The score of every point that passes the filter and has one.
    fn score(&self, filter: Option<&Filter>, score: impl Fn(&Entry) -> Option<f32>) -> Vec<Ranked> {
        self.matching(filter)
            .filter_map(|(id, entry)| Some((*id, score(entry)?)))
            .collect()
    }

    fn matching<'a>(
        &'a self,
        filter: Option<&'a Filter>,
    ) -> impl Iterator<Item = (&'a Uuid, &'a Entry)> {
        self.entries
            .iter()
            .filter(move |(_, entry)| filter.is_none_or(|filter| filter.matches(&entry.payload)))
    }
}

impl Words {
    fn add(&mut self, terms: &[u32]) {
        self.points += 1;
        for term in terms {
            *self.frequencies.entry(*term).or_default() += 1;
        }
    }

    fn subtract(&mut self, terms: &[u32]) {
        self.points -= 1;
        for term in terms {
            if let Some(frequency) = self.frequencies.get_mut(term) {
                *frequency -= 1;
                if *frequency == 0 {
                    self.frequencies.remove(term);
                }
            }
        }
    }
}

impl Entry {
    fn new(mut point: Point) -> Result<Self> {
        let payload = point.payload()?;
        point.chunk.text = String::new();
        point.dense = point.dense.map(normalized);
        point.sparse = point.sparse.filter(|sparse| !sparse.is_empty());
        Ok(Self { point, payload })
    }

    fn chunk(&self) -> Chunk {
        let text = self.payload.get("text").and_then(Value::as_str);
        Chunk {
            text: text.unwrap_or_default().to_owned(),
            ..self.point.chunk.clone()
        }
    }

    fn point(&self) -> Point {
        Point {
            chunk: self.chunk(),
            ..self.point.clone()
        }
    }

    /// The words that are counted.
    fn terms(&self) -> &[u32] {
        let sparse = self.point.sparse.as_ref();
        let counted = sparse.filter(|sparse| sparse.weights == TermWeights::Counted);
        counted.map_or(&[], |sparse| &sparse.indices)
    }

    fn dense_score(&self, query: &[f32]) -> Option<f32> {
        Some(dot(self.point.dense.as_ref()?, query))
    }

    /// `None` when no term is shared.
    fn sparse_score(&self, query: &SparseVector) -> Option<f32> {
        let own = self.point.sparse.as_ref()?;
        if own.weights != query.weights {
            return None;
        }
        let mut sum = None;
        for (index, weight) in query.indices.iter().zip(&query.values) {
            if let Ok(at) = own.indices.binary_search(index) {
                *sum.get_or_insert(0.0) += weight * own.values[at];
            }
        }
        sum
    }
}

impl VectorStore for MemoryStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.put(points) })
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut state = self.write();
            let ids = match selection {
                Selection::Ids(ids) => ids,
                Selection::Filter(filter) => {
                    filter.check()?;
                    state.matching(Some(&filter)).map(|(id, _)| *id).collect()
                }
            };
            ids.iter().for_each(|id| state.remove(id));
            Ok(())
        })
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        Box::pin(async move { self.find(&request) })
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        Box::pin(async move {
            filter.map_or(Ok(()), Filter::check)?;
            let state = self.read();
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut matching = state
                .entries
                .range((start, Bound::Unbounded))
                .filter(|(_, entry)| filter.is_none_or(|f| f.matches(&entry.payload)));
            let page = matching.by_ref().take(limit);
            let points: Vec<Point> = page.map(|(_, entry)| entry.point()).collect();
            let more = matching.next().is_some();
            let last = points.last().map(Point::id);
            Ok(ScrollPage {
                next: last.filter(|_| more),
                points,
            })
        })
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<Uuid>>> {
        Box::pin(async move { Ok(self.read().entries.keys().copied().collect()) })
    }

    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        Box::pin(async move {
            let state = self.read();
            let kept = ids.iter().filter_map(|id| state.entries.get(id));
            Ok(kept.map(Entry::point).collect())
        })
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            filter.map_or(Ok(()), Filter::check)?;
            Ok(self.read().matching(filter).count())
        })
    }
}

#[cfg(test)]
mod tests {
    use corbie_core::ErrorKind;
    use corbie_core::testing::conformance;

    use super::*;

    #[test]
    fn it_keeps_the_laws_of_a_store() {
        let store = MemoryStore::new(Some(4));
        futures::executor::block_on(conformance::vector_store(&store));
    }

    #[test]
    fn without_a_dimension_it_refuses_dense_vectors() {
        let store = MemoryStore::new(None);
        let request = SearchRequest::new(Query::Dense(vec![1.0]), 1);
        let error = futures::executor::block_on(store.search(request)).map(|_| ());
        assert_eq!(
            error.map_err(|e| e.kind().clone()),
            Err(ErrorKind::BadInput)
        );
    }
}
