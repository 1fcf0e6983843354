//! Several folders and files as one source.

use std::path::{Path, PathBuf};

use corbie_core::{BoxFuture, Error, ErrorKind, Item, Listing, Result, Skipped, Source};

use super::{FolderOptions, FolderSource};

/// Several folders and files, listed as one.
///
/// One path alone names its items as [`FolderSource`] does. Of several, each puts its own name
/// in front (`docs/intro.md`); where those would clash, as much of the path as tells them apart
/// (`2025/docs/intro.md`, `2026/docs/intro.md`). A path given twice counts once.
#[derive(Debug)]
pub struct Sources {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    /// What stands in front of its items' names; nothing when there is but one part.
    label: Option<String>,
    source: FolderSource,
}

impl Sources {
    /// The folders and files at `paths`, in this order.
    ///
    /// # Errors
    ///
    /// When there is none, when one does not exist, or when its name is not UTF-8.
    pub fn new(paths: &[PathBuf], options: &FolderOptions) -> Result<Self> {
        let mut roots = Vec::new();
        for path in paths {
            let subject = format!("`{}`", path.display());
            let root = path.canonicalize().map_err(|error| {
                Error::io(&subject, error).hint("check the path and its permissions")
            })?;
            if root.to_str().is_none() {
                let cause = "its name is not UTF-8";
                return Err(Error::new(ErrorKind::BadInput, subject, cause).hint("rename it"));
            }
            if !roots.iter().any(|(_, known)| *known == root) {
                roots.push((path.as_path(), root));
            }
        }
        if roots.is_empty() {
            let error = Error::new(ErrorKind::BadInput, "documents", "no path is given");
            return Err(error.hint("name a folder or a file"));
        }
        let labels = match roots.as_slice() {
            [_] => vec![None],
            several => labels(several.iter().map(|(_, root)| root.as_path())),
        };
        let parts = roots
            .into_iter()
            .zip(labels)
            .map(|((path, root), label)| Part {
                // A single file keeps the name the user gave it; a link is followed because named.
                source: match root.is_dir() {
                    true => FolderSource::new(&root, options.clone()),
                    false => FolderSource::new(path, options.clone()),
                },
                label,
            });
        Ok(Self {
            parts: parts.collect(),
        })
    }

    async fn list_all(&self) -> Result<Listing> {
        let mut all = Listing::default();
        for part in &self.parts {
            let listing = part.source.list().await?;
            all.items.extend(listing.items.into_iter().map(|item| Item {
                source: part.outer_name(&item.source),
                ..item
            }));
            all.skipped
                .extend(listing.skipped.into_iter().map(|skipped| Skipped {
                    source: part.outer_name(&skipped.source),
                    ..skipped
                }));
        }
        all.items.sort_by(|a, b| a.source.cmp(&b.source));
        all.items.dedup_by(|a, b| a.source == b.source);
        all.skipped.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(all)
    }

    async fn read_one(&self, item: &Item) -> Result<Vec<u8>> {
        for part in &self.parts {
            let Some(name) = part.inner_name(&item.source) else {
                continue;
            };
            let own = Item {
                source: name.to_owned(),
                fingerprint: item.fingerprint.clone(),
            };
            return part.source.read(&own).await;
        }
        Err(Error::new(
            ErrorKind::NotFound,
            &item.source,
            "in none of the given paths",
        ))
    }
}

impl Part {
    fn is_file(&self) -> bool {
        !self.source.root().is_dir()
    }

    fn outer_name(&self, name: &str) -> String {
        match &self.label {
            None => name.to_owned(),
            Some(label) if self.is_file() => label.clone(),
            Some(label) => format!("{label}/{name}"),
        }
    }

    fn inner_name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        match &self.label {
            None => Some(name),
            Some(label) if self.is_file() => {
                let own = self.source.root().file_name()?.to_str()?;
                (name == label).then_some(own)
            }
            Some(label) => name.strip_prefix(label.as_str())?.strip_prefix('/'),
        }
    }
}

impl Source for Sources {
    fn list(&self) -> BoxFuture<'_, Result<Listing>> {
        Box::pin(self.list_all())
    }

    fn read<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<Vec<u8>>> {
        Box::pin(self.read_one(item))
    }
}

/// The shortest ends of the paths, of one length, that tell them apart.
fn labels<'a>(roots: impl Iterator<Item = &'a Path> + Clone) -> Vec<Option<String>> {
    let deepest = roots.clone().map(|root| root.components().count()).max();
    for length in 1..=deepest.unwrap_or(1) {
        let names: Vec<String> = roots.clone().map(|root| end_of(root, length)).collect();
        let distinct: std::collections::HashSet<&String> = names.iter().collect();
        if distinct.len() == names.len() {
            return names.into_iter().map(Some).collect();
        }
    }
    roots.map(|root| Some(end_of(root, usize::MAX))).collect()
}

/// The last `length` components, joined by `/`.
fn end_of(path: &Path, length: usize) -> String {
    let parts: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    parts[parts.len().saturating_sub(length)..].join("/")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn several_paths_have_distinct_names() {
        let lab = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = lab.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        ["a/docs/一.md", "b/docs/一.md", "b/notes.txt"]
            .into_iter()
            .for_each(write);
        let names = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| lab.path().join(path)).collect();
            let sources = Sources::new(&paths, &FolderOptions::default()).unwrap();
            run(async {
                let listing = sources.list().await.unwrap();
                for item in &listing.items {
                    let bytes = sources.read(item).await.unwrap();
                    let own = String::from_utf8(bytes).unwrap();
                    let name = item.source.rsplit('/').next().unwrap();
                    assert!(own.ends_with(name), "{own} for {}", item.source);
                }
                let names = listing.items.into_iter().map(|item| item.source);
                names.collect::<Vec<_>>()
            })
        };
        assert_eq!(names(&["a/docs"]), ["一.md"]);
        assert_eq!(names(&["a/docs", "a/docs"]), ["一.md"]);
        assert_eq!(names(&["b/notes.txt"]), ["notes.txt"]);
        assert_eq!(
            names(&["a/docs", "b/notes.txt"]),
            ["docs/一.md", "notes.txt"]
        );
        assert_eq!(
            names(&["a/docs", "b/docs"]),
            ["a/docs/一.md", "b/docs/一.md"]
        );
    }

    #[test]
    fn a_missing_path_is_named() {
        let error = Sources::new(&["/no/such/path".into()], &FolderOptions::default());
        let error = error.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("/no/such/path"));
        assert!(Sources::new(&[], &FolderOptions::default()).is_err());
    }
}
