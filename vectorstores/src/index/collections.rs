//! The folder of collections.

use std::path::{Path, PathBuf};
use std::time::Duration;

use corbie_core::{EmbedderInfo, Error, ErrorKind, Result, SparseEmbedderInfo};
use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfc;

use super::ledger::Ledger;
use super::lock::{self, Lock, Owner};
use super::place::Stores;
use super::{elsewhere, place};

/// The longest name in bytes: well below what file systems take.
const LONGEST_NAME: usize = 128;

/// The collections in one folder, each a folder of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collections {
    folder: PathBuf,
}

/// What is known of a collection without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// How many documents it holds.
    pub documents: usize,
    /// How many chunks.
    pub chunks: usize,
    /// The embedding model it was made with; `None`: keyword search only.
    pub embedder: Option<EmbedderInfo>,
    /// The model that weighs its words; `None`: they are counted.
    pub sparse: Option<SparseEmbedderInfo>,
    /// The [name](super::Stores::name) of where its points are; `None`: it has none yet.
    pub store: Option<String>,
    /// Its size on disk.
    pub bytes: u64,
    /// Who holds it now.
    pub owner: Option<Owner>,
}

impl Collections {
    /// The collections in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Their names in order.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let io = |error| Error::io(self.folder.display().to_string(), error);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if check_name(name).is_ok() && self.existing(name).is_ok() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What is known of `name`. It may be open elsewhere.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when there is no such collection.
    pub fn info(&self, name: &str) -> Result<CollectionInfo> {
        let folder = self.existing(name)?;
        let ledger = Ledger::read_only(&folder.join("ledger.sqlite"))?;
        let (documents, chunks) = ledger.counts()?;
        let making = ledger.making()?;
        let store = making.as_ref().and_then(|making| making.store.clone());
        Ok(CollectionInfo {
            name: name.to_owned(),
            documents,
            chunks,
            sparse: making.as_ref().and_then(|making| making.sparse.clone()),
            embedder: making.and_then(|making| making.embedder),
            store,
            bytes: size(&folder),
            owner: lock::owner(&folder.join("lock")),
        })
    }

    /// SHA-256 of all chunk ids of `name` in ascending order: two collections of one name with the
    /// same digest hold the same chunks.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when there is no such collection.
    pub fn digest(&self, name: &str) -> Result<String> {
        let folder = self.existing(name)?;
        let rows = Ledger::read_only(&folder.join("ledger.sqlite"))?.rows()?;
        let mut ids: Vec<_> = rows.into_values().flat_map(|row| row.chunks).collect();
        ids.sort_unstable();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        Ok(corbie_core::ids::bytes_hash(&bytes))
    }

    /// Removes `name` with everything in it, its points in `stores` first.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when there is no such collection,
    /// [`Busy`](ErrorKind::Busy) when a process holds it,
    /// [`Mismatch`](ErrorKind::Mismatch) when its points are elsewhere.
    pub async fn remove(&self, name: &str, stores: &dyn Stores) -> Result<()> {
        let folder = self.existing(name)?;
        let _lock = Lock::take(&folder.join("lock"), name, Duration::ZERO)?;
        // A ledger that cannot be read must not keep its folder from being removed.
        if let Some(making) = Ledger::read_only(&folder.join("ledger.sqlite"))
            .and_then(|ledger| Ok(ledger.making()?.or(ledger.copying()?)))
            .ok()
            .flatten()
        {
            if making
                .store
                .as_ref()
                .is_some_and(|store| *store != stores.name())
            {
                return Err(elsewhere(name, &making, &stores.name()));
            }
            stores.remove(&place(name, &folder, &making)).await?;
        }
        let io = |error| Error::io(folder.display().to_string(), error);
        // Renamed first, so that a kill leaves no half of a collection under its name.
        let grave = self.folder.join(format!(".removed-{}", uuid_name(name)));
        if grave.exists() {
            std::fs::remove_dir_all(&grave).map_err(io)?;
        }
        std::fs::rename(&folder, &grave).map_err(io)?;
        std::fs::remove_dir_all(&grave).map_err(io)
    }

    /// The folder of `name`, made if need be.
    pub(super) fn create(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::io(folder.display().to_string(), error))?;
        Ok(folder)
    }

    /// The folder of `name`, which must hold a collection.
    pub(super) fn existing(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        let folder = self.folder.join(name);
        if folder.join("ledger.sqlite").is_file() {
            return Ok(folder);
        }
        let error = Error::new(
            ErrorKind::NotFound,
            format!("collection `{name}`"),
            "there is no collection of this name",
        );
        Err(error.hint(format!(
            "`corbie ingest PATH --collection {name}` makes it, `corbie collections list` shows \
             those there are"
        )))
    }
}

/// Refuses what is not a plain name: separators, dots in front, invisible and control characters.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = name.chars().all(allowed)
        && name.starts_with(char::is_alphanumeric)
        && !name.ends_with('.')
        && name.len() <= LONGEST_NAME
        && is_nfc(name);
    if good {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::BadInput,
        format!("collection name {name:?}"),
        "it is not a plain name",
    )
    .hint(format!(
        "letters and digits of any script, `-`, `_` and `.`, at most {LONGEST_NAME} bytes, \
         beginning with a letter or digit"
    )))
}

fn uuid_name(name: &str) -> String {
    corbie_core::ids::document(name, "").simple().to_string()
}

/// The space that a folder takes on disk. The engine's files are mostly holes: their lengths say
/// nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => taken(&metadata),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

#[cfg(unix)]
fn taken(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn taken(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["notes", "2026-q1_a.b", "手册", "Ärzte"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
        let bad = [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a\\b",
            "../up",
            "/etc",
            "C:\\x",
            "a\0b",
            "a\u{202e}b",
            "%2e%2e/x",
            "-flag",
            "dot.",
            "e\u{301}",
            "a b",
        ];
        for name in bad {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name(&"a".repeat(129)).is_err());
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder(name in ".*") {
            let collections = Collections::new("/data");
            if check_name(&name).is_ok() {
                let folder = collections.folder.join(&name);
                prop_assert_eq!(folder.parent(), Some(Path::new("/data")));
                prop_assert_eq!(folder.file_name().and_then(|n| n.to_str()), Some(name.as_str()));
            }
        }
    }
}
