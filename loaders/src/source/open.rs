//! Opening files so that nothing outside a root can be reached through it.
//!
//! Every component is opened on its own, relative to its parent's descriptor, and none may be a
//! symbolic link. A link that is put in place between listing and reading therefore changes
//! nothing: the open fails.

use std::fs::File;
use std::io;
use std::path::Path;

use corbie_core::is_plain_path;
use rustix::fs::{Mode, OFlags, open, openat};

/// Opens the regular file `name` (components joined by `/`) below the folder `root`.
///
/// # Errors
///
/// `InvalidInput` for a name that could leave the root or that is not a regular file's;
/// otherwise what the operating system says.
pub(super) fn open_below(root: &Path, name: &str) -> io::Result<File> {
    if !is_plain_path(name) {
        return Err(invalid("not a name below the root"));
    }
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut parent = open(root, directory | OFlags::RDONLY, Mode::empty())?;
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
        let flags = directory | OFlags::RDONLY | OFlags::NOFOLLOW;
        parent = openat(&parent, folder, flags, Mode::empty())?;
    }
    let descriptor = openat(&parent, file, FILE_FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
    regular(File::from(descriptor))
}

/// Opens the regular file at `path`, which the user named: links are followed.
pub(super) fn open_named(path: &Path) -> io::Result<File> {
    regular(File::from(open(path, FILE_FLAGS, Mode::empty())?))
}

// NONBLOCK: opening a named pipe must not wait for its writer.
const FILE_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(invalid("not a regular file"))
    }
}

fn invalid(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, cause)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    fn lab() -> (tempfile::TempDir, std::path::PathBuf) {
        let lab = tempfile::tempdir().unwrap();
        let root = lab.path().join("data");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::create_dir_all(lab.path().join("data2")).unwrap();
        std::fs::write(lab.path().join("data2/canary"), "canary").unwrap();
        std::fs::write(lab.path().join("canary"), "canary").unwrap();
        std::fs::write(root.join("sub/good"), "good").unwrap();
        symlink(lab.path(), root.join("out")).unwrap();
        symlink(lab.path().join("canary"), root.join("link")).unwrap();
        symlink("sub", root.join("inner")).unwrap();
        (lab, root)
    }

    #[test]
    fn only_plain_names_below_the_root_open() {
        let (_lab, root) = lab();
        assert!(open_below(&root, "sub/good").is_ok());
        let refused = [
            "../canary",
            "sub/../../canary",
            "/etc/passwd",
            "out/canary",
            "link",
            "inner/good",
            "sub",
            "",
            ".",
            "..",
            "sub//good",
            "sub/good/",
            "./sub/good",
            "sub/good\0",
            "C:\\canary",
            "\\\\host\\canary",
            "%2e%2e/canary",
            "..%2fcanary",
            "\u{202e}canary",
            "../data2/canary",
        ];
        for name in refused {
            assert!(open_below(&root, name).is_err(), "{name:?} opened");
        }
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let (_lab, root) = lab();
        let pipe = root.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(open_below(&root, "pipe").is_err());
        assert!(open_named(&pipe).is_err());
    }

    proptest! {
        #[test]
        fn no_name_reaches_the_canary(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "..", ".", "", "sub", "out", "link", "inner", "canary", "data", "data2", "good",
                    "~", "%2e%2e", "..\\", "\0", "C:", "/",
                ]),
                1..6,
            )
        ) {
            use std::io::Read;
            let (_lab, root) = lab();
            if let Ok(mut file) = open_below(&root, &parts.join("/")) {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                prop_assert_eq!(text, "good");
            }
        }
    }
}
