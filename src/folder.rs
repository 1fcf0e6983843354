use std::path::Path;
use std::sync::Arc;

use corbie_core::{Embedder, EmbedderTokens, Error, Result, ids};
use corbie_loaders::{FolderOptions, FolderSource, Parsers, SplitOptions, TokenSplitter};
use corbie_vectorstores::index::{Collections, Index, IndexParts, Stores};

/// The index of a folder of documents, brought up to date: load, split, embed and store with the
/// usual parts.
///
/// What was read is remembered below `data`, so that the next call embeds only what changed.
/// Documents are parsed in this process: for files of strangers put
/// [`IsolatedParser`](corbie_loaders::IsolatedParser) in the place of [`Parsers`].
///
/// # Errors
///
/// When the folder or `data` cannot be used, when another process holds the index, or when it was
/// made with another embedding model.
pub async fn index_folder(
    folder: impl AsRef<Path>,
    data: impl AsRef<Path>,
    embedder: Arc<dyn Embedder>,
) -> Result<Index> {
    let folder = folder.as_ref();
    let root = folder.canonicalize().map_err(|error| {
        Error::io(format!("`{}`", folder.display()), error).hint("check the path")
    })?;
    let root = root.to_string_lossy();
    let splitter = TokenSplitter::new(
        Arc::new(EmbedderTokens(embedder.clone())),
        SplitOptions::default(),
    );
    let parts = IndexParts {
        stores: stores(),
        ..IndexParts::new(
            Some(embedder),
            Arc::new(Parsers::standard()),
            Arc::new(splitter),
        )
    };
    let name = format!("folder-{}", &ids::text_hash(&root)[..12]);
    let index = Index::open(&Collections::new(data.as_ref()), &name, parts)?;
    let source = FolderSource::new(folder, FolderOptions::default());
    index.sync(&source, &root, &()).await?;
    Ok(index)
}

#[cfg(feature = "edge")]
fn stores() -> Arc<dyn Stores> {
    corbie_vectorstores::edge_stores()
}

#[cfg(not(feature = "edge"))]
fn stores() -> Arc<dyn Stores> {
    corbie_vectorstores::index::memory_stores()
}
