//! What a store holds of one document.

use corbie_core::{Filter, Point, Result, VectorStore};
use uuid::Uuid;

/// How many points are read together.
const PAGE: usize = 512;

/// All points of a document.
pub(super) async fn points_of(store: &dyn VectorStore, document: &Uuid) -> Result<Vec<Point>> {
    let filter = Filter::eq("document", document.to_string());
    let mut points = Vec::new();
    let mut after = None;
    loop {
        let page = store.scroll(Some(&filter), after, PAGE).await?;
        points.extend(page.points);
        after = page.next;
        if after.is_none() {
            return Ok(points);
        }
    }
}
