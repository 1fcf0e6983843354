//! The store in PostgreSQL keeps the laws of a store on a real server, and meets its failures.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used)]

mod kit;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corbie_core::testing::conformance;
use corbie_core::{
    ErrorKind, Filter, Point, Query, Range, RetrieveRequest, Retriever, SearchRequest, Selection,
    SparseVector, VectorStore,
};
use corbie_vectorstores::index::{Collections, Index};
use corbie_vectorstores::{
    MemoryStore, Namespace, PostgresOptions, PostgresStore, SearchMode, postgres_stores,
};
use futures::executor::block_on;
use futures::future::join_all;
use kit::cases::{self, point};
use kit::postgres::{Server, ask, client, options, runtime};
use kit::{CountingEmbedder, Files, parts, points};
use serde_json::{Value, json};
use uuid::Uuid;

/// A password that no error may repeat.
const SECRET: &str = "s3cret";

fn some(count: usize) -> Vec<Point> {
    (0..count).map(point).collect()
}

#[test]
fn it_keeps_the_laws_of_a_store() {
    let Some(server) = Server::connect() else {
        return;
    };
    block_on(conformance::vector_store(server.open(Some(4)).as_ref()));
    let comment = format!("SELECT obj_description('\"{}\"'::regclass)", server.table());
    assert_eq!(server.sql(&comment), ["Corbie's collection birds' 鸟"]);
}

#[test]
fn it_works_inside_a_runtime_and_over_one_connection_too() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = PostgresStore::open(PostgresOptions {
        connections: 1,
        ..server.options()
    });
    let threads = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    threads.block_on(conformance::vector_store(&store.unwrap()));
    runtime().block_on(async { assert_eq!(server.store().count(None).await.unwrap(), 0) });
}

#[test]
fn tenants_share_a_store_and_see_nothing_of_one_another() {
    let Some(server) = Server::connect() else {
        return;
    };
    let shared = server.open(Some(4));
    let ann = Namespace::new(Arc::clone(&shared), "ann").unwrap();
    block_on(ann.upsert(some(3))).unwrap();
    let 波 = Namespace::new(Arc::clone(&shared), "波's").unwrap();
    block_on(conformance::vector_store(&波));
    let mut left = block_on(points(&ann));
    left.sort_by_key(|point| point.chunk.start);
    assert_eq!(left.len(), 3);
    assert!(left.iter().zip(some(3)).all(|(a, b)| a.chunk == b.chunk));
    let nul = Namespace::new(Arc::clone(&shared), "a\0b").unwrap();
    let error = block_on(nul.upsert(some(1))).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput, "{error}");
    assert_eq!(block_on(nul.count(None)).unwrap(), 0);
    let words = Query::Sparse(point(0).sparse.unwrap());
    let found = block_on(nul.search(SearchRequest::new(words, 9))).unwrap();
    assert!(found.is_empty());
}

#[test]
fn it_ranks_as_the_exact_store_does() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = server.store();
    let exact = block_on(cases::changed(&store));
    block_on(cases::same_ranking(&store, &exact));
    block_on(store.optimize()).unwrap();
    block_on(cases::same_ranking(&store, &exact));
}

#[test]
fn filters_mean_what_they_say() {
    let Some(server) = Server::connect() else {
        return;
    };
    cases::filters_mean_what_they_say(server.open(Some(4)).as_ref(), |count| block_on(count));
}

/// Values that `jsonb` would change, or refuse.
fn odd() -> Vec<Point> {
    let odd = [
        json!("a\0b"),
        json!(-0.0),
        json!(0.0),
        json!(0),
        json!(1e16),
        json!(10_000_000_000_000_000_u64),
        json!(1e300),
        json!(5e-324),
        json!(1.0),
        json!(1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(["a\0b", [1], { "k": 1 }, null]),
        json!({ "\0": 1, "k": [{ "l": 1.0 }, 7, { "l": "x" }] }),
        json!([[1, 2], [3]]),
        json!([]),
        json!(null),
        json!("鸟 \u{1}\u{ffff}\u{10ffff}"),
    ];
    let written = |(number, value): (usize, Value)| {
        let mut point = point(number);
        point.chunk.metadata.insert("v".into(), value);
        point
    };
    odd.into_iter().enumerate().map(written).collect()
}

#[test]
fn what_the_server_cannot_hold_comes_back_and_is_found_all_the_same() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = server.open(Some(4));
    let mut all = odd();
    all.push(Point {
        chunk: corbie_core::Chunk {
            text: "nul \0 in the text".into(),
            ..point(99).chunk
        },
        ..point(99)
    });
    block_on(store.upsert(all.clone())).unwrap();
    for read in block_on(points(store.as_ref())) {
        let written = all.iter().find(|p| p.id() == read.id()).unwrap();
        let text = |point: &Point| point.payload().unwrap()["metadata"]["v"].to_string();
        assert_eq!(text(&read), text(written), "to the letter");
        assert_eq!(read.chunk, written.chunk);
    }
    let values = all
        .iter()
        .filter_map(|p| p.chunk.metadata.get("v").cloned());
    let mut filters: Vec<Filter> = values
        .flat_map(|v| {
            [
                Filter::eq("metadata.v", v.clone()),
                Filter::is_in("metadata.v", [v]),
            ]
        })
        .collect();
    let range = |gte, lt| Range {
        gte,
        lt,
        ..Range::default()
    };
    filters.extend([
        Filter::text("metadata.v", "\0"),
        Filter::text("metadata.v", "a\0"),
        Filter::text("text", "\0"),
        Filter::text("text", ""),
        Filter::text("metadata.v", "\u{10ffff}"),
        Filter::eq("metadata.\"v\".\"\0\"", 1),
        Filter::eq("metadata.v.k[].l", 1),
        Filter::eq("metadata.v.k[].l", 1.0),
        Filter::eq("metadata.v.k.l", "x"),
        Filter::eq("metadata.v[]", 1),
        Filter::eq("metadata.v[][]", 3),
        Filter::eq("metadata.v", json!([1, 2])),
        Filter::not(Filter::eq("metadata.v", json!({ "k": 1 }))),
        Filter::range("metadata.v", range(Some(f64::NAN), None)),
        Filter::range("metadata.v", range(Some(f64::NEG_INFINITY), None)),
        Filter::range("metadata.v", range(None, Some(9_007_199_254_740_993.0))),
        Filter::range("metadata.v", range(Some(9_007_199_254_740_992.0), None)),
        Filter::range("metadata.v", Range::default()),
        Filter::is_in(
            "metadata.v",
            [json!(1), json!(1.0), json!("a\0b"), json!(null)],
        ),
        Filter::is_in("source", ["0.md", "\0", "3.md"]),
        Filter::eq("source", 3),
        Filter::not(Filter::eq("source", "3.md")),
        Filter::not(Filter::namespace("x")),
        Filter::not(Filter::eq("page", 1)),
        Filter::any((0..40_000).map(|n| Filter::eq("metadata.v", n))),
    ]);
    for filter in filters {
        let passes = |point: &&Point| filter.matches(&point.payload().unwrap());
        let expected = all.iter().filter(passes).count();
        let found = block_on(store.count(Some(&filter))).unwrap();
        let mut name = format!("{filter:?}");
        name.truncate(200);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_graph_is_built_after_enough_points_and_misses_nothing_that_few_pass() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = PostgresStore::open(PostgresOptions {
        hnsw_after: 500,
        hnsw_ef_search: 10,
        ..server.options()
    })
    .unwrap();
    let exact = MemoryStore::new(Some(4));
    for store in [&store as &dyn VectorStore, &exact] {
        block_on(store.upsert(some(1000))).unwrap();
    }
    let valid = format!(
        "SELECT 1 FROM pg_index WHERE indrelid = '\"{0}\"'::regclass \
         AND indexrelid = to_regclass('\"{0}_hnsw\"') AND indisvalid",
        server.table()
    );
    let begun = Instant::now();
    while server.sql(&valid).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it is built");
    }
    block_on(store.optimize()).unwrap();
    let dense = vec![0.3, 0.8, 0.1, 0.0];
    let filters = [
        None,
        Some(Filter::text("text", "line 77")),
        Some(Filter::any([])),
        Some(Filter::eq("source", "3.md")),
    ];
    for filter in filters {
        for limit in [5, 900] {
            let query = Query::Dense(dense.clone());
            let request = SearchRequest::new(query, limit).filtered(filter.clone());
            let found = block_on(store.search(request.clone())).unwrap();
            let expected = block_on(exact.search(request)).unwrap();
            assert_eq!(found.len(), expected.len(), "{filter:?}, at most {limit}");
            if filter.is_some() && limit == 900 {
                let of = |hits: &[corbie_core::Hit]| -> Vec<Uuid> {
                    hits.iter().map(|hit| hit.chunk.id).collect()
                };
                let (mut found, mut expected) = (of(&found), of(&expected));
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{filter:?}");
            }
        }
    }
}

#[test]
fn an_index_follows_its_files_is_opened_again_and_rebuilt() {
    let Some(server) = Server::connect() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let collections = Collections::new(dir.path());
    let name = format!("手册-{}", Uuid::new_v4());
    let of = |model, dimension| {
        let embedder = CountingEmbedder::new(model, dimension);
        (embedder.clone(), parts(embedder, server.stores.clone()))
    };
    let (embedder, old) = of("old", 16);
    let files = Files::new([
        ("a.md", "ravens cache\ncrows count"),
        ("b.md", "渡鸦会藏食物"),
    ]);
    let index = Index::open(&collections, &name, old.clone()).unwrap();
    let report = block_on(index.sync(&files, "/birds", &())).unwrap();
    assert_eq!((report.added, report.chunks), (2, 3));
    let retriever = index.retriever(SearchMode::Hybrid);
    let hits = block_on(retriever.retrieve(RetrieveRequest::new("谁会藏食物？"))).unwrap();
    assert_eq!(hits[0].chunk.text, "渡鸦会藏食物");
    drop((retriever, index));

    let index = Index::open(&collections, &name, old).unwrap();
    let lost = block_on(index.store().ids()).unwrap()[0];
    block_on(index.store().delete(Selection::Ids(vec![lost]))).unwrap();
    embedder.taken();
    files.write("a.md", "ravens cache\nmagpies steal");
    let report = block_on(index.sync(&files, "/birds", &())).unwrap();
    assert_eq!(report.failed.len(), 0);
    assert_eq!(block_on(index.store().count(None)).unwrap(), 3);
    drop(index);

    let (_, new) = of("new", 32);
    let rebuild = Index::rebuild(&collections, &name, new.clone(), &());
    let (index, report) = block_on(rebuild).unwrap();
    assert_eq!((report.files, report.chunks), (2, 3));
    let all = block_on(points(index.store().as_ref()));
    assert!(all.iter().all(|p| p.dense.as_ref().unwrap().len() == 32));
    drop(index);
    let tables = format!(
        "SELECT '\"' || c.relname || '\"' FROM pg_class c JOIN pg_description d ON d.objoid = c.oid \
         WHERE d.description = 'Corbie''s collection {name}'"
    );
    let left = server.sql(&tables);
    assert_eq!(left.len(), 1, "the old generation is gone");
    let terms = left[0].replace("_2\"", "_2_terms\"");
    server.sql(&format!("DROP TABLE IF EXISTS {}, {terms}", left[0]));
}

#[test]
fn what_is_not_there_is_empty_and_what_is_another_length_is_refused() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = server.open(Some(4));
    block_on(store.delete(Selection::Filter(Filter::all([])))).unwrap();
    block_on(store.upsert(Vec::new())).unwrap();
    assert!(block_on(store.ids()).unwrap().is_empty());
    assert!(block_on(points(store.as_ref())).is_empty());
    let none = format!(
        "SELECT 1 WHERE to_regclass('\"{}\"') IS NOT NULL",
        server.table()
    );
    assert!(server.sql(&none).is_empty(), "reading makes no tables");
    block_on(store.upsert(some(5))).unwrap();
    for dimension in [Some(8), None] {
        let other = server.open(dimension);
        let error = block_on(other.count(None)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(&server.table()), "{error}");
        let mut point = point(9);
        point.dense = None;
        let error = block_on(other.upsert(vec![point])).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    }
    block_on(server.stores.remove(&server.place(Some(4)))).unwrap();
    block_on(server.stores.remove(&server.place(Some(4)))).unwrap();
    assert_eq!(block_on(store.count(None)).unwrap(), 0, "removed behind it");
    block_on(store.upsert(some(2))).unwrap();
    assert_eq!(block_on(store.count(None)).unwrap(), 2, "and made again");
}

#[test]
fn a_collection_of_words_alone_needs_no_vectors() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = server.open(None);
    let mut all = some(20);
    all.iter_mut().for_each(|point| point.dense = None);
    all[0].sparse = Some(SparseVector::from_pairs([
        (u32::MAX, f32::MAX),
        (3, f32::MIN_POSITIVE),
    ]));
    all[1].sparse = Some(SparseVector::default());
    let again = all[2].clone();
    all[2].chunk.page = Some(7);
    all.push(again);
    block_on(store.upsert(all.clone())).unwrap();
    let read = block_on(points(store.as_ref()));
    assert_eq!(read.len(), 20);
    for point in read {
        let last = all.iter().rev().find(|p| p.id() == point.id()).unwrap();
        let sparse = last.sparse.clone().filter(|sparse| !sparse.is_empty());
        assert_eq!((&point.chunk, point.sparse), (&last.chunk, sparse));
    }
    let huge = Query::Sparse(SparseVector::from_pairs([(u32::MAX, f32::MAX)]));
    let hits = block_on(store.search(SearchRequest::new(huge, 3))).unwrap();
    assert_eq!((hits.len(), hits[0].score), (1, f32::INFINITY));
}

#[test]
fn writers_of_the_same_points_wait_for_one_another() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = server.open(Some(4));
    let versions: Vec<Vec<Point>> = (0..6)
        .map(|version| {
            let mut all = some(60);
            all.iter_mut()
                .for_each(|p| p.sparse = point(version).sparse);
            match version % 2 {
                0 => all,
                _ => all.into_iter().rev().collect(),
            }
        })
        .collect();
    let writes = versions.iter().map(|version| store.upsert(version.clone()));
    for written in block_on(join_all(writes)) {
        written.unwrap();
    }
    let read = block_on(points(store.as_ref()));
    assert_eq!(read.len(), 60);
    let first = &read[0].sparse;
    assert!(
        read.iter().all(|p| &p.sparse == first),
        "one came last, whole"
    );
    assert!((0..6).any(|version| first == &point(version).sparse));
}

#[test]
fn a_server_that_is_down_is_named_and_may_be_asked_again() {
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let url = format!("postgres://ann:{SECRET}@127.0.0.1:{port}/notes");
    let stores = postgres_stores(options(&url)).unwrap();
    assert_eq!(stores.name(), format!("postgres:127.0.0.1:{port}/notes"));
    assert!(!format!("{:?}", options(&url)).contains(SECRET));
    let store = PostgresStore::open(options(&url)).unwrap();
    let errors = [
        block_on(store.count(None)).unwrap_err(),
        block_on(store.delete(Selection::Ids(vec![Uuid::nil()]))).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
        let text = format!("{error:?}");
        let named = [format!("127.0.0.1:{port}/notes"), "`corbie`".into()];
        assert!(named.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains(SECRET), "{text}");
        assert!(error.next_step().is_some());
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let store = PostgresStore::open(PostgresOptions {
        timeout: Duration::from_millis(50),
        ..options(&format!(
            "postgres://127.0.0.1:{port}/notes?sslmode=disable"
        ))
    });
    let error = block_on(store.unwrap().count(None)).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable() && error.next_step().is_some());
}

#[test]
fn names_and_lengths_that_the_server_cannot_keep_are_refused_before_it_is_asked() {
    let long = "x".repeat(58);
    for (table, dimension) in [
        ("", Some(4)),
        ("a\0b", None),
        (&long, None),
        ("t", Some(0)),
        ("t", Some(16_001)),
    ] {
        let refused = PostgresStore::open(PostgresOptions {
            table: table.into(),
            dimension,
            ..PostgresOptions::default()
        });
        let error = refused.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput, "{error}");
    }
}

#[test]
fn strangers_are_refused_and_a_missing_database_is_named() {
    let Some(server) = Server::connect() else {
        return;
    };
    let (scheme, rest) = server.url.split_once("://").unwrap();
    let (who, place) = rest.split_once('@').unwrap();
    let (host, _) = place.split_once('/').unwrap();
    let user = who.split(':').next().unwrap();
    let cases = [
        (
            format!("{scheme}://{user}:{SECRET}@{place}"),
            ErrorKind::Unauthorized,
        ),
        (
            format!("{scheme}://{user}@{place}"),
            ErrorKind::Unauthorized,
        ),
        (
            format!("{scheme}://{who}@{host}/no_such"),
            ErrorKind::NotFound,
        ),
        (
            format!("{}?sslmode=require", server.url),
            ErrorKind::Unavailable,
        ),
    ];
    for (url, kind) in cases {
        let store = PostgresStore::open(options(&url)).unwrap();
        let error = block_on(store.count(None)).unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        let text = format!("{error:?}");
        assert!(!text.contains(SECRET) && !text.contains(who), "{text}");
        assert!(error.next_step().is_some());
    }
}

/// The URL of the same server with connections that can be told from others'.
fn named(url: &str) -> (String, String) {
    let name = Uuid::new_v4().simple().to_string();
    let sign = if url.contains('?') { '&' } else { '?' };
    (format!("{url}{sign}application_name={name}"), name)
}

#[test]
fn connections_that_are_lost_are_opened_again() {
    let Some(url) = kit::postgres::url() else {
        return;
    };
    let (url, name) = named(&url);
    let server = Server::at(url.clone());
    let store = server.store();
    block_on(store.upsert(some(10))).unwrap();
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = '{name}' AND pid <> pg_backend_pid()"
    );
    assert!(!server.sql(&kill).is_empty());
    assert_eq!(block_on(store.count(None)).unwrap(), 10, "an idle one");
    server.sql(&kill);
    block_on(store.upsert(some(12))).unwrap();
    runtime().block_on(async {
        // One that waits for the server's answer: the table is locked meanwhile.
        let other = client(&url).await;
        let watch = client(&url).await;
        let lock = format!("BEGIN; LOCK TABLE \"{}\"", server.table());
        ask(&other, &lock).await;
        let waiting = format!(
            "SELECT pid FROM pg_stat_activity \
             WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
        );
        let count = async { store.count(None).await };
        let disturb = async {
            let mut before = String::new();
            for _ in 0..2 {
                let pid = loop {
                    match ask(&watch, &waiting).await.pop() {
                        Some(pid) if pid != before => break pid,
                        _ => tokio::task::yield_now().await,
                    }
                };
                before.clone_from(&pid);
                ask(&watch, &format!("SELECT pg_terminate_backend({pid})")).await;
            }
            ask(&other, "COMMIT").await;
        };
        let (count, ()) = futures::future::join(count, disturb).await;
        assert_eq!(count.unwrap(), 12, "one that was asked");
    });
}

#[test]
fn what_the_server_refuses_leaves_nothing_and_is_sorted_by_what_can_be_done() {
    let Some(server) = Server::connect() else {
        return;
    };
    let store = server.store();
    block_on(store.upsert(some(3))).unwrap();
    // The last point of the call makes the server fail, as a full disk would.
    let last = some(600).iter().map(Point::id).max().unwrap();
    let table = server.table();
    let cases = [
        ("53100", ErrorKind::Io),
        ("53300", ErrorKind::Unavailable),
        ("57014", ErrorKind::Unavailable),
        ("25006", ErrorKind::Unsupported),
        ("54000", ErrorKind::LimitExceeded),
        ("42501", ErrorKind::Unauthorized),
        ("40001", ErrorKind::Busy),
        ("22P05", ErrorKind::BadInput),
        ("XX001", ErrorKind::Malformed),
    ];
    for (code, kind) in cases {
        server.sql(&format!(
            "CREATE OR REPLACE FUNCTION \"{table}_fail\"() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'it is {code}' USING ERRCODE = '{code}'; END $$;
             CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON \"{table}\" FOR EACH ROW
             WHEN (new.id = '{last}') EXECUTE FUNCTION \"{table}_fail\"()"
        ));
        let error = block_on(store.upsert(some(600))).unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(code) && text.contains(&table), "{text}");
        assert!(error.next_step().is_some());
        assert_eq!(block_on(store.count(None)).unwrap(), 3, "all or nothing");
    }
    server.sql(&format!("DROP FUNCTION \"{table}_fail\" CASCADE"));
}

#[test]
fn the_extension_is_found_wherever_it_is_and_its_absence_says_what_to_do() {
    let Some(server) = Server::connect() else {
        return;
    };
    let name = format!("corbie_{}", Uuid::new_v4().simple());
    server.sql(&format!("CREATE DATABASE {name}"));
    server.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'"));
    let (start, _) = server.url.rsplit_once('/').unwrap();
    let (scheme, place) = start.split_once("://").unwrap();
    let host = place.rsplit('@').next().unwrap();
    let own = Server::at(format!("{start}/{name}"));
    own.sql(&format!("GRANT CREATE ON SCHEMA public TO {name}"));
    let stranger = options(&format!("{scheme}://{name}:{SECRET}@{host}/{name}"));
    let stranger = PostgresStore::open(PostgresOptions {
        dimension: Some(4),
        ..stranger
    })
    .unwrap();
    let error = block_on(stranger.upsert(some(1))).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unauthorized, "{error}");
    let text = error.to_string();
    assert!(text.contains("CREATE EXTENSION vector"), "{text}");
    own.sql("CREATE SCHEMA \"Else where\"; CREATE EXTENSION vector SCHEMA \"Else where\"");
    block_on(conformance::vector_store(&own.store()));
    drop((stranger, own));
    server.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
    server.sql(&format!("DROP ROLE {name}"));
}
