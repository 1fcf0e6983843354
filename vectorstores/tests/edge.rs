//! The embedded Qdrant engine keeps the laws of a store, and what it acknowledged survives a
//! kill. The children that are killed are this test binary itself.
#![cfg(feature = "edge")]
#![allow(clippy::unwrap_used)]

mod kit;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corbie_core::testing::conformance;
use corbie_core::{
    ErrorKind, Filter, Query, RetrieveRequest, Retriever, SearchRequest, VectorStore,
};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::index::{Collections, Index, IngestEvent, VerifyOptions};
use corbie_vectorstores::{
    EdgeOptions, EdgeStore, FieldKind, IndexedField, MemoryStore, Quantization, edge_stores,
};
use futures::executor::block_on;
use kit::cases::{self, point};
use kit::{CountingEmbedder, Files, parts, points};

/// Where a child finds its folder; absent in the parent.
const CHILD_FOLDER: &str = "CORBIE_TEST_CHILD_FOLDER";

fn open(folder: &Path, dimension: usize) -> EdgeStore {
    let options = EdgeOptions {
        dimension: Some(dimension),
        ..EdgeOptions::default()
    };
    EdgeStore::open(folder, options).unwrap()
}

#[test]
fn it_keeps_the_laws_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    block_on(conformance::vector_store(&open(dir.path(), 4)));
}

#[test]
fn it_works_inside_a_runtime_too() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let store = open(dir.path(), 4);
    runtime.block_on(conformance::vector_store(&store));
}

#[test]
fn opened_again_it_holds_the_same_and_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new");
    let store = open(&folder, 4);
    block_on(store.upsert((0..50).map(point).collect())).unwrap();
    let before = block_on(points(&store));
    drop(store);
    let store = open(&folder, 4);
    assert_eq!(block_on(points(&store)), before);
    drop(store);
    let other = EdgeOptions {
        dimension: Some(8),
        ..EdgeOptions::default()
    };
    let error = EdgeStore::open(&folder, other).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    assert_eq!(block_on(open(&folder, 4).count(None)).unwrap(), 50);
}

/// What is changed in the options of a store that is there comes with its next tidying up.
#[test]
fn smaller_vectors_and_indexed_fields_find_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryStore::new(Some(4));
    for store in [&open(dir.path(), 4) as &dyn VectorStore, &memory] {
        block_on(store.upsert((0..200).map(point).collect())).unwrap();
    }
    for quantization in [
        Quantization::Scalar,
        Quantization::Binary,
        Quantization::None,
    ] {
        let options = EdgeOptions {
            dimension: Some(4),
            quantization,
            on_disk: true,
            search_effort: 32,
            indexed: vec![IndexedField {
                field: "metadata.n".into(),
                kind: FieldKind::Integer,
            }],
            ..EdgeOptions::default()
        };
        let store = EdgeStore::open(dir.path(), options).unwrap();
        block_on(store.optimize()).unwrap();
        for filter in [Filter::eq("metadata.n", 3), Filter::text("text", "9")] {
            let query = Query::Dense(vec![0.3, 0.8, 0.1, 0.0]);
            let request = SearchRequest::new(query, 10).filtered(Some(filter.clone()));
            let exact = block_on(memory.search(request.clone())).unwrap();
            let found = block_on(store.search(request)).unwrap();
            let scores = |hits: &[corbie_core::Hit]| -> Vec<i32> {
                hits.iter()
                    .map(|hit| (hit.score * 1000.0).round() as i32)
                    .collect()
            };
            let (found, exact) = (scores(&found), scores(&exact));
            // Four bits tell 200 points apart badly; what is found is scored exactly all the same.
            match quantization {
                Quantization::Binary => assert_eq!(found[0], exact[0], "{filter:?}"),
                _ => assert_eq!(found, exact, "{quantization:?}, {filter:?}"),
            }
        }
    }
    let options = EdgeOptions {
        dimension: Some(4),
        indexed: vec![IndexedField {
            field: "sauce".into(),
            kind: FieldKind::Keyword,
        }],
        ..EdgeOptions::default()
    };
    let error = EdgeStore::open(dir.path(), options)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
}

#[test]
fn it_ranks_as_the_exact_store_does() {
    let dir = tempfile::tempdir().unwrap();
    let edge = open(dir.path(), 4);
    let exact = block_on(cases::changed(&edge));
    block_on(cases::same_ranking(&edge, &exact));
    block_on(edge.optimize()).unwrap();
    block_on(cases::same_ranking(&edge, &exact));
}

#[test]
fn filters_mean_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    cases::filters_mean_what_they_say(&open(dir.path(), 4), |count| block_on(count));
}

/// Starts the test `name` of this binary as a child that works in `folder`, kills it after its
/// line number `lines` that says "ack", and returns what these lines acknowledged.
fn kill_child(name: &str, folder: &Path, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stderr.take().unwrap());
    let acknowledged = output
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("ack ").map(str::to_owned))
        .take(lines)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged
}

fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD_FOLDER).map(PathBuf::from)
}

#[test]
#[allow(clippy::print_stderr)] // How the child speaks to its parent.
fn child_that_writes() {
    let Some(folder) = child_folder() else { return };
    let store = open(&folder, 4);
    for number in 0.. {
        block_on(store.upsert(vec![point(number)])).unwrap();
        eprintln!("ack {number}");
    }
}

#[test]
fn acknowledged_points_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for lines in [1, 7, 20] {
        let acknowledged = kill_child("child_that_writes", dir.path(), lines);
        assert_eq!(acknowledged.len(), lines);
        let store = open(dir.path(), 4);
        let ids = block_on(store.ids()).unwrap();
        for number in acknowledged {
            let id = point(number.parse().unwrap()).chunk.id;
            assert!(
                ids.contains(&id),
                "point {number} was acknowledged and is lost"
            );
        }
    }
}

fn many_files() -> Files {
    let files = Files::default();
    for file in 0..40 {
        let lines: Vec<String> = (0..10)
            .map(|n| format!("line {n} of {file}, 第{n}行"))
            .collect();
        files.write(&format!("{file:02}.md"), &lines.join("\n"));
    }
    files
}

fn open_index(folder: &Path) -> Index {
    let parts = parts(CountingEmbedder::new("m", 16), edge_stores());
    Index::open(&Collections::new(folder), "birds", parts).unwrap()
}

#[test]
#[allow(clippy::print_stderr)]
fn child_that_ingests() {
    let Some(folder) = child_folder() else { return };
    let progress = |event: IngestEvent<'_>| match event {
        IngestEvent::Done { source, .. } => eprintln!("ack {source}"),
        IngestEvent::Embedded { .. } => eprintln!("ack "),
        IngestEvent::Listed { .. } => {}
    };
    block_on(open_index(&folder).sync(&many_files(), "/birds", &progress)).unwrap();
}

#[test]
fn a_killed_ingest_ends_like_an_undisturbed_one() {
    let files = many_files();
    let undisturbed = {
        let dir = tempfile::tempdir().unwrap();
        let index = open_index(dir.path());
        block_on(index.sync(&files, "/birds", &())).unwrap();
        block_on(points(index.store().as_ref()))
    };
    for lines in [1, 10, 30] {
        let dir = tempfile::tempdir().unwrap();
        kill_child("child_that_ingests", dir.path(), lines);
        let index = open_index(dir.path());
        let report = block_on(index.sync(&files, "/birds", &())).unwrap();
        assert_eq!((report.files, report.failed.len()), (40, 0));
        let left = block_on(points(index.store().as_ref()));
        assert!(left == undisturbed, "after a kill at line {lines}");
    }
}

/// A folder that an older version of Corbie wrote, kept as it was.
#[test]
fn a_collection_of_format_1_is_read_and_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/collections");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(fixture.join("format-1.tar.gz"))
        .arg("-C")
        .arg(dir.path())
        .status();
    assert!(unpacked.unwrap().success());
    let collections = Collections::new(dir.path().join("data/collections"));
    let info = collections.info("old").unwrap();
    assert_eq!((info.documents, info.chunks, info.store), (3, 3, None));

    let embedder = CountingEmbedder::like(info.embedder.unwrap());
    let parts = parts(embedder.clone(), edge_stores());
    let index = Index::open(&collections, "old", parts.clone()).unwrap();
    let options = VerifyOptions::default();
    let verified = block_on(index.verify(options, &())).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    let retriever = index.retriever(SearchMode::Keyword);
    let hits = block_on(retriever.retrieve(RetrieveRequest::new("渡鸦记得什么"))).unwrap();
    assert_eq!(hits[0].chunk.source, "渡鸦.md");
    let document = index.document("ravens.md").unwrap().unwrap();
    assert!(document.text.contains("cache food"));
    drop((retriever, index));

    let info = collections.info("old").unwrap();
    assert_eq!(
        info.store.as_deref(),
        Some("edge"),
        "where its points are is known now"
    );
    let index = Index::open(&collections, "old", parts).unwrap();
    let report = block_on(index.sync(&Files::default(), "/elsewhere", &())).unwrap();
    assert_eq!(
        report.updated, 3,
        "another splitter cuts what is stored anew"
    );
}

/// A document that is rewritten over and over is found at every moment, old or new.
#[test]
fn readers_beside_the_writer_always_find_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let index = open_index(dir.path());
    let files = Files::new([("a.md", "constant version 0, 第0版"), ("b.md", "other")]);
    block_on(index.sync(&files, "/birds", &())).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = [SearchMode::Keyword, SearchMode::Dense, SearchMode::Hybrid]
            .map(|mode| {
                let retriever = index.retriever(mode);
                let done = &done;
                scope.spawn(move || {
                    let mut looked = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) || looked == 0 {
                        let request = RetrieveRequest {
                            filter: Some(Filter::eq("source", "a.md")),
                            ..RetrieveRequest::new("constant version")
                        };
                        let hits = block_on(retriever.retrieve(request)).unwrap();
                        assert!(
                            !hits.is_empty(),
                            "{mode:?}: neither the old nor the new is found"
                        );
                        assert!(
                            hits.iter()
                                .all(|hit| hit.chunk.text.starts_with("constant"))
                        );
                        looked += 1;
                    }
                    looked
                })
            })
            .into();
        for version in 1..25 {
            files.write(
                "a.md",
                &format!("constant version {version}, 第{version}版"),
            );
            let report = block_on(index.sync(&files, "/birds", &())).unwrap();
            assert_eq!(report.updated, 1);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}
