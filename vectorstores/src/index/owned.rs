//! A store that keeps its collection locked for as long as anybody can reach it.

use std::sync::Arc;

use corbie_core::{
    BoxFuture, Filter, Hit, Point, Result, ScrollPage, SearchRequest, Selection, VectorStore,
};
use uuid::Uuid;

use super::lock::Lock;

pub(super) struct OwnedStore {
    pub(super) store: Arc<dyn VectorStore>,
    pub(super) _lock: Arc<Lock>,
}

impl VectorStore for OwnedStore {
    fn upsert(&self, points: Vec<Point>) -> BoxFuture<'_, Result<()>> {
        self.store.upsert(points)
    }

    fn delete(&self, selection: Selection) -> BoxFuture<'_, Result<()>> {
        self.store.delete(selection)
    }

    fn search(&self, request: SearchRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        self.store.search(request)
    }

    fn scroll<'a>(
        &'a self,
        filter: Option<&'a Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> BoxFuture<'a, Result<ScrollPage>> {
        self.store.scroll(filter, after, limit)
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<Uuid>>> {
        self.store.ids()
    }

    fn get<'a>(&'a self, ids: &'a [Uuid]) -> BoxFuture<'a, Result<Vec<Point>>> {
        self.store.get(ids)
    }

    fn count<'a>(&'a self, filter: Option<&'a Filter>) -> BoxFuture<'a, Result<usize>> {
        self.store.count(filter)
    }
}
