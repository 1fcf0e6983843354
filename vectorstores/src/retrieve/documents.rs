//! Where the whole documents are from which chunks were cut.

use corbie_core::{BoxFuture, Document, Result};

use crate::index::Index;

/// Gives whole documents by their source, as they were when their chunks were cut.
///
/// An [`Index`] does; so does a function:
///
/// ```
/// use std::sync::Arc;
/// use corbie_core::Document;
/// use corbie_vectorstores::retrieve::Documents;
///
/// let documents: Arc<dyn Documents> = Arc::new(|source: &str| {
///     Ok((source == "鸟.md").then(|| Document::new(source, "渡鸦会藏食物。")))
/// });
/// let found = futures::executor::block_on(documents.document("鸟.md"))?;
/// assert!(found.is_some());
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub trait Documents: Send + Sync {
    /// The document `source`; `None`: it is not kept.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn document<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Document>>>;
}

impl<F> Documents for F
where
    F: Fn(&str) -> Result<Option<Document>> + Send + Sync,
{
    fn document<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(async move { self(source) })
    }
}

impl Documents for Index {
    fn document<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Document>>> {
        Box::pin(async move { Index::document(self, source) })
    }
}
