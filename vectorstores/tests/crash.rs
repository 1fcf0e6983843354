//! A collection that is killed again and again while it follows changing files. The oracle knows
//! what was acknowledged: none of it may be lost, doubled or stale, and the index must verify.
//!
//! The children that are killed are this test binary itself. `CORBIE_KILLS` says how many there
//! are (12 if it says nothing), `CORBIE_SEED` where chance begins.
#![cfg(feature = "edge")]
#![allow(clippy::unwrap_used)]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corbie_core::{BoxFuture, Error, Item, Listing, Result, Source, ids};
use corbie_vectorstores::index::{Collections, Index, IngestEvent, Outcome, VerifyOptions};
use corbie_vectorstores::{EdgeOptions, edge_stores_with};
use futures::executor::block_on;
use kit::{CountingEmbedder, parts, points};

/// Where a child finds its folder and its seed; absent in the parent.
const FOLDER: &str = "CORBIE_TEST_CRASH_FOLDER";
const SEED: &str = "CORBIE_TEST_CRASH_SEED";

/// How many files there are at most.
const FILES: u64 = 14;

/// Chance that begins anywhere and is the same each time (xorshift).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// The files of a flat folder.
struct Folder(PathBuf);

impl Source for Folder {
    fn list(&self) -> BoxFuture<'_, Result<Listing>> {
        Box::pin(async move {
            let mut items = Vec::new();
            for (source, text) in texts(&self.0) {
                let fingerprint = ids::text_hash(&text);
                items.push(Item {
                    source,
                    fingerprint,
                });
            }
            Ok(Listing {
                items,
                skipped: Vec::new(),
            })
        })
    }

    fn read<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<Vec<u8>>> {
        let path = self.0.join(&item.source);
        Box::pin(async move { std::fs::read(path).map_err(|e| Error::io(&item.source, e)) })
    }
}

fn texts(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries
        .map(|path| (name(&path), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

/// Version `version` of a file: some lines of its own, some that all versions share.
fn text(source: &str, version: u64) -> String {
    let own = 1 + version % 9;
    let shared = (0..4).map(|n| format!("{source} 共有 line {n}"));
    let own = (0..own).map(|n| format!("{source} version {version} 第{n}行"));
    shared.chain(own).collect::<Vec<_>>().join("\n")
}

fn open(home: &Path) -> Index {
    // Tidying up runs all the time, so that kills hit it too.
    let options = EdgeOptions {
        optimize_after: 40,
        ..EdgeOptions::default()
    };
    let parts = parts(
        CountingEmbedder::new("m", 16),
        edge_stores_with(options, None),
    );
    Index::open(&Collections::new(home.join("data")), "crash", parts).unwrap()
}

/// Changes files and brings the collection up to date, for ever, and tells what it is about to do
/// (`try`) and what is done (`ack`): a file, and the hash of its text or `gone`.
#[test]
#[allow(clippy::print_stderr)] // How the child speaks to its parent.
fn child_that_is_killed() {
    let Some(home) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let mut chance = Chance::new(std::env::var(SEED).unwrap().parse().unwrap());
    let files = home.join("files");
    let index = open(&home);
    loop {
        for _ in 0..=chance.below(4) {
            let source = format!("{}.md", chance.below(FILES));
            let path = files.join(&source);
            if chance.below(4) == 0 {
                eprintln!("try {source} gone");
                let _ = std::fs::remove_file(&path);
            } else {
                let text = text(&source, chance.below(1_000_000));
                eprintln!("try {source} {}", ids::text_hash(&text));
                // Whole files alone: what is half written is another program's fault.
                let new = home.join("new");
                std::fs::write(&new, &text).unwrap();
                std::fs::rename(&new, &path).unwrap();
            }
        }
        let known = texts(&files);
        let tell = |event: IngestEvent<'_>| {
            let IngestEvent::Done { source, outcome } = event else {
                return;
            };
            match outcome {
                Outcome::Deleted => eprintln!("ack {source} gone"),
                _ => eprintln!("ack {source} {}", ids::text_hash(&known[source])),
            }
        };
        block_on(index.sync(&Folder(files.clone()), "/files", &tell)).unwrap();
    }
}

/// What the parent knows of one file.
#[derive(Default)]
struct Known {
    acknowledged: Option<String>,
    tried: BTreeSet<String>,
}

#[test]
fn nothing_acknowledged_is_lost_doubled_or_stale_whenever_it_is_killed() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let number = |name, otherwise| {
        std::env::var(name).map_or(otherwise, |value| value.parse::<u64>().unwrap())
    };
    let (kills, seed) = (number("CORBIE_KILLS", 12), number("CORBIE_SEED", 1));
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("files")).unwrap();
    let mut oracle: BTreeMap<String, Known> = BTreeMap::new();
    for kill in 0..kills {
        let seed = seed * 1_000_003 + kill;
        live_and_die(home.path(), seed, &mut oracle);
        look_at_what_is_left(home.path(), kill, &oracle);
        mend_and_compare(home.path(), kill, &mut oracle);
    }
}

/// Lets a child live for a while, and notes what it said.
fn live_and_die(home: &Path, seed: u64, oracle: &mut BTreeMap<String, Known>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_that_is_killed",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(FOLDER, home)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut chance = Chance::new(seed ^ 0xdead);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut note = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["try", source, what] => {
                let known = oracle.entry(source.to_owned()).or_default();
                known.tried.insert(what.to_owned());
            }
            ["ack", source, what] => {
                let known = oracle.entry(source.to_owned()).or_default();
                known.acknowledged = Some(what.to_owned());
                known.tried.clear();
            }
            _ => {}
        }
    };
    for _ in 0..=chance.below(120) {
        note(
            lines
                .next()
                .expect("the child lives until it is killed")
                .unwrap(),
        );
    }
    // Somewhere between two words.
    for _ in 0..chance.below(3_000_000) {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(std::io::Result::ok).for_each(note);
}

/// Before anything mends it: each file is found as acknowledged, or as tried since.
fn look_at_what_is_left(home: &Path, kill: u64, oracle: &BTreeMap<String, Known>) {
    let index = open(home);
    let points = block_on(points(index.store().as_ref()));
    for (source, known) in oracle {
        let Some(acknowledged) = &known.acknowledged else {
            continue;
        };
        let stored = index.document(source).unwrap();
        let is = stored
            .as_ref()
            .map_or("gone".to_owned(), |d| ids::text_hash(&d.text));
        assert!(
            is == *acknowledged || known.tried.contains(&is),
            "kill {kill}: {source} is {is}, was acknowledged as {acknowledged}"
        );
        let document = ids::document("crash", source);
        let own: Vec<_> = points
            .iter()
            .filter(|p| p.chunk.document == document)
            .collect();
        let Some(stored) = stored else {
            // Points of a version that was being written may be there; the next run decides.
            assert!(
                own.is_empty() || !known.tried.is_empty(),
                "kill {kill}: {source} is stale"
            );
            continue;
        };
        for line in stored.text.lines() {
            let count = own.iter().filter(|p| p.chunk.text == line).count();
            let in_flight = !known.tried.is_empty();
            assert!(count == 1 || in_flight, "kill {kill}: {count} of {line:?}");
        }
    }
}

/// After one more run everything is as the files say, once, and the index verifies.
fn mend_and_compare(home: &Path, kill: u64, oracle: &mut BTreeMap<String, Known>) {
    let index = open(home);
    let files = home.join("files");
    block_on(index.sync(&Folder(files.clone()), "/files", &())).unwrap();
    let wanted: BTreeSet<String> = texts(&files)
        .values()
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let left = block_on(points(index.store().as_ref()));
    let found: BTreeSet<String> = left.iter().map(|p| p.chunk.text.clone()).collect();
    assert_eq!(left.len(), found.len(), "kill {kill}: something is doubled");
    assert_eq!(found, wanted, "kill {kill}");
    let options = VerifyOptions {
        vectors: true,
        repair: false,
    };
    let verified = block_on(index.verify(options, &())).unwrap();
    assert!(verified.is_sound(), "kill {kill}: {verified:?}");
    oracle.clear();
    for (source, text) in texts(&files) {
        let known = oracle.entry(source).or_default();
        known.acknowledged = Some(ids::text_hash(&text));
    }
}
