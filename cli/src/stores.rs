//! Where the points of collections are: what `--store` may say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use corbie_core::{Error, ErrorKind};
use corbie_vectorstores::index::{Stores, memory_stores};

/// The forms of a store's name.
const FORMS: &str = "edge, edge:FOLDER, memory, qdrant:http://HOST:6334, \
                     postgres:postgres://USER@HOST/DATABASE";

/// The stores called `name`. Secrets come from the environment, never from the name.
pub fn stores(name: &str) -> Result<Arc<dyn Stores>> {
    let (kind, place) = name.split_once(':').unwrap_or((name, ""));
    let stores = match (kind, place) {
        ("memory", "") => Some(memory_stores()),
        #[cfg(feature = "edge")]
        ("edge", place) => Some(edge(place)?),
        #[cfg(feature = "qdrant")]
        ("qdrant", url) if !url.is_empty() => Some(qdrant(url)),
        #[cfg(feature = "postgres")]
        ("postgres", url) if !url.is_empty() => Some(postgres(url)),
        _ => None,
    };
    stores.ok_or_else(|| {
        let error = Error::new(
            ErrorKind::BadInput,
            format!("store `{name}`"),
            "this build of Corbie knows no such store",
        );
        error.hint(format!("one of {FORMS}")).into()
    })
}

#[cfg(feature = "edge")]
fn edge(folder: &str) -> Result<Arc<dyn Stores>> {
    use corbie_vectorstores::{EdgeOptions, edge_stores_with};
    let root = match folder {
        "" => None,
        folder => Some(absolute(folder)?),
    };
    Ok(edge_stores_with(EdgeOptions::default(), root))
}

/// A collection remembers the folder: it must mean the same from everywhere.
#[cfg(feature = "edge")]
fn absolute(folder: &str) -> Result<PathBuf> {
    Ok(std::path::absolute(Path::new(folder)).map_err(|e| Error::io(format!("`{folder}`"), e))?)
}

#[cfg(feature = "qdrant")]
fn qdrant(url: &str) -> Arc<dyn Stores> {
    use corbie_vectorstores::{QdrantOptions, qdrant_stores};
    qdrant_stores(QdrantOptions {
        api_key: std::env::var("QDRANT_API_KEY").ok().map(Into::into),
        ..QdrantOptions::new(url)
    })
}

#[cfg(feature = "postgres")]
fn postgres(url: &str) -> Arc<dyn Stores> {
    use corbie_vectorstores::{PostgresOptions, postgres_stores};
    postgres_stores(PostgresOptions::new(url))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_says_what_and_where() {
        assert_eq!(stores("memory").unwrap().name(), "memory");
        for name in ["", "sqlite", "memory:x", "qdrant:", "postgres"] {
            let error = stores(name).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("edge:FOLDER"), "{name}: {error}");
        }
    }

    #[cfg(feature = "edge")]
    #[test]
    fn a_folder_means_the_same_from_everywhere() {
        assert_eq!(stores("edge").unwrap().name(), "edge");
        let name = stores("edge:fast/disk").unwrap().name();
        assert!(Path::new(name.strip_prefix("edge:").unwrap()).is_absolute());
        assert_eq!(stores(&name).unwrap().name(), name);
    }
}
