//! The disk fails, once, at every write, flush and rename in turn: each time the collection
//! says so, opens again, holds what it acknowledged, and ends like an undisturbed one.
//!
//! The system calls of a child, which is this test binary itself, are made to fail by `strace`.
//! `CORBIE_FAULTS=all` tries every call; without it every 23rd, which takes seconds.
#![cfg(all(feature = "edge", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod kit;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corbie_core::{Error, Point, Selection};
use corbie_vectorstores::edge_stores;
use corbie_vectorstores::index::{Collections, Index, IngestEvent, IngestReport, VerifyOptions};
use futures::executor::block_on;
use kit::{CountingEmbedder, Files, parts, points};

/// Where a child finds its folder; absent in the parent.
const FOLDER: &str = "CORBIE_TEST_FAULTS_FOLDER";

/// What fails, and how.
const CALLS: [(&str, &str); 9] = [
    ("write", "ENOSPC"),
    ("pwrite64", "ENOSPC"),
    ("ftruncate", "ENOSPC"),
    ("fallocate", "ENOSPC"),
    ("fsync", "EIO"),
    ("fdatasync", "EIO"),
    ("msync", "EIO"),
    ("rename", "EIO"),
    ("renameat", "EIO"),
];

fn files() -> Files {
    let files = Files::default();
    for file in 0..5 {
        let lines: Vec<String> = (0..4)
            .map(|n| format!("{file}: line {n}, 第{n}行"))
            .collect();
        files.write(&format!("{file}.md"), &lines.join("\n"));
    }
    files
}

fn open(folder: &Path) -> Result<Index, Error> {
    let parts = parts(CountingEmbedder::new("m", 16), edge_stores());
    Index::open(&Collections::new(folder), "faults", parts)
}

/// An ingest, a change and a deletion; after a failure the same again in the same process.
fn live(folder: &Path) -> Result<IngestReport, Error> {
    let files = files();
    let acknowledge = |event: IngestEvent<'_>| {
        if let IngestEvent::Done { source, .. } = event {
            // In one piece: half a line would be another word.
            let _ = std::io::stderr().write_all(format!("ack {source}\n").as_bytes());
        }
    };
    let index = open(folder)?;
    let first = block_on(index.sync(&files, "/files", &acknowledge));
    files.write("0.md", "changed\n改了");
    files.remove("1.md");
    let second = block_on(index.sync(&files, "/files", &()));
    let lost = block_on(points(index.store().as_ref()))
        .pop()
        .map(|p| p.chunk.id);
    let third = block_on(
        index
            .store()
            .delete(Selection::Ids(lost.into_iter().collect())),
    );
    let fourth = block_on(index.sync(&files, "/files", &()));
    first
        .and(second)
        .and(third.map(|()| IngestReport::default()))
        .and(fourth)
}

#[test]
fn child_whose_disk_fails() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    if let Err(error) = live(&folder) {
        let _ = writeln!(std::io::stderr(), "error {error}");
    }
}

/// Runs the child under strace; `inject` says which call fails. The trace goes to `trace`.
fn run(folder: &Path, inject: &str, trace: &Path) -> std::io::Result<Output> {
    Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(trace)
        .args(["-e", "signal=none", "-e"])
        .arg(format!(
            "trace={}",
            inject.split(':').next().unwrap_or_default()
        ))
        .arg("-e")
        .arg(format!("inject={inject}"))
        .arg(std::env::current_exe()?)
        .args([
            "--exact",
            "child_whose_disk_fails",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(FOLDER, folder)
        .output()
}

fn left(folder: &Path) -> Vec<Point> {
    let index = open(folder).unwrap();
    let files = files();
    files.write("0.md", "changed\n改了");
    files.remove("1.md");
    block_on(index.sync(&files, "/files", &())).unwrap();
    let options = VerifyOptions {
        vectors: true,
        repair: false,
    };
    let verified = block_on(index.verify(options, &())).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    block_on(points(index.store().as_ref()))
}

#[test]
#[allow(clippy::print_stderr)] // What is not tried is said.
fn a_disk_that_fails_anywhere_costs_nothing_acknowledged() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let runs = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status();
    if !runs.is_ok_and(|status| status.success()) {
        eprintln!("skipped: `strace` is not installed or may not trace here");
        return;
    }
    let undisturbed = {
        let dir = tempfile::tempdir().unwrap();
        live(dir.path()).unwrap();
        left(dir.path())
    };
    let all = std::env::var("CORBIE_FAULTS").is_ok_and(|value| value == "all");
    let stride = if all { 1 } else { 23 };
    let mut tried = 0;
    for (call, errno) in CALLS {
        for number in (1..).step_by(stride) {
            let dir = tempfile::tempdir().unwrap();
            let home = dir.path().join("data");
            let trace = dir.path().join("trace");
            let fault = format!("{call}:error={errno}:when={number}");
            let output = run(&home, &fault, &trace).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            if !std::fs::read_to_string(&trace)
                .unwrap()
                .contains("(INJECTED)")
            {
                break;
            }
            tried += 1;
            // The child's words may be what could not be written; then the harness gives up.
            let silenced = said.is_empty() || call == "write";
            assert!(
                output.status.success() || silenced,
                "{fault}: {}: {said}",
                output.status
            );
            for source in said.lines().filter_map(|line| line.strip_prefix("ack ")) {
                let stored = open(&home).unwrap().document(source).unwrap();
                assert!(
                    stored.is_some() || source == "1.md",
                    "{fault}: {source} is lost"
                );
            }
            assert!(left(&home) == undisturbed, "{fault}: {said}");
        }
    }
    eprintln!("{tried} faults");
    assert!(tried > 20, "faults were tried: {tried}");
}
