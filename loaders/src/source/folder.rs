//! A folder, or a single file, as a source.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use corbie_core::{BoxFuture, Error, ErrorKind, Item, Listing, Result, Skipped, Source};
use ignore::{DirEntry, WalkBuilder};
use sha2::{Digest, Sha256};

use super::open::{open_below, open_named};
use crate::blocking::blocking;

/// What a [`FolderSource`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderOptions {
    /// Files of more bytes are skipped. 64 MiB unless told.
    pub max_file_bytes: u64,
    /// Whether files and folders whose names begin with a dot are read. Not unless told.
    pub hidden: bool,
    /// Whether `.gitignore` and `.ignore` files are honoured. They are unless told.
    pub ignore_files: bool,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            max_file_bytes: 64 << 20,
            hidden: false,
            ignore_files: true,
        }
    }
}

/// The files of a folder and its subfolders, or one file.
///
/// Items are named by their path relative to the folder, with `/`; a single file by its file
/// name. The fingerprint is the SHA-256 of the content. Files that `.gitignore` or `.ignore`
/// exclude are not there, in or outside a git repository; hidden files neither. Symbolic links
/// are not followed, and a link put in place while it works leads nowhere.
///
/// ```
/// use corbie_core::Source;
/// use corbie_loaders::FolderSource;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("notes.md"), "# Notes\n")?;
/// let source = FolderSource::new(folder.path(), Default::default());
/// let listing = source.list().await?;
/// assert_eq!(listing.items[0].source, "notes.md");
/// assert_eq!(source.read(&listing.items[0]).await?, b"# Notes\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct FolderSource {
    root: PathBuf,
    options: FolderOptions,
}

impl FolderSource {
    /// The folder or file at `root`. Nothing is read yet.
    pub fn new(root: &Path, options: FolderOptions) -> Self {
        Self {
            root: root.to_owned(),
            options,
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn list_now(&self) -> Result<Listing> {
        let subject = self.subject();
        let metadata = std::fs::metadata(&self.root).map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let error = Error::io(&subject, error);
            match missing {
                true => error.hint("check the path; it is taken relative to the current folder"),
                false => error.hint("check its permissions"),
            }
        })?;
        let mut listing = Listing::default();
        if metadata.is_dir() {
            self.walk(&subject, &mut listing)?;
        } else if metadata.is_file() {
            let name = self.root.file_name().unwrap_or_default();
            match name.to_str() {
                Some(name) => self.examine(name, &mut listing),
                None => listing.skipped.push(name_is_not_utf8(Path::new(name))),
            }
        } else {
            return Err(Error::new(
                ErrorKind::BadInput,
                subject,
                "neither a file nor a folder",
            ));
        }
        listing.items.sort_by(|a, b| a.source.cmp(&b.source));
        listing.skipped.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(listing)
    }

    fn walk(&self, subject: &str, listing: &mut Listing) -> Result<()> {
        let root = self
            .root
            .canonicalize()
            .map_err(|error| Error::io(subject, error))?;
        // A repository's ignore files hold from its top; elsewhere a folder's parents have no say.
        let in_repository = root.ancestors().any(|folder| folder.join(".git").exists());
        let walk = WalkBuilder::new(&root)
            .standard_filters(self.options.ignore_files)
            .hidden(!self.options.hidden)
            .parents(self.options.ignore_files && in_repository)
            .require_git(false)
            .git_global(false)
            .follow_links(false)
            .build();
        for entry in walk {
            match entry {
                Ok(entry) => self.visit(&root, &entry, listing)?,
                Err(error) => {
                    let path = failed_path(&error).unwrap_or(&root);
                    // A folder that cannot be listed at all is the caller's problem.
                    if path == root {
                        return Err(
                            Error::new(ErrorKind::Io, subject, error).hint("check its permissions")
                        );
                    }
                    listing.skipped.push(Skipped {
                        source: relative_name(&root, path).unwrap_or_else(|lossy| lossy),
                        reason: io_reason(&error),
                    });
                }
            }
        }
        Ok(())
    }

    fn visit(&self, root: &Path, entry: &DirEntry, listing: &mut Listing) -> Result<()> {
        let Some(kind) = entry.file_type() else {
            return Ok(());
        };
        if kind.is_dir() {
            return Ok(());
        }
        let name = match relative_name(root, entry.path()) {
            Ok(name) => name,
            Err(_) => {
                let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
                listing.skipped.push(name_is_not_utf8(path));
                return Ok(());
            }
        };
        if kind.is_symlink() {
            let reason = "a symbolic link: links are not followed".to_owned();
            listing.skipped.push(Skipped {
                source: name,
                reason,
            });
        } else {
            self.examine(&name, listing);
        }
        Ok(())
    }

    /// Lists the file `name` with its fingerprint, or says why not.
    fn examine(&self, name: &str, listing: &mut Listing) {
        match self.open(name).and_then(|file| self.fingerprint(file)) {
            Ok(Some(fingerprint)) => listing.items.push(Item {
                source: name.to_owned(),
                fingerprint,
            }),
            Ok(None) => listing.skipped.push(Skipped {
                source: name.to_owned(),
                reason: format!(
                    "larger than the limit of {} for one file",
                    size(self.options.max_file_bytes)
                ),
            }),
            Err(error) => listing.skipped.push(Skipped {
                source: name.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    fn open(&self, name: &str) -> io::Result<File> {
        match self.root.is_dir() {
            true => open_below(&self.root, name),
            false if self.root.file_name().is_some_and(|own| own == name) => open_named(&self.root),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The content's SHA-256, or nothing for a file over the size limit.
    fn fingerprint(&self, mut file: File) -> io::Result<Option<String>> {
        if file.metadata()?.len() > self.options.max_file_bytes {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        let mut read = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => return Ok(Some(name_of(hash))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            read += count as u64;
            // It may grow while it is read.
            if read > self.options.max_file_bytes {
                return Ok(None);
            }
            hash.update(&buffer[..count]);
        }
    }

    fn read_now(&self, item: &Item) -> Result<Vec<u8>> {
        let file = self.open(&item.source);
        let file = file.map_err(|error| Error::io(&item.source, error))?;
        let mut bytes = Vec::new();
        file.take(self.options.max_file_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io(&item.source, error))?;
        if bytes.len() as u64 > self.options.max_file_bytes {
            let cause = format!("larger than {}", size(self.options.max_file_bytes));
            return Err(Error::new(ErrorKind::LimitExceeded, &item.source, cause));
        }
        // The fingerprint is what a collection records: it must be that of these very bytes.
        if name_of(Sha256::new_with_prefix(&bytes)) != item.fingerprint {
            let cause = "the file changed after it was listed";
            return Err(Error::new(ErrorKind::Unavailable, &item.source, cause)
                .hint("run again when it is no longer being written"));
        }
        Ok(bytes)
    }

    fn subject(&self) -> String {
        format!("`{}`", self.root.display())
    }
}

impl Source for FolderSource {
    fn list(&self) -> BoxFuture<'_, Result<Listing>> {
        let this = self.clone();
        Box::pin(async move { blocking(&self.subject(), move || this.list_now()).await })
    }

    fn read<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<Vec<u8>>> {
        let (this, wanted) = (self.clone(), item.clone());
        Box::pin(async move { blocking(&item.source, move || this.read_now(&wanted)).await })
    }
}

fn name_of(hash: Sha256) -> String {
    use std::fmt::Write;
    let mut name = "sha256:".to_owned();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The path below `root` with `/`, or its readable likeness when it is not UTF-8.
fn relative_name(root: &Path, path: &Path) -> Result<String, String> {
    let relative = path.strip_prefix(root).unwrap_or(path);
    match relative.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(relative.to_string_lossy().into_owned()),
    }
}

fn name_is_not_utf8(path: &Path) -> Skipped {
    Skipped {
        source: path.to_string_lossy().into_owned(),
        reason: "its name is not UTF-8: rename it".to_owned(),
    }
}

fn failed_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            failed_path(err)
        }
        _ => None,
    }
}

fn io_reason(error: &ignore::Error) -> String {
    match error.io_error() {
        Some(io) => io.to_string(),
        None => error.to_string(),
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests;
