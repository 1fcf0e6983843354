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
        ("postgres", url) if !url.is_empty() => Some(postgres(url)?),
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
fn postgres(url: &str) -> Result<Arc<dyn Stores>> {
    use corbie_vectorstores::{PostgresOptions, postgres_stores};
    let variable = |name: &str| std::env::var(name).ok();
    Ok(postgres_stores(PostgresOptions {
        url: with_credentials(url, variable("PGUSER"), variable("PGPASSWORD")),
        ..PostgresOptions::default()
    })?)
}

/// The address with the user and the password that it does not name itself: what a collection
/// remembers of it names neither.
#[cfg(feature = "postgres")]
fn with_credentials(url: &str, user: Option<String>, password: Option<String>) -> String {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.unwrap_or(url);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (named, place) = match authority.rsplit_once('@') {
        Some((named, _)) => (named.to_owned(), &rest[named.len() + 1..]),
        None => (user.as_deref().map(escaped).unwrap_or_default(), rest),
    };
    let password = password.filter(|_| !named.is_empty() && !named.contains(':'));
    let password = password.map(|password| format!(":{}", escaped(&password)));
    let mark = if named.is_empty() { "" } else { "@" };
    format!(
        "postgres://{named}{}{mark}{place}",
        password.unwrap_or_default()
    )
}

/// A text as it may stand in an address.
#[cfg(feature = "postgres")]
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
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

    #[cfg(feature = "postgres")]
    #[test]
    fn credentials_come_from_the_environment_where_the_address_names_none() {
        let table = [
            ("host/db", None, None, "postgres://host/db"),
            (
                "postgres://host/db",
                Some("ann"),
                None,
                "postgres://ann@host/db",
            ),
            (
                "host:5433/db",
                Some("安"),
                Some("p@:"),
                "postgres://%E5%AE%89:p%40%3A@host:5433/db",
            ),
            (
                "postgresql://bo@host/db",
                Some("ann"),
                Some("x"),
                "postgres://bo:x@host/db",
            ),
            (
                "postgres://bo:y@host/db?a=@",
                Some("ann"),
                Some("x"),
                "postgres://bo:y@host/db?a=@",
            ),
        ];
        for (url, user, password, expected) in table {
            let own = |text: Option<&str>| text.map(str::to_owned);
            assert_eq!(with_credentials(url, own(user), own(password)), expected);
        }
    }
}
