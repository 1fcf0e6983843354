//! A folder that nothing leads out of.
//!
//! Every component of a name is opened on its own, relative to its parent's descriptor, and none
//! may be a symbolic link: what is put in place between a check and its use changes nothing,
//! because there is no check apart from the use.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result, is_plain_path};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::fs::{fsync, linkat, mkdirat, open, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::text::is_hidden;

/// The longest name, in bytes.
const MAX_NAME: usize = 1024;
/// The most folders above a file.
const MAX_DEPTH: usize = 32;
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
// NONBLOCK: opening a named pipe must not wait for its writer.
const FILE: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// An open folder, and the names below it.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
    /// Bytes of a file.
    pub size: u64,
}

impl Root {
    /// Opens the folder that a person named.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = open(path, FOLDER, Mode::empty());
        folder
            .map(Self)
            .map_err(|error| Error::io(path.display().to_string(), error.into()))
    }

    /// Opens a regular file for reading.
    pub fn read(&self, name: &str) -> Result<File> {
        let (folder, last) = self.parent(name, false)?;
        let opened = openat(&folder, last, FILE | OFlags::RDONLY, Mode::empty());
        regular(name, opened.map_err(|error| failed(name, error))?)
    }

    /// What the folder of this name holds, in the order of names; `.` is the root. Neither links
    /// nor what is no file is listed.
    pub fn list(&self, name: &str) -> Result<Vec<Entry>> {
        let folder = match name {
            "." | "" => openat(&self.0, ".", FOLDER, Mode::empty()),
            _ => {
                let (folder, last) = self.parent(name, false)?;
                openat(&folder, last, FOLDER | OFlags::NOFOLLOW, Mode::empty())
            }
        };
        let folder = folder.map_err(|error| failed(name, error))?;
        let mut entries = Vec::new();
        let listing = Dir::read_from(&folder).map_err(|error| failed(name, error))?;
        for entry in listing {
            let entry = entry.map_err(|error| failed(name, error))?;
            // What is gone since, or has a name that is no text, cannot be opened anyway.
            let Ok(file) = entry.file_name().to_str() else {
                continue;
            };
            let Ok(about) = statat(&folder, file, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let kind = FileType::from_raw_mode(about.st_mode);
            if is_safe(file) && matches!(kind, FileType::Directory | FileType::RegularFile) {
                entries.push(Entry {
                    name: file.to_owned(),
                    is_folder: kind == FileType::Directory,
                    size: u64::try_from(about.st_size).unwrap_or(0),
                });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Writes a whole file: whoever reads it finds the old or the new content, never a part.
    /// `temporary` names the file on its way there. Folders above it are made.
    pub fn write(
        &self,
        name: &str,
        content: &[u8],
        overwrite: bool,
        temporary: &str,
    ) -> Result<()> {
        let (folder, last) = self.parent(name, true)?;
        let is_there = match statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => match FileType::from_raw_mode(about.st_mode) {
                FileType::RegularFile => true,
                _ => return Err(no_file(name)),
            },
            Err(Errno::NOENT) => false,
            Err(error) => return Err(failed(name, error)),
        };
        if is_there && !overwrite {
            return Err(exists(name));
        }
        let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(0o644);
        let file = openat(&folder, temporary, flags, mode).map_err(|error| failed(name, error))?;
        let mut file = regular(name, file)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        let placed = written.and_then(|()| place(&folder, temporary, last, overwrite));
        if let Err(error) = placed {
            // It may be gone already; the error that counts is the one before.
            unlinkat(&folder, temporary, AtFlags::empty()).ok();
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => exists(name),
                _ => Error::io(subject(name), error),
            });
        }
        fsync(&folder).map_err(|error| failed(name, error))
    }

    /// Adds to the end of a file, or begins one.
    pub fn append(&self, name: &str, content: &[u8]) -> Result<()> {
        let (folder, last) = self.parent(name, true)?;
        let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let file = openat(&folder, last, flags, Mode::from_raw_mode(0o644));
        let mut file = regular(name, file.map_err(|error| failed(name, error))?)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(|error| Error::io(subject(name), error))
    }

    /// Removes a file.
    pub fn delete(&self, name: &str) -> Result<()> {
        drop(self.read(name)?);
        let (folder, last) = self.parent(name, false)?;
        let gone = unlinkat(&folder, last, AtFlags::empty()).and_then(|()| fsync(&folder));
        gone.map_err(|error| failed(name, error))
    }

    /// The open folder that a name is in, and its last component.
    fn parent<'a>(&self, name: &'a str, make: bool) -> Result<(OwnedFd, &'a str)> {
        if !is_safe(name) {
            let cause = "this is no name of a file below the folder";
            return Err(Error::new(ErrorKind::BadInput, subject(name), cause)
                .hint("a name is relative, such as notes/today.md"));
        }
        let mut parts: Vec<&str> = name.split('/').collect();
        let last = parts.pop().unwrap_or_default();
        let io = |error: Errno| failed(name, error);
        let mut folder = openat(&self.0, ".", FOLDER, Mode::empty()).map_err(io)?;
        for part in parts {
            if make {
                match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(io(error)),
                }
            }
            let flags = FOLDER | OFlags::NOFOLLOW;
            folder = openat(&folder, part, flags, Mode::empty()).map_err(io)?;
        }
        Ok((folder, last))
    }
}

/// Puts a finished file in its place.
fn place(folder: &OwnedFd, temporary: &str, name: &str, overwrite: bool) -> io::Result<()> {
    if overwrite {
        return Ok(renameat(folder, temporary, folder, name)?);
    }
    // Unlike a rename, a second name never replaces a file that came in between.
    linkat(folder, temporary, folder, name, AtFlags::empty())?;
    Ok(unlinkat(folder, temporary, AtFlags::empty())?)
}

/// Whether a name stays below the folder and is what it seems to be, to people and on other
/// systems: no backslash or drive, no control characters, none that turn or hide text.
fn is_safe(name: &str) -> bool {
    is_plain_path(name)
        && name.len() <= MAX_NAME
        && name.split('/').count() <= MAX_DEPTH
        && !name.contains('\\')
        && !name.contains(is_hidden)
        && !(name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic())
}

fn regular(name: &str, file: OwnedFd) -> Result<File> {
    let file = File::from(file);
    let about = file.metadata();
    match about
        .map_err(|error| Error::io(subject(name), error))?
        .is_file()
    {
        true => Ok(file),
        false => Err(no_file(name)),
    }
}

fn no_file(name: &str) -> Error {
    Error::new(ErrorKind::BadInput, subject(name), "it is no regular file")
}

fn exists(name: &str) -> Error {
    Error::new(ErrorKind::BadInput, subject(name), "it exists")
        .hint("write with overwrite, or under another name")
}

fn subject(name: &str) -> String {
    format!("file `{}`", name.escape_debug())
}

fn failed(name: &str, error: Errno) -> Error {
    match error {
        Errno::LOOP | Errno::NOTDIR => {
            let cause = "a part of its path is a link or no folder; links are not followed";
            Error::new(ErrorKind::BadInput, subject(name), cause)
        }
        _ => Error::io(subject(name), error.into()),
    }
}
