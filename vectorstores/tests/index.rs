//! The index follows its files, loses nothing, and writes nothing twice.
#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corbie_core::testing::{ScriptedChatModel, WordSparseEmbedder, says};
use corbie_core::{
    BoxFuture, EmbedKind, ErrorKind, Point, Result, RetrieveRequest, Retriever, Selection,
    SparseEmbedder, SparseEmbedderInfo, SparseVector, ids,
};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::index::{
    Cleanup, Collections, End, Index, IndexParts, IngestReport, Problem, SyncOptions, Verification,
    VerifyOptions, memory_stores,
};
use corbie_vectorstores::retrieve::Contextualizer;
use futures::executor::block_on;
use kit::{CountingEmbedder, Fault, Files, LineSplitter, lasting_stores, parts, points};
use serde_json::json;
use tempfile::TempDir;

const ROOT: &str = "/the/birds";

fn collections(dir: &TempDir) -> Collections {
    Collections::new(dir.path())
}

fn sync(index: &Index, files: &Files) -> IngestReport {
    block_on(index.sync(files, ROOT, &())).unwrap()
}

fn found(index: &Index, question: &str) -> Vec<String> {
    let retriever = index.retriever(SearchMode::Keyword);
    let hits = block_on(retriever.retrieve(RetrieveRequest::new(question))).unwrap();
    hits.into_iter().map(|hit| hit.chunk.text).collect()
}

#[test]
fn files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let parts = parts(embedder.clone(), lasting_stores(Fault::never()));
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let files = Files::new([
        ("a.md", "ravens cache\nravens cache\ncrows count"),
        ("b/c.md", "渡鸦会藏食物\n乌鸦会数数"),
        ("empty.md", ""),
    ]);
    let report = sync(&index, &files);
    assert_eq!((report.files, report.added, report.chunks), (3, 3, 5));
    assert_eq!(embedder.taken(), 4, "a repeated text is embedded once");
    assert_eq!(found(&index, "谁会藏食物？")[0], "渡鸦会藏食物");

    let report = sync(&index, &files);
    assert_eq!((report.skipped, report.chunks), (3, 0));
    assert_eq!(embedder.taken(), 0, "nothing is embedded again");

    files.write("a.md", "ravens cache\ncrows count\nmagpies steal");
    files.remove("b/c.md");
    files.touch("empty.md");
    let report = sync(&index, &files);
    assert_eq!((report.updated, report.deleted, report.skipped), (1, 1, 1));
    assert_eq!(embedder.taken(), 1, "only the new line is embedded");
    assert!(
        found(&index, "渡鸦").is_empty(),
        "what vanished is not found"
    );
    assert_eq!(found(&index, "who steals?")[..1], ["magpies steal"]);
    let document = index.document("a.md").unwrap().unwrap();
    for point in block_on(points(index.store().as_ref())) {
        let chunk = point.chunk;
        assert_eq!(document.text[chunk.start..chunk.end], chunk.text);
    }
    assert_eq!(index.document("b/c.md").unwrap(), None);
}

#[test]
fn what_was_lost_behind_its_back_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let parts = parts(embedder.clone(), lasting_stores(Fault::never()));
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let files = Files::new([("a.md", "one\ntwo"), ("b.md", "three")]);
    sync(&index, &files);
    let before = block_on(points(index.store().as_ref()));
    let lost = ids::chunk(&ids::document("birds", "a.md"), "two", 0);
    block_on(index.store().delete(Selection::Ids(vec![lost]))).unwrap();
    embedder.taken();
    let report = sync(&index, &files);
    assert_eq!((report.restored, report.skipped, report.chunks), (1, 1, 1));
    assert_eq!(embedder.taken(), 1, "only what was lost");
    assert_eq!(block_on(points(index.store().as_ref())), before);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let parts = parts(embedder.clone(), lasting_stores(Fault::never()));
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let files = Files::new([("a.md", "one\ntwo"), ("b.md", "three"), ("c.md", "four")]);
    sync(&index, &files);
    files.write("a.md", "one");
    files.remove("b.md");
    files.write("d.md", "五");
    let before = block_on(points(index.store().as_ref()));
    embedder.taken();
    let dry = |cleanup| SyncOptions {
        cleanup,
        dry_run: true,
    };
    let foretell = |cleanup| block_on(index.sync_with(&files, ROOT, dry(cleanup), &())).unwrap();
    let foretold = foretell(Cleanup::Scoped);
    assert_eq!(foretell(Cleanup::Incremental).deleted, 0);
    assert_eq!(foretell(Cleanup::None).updated, 0);
    assert_eq!(block_on(points(index.store().as_ref())), before);
    assert_eq!(embedder.taken(), 0);
    let done = sync(&index, &files);
    let chunks = done.chunks;
    assert_eq!(IngestReport { chunks, ..foretold }, done);
}

fn verify(index: &Index, vectors: bool, repair: bool) -> Verification {
    block_on(index.verify(VerifyOptions { vectors, repair }, &())).unwrap()
}

#[test]
fn whatever_is_done_behind_its_back_is_found_named_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let parts = parts(embedder, lasting_stores(Fault::never()));
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let files = Files::new([("a.md", "one\ntwo\n三"), ("b.md", "four\nfive\nsix")]);
    sync(&index, &files);
    let sound = verify(&index, true, false);
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!((sound.documents, sound.points), (2, 6));
    let before = block_on(points(index.store().as_ref()));

    let of = |text: &str| {
        before
            .iter()
            .find(|p| p.chunk.text == text)
            .unwrap()
            .clone()
    };
    let altered = |text: &str, change: fn(&mut Point)| {
        let mut point = of(text);
        change(&mut point);
        block_on(index.store().upsert(vec![point.clone()])).unwrap();
        point.chunk.id
    };
    let lost = of("one").chunk.id;
    block_on(index.store().delete(Selection::Ids(vec![lost]))).unwrap();
    let text = altered("two", |point| point.chunk.text = "too".into());
    let place = altered("三", |point| point.chunk.start += 1);
    let words = altered("four", |point| point.sparse = None);
    let unembedded = altered("five", |point| point.dense = None);
    let turned = altered("six", |point| point.dense.as_mut().unwrap().reverse());
    let stray = altered("six", |point| point.chunk.id = uuid::Uuid::from_u128(9));

    let found = verify(&index, true, false);
    let problem = |id| {
        let finding = found.findings.iter().find(|f| f.chunk == Some(id));
        finding.map(|finding| (finding.source.as_deref(), finding.problem))
    };
    let expected = [
        (lost, Some("a.md"), Problem::Lost),
        (text, Some("a.md"), Problem::Altered),
        (place, Some("a.md"), Problem::Altered),
        (words, Some("b.md"), Problem::Altered),
        (unembedded, Some("b.md"), Problem::Vector),
        (turned, Some("b.md"), Problem::Vector),
        (stray, None, Problem::Stray),
    ];
    for (id, source, what) in expected {
        assert_eq!(problem(id), Some((source, what)));
    }
    assert_eq!(found.findings.len(), expected.len(), "{found:?}");

    assert_eq!(verify(&index, true, true).repaired, expected.len());
    let sound = verify(&index, true, false);
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!(block_on(points(index.store().as_ref())), before);
    assert_eq!(sync(&index, &files).skipped, 2, "nothing is left to do");
}

#[test]
fn a_text_that_was_changed_in_the_ledger_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let parts = parts(embedder, lasting_stores(Fault::never()));
    let open = || Index::open(&collections(&dir), "birds", parts.clone()).unwrap();
    let files = Files::new([("a.md", "one"), ("b.md", "two")]);
    sync(&open(), &files);
    let database = dir.path().join("birds/ledger.sqlite");
    let database = rusqlite::Connection::open(database).unwrap();
    let changed = "UPDATE texts SET text = 'won' WHERE text = 'one'";
    assert_eq!(database.execute(changed, []).unwrap(), 1);
    drop(database);
    let found = verify(&open(), false, true);
    let problems: Vec<_> = found
        .findings
        .iter()
        .map(|f| (f.source.as_deref(), f.problem))
        .collect();
    assert_eq!(problems, [(Some("a.md"), Problem::Text)]);
    files.touch("a.md");
    sync(&open(), &files);
    assert!(verify(&open(), true, false).is_sound(), "the file mends it");
}

#[test]
fn roots_leave_one_another_alone() {
    let dir = tempfile::tempdir().unwrap();
    let parts = parts(
        CountingEmbedder::new("m", 16),
        lasting_stores(Fault::never()),
    );
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let here = dir.path().display().to_string();
    let one = Files::new([("one.md", "one"), ("same.md", "first")]);
    let two = Files::new([("two.md", "two"), ("same.md", "second")]);
    block_on(index.sync(&one, &here, &())).unwrap();
    let report = block_on(index.sync(&two, "/elsewhere", &())).unwrap();
    assert_eq!((report.added, report.deleted), (1, 0));
    assert_eq!(report.failed[0].source, "same.md", "a name is taken once");
    assert_eq!(index.documents().unwrap(), 3);
    one.remove("one.md");
    let report = block_on(index.sync(&one, &here, &())).unwrap();
    assert_eq!((report.deleted, index.documents().unwrap()), (1, 2));
}

#[test]
fn bad_files_are_listed_and_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let parts = parts(
        CountingEmbedder::new("m", 16),
        lasting_stores(Fault::never()),
    );
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let files = Files::new([
        ("a.md", "good"),
        ("b.md", "BAD"),
        ("c.md", "UNEMBEDDABLE"),
        ("d.md", "also good"),
    ]);
    let report = sync(&index, &files);
    assert_eq!((report.files, report.added), (4, 2));
    let failed: Vec<&str> = report.failed.iter().map(|f| f.source.as_str()).collect();
    assert_eq!(failed, ["b.md", "c.md"]);
    assert_eq!(report.failed[0].reason, "it is bad");
    files.write("a.md", "BAD now");
    let report = sync(&index, &files);
    assert_eq!(report.failed.len(), 3);
    assert_eq!(
        found(&index, "good").len(),
        2,
        "the last good version stays"
    );
}

#[test]
fn another_splitter_cuts_everything_anew() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let mut parts = parts(embedder, lasting_stores(Fault::never()));
    let files = Files::new([("a.md", "one\ntwo")]);
    let index = Index::open(&collections(&dir), "birds", parts.clone()).unwrap();
    sync(&index, &files);
    drop(index);
    parts.splitter = Arc::new(LineSplitter("lines, version 2"));
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    assert_eq!(sync(&index, &files).updated, 1);
    assert_eq!(sync(&index, &files).skipped, 1);
}

/// A server ingests on a task of its runtime.
#[test]
fn a_sync_may_move_between_threads() {
    fn sendable<T: Send>(_: &T) {}
    let dir = tempfile::tempdir().unwrap();
    let parts = parts(
        CountingEmbedder::new("m", 16),
        lasting_stores(Fault::never()),
    );
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let files = Files::new([("a.md", "one")]);
    let syncing = index.sync(&files, ROOT, &());
    sendable(&syncing);
    drop(syncing);
    assert_eq!(
        sync(&index, &files).added,
        1,
        "a dropped sync holds nothing up"
    );
}

/// SQLite's way: fail the Nth write, for every N, and look at what is left.
#[test]
fn an_interruption_at_any_write_changes_nothing_in_the_end() {
    let before = || {
        Files::new([
            ("a.md", "one\ntwo"),
            ("b.md", "three\n四"),
            ("c.md", "five"),
        ])
    };
    let change = |files: &Files| {
        files.write("a.md", "two\none and a half");
        files.remove("b.md");
        files.write("d.md", "six");
    };
    let undisturbed = {
        let dir = tempfile::tempdir().unwrap();
        let parts = parts(
            CountingEmbedder::new("m", 16),
            lasting_stores(Fault::never()),
        );
        let index = Index::open(&collections(&dir), "birds", parts).unwrap();
        let files = before();
        sync(&index, &files);
        change(&files);
        sync(&index, &files);
        block_on(points(index.store().as_ref()))
    };
    for after in [0, 1] {
        for failing in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let fault = Fault::never();
            let stores = lasting_stores(Arc::clone(&fault));
            let embedder = CountingEmbedder::new("m", 16);
            let parts = parts(embedder, stores);
            let open = || Index::open(&collections(&dir), "birds", parts.clone()).unwrap();
            fault.fail_at.store(failing, Ordering::SeqCst);
            fault.after.store(after, Ordering::SeqCst);
            let files = before();
            let first = block_on(open().sync(&files, ROOT, &()));
            change(&files);
            let second = block_on(open().sync(&files, ROOT, &()));
            let third = block_on(open().sync(&files, ROOT, &()));
            third.unwrap();
            let index = open();
            let left = block_on(points(index.store().as_ref()));
            assert_eq!(left, undisturbed, "write {failing}, after {after}");
            assert_eq!(sync(&index, &files).skipped, 3, "and nothing is left to do");
            if first.is_ok() && second.is_ok() {
                assert!(failing > 3, "every write was tried");
                break;
            }
        }
    }
}

#[test]
fn an_absent_embedder_stops_the_ingest_and_the_next_one_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = CountingEmbedder::new("m", 16);
    let parts = parts(embedder.clone(), lasting_stores(Fault::never()));
    let index = Index::open(&collections(&dir), "birds", parts).unwrap();
    let lines: Vec<String> = (0..300).map(|n| format!("line {n}")).collect();
    let files = Files::new([("a.md", &lines.join("\n")), ("b.md", "last")]);
    embedder.fail_at.store(1, Ordering::SeqCst);
    let error = block_on(index.sync(&files, ROOT, &())).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    let before = embedder.taken();
    assert!(before > 0);
    let report = sync(&index, &files);
    assert_eq!(report.added, 2);
    assert_eq!(before + embedder.taken(), 301, "nothing is embedded twice");
}

#[test]
fn another_embedder_is_refused_until_the_collection_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let stores = lasting_stores(Fault::never());
    let old = parts(CountingEmbedder::new("old", 16), stores.clone());
    let new = parts(CountingEmbedder::new("new", 32), stores);
    let files = Files::new([("a.md", "ravens cache"), ("b.md", "渡鸦")]);
    let index = Index::open(&collections(&dir), "birds", old.clone()).unwrap();
    sync(&index, &files);
    drop(index);
    let error = Index::open(&collections(&dir), "birds", new.clone()).map(|_| ());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    let text = error.to_string();
    for part in [
        "`old`",
        "`new`",
        "corbie index rebuild --collection birds --embedder new",
    ] {
        assert!(text.contains(part), "{text} names {part}");
    }
    drop(Index::open(&collections(&dir), "birds", old).unwrap());

    let collections = collections(&dir);
    let rebuild = Index::rebuild(&collections, "birds", new.clone(), &());
    let (index, report) = block_on(rebuild).unwrap();
    assert_eq!((report.files, report.updated, report.chunks), (2, 2, 2));
    let all = block_on(points(index.store().as_ref()));
    assert!(all.iter().all(|p| p.dense.as_ref().unwrap().len() == 32));
    assert_eq!(sync(&index, &files).skipped, 2, "no file has to be read");
    drop(index);
    Index::open(&collections, "birds", new).unwrap();
}

#[test]
fn one_owner_holds_a_collection_while_anybody_can_reach_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let parts = parts(
        CountingEmbedder::new("m", 16),
        lasting_stores(Fault::never()),
    );
    let open = || Index::open(&collections(&dir), "birds", parts.clone()).map(|_| ());
    let index = Index::open(&collections(&dir), "birds", parts.clone()).unwrap();
    assert_eq!(open().unwrap_err().kind(), &ErrorKind::Busy);
    let retriever = index.retriever(SearchMode::Hybrid);
    drop(index);
    assert_eq!(open().unwrap_err().kind(), &ErrorKind::Busy);
    let busy = block_on(collections(&dir).remove("birds", parts.stores.as_ref())).unwrap_err();
    assert_eq!(busy.kind(), &ErrorKind::Busy);
    drop(retriever);
    open().unwrap();
}

#[test]
fn collections_are_listed_shown_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let collections = collections(&dir);
    assert_eq!(collections.names().unwrap(), Vec::<String>::new());
    let parts = parts(
        CountingEmbedder::new("m", 16),
        lasting_stores(Fault::never()),
    );
    let index = Index::open(&collections, "手册", parts.clone()).unwrap();
    sync(&index, &Files::new([("a.md", "one\ntwo")]));
    let info = collections.info("手册").unwrap();
    assert_eq!((info.documents, info.chunks), (1, 2));
    assert_eq!(info.embedder.unwrap().model, "m");
    assert_eq!(info.owner.unwrap().pid, std::process::id());
    assert!(info.bytes > 0);
    drop(index);
    assert_eq!(collections.names().unwrap(), ["手册"]);
    let remove = || block_on(collections.remove("手册", parts.stores.as_ref()));
    remove().unwrap();
    assert_eq!(collections.names().unwrap(), Vec::<String>::new());
    let gone = remove().unwrap_err();
    assert_eq!(gone.kind(), &ErrorKind::NotFound);
    let error = Index::open(&collections, "../up", parts).map(|_| ());
    assert_eq!(error.unwrap_err().kind(), &ErrorKind::BadInput);
}

/// The points without their ids, which depend on the collection's name.
fn contents(points: Vec<Point>) -> Vec<(String, usize, Option<Vec<f32>>)> {
    let mut contents: Vec<_> = points
        .into_iter()
        .map(|p| (p.chunk.text, p.chunk.start, p.dense))
        .collect();
    contents.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    contents
}

#[test]
fn a_copy_holds_every_point_and_is_a_collection_of_its_own() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (collections(&here), collections(&there));
    let fault = Fault::never();
    let embedder = CountingEmbedder::new("m", 16);
    let old = parts(embedder.clone(), lasting_stores(Fault::never()));
    let new = parts(embedder.clone(), lasting_stores(Arc::clone(&fault)));
    let files = Files::new([("a.md", "one\ntwo\none"), ("b.md", "三"), ("empty.md", "")]);
    let index = Index::open(&here, "birds", old.clone()).unwrap();
    sync(&index, &files);
    let before = contents(block_on(points(index.store().as_ref())));
    drop(index);
    embedder.taken();

    let from = End {
        collections: &here,
        name: "birds",
        stores: old.stores.as_ref(),
    };
    let to = End {
        collections: &there,
        name: "鸟",
        stores: new.stores.as_ref(),
    };
    fault.fail_at.store(1, Ordering::SeqCst);
    block_on(Collections::copy(from, to, &())).unwrap_err();
    let report = block_on(Collections::copy(from, to, &())).unwrap();
    assert_eq!((report.documents, report.points), (3, 4));
    let twice = block_on(Collections::copy(from, to, &())).unwrap_err();
    assert_eq!(twice.kind(), &ErrorKind::BadInput);

    for (collections, name, parts) in [(&here, "birds", &old), (&there, "鸟", &new)] {
        let index = Index::open(collections, name, parts.clone()).unwrap();
        assert_eq!(contents(block_on(points(index.store().as_ref()))), before);
        assert!(verify(&index, true, false).is_sound());
        embedder.taken();
        assert_eq!(sync(&index, &files).skipped, 3);
        assert_eq!(embedder.taken(), 0, "nothing is embedded again");
    }
}

#[test]
fn a_collection_moves_to_another_store_whole() {
    let dir = tempfile::tempdir().unwrap();
    let here = collections(&dir);
    let embedder = CountingEmbedder::new("m", 16);
    let old = parts(embedder.clone(), lasting_stores(Fault::never()));
    let new = parts(embedder, memory_stores());
    let files = Files::new([("a.md", "one\ntwo"), ("b.md", "三")]);
    sync(&Index::open(&here, "birds", old.clone()).unwrap(), &files);
    let end = |stores| End {
        collections: &here,
        name: "birds",
        stores,
    };
    let (from, to) = (end(old.stores.as_ref()), end(new.stores.as_ref()));
    let same = block_on(Collections::copy(from, from, &())).unwrap_err();
    assert_eq!(same.kind(), &ErrorKind::BadInput);
    assert_eq!(
        block_on(Collections::copy(from, to, &())).unwrap().points,
        3
    );
    let error = Index::open(&here, "birds", old).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    assert!(error.to_string().contains("`memory`"), "{error}");
    let info = here.info("birds").unwrap();
    assert_eq!((info.store.as_deref(), info.chunks), (Some("memory"), 3));
    // This store forgets: what it lost is restored from the texts.
    assert_eq!(
        sync(&Index::open(&here, "birds", new).unwrap(), &files).restored,
        2
    );
}

/// Counts the texts that it weighs.
struct CountingWords(AtomicUsize);

impl SparseEmbedder for CountingWords {
    fn info(&self) -> SparseEmbedderInfo {
        WordSparseEmbedder.info()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<SparseVector>>> {
        self.0.fetch_add(texts.len(), Ordering::Relaxed);
        WordSparseEmbedder.embed(texts, kind)
    }
}

#[test]
fn a_model_may_weigh_the_words() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::new([
        ("birds.md", "Ravens cache food.\nCrows use tools."),
        ("鸟.md", "渡鸦会藏食物。"),
    ]);
    let counted = parts(
        CountingEmbedder::new("m", 16),
        lasting_stores(Fault::never()),
    );
    let words = Arc::new(CountingWords(AtomicUsize::new(0)));
    let learned = IndexParts {
        sparse: words.clone(),
        ..counted.clone()
    };
    let index = Index::open(&collections(&dir), "c", learned).unwrap();
    sync(&index, &files);
    assert_eq!(words.0.load(Ordering::Relaxed), 3, "each chunk once");
    files.write("birds.md", "Ravens cache food.\nJays cache acorns.");
    sync(&index, &files);
    assert_eq!(words.0.load(Ordering::Relaxed), 4, "only the new line");
    let verify = VerifyOptions {
        vectors: true,
        ..VerifyOptions::default()
    };
    assert!(block_on(index.verify(verify, &())).unwrap().is_sound());
    let retriever = index.retriever(SearchMode::Keyword);
    let hits = block_on(retriever.retrieve(RetrieveRequest::new("acorns"))).unwrap();
    assert_eq!(hits[0].chunk.text.trim_end(), "Jays cache acorns.");
    assert_eq!(hits[0].score, 36.0, "the product of the two weights");
    drop((index, retriever));

    let error = Index::open(&collections(&dir), "c", counted.clone())
        .err()
        .unwrap();
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    let hint = "corbie index rebuild --collection c --sparse bm25";
    assert!(error.to_string().contains(hint), "{error}");
    let info = collections(&dir).info("c").unwrap();
    assert_eq!(info.sparse.unwrap().model, "words");
    let collections = collections(&dir);
    let rebuild = Index::rebuild(&collections, "c", counted, &());
    let (index, _) = block_on(rebuild).unwrap();
    assert_eq!(found(&index, "acorns")[0].trim_end(), "Jays cache acorns.");
    assert!(block_on(index.verify(verify, &())).unwrap().is_sound());
}

#[test]
fn a_model_may_say_where_chunks_stand() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::new([("birds.md", "They cache food.\nThey use tools.")]);
    let about = |text: &str| says(json!({ "context": text }).to_string());
    let model = ScriptedChatModel::new([
        about("About ravens."),
        about("About crows."),
        about("About jays."),
    ]);
    let parts = IndexParts {
        contexts: Some(Contextualizer::new(Arc::new(model))),
        ..parts(
            CountingEmbedder::new("m", 16),
            lasting_stores(Fault::never()),
        )
    };
    let index = Index::open(&collections(&dir), "c", parts).unwrap();
    assert_eq!(sync(&index, &files).chunks, 2);
    assert_eq!(found(&index, "crows"), ["They use tools."]);
    assert_eq!(sync(&index, &files).chunks, 0, "nothing is asked again");
    files.write(
        "birds.md",
        "They cache food.\nThey use tools.\nThey cache acorns.",
    );
    assert_eq!(sync(&index, &files).chunks, 1, "only the new line");
    assert_eq!(found(&index, "jays"), ["They cache acorns."]);
    assert_eq!(found(&index, "crows"), ["They use tools."]);
    let verify = VerifyOptions {
        vectors: true,
        ..VerifyOptions::default()
    };
    assert!(block_on(index.verify(verify, &())).unwrap().is_sound());
}
