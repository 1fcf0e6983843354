//! Walking through points, and counting them.

use std::ops::ControlFlow;

use corbie_core::{Error, ErrorKind, Filter, Point, Result, ScrollPage};
use qdrant_client::qdrant::with_payload_selector::SelectorOptions as PayloadOptions;
use qdrant_client::qdrant::with_vectors_selector::SelectorOptions as VectorOptions;
use qdrant_client::qdrant::{
    CountPoints, Filter as ServerFilter, GetPoints, RetrievedPoint, ScrollPoints, ScrollResponse,
    WithPayloadSelector, WithVectorsSelector,
};
use tonic::Status;
use uuid::Uuid;

use super::QdrantStore;
use super::convert::{payload, point, point_id, uuid};
use super::filter::WireTerms;
use super::server::points;
use crate::engine::{only, translate};

/// How many points are read by one call.
const PAGE: usize = 1000;

/// What is read of points.
#[derive(Clone, Copy, Default)]
struct Parts {
    payload: bool,
    vectors: bool,
}

impl Parts {
    const ALL: Self = Self {
        payload: true,
        vectors: true,
    };
}

impl QdrantStore {
    /// A page of points.
    pub(super) async fn page(
        &self,
        filter: Option<&Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<ScrollPage> {
        check(filter)?;
        let mut read = ScrollPage::default();
        if limit == 0 || !self.found().await? {
            return Ok(read);
        }
        let filter = self.translated(filter).await?;
        let parts = Parts::ALL;
        // One more for `after` itself, from which the server starts, and one to see whether there
        // are more.
        let wanted = limit.saturating_add(2);
        self.walk(filter, after, wanted, parts, |id, found| {
            if Some(id) == after {
                return Ok(ControlFlow::Continue(()));
            }
            if read.points.len() == limit {
                read.next = read.points.last().map(Point::id);
                return Ok(ControlFlow::Break(()));
            }
            read.points.push(point(found)?);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(read)
    }

    /// The ids of all points.
    pub(super) async fn all_ids(&self) -> Result<Vec<Uuid>> {
        let mut ids = Vec::new();
        if self.found().await? {
            self.walk(None, None, PAGE, Parts::default(), |id, _| {
                ids.push(id);
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        }
        Ok(ids)
    }

    /// The points with these ids.
    pub(super) async fn read(&self, ids: &[Uuid]) -> Result<Vec<Point>> {
        let mut read = Vec::with_capacity(ids.len());
        if ids.is_empty() || !self.found().await? {
            return Ok(read);
        }
        for ids in ids.chunks(PAGE) {
            let message = GetPoints {
                collection_name: self.collection.clone(),
                ids: ids.iter().map(point_id).collect(),
                with_payload: Some(with_payload(Parts::ALL.payload)),
                with_vectors: Some(with_vectors(Parts::ALL.vectors)),
                ..GetPoints::default()
            };
            let get = |channel, request| async move {
                Ok(points(channel).get(request).await?.into_inner())
            };
            let answer = self.server.call(&self.subject, message, get).await?;
            for found in answer.result {
                read.push(point(found)?);
            }
        }
        Ok(read)
    }

    /// How many points pass a filter.
    pub(super) async fn number(&self, filter: Option<&Filter>) -> Result<usize> {
        check(filter)?;
        if !self.found().await? {
            return Ok(0);
        }
        let filter = self.translated(filter).await?;
        let message = CountPoints {
            collection_name: self.collection.clone(),
            filter,
            exact: Some(true),
            ..CountPoints::default()
        };
        let count = |channel, request| async move {
            let answer = points(channel).count(request).await?.into_inner();
            answer
                .result
                .ok_or_else(|| Status::unavailable("its answer is empty"))
        };
        let counted = self.server.call(&self.subject, message, count).await?;
        Ok(usize::try_from(counted.count).unwrap_or(usize::MAX))
    }

    pub(super) async fn translated(&self, filter: Option<&Filter>) -> Result<Option<ServerFilter>> {
        match filter {
            Some(filter) => self.resolve(filter).await.map(Some),
            None => Ok(None),
        }
    }

    /// A filter, already checked, in the server's terms. What they cannot say exactly becomes the
    /// list of points that match. The collection is there.
    pub(super) async fn resolve(&self, filter: &Filter) -> Result<ServerFilter> {
        let terms = WireTerms {
            finds_text: self.server.finds_text(),
        };
        if let Some(translated) = translate(&terms, filter) {
            return Ok(translated);
        }
        let mut matching = Vec::new();
        let parts = Parts {
            payload: true,
            vectors: false,
        };
        self.walk(None, None, PAGE, parts, |id, found| {
            if filter.matches(&payload(found.payload)?) {
                matching.push(id);
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(only(&terms, &matching))
    }

    /// Goes through the points that pass `filter`, from the id `from` on, in pages of at most
    /// `page`.
    async fn walk(
        &self,
        filter: Option<ServerFilter>,
        from: Option<Uuid>,
        page: usize,
        parts: Parts,
        mut each: impl FnMut(Uuid, RetrievedPoint) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut from = from;
        loop {
            let answer = self
                .read_page(filter.clone(), from, page.min(PAGE), parts)
                .await?;
            for mut point in answer.result {
                let id = uuid(point.id.take())?;
                if each(id, point)?.is_break() {
                    return Ok(());
                }
            }
            let Some(next) = answer.next_page_offset else {
                return Ok(());
            };
            let next = Some(uuid(Some(next))?);
            if next <= from {
                let cause = "it answers the same page again and again";
                return Err(Error::new(ErrorKind::Malformed, &self.subject, cause));
            }
            from = next;
        }
    }

    async fn read_page(
        &self,
        filter: Option<ServerFilter>,
        from: Option<Uuid>,
        limit: usize,
        parts: Parts,
    ) -> Result<ScrollResponse> {
        let message = ScrollPoints {
            collection_name: self.collection.clone(),
            filter,
            offset: from.as_ref().map(point_id),
            limit: Some(limit as u32),
            with_payload: Some(with_payload(parts.payload)),
            with_vectors: Some(with_vectors(parts.vectors)),
            ..ScrollPoints::default()
        };
        let scroll = |channel, request| async move {
            Ok(points(channel).scroll(request).await?.into_inner())
        };
        self.server.call(&self.subject, message, scroll).await
    }
}

fn check(filter: Option<&Filter>) -> Result<()> {
    filter.map_or(Ok(()), Filter::check)
}

/// Whether the payload is read.
pub(super) fn with_payload(whole: bool) -> WithPayloadSelector {
    WithPayloadSelector {
        selector_options: Some(PayloadOptions::Enable(whole)),
    }
}

/// Whether the vectors are read.
fn with_vectors(all: bool) -> WithVectorsSelector {
    WithVectorsSelector {
        selector_options: Some(VectorOptions::Enable(all)),
    }
}
