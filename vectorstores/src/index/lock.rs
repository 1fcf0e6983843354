//! One owner for each collection.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use corbie_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// How often a waiting process looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// Who holds a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The process.
    pub pid: u32,
    /// Where it serves the collection to others, if it does.
    #[serde(default)]
    pub address: Option<String>,
}

/// The right to open a collection's store, until dropped. The operating system takes it back
/// from a process that dies, so a killed one leaves nothing to clean up.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock file at `path`, waiting up to `wait` for another owner to let go.
    pub(crate) fn take(path: &Path, collection: &str, wait: Duration) -> Result<Self> {
        let io = |error| Error::io(path.display().to_string(), error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(busy(&file, collection));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
        let lock = Self { file };
        lock.announce(None).map_err(io)?;
        Ok(lock)
    }

    /// Writes into the lock file who holds it, and where it serves.
    pub(crate) fn announce(&self, address: Option<String>) -> std::io::Result<()> {
        let owner = Owner {
            pid: std::process::id(),
            address,
        };
        let mut file = &self.file;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(serde_json::to_string(&owner)?.as_bytes())
    }
}

/// Who holds the lock file at `path` now; `None`: nobody, or nobody knows.
pub(crate) fn owner(path: &Path) -> Option<Owner> {
    let file = OpenOptions::new().read(true).open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read_owner(&file),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn read_owner(mut file: &File) -> Option<Owner> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn busy(file: &File, collection: &str) -> Error {
    let holder = match read_owner(file) {
        Some(Owner {
            pid,
            address: Some(address),
        }) => format!("process {pid} holds it and serves it at {address}"),
        Some(Owner { pid, address: None }) => format!("process {pid} holds it"),
        None => "another process holds it".to_owned(),
    };
    Error::new(
        ErrorKind::Busy,
        format!("collection `{collection}`"),
        holder,
    )
    .hint("wait until it is done, or end it")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path, "birds", Duration::ZERO).unwrap();
        let error = Lock::take(&path, "birds", Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Busy);
        let pid = std::process::id();
        assert_eq!(error.cause(), format!("process {pid} holds it"));
        first.announce(Some("127.0.0.1:8080".into())).unwrap();
        let owner = owner(&path).unwrap();
        assert_eq!(owner.address.as_deref(), Some("127.0.0.1:8080"));
        drop(first);
        assert!(super::owner(&path).is_none());
        Lock::take(&path, "birds", Duration::ZERO).unwrap();
    }
}
