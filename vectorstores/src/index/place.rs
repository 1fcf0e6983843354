//! Where the points of a collection are.

use std::path::PathBuf;
use std::sync::Arc;

use corbie_core::{BoxFuture, Result, VectorStore};
use uuid::Uuid;

use crate::MemoryStore;

/// What a store is opened for: the points of one generation of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The collection's name.
    pub collection: String,
    /// The identity of its ledger: two collections of one name, of two people who share a server,
    /// have different ones.
    pub index: Uuid,
    /// Counts how often the collection has been embedded anew; two generations exist beside each
    /// other for a while.
    pub generation: u64,
    /// The length of dense vectors; `None`: only sparse ones.
    pub dimension: Option<usize>,
    /// The folder of the collection, where other things of it are kept too.
    pub folder: PathBuf,
}

impl Place {
    /// A name that no other generation of any collection has: for stores that many share. ASCII
    /// letters and digits, `_` and `-`, at most 63 bytes.
    ///
    /// ```
    /// use corbie_vectorstores::index::Place;
    /// use uuid::Uuid;
    ///
    /// let place = Place {
    ///     collection: "员工 handbook".into(),
    ///     index: Uuid::from_u128(0x3fa9_c2d1 << 96),
    ///     generation: 2,
    ///     dimension: Some(384),
    ///     folder: "/data/handbook".into(),
    /// };
    /// assert_eq!(place.shared_name(), "corbie_handbook_3fa9c2d1000000000000_2");
    /// ```
    pub fn shared_name(&self) -> String {
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == '-';
        let name: String = self.collection.chars().filter(plain).take(16).collect();
        let index = self.index.simple().to_string();
        format!("corbie_{name}_{}_{}", &index[..20], self.generation)
    }

    /// The folder of this generation's vectors, for stores that keep them in files.
    pub fn vectors(&self) -> PathBuf {
        self.folder.join(format!("vectors-{}", self.generation))
    }
}

/// A kind of store, and where it is: opens the stores of collections.
pub trait Stores: Send + Sync {
    /// What and where, as `--store` takes it and without secrets: `edge`, `qdrant:http://host`. A
    /// collection remembers it and is opened only there.
    fn name(&self) -> String;

    /// Opens the store of `place`; it is made if it is not there. Stores elsewhere are reached at
    /// the first use, so that opening does not wait.
    ///
    /// # Errors
    ///
    /// When what is there cannot be opened, or keeps vectors of another length.
    fn open(&self, place: &Place) -> Result<Arc<dyn VectorStore>>;

    /// Removes the store of `place` with all its points. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>>;
}

/// The [`Stores`] whose vectors live in memory: they are embedded again each time the collection
/// is opened and synchronised.
pub fn memory_stores() -> Arc<dyn Stores> {
    struct Memory;
    impl Stores for Memory {
        fn name(&self) -> String {
            "memory".to_owned()
        }

        fn open(&self, place: &Place) -> Result<Arc<dyn VectorStore>> {
            Ok(Arc::new(MemoryStore::new(place.dimension)))
        }

        fn remove<'a>(&'a self, _place: &'a Place) -> BoxFuture<'a, Result<()>> {
            Box::pin(async { Ok(()) })
        }
    }
    Arc::new(Memory)
}

/// Removes a folder of vectors, if it is there.
#[cfg(feature = "edge")]
pub(crate) fn remove_folder(folder: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(corbie_core::Error::io(folder.display().to_string(), error))
        }
        _ => Ok(()),
    }
}
