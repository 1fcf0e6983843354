#![allow(clippy::unwrap_used)]
use super::*;
use std::os::unix::ffi::OsStrExt;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn list(root: &Path) -> Listing {
    run(FolderSource::new(root, FolderOptions::default()).list()).unwrap()
}

fn names(listing: &Listing) -> Vec<&str> {
    listing
        .items
        .iter()
        .map(|item| item.source.as_str())
        .collect()
}

#[test]
fn files_are_listed_sorted_and_ignored_ones_are_not() {
    let lab = tempfile::tempdir().unwrap();
    let root = lab.path();
    for name in [
        "b.md",
        "a/手册.txt",
        "a/skip.log",
        "build/out.txt",
        ".secret",
        "drafts/x.md",
    ] {
        write(root, name, name.as_bytes());
    }
    write(root, ".gitignore", b"*.log\nbuild/\n");
    write(root, ".ignore", b"drafts\n");
    let listing = list(root);
    assert_eq!(names(&listing), ["a/手册.txt", "b.md"]);
    assert_eq!(listing.skipped, []);
    let everything = FolderOptions {
        hidden: true,
        ignore_files: false,
        ..FolderOptions::default()
    };
    let listing = run(FolderSource::new(root, everything).list()).unwrap();
    assert_eq!(listing.items.len(), 8);
}

#[test]
fn a_repository_rules_its_subfolders_but_a_mere_parent_does_not() {
    let lab = tempfile::tempdir().unwrap();
    write(lab.path(), ".gitignore", b"*\n");
    write(lab.path(), "docs/a.md", b"a");
    assert_eq!(names(&list(&lab.path().join("docs"))), ["a.md"]);
    std::fs::create_dir(lab.path().join(".git")).unwrap();
    write(lab.path(), ".gitignore", b"docs/private/\n");
    write(lab.path(), "docs/private/b.md", b"b");
    assert_eq!(names(&list(&lab.path().join("docs"))), ["a.md"]);
}

#[test]
fn equal_content_has_equal_fingerprints_and_other_content_other_ones() {
    let lab = tempfile::tempdir().unwrap();
    write(lab.path(), "a", b"same");
    write(lab.path(), "b", b"same");
    write(lab.path(), "c", b"else");
    let items = list(lab.path()).items;
    assert_eq!(items[0].fingerprint, items[1].fingerprint);
    assert_ne!(items[0].fingerprint, items[2].fingerprint);
    assert!(items[0].fingerprint.starts_with("sha256:"));
}

#[test]
fn what_cannot_be_read_is_listed_with_the_reason() {
    let lab = tempfile::tempdir().unwrap();
    let root = lab.path().join("root");
    write(&root, "good.txt", b"good");
    write(&root, "large.txt", &[b'x'; 100]);
    write(lab.path(), "outside.txt", b"outside");
    std::os::unix::fs::symlink("../outside.txt", root.join("link.txt")).unwrap();
    std::os::unix::fs::symlink("..", root.join("up")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff.txt");
    std::fs::write(root.join(odd), "odd").unwrap();
    let options = FolderOptions {
        max_file_bytes: 50,
        ..FolderOptions::default()
    };
    let source = FolderSource::new(&root, options);
    let listing = run(source.list()).unwrap();
    assert_eq!(names(&listing), ["good.txt"]);
    let reason = |name: &str| {
        let mut found = listing
            .skipped
            .iter()
            .filter(|s| s.source.starts_with(name));
        found.next().map(|skipped| skipped.reason.clone()).unwrap()
    };
    assert!(reason("large").contains("50 bytes"));
    assert!(reason("link").contains("symbolic link"));
    assert!(reason("up").contains("symbolic link"));
    assert!(reason("odd").contains("UTF-8"));
}

#[test]
fn one_file_is_a_source_too() {
    let lab = tempfile::tempdir().unwrap();
    write(lab.path(), "one.txt", b"one");
    let source = FolderSource::new(&lab.path().join("one.txt"), FolderOptions::default());
    let listing = run(source.list()).unwrap();
    assert_eq!(names(&listing), ["one.txt"]);
    assert_eq!(run(source.read(&listing.items[0])).unwrap(), b"one");
    let other = Item {
        source: "two.txt".to_owned(),
        fingerprint: String::new(),
    };
    assert!(run(source.read(&other)).is_err());
}

#[test]
fn a_missing_folder_is_an_error_and_an_empty_one_an_empty_listing() {
    let lab = tempfile::tempdir().unwrap();
    assert_eq!(list(lab.path()), Listing::default());
    let source = FolderSource::new(&lab.path().join("no"), FolderOptions::default());
    let error = run(source.list()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
    assert!(error.next_step().is_some());
    let device = FolderSource::new(Path::new("/dev/null"), FolderOptions::default());
    assert_eq!(*run(device.list()).unwrap_err().kind(), ErrorKind::BadInput);
}

#[test]
fn bytes_that_are_not_those_listed_are_not_read() {
    let lab = tempfile::tempdir().unwrap();
    write(lab.path(), "a.txt", b"before");
    let source = FolderSource::new(lab.path(), FolderOptions::default());
    let listing = run(source.list()).unwrap();
    write(lab.path(), "a.txt", b"after");
    let error = run(source.read(&listing.items[0])).unwrap_err();
    assert!(error.is_retryable());
    std::fs::remove_file(lab.path().join("a.txt")).unwrap();
    let error = run(source.read(&listing.items[0])).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotFound);
}
