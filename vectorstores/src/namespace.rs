//! One of several who share a store.

use std::sync::Arc;

use corbie_core::{
    BoxFuture, Error, ErrorKind, Filter, Hit, Point, Result, ScrollPage, SearchRequest, Selection,
    VectorStore, ids,
};
use uuid::Uuid;

/// A store within a store: what one tenant sees of it.
///
/// Every call is confined here, below whoever asks: points are written under ids of the
/// namespace's own, so that no id of another one can be hit; searches, walks, counts and deletions
/// are given the namespace as a condition beside the caller's own; words are counted within it, so
/// that no score tells what others hold.
///
/// ```
/// use std::sync::Arc;
/// use corbie_core::VectorStore;
/// use corbie_vectorstores::{MemoryStore, Namespace};
///
/// let shared: Arc<dyn VectorStore> = Arc::new(MemoryStore::new(Some(4)));
/// let ann = Namespace::new(Arc::clone(&shared), "ann")?;
/// assert_eq!(futures::executor::block_on(ann.count(None))?, 0);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Namespace {
    store: Arc<dyn VectorStore>,
    name: String,
}

impl Namespace {
    /// The part of `store` that belongs to `name`.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when the name is empty.
    pub fn new(store: Arc<dyn VectorStore>, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() {
            let error = Error::new(ErrorKind::BadInput, "a namespace", "its name is empty");
            return Err(error.hint("give each tenant a name of its own"));
        }
        Ok(Self { store, name })
    }

    fn own(&self, filter: Option<&Filter>) -> Result<Filter> {
        let own = Filter::namespace(&self.name);
        Ok(match filter {
            Some(filter) => {
                filter.check()?;
                Filter::all([own, filter.clone()])
            }
            None => own,
        })
    }
}

impl VectorStore for Namespace {
    fn upsert(&self, mut points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        for point in &mut points {
            point.namespace = Some(self.name.clone());
        }
        self.store.upsert(points)
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let selection = match selection {
                Selection::Ids(ids) => {
                    let own = |id: &Uuid| ids::in_namespace(&self.name, id);
                    Selection::Ids(ids.iter().map(own).collect())
                }
                Selection::Filter(filter) => Selection::Filter(self.own(Some(&filter))?),
            };
            self.store.delete(selection).await
        })
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        self.store.search(SearchRequest {
            namespace: Some(self.name.clone()),
            ..request
        })
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        Box::pin(async move {
            let filter = self.own(filter)?;
            let mut page = self.store.scroll(Some(&filter), after, limit).await?;
            page.points.iter_mut().for_each(|p| p.namespace = None);
            Ok(page)
        })
    }

    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        Box::pin(async move {
            let own = |id: &Uuid| ids::in_namespace(&self.name, id);
            let own: Vec<Uuid> = ids.iter().map(own).collect();
            let mut points = self.store.get(&own).await?;
            points.retain(|point| point.namespace.as_deref() == Some(&self.name));
            points.iter_mut().for_each(|point| point.namespace = None);
            Ok(points)
        })
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move { self.store.count(Some(&self.own(filter)?)).await })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::testing::conformance;
    use corbie_core::{Chunk, Metadata, Query, SparseVector};
    use futures::executor::block_on;

    use super::*;
    use crate::MemoryStore;

    fn point(text: &str, terms: &[u32]) -> Point {
        let document = ids::document("c", "a.md");
        Point {
            namespace: None,
            chunk: Chunk {
                id: ids::chunk(&document, "the same", 0),
                document,
                source: "a.md".into(),
                text: text.into(),
                start: 0,
                end: text.len(),
                page: None,
                heading: Vec::new(),
                metadata: Metadata::new(),
            },
            dense: Some(vec![1.0, 0.0, 0.0, 0.0]),
            sparse: Some(SparseVector::from_pairs(terms.iter().map(|t| (*t, 1.0)))),
        }
    }

    #[test]
    fn it_keeps_the_laws_of_a_store_beside_others() {
        let shared: Arc<dyn VectorStore> = Arc::new(MemoryStore::new(Some(4)));
        let of = |name| Namespace::new(Arc::clone(&shared), name).unwrap();
        let (ann, 波) = (of("ann"), of("波"));
        block_on(ann.upsert(vec![point("ann's", &[10, 20])])).unwrap();
        block_on(conformance::vector_store(&波));
        let left = block_on(ann.scroll(None, None, 9)).unwrap().points;
        assert_eq!(left.len(), 1, "what others do touches nothing of ann's");
        assert!(Namespace::new(shared, "").is_err());
    }

    #[test]
    fn nobody_reads_counts_or_deletes_what_is_anothers() {
        let shared: Arc<dyn VectorStore> = Arc::new(MemoryStore::new(Some(4)));
        let of = |name| Namespace::new(Arc::clone(&shared), name).unwrap();
        let (ann, bo) = (of("ann"), of("bo"));
        block_on(ann.upsert(vec![point("ann's", &[7])])).unwrap();
        let words = Query::Sparse(SparseVector::from_pairs([(7, 1.0)]));
        let alone = block_on(ann.search(SearchRequest::new(words.clone(), 5))).unwrap();
        block_on(bo.upsert(vec![point("bo's", &[7])])).unwrap();
        let beside = block_on(ann.search(SearchRequest::new(words.clone(), 5))).unwrap();
        assert_eq!(beside, alone, "no score tells of another's points");
        let theirs = [
            Filter::namespace("ann"),
            Filter::not(Filter::namespace("bo")),
            Filter::any([Filter::all([]), Filter::namespace("ann")]),
            Filter::text("text", "ann"),
        ];
        for filter in theirs {
            let request = SearchRequest {
                namespace: Some("ann".into()),
                ..SearchRequest::new(words.clone(), 5)
            };
            let hits = block_on(bo.search(request.filtered(Some(filter.clone())))).unwrap();
            assert!(
                hits.iter().all(|hit| hit.chunk.text == "bo's"),
                "{filter:?}"
            );
            let id = point("", &[]).chunk.id;
            let got = block_on(bo.get(&[id, ids::in_namespace("ann", &id)])).unwrap();
            assert!(got.iter().all(|p| p.chunk.text == "bo's"));
            let page = block_on(bo.scroll(Some(&filter), None, 9)).unwrap();
            assert!(
                page.points.iter().all(|p| p.chunk.text == "bo's"),
                "{filter:?}"
            );
            assert!(block_on(bo.count(Some(&filter))).unwrap() <= 1);
            block_on(bo.delete(Selection::Filter(filter))).unwrap();
        }
        let id = point("", &[]).chunk.id;
        block_on(bo.delete(Selection::Ids(vec![id, ids::in_namespace("ann", &id)]))).unwrap();
        let mut forged = point("forged", &[7]);
        forged.namespace = Some("ann".into());
        block_on(bo.upsert(vec![forged])).unwrap();
        let left = block_on(ann.scroll(None, None, 9)).unwrap().points;
        assert_eq!(left, [point("ann's", &[7])]);
    }
}
