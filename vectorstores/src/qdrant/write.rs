//! Writing and deleting points.

use std::collections::BTreeMap;

use corbie_core::{Point, Result, Selection};
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::{
    DeletePoints, PointStruct, PointsIdsList, PointsOperationResponse, PointsSelector,
    UpdateStatus, UpsertPoints,
};
use tonic::{Response, Status};
use uuid::Uuid;

use super::QdrantStore;
use super::convert::{point_id, to_server};
use super::server::points;
use crate::rank::check_point;

impl QdrantStore {
    /// Writes points, in batches; of those with equal ids the last.
    pub(super) async fn write(&self, points: Vec<Point>) -> Result<()> {
        let mut last_of_each: BTreeMap<Uuid, PointStruct> = BTreeMap::new();
        for point in points {
            check_point(&point, self.options.dimension)?;
            last_of_each.insert(point.id(), to_server(point)?);
        }
        if last_of_each.is_empty() {
            return Ok(());
        }
        self.make().await?;
        let mut left = last_of_each.into_values();
        loop {
            let batch: Vec<PointStruct> = left.by_ref().take(self.options.batch.max(1)).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.write_batch(batch).await?;
        }
    }

    async fn write_batch(&self, batch: Vec<PointStruct>) -> Result<()> {
        let message = UpsertPoints {
            collection_name: self.collection.clone(),
            wait: Some(true),
            points: batch,
            ..UpsertPoints::default()
        };
        let upsert = |channel, request| async move { done(points(channel).upsert(request).await?) };
        self.server.call(&self.subject, message, upsert).await
    }

    /// Deletes points.
    pub(super) async fn erase(&self, selection: Selection) -> Result<()> {
        if let Selection::Filter(filter) = &selection {
            filter.check()?;
        }
        if !self.found().await? {
            return Ok(());
        }
        match selection {
            Selection::Ids(ids) => {
                for ids in ids.chunks(self.options.batch.max(1)) {
                    let ids = ids.iter().map(point_id).collect();
                    self.erase_batch(PointsSelectorOneOf::Points(PointsIdsList { ids }))
                        .await?;
                }
                Ok(())
            }
            Selection::Filter(filter) => {
                let filter = self.resolve(&filter).await?;
                self.erase_batch(PointsSelectorOneOf::Filter(filter)).await
            }
        }
    }

    async fn erase_batch(&self, batch: PointsSelectorOneOf) -> Result<()> {
        let message = DeletePoints {
            collection_name: self.collection.clone(),
            wait: Some(true),
            points: Some(PointsSelector {
                points_selector_one_of: Some(batch),
            }),
            ..DeletePoints::default()
        };
        let delete = |channel, request| async move { done(points(channel).delete(request).await?) };
        self.server.call(&self.subject, message, delete).await
    }
}

/// Takes for an acknowledgement only that the change has been made: it is asked to be waited for.
pub(super) fn done(response: Response<PointsOperationResponse>) -> Result<(), Status> {
    let status = response.into_inner().result.map(|result| result.status());
    match status {
        Some(UpdateStatus::Completed) => Ok(()),
        Some(status) => Err(Status::unavailable(format!(
            "it took a change and did not make it: {}",
            status.as_str_name()
        ))),
        None => Err(Status::unavailable("its acknowledgement is empty")),
    }
}
