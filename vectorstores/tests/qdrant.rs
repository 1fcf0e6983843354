//! The store on a Qdrant server keeps the laws of a store, and meets a server's failures. What
//! answers here is Qdrant's protocol in front of the embedded engine; with `CORBIE_QDRANT_URL` the
//! laws are also tried on a real server.
#![cfg(all(feature = "edge", feature = "qdrant"))]
#![allow(clippy::unwrap_used)]

mod kit;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use corbie_core::testing::conformance;
use corbie_core::{
    Error, ErrorKind, Filter, Point, Query, Range, Result, RetrieveRequest, Retriever,
    SearchRequest, Selection, SparseVector, VectorStore,
};
use corbie_vectorstores::index::{Collections, Index, Place};
use corbie_vectorstores::{
    FieldKind, IndexedField, MemoryStore, Namespace, QdrantOptions, QdrantStore, Quantization,
    SearchMode, qdrant_stores,
};
use kit::cases::{self, point};
use kit::qdrant::{Fault, ProtocolServer};
use kit::{CountingEmbedder, Files, lasting_stores, parts, points};
use serde_json::json;
use tokio::runtime::Runtime;
use tonic::Code;
use uuid::Uuid;

const VERSION: &str = "1.20.0";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(test)
}

/// A server of the current version, and a store on it.
fn start() -> (ProtocolServer, QdrantStore) {
    let server = ProtocolServer::start(VERSION, None);
    let store = open(&server);
    (server, store)
}

/// Repeats at once, so that no test waits.
fn options(server: &ProtocolServer) -> QdrantOptions {
    QdrantOptions {
        dimension: Some(4),
        retry_delay: Duration::ZERO,
        retries: 2,
        ..QdrantOptions::new(&server.url)
    }
}

fn open(server: &ProtocolServer) -> QdrantStore {
    QdrantStore::new(options(server), "birds").unwrap()
}

fn some(count: usize) -> Vec<Point> {
    (0..count).map(point).collect()
}

async fn number(store: &dyn VectorStore) -> usize {
    store.count(None).await.unwrap()
}

fn words(terms: &[u32]) -> Query {
    Query::Sparse(SparseVector::from_pairs(terms.iter().map(|t| (*t, 1.0))))
}

/// The error is of this kind and says whose it is.
#[track_caller]
fn assert_error(error: &Error, kind: &ErrorKind, server: &ProtocolServer) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(&server.url), "{error}");
    assert!(error.next_step().is_some(), "{error}");
}

#[test]
#[allow(clippy::print_stderr)] // What was tested is part of the result.
fn it_keeps_the_laws_of_a_store() {
    eprintln!(
        "this is not a Qdrant server: Qdrant's protocol on loopback, answered by the embedded engine"
    );
    run(async {
        let (_server, store) = start();
        conformance::vector_store(&store).await;
    });
}

#[test]
#[allow(clippy::print_stderr)]
fn a_real_server_keeps_the_laws_too() {
    let Ok(url) = std::env::var("CORBIE_QDRANT_URL") else {
        eprintln!("skipped: no Qdrant server, CORBIE_QDRANT_URL is not set");
        return;
    };
    eprintln!("the Qdrant server on {url}");
    let place = |dimension| Place {
        collection: "conformance".into(),
        index: Uuid::new_v5(
            &Uuid::nil(),
            format!("{:?}", std::time::SystemTime::now()).as_bytes(),
        ),
        generation: 0,
        dimension,
        folder: "/".into(),
    };
    let stores = qdrant_stores(QdrantOptions {
        api_key: std::env::var("CORBIE_QDRANT_API_KEY").ok().map(Into::into),
        // The scores of words are exact in one shard.
        shard_number: Some(1),
        ..QdrantOptions::new(url)
    });
    run(async {
        type Case = fn(Arc<dyn VectorStore>) -> corbie_core::BoxFuture<'static, ()>;
        let laws: Case = |store| Box::pin(async move { conformance::vector_store(&*store).await });
        let one_of_many: Case = |store| Box::pin(async move { beside_others(store).await });
        let ranking: Case = |store| {
            Box::pin(async move {
                let exact = cases::changed(&*store).await;
                cases::same_ranking(&*store, &exact).await;
            })
        };
        let payloads: Case = |store| Box::pin(async move { odd_payloads(&*store).await });
        for case in [laws, one_of_many, ranking, payloads] {
            let place = place(Some(4));
            let tried = tokio::spawn(case(stores.open(&place).unwrap())).await;
            stores.remove(&place).await.unwrap();
            tried.unwrap();
        }
        let place = place(Some(4));
        let store = stores.open(&place).unwrap();
        let runtime = tokio::runtime::Handle::current();
        let tried = tokio::task::spawn_blocking(move || {
            cases::filters_mean_what_they_say(&*store, |count| runtime.block_on(count));
        })
        .await;
        stores.remove(&place).await.unwrap();
        tried.unwrap();
    });
}

#[test]
fn an_older_server_keeps_the_laws_and_a_too_old_one_is_refused() {
    run(async {
        let server = ProtocolServer::start("1.19.3", None);
        conformance::vector_store(&open(&server)).await;
        for version in ["1.18.2", "0.9", "", "soon"] {
            let server = ProtocolServer::start(version, None);
            let error = open(&server).count(None).await.unwrap_err();
            assert_error(&error, &ErrorKind::Unsupported, &server);
            assert!(error.to_string().contains(version), "{error}");
        }
    });
}

/// A namespace in a store that others use keeps the laws, and they keep their points.
async fn beside_others(shared: Arc<dyn VectorStore>) {
    let of = |name| Namespace::new(Arc::clone(&shared), name).unwrap();
    let (ann, 波) = (of("ann"), of("波"));
    // Points whose words and vectors are those of the laws, which must not count there.
    let mut hers = some(30);
    for point in &mut hers {
        point.sparse = Some(SparseVector::from_pairs([(10, 1.0), (4_000_000_000, 1.0)]));
    }
    ann.upsert(hers).await.unwrap();
    conformance::vector_store(&波).await;
    assert_eq!(number(&ann).await, 30);
}

#[test]
fn a_namespace_keeps_the_laws_beside_others() {
    run(async {
        let (_server, store) = start();
        beside_others(Arc::new(store)).await;
    });
}

#[test]
fn it_ranks_as_the_exact_store_does() {
    run(async {
        let (_server, store) = start();
        let exact = cases::changed(&store).await;
        cases::same_ranking(&store, &exact).await;
    });
}

#[test]
fn filters_mean_what_they_say() {
    let runtime = runtime();
    let (_server, store) = runtime.block_on(async { start() });
    cases::filters_mean_what_they_say(&store, |count| runtime.block_on(count));
}

/// What protobuf cannot express comes back as it was written, and is found.
async fn odd_payloads(store: &dyn VectorStore) {
    let nested = |depth| (0..depth).fold(json!("下"), |inner, _| json!({ "d": inner }));
    let mut points = some(4);
    let extremes = [
        json!(u64::MAX),
        json!([i64::MIN, -0.5, 1e300, null, "", { "": [[]] }]),
        nested(29),
        nested(90),
    ];
    for (point, odd) in points.iter_mut().zip(extremes) {
        point.chunk.metadata.insert("odd".into(), odd);
    }
    store.upsert(points.clone()).await.unwrap();
    let mut read = kit::points(store).await;
    read.sort_by_key(|point| point.chunk.start);
    for (read, written) in read.iter().zip(&points) {
        assert_eq!(read.chunk, written.chunk);
    }
    let deep = |depth| format!("metadata.odd{}", ".d".repeat(depth));
    let filters = [
        Filter::eq("metadata.odd", u64::MAX),
        Filter::eq("metadata.odd", i64::MIN),
        Filter::eq("metadata.odd", -0.5),
        Filter::eq(deep(28), "下"),
        Filter::eq(deep(29), "下"),
        Filter::eq(deep(90), "下"),
        Filter::text(deep(90), "下"),
        Filter::not(Filter::eq(deep(90), "下")),
        Filter::range(
            "metadata.odd",
            Range {
                gte: Some(1e19),
                ..Range::default()
            },
        ),
    ];
    for filter in filters {
        let matching = |point: &&Point| filter.matches(&point.payload().unwrap());
        let expected = points.iter().filter(matching).count();
        let count = store.count(Some(&filter)).await.unwrap();
        assert_eq!(count, expected, "{filter:?}");
    }
}

#[test]
fn any_payload_comes_back_and_is_found() {
    run(async {
        let (_server, store) = start();
        odd_payloads(&store).await;
        let mut deep = point(9);
        let nested = (0..500).fold(json!(0), |inner, _| json!([inner]));
        deep.chunk.metadata.insert("odd".into(), nested);
        let error = store.upsert(vec![point(8), deep]).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput, "{error}");
        assert_eq!(number(&store).await, 4, "nothing of the call is written");
    });
}

#[test]
fn points_are_written_in_batches_and_the_last_of_equal_ones_wins() {
    run(async {
        let server = ProtocolServer::start(VERSION, None);
        let options = QdrantOptions {
            batch: 4,
            ..options(&server)
        };
        let store = QdrantStore::new(options, "birds").unwrap();
        let mut twice = some(10);
        twice.extend(some(10));
        for (i, point) in twice.iter_mut().enumerate() {
            point.chunk.start = i;
        }
        store.upsert(twice).await.unwrap();
        let calls = server.calls();
        let upserts = calls.iter().filter(|call| **call == "upsert").count();
        assert_eq!(upserts, 3, "ten points in fours: {calls:?}");
        let read = points(&store).await;
        assert!(read.iter().all(|point| point.chunk.start >= 10));
        let ids = read.iter().map(Point::id).collect();
        store.delete(Selection::Ids(ids)).await.unwrap();
        let deletes = server.calls();
        let deletes = deletes.iter().filter(|call| **call == "delete").count();
        assert_eq!((deletes, number(&store).await), (3, 0));
    });
}

#[test]
fn long_walks_go_page_by_page() {
    run(async {
        let (server, store) = start();
        store.upsert(some(2500)).await.unwrap();
        server.calls();
        assert_eq!(store.ids().await.unwrap().len(), 2500);
        assert_eq!(server.calls(), ["scroll"; 3]);
        let page = store.scroll(None, None, 2400).await.unwrap();
        assert_eq!(page.points.len(), 2400, "as many as asked for");
        let rest = store.scroll(None, page.next, usize::MAX).await.unwrap();
        assert_eq!((rest.points.len(), rest.next), (100, None));
        let all = store.scroll(None, None, 2500).await.unwrap();
        assert_eq!(all.next, None, "a full page may be the last one");
    });
}

#[test]
fn a_search_is_one_call_and_a_fused_one_two() {
    run(async {
        let (server, store) = start();
        store.upsert(some(20)).await.unwrap();
        let dense = vec![1.0, 0.0, 0.0, 0.0];
        let sparse = SparseVector::from_pairs([(3, 1.0)]);
        let fused = Query::Fused {
            dense: dense.clone(),
            sparse: sparse.clone(),
            dense_weight: 1.0,
        };
        let table = [
            (Query::Dense(dense), 1),
            (Query::Sparse(sparse), 1),
            (fused, 2),
        ];
        for (query, calls) in table {
            server.calls();
            let request = SearchRequest::new(query, 5);
            assert!(!store.search(request).await.unwrap().is_empty());
            assert_eq!(server.calls(), vec!["query_batch"; calls]);
        }
    });
}

#[test]
fn a_collection_is_made_by_the_first_write_as_the_options_say() {
    run(async {
        let server = ProtocolServer::start(VERSION, None);
        let options = QdrantOptions {
            shard_number: Some(3),
            replication_factor: Some(2),
            write_consistency_factor: Some(2),
            on_disk: true,
            quantization: Quantization::Scalar,
            search_effort: Some(64),
            indexed: vec![IndexedField {
                field: "metadata.n".into(),
                kind: FieldKind::Integer,
            }],
            ..options(&server)
        };
        let store = QdrantStore::new(options, "birds").unwrap();
        assert_eq!(number(&store).await, 0);
        let any = Filter::all([]);
        assert!(
            store
                .scroll(Some(&any), None, 9)
                .await
                .unwrap()
                .points
                .is_empty()
        );
        assert!(store.ids().await.unwrap().is_empty());
        let found = store.search(SearchRequest::new(words(&[3]), 5)).await;
        assert!(found.unwrap().is_empty());
        store.delete(Selection::Filter(any)).await.unwrap();
        store
            .delete(Selection::Ids(vec![Uuid::nil()]))
            .await
            .unwrap();
        store.upsert(Vec::new()).await.unwrap();
        assert!(server.collections().is_empty(), "nothing has made it");

        store.upsert(some(3)).await.unwrap();
        assert_eq!(server.collections(), ["birds"]);
        let made = server.creation("birds");
        assert_eq!(made.shard_number, Some(3));
        assert_eq!(made.replication_factor, Some(2));
        assert_eq!(made.write_consistency_factor, Some(2));
        assert!(made.quantization_config.is_some());
        let indexed = [
            ("document", false),
            ("metadata.n", false),
            ("namespace", true),
            ("source", false),
        ];
        assert_eq!(
            server.indexed("birds"),
            indexed.map(|(f, t)| (f.to_owned(), t))
        );

        server.calls();
        open(&server).upsert(some(4)).await.unwrap();
        let calls = ["health_check", "get", "upsert"];
        assert_eq!(server.calls(), calls, "one that is there is taken as it is");
        assert_eq!(number(&store).await, 4);
    });
}

#[test]
fn a_collection_without_all_its_indexes_gets_them() {
    run(async {
        let (server, store) = start();
        server.fail("create_field_index", Fault::Code(Code::InvalidArgument), 1);
        store.upsert(some(1)).await.unwrap_err();
        assert!(server.indexed("birds").len() < 3);
        store.upsert(some(1)).await.unwrap();
        assert_eq!(server.indexed("birds").len(), 3);
    });
}

#[test]
fn several_may_make_it_at_once() {
    run(async {
        let (server, one) = start();
        let two = open(&server);
        let (one, two) = tokio::join!(one.upsert(some(5)), two.upsert(some(7)));
        one.unwrap();
        two.unwrap();
        assert_eq!(number(&open(&server)).await, 7);
    });
}

#[test]
fn vectors_of_another_length_are_a_mismatch() {
    run(async {
        let (server, store) = start();
        store.upsert(some(3)).await.unwrap();
        for dimension in [None, Some(8)] {
            let other = QdrantOptions {
                dimension,
                ..options(&server)
            };
            let other = QdrantStore::new(other, "birds").unwrap();
            let mut points = some(1);
            points[0].dense = None;
            for error in [
                other.count(None).await.unwrap_err(),
                other.upsert(points).await.unwrap_err(),
            ] {
                assert_error(&error, &ErrorKind::Mismatch, &server);
                assert!(error.to_string().contains("`birds`"), "{error}");
            }
        }
        assert_eq!(number(&store).await, 3);
    });
}

#[test]
fn a_store_without_dense_vectors_keeps_words() {
    run(async {
        let server = ProtocolServer::start(VERSION, None);
        let options = QdrantOptions {
            dimension: None,
            ..options(&server)
        };
        let store = QdrantStore::new(options, "birds").unwrap();
        let mut points = some(5);
        points.iter_mut().for_each(|point| point.dense = None);
        store.upsert(points).await.unwrap();
        let hits = store
            .search(SearchRequest::new(words(&[3]), 5))
            .await
            .unwrap();
        assert_eq!(hits.len(), 1);
        let error = store.upsert(some(1)).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput);
    });
}

#[test]
fn what_may_pass_is_repeated_and_what_may_not_is_not() {
    run(async {
        let (server, store) = start();
        store.upsert(some(3)).await.unwrap();
        for method in ["upsert", "count", "query_batch", "scroll", "delete"] {
            let call = async || -> Result<()> {
                match method {
                    "upsert" => store.upsert(some(3)).await,
                    "count" => store.count(None).await.map(|_| ()),
                    "scroll" => store.ids().await.map(|_| ()),
                    "delete" => store.delete(Selection::Ids(vec![Uuid::nil()])).await,
                    _ => {
                        let request = SearchRequest::new(words(&[1]), 3);
                        store.search(request).await.map(|_| ())
                    }
                }
            };
            server.calls();
            server.fail(method, Fault::Code(Code::Unavailable), 2);
            call().await.unwrap();
            assert_eq!(server.calls(), [method; 3]);

            server.fail(method, Fault::Code(Code::Internal), 3);
            let error = call().await.unwrap_err();
            assert_error(&error, &ErrorKind::Unavailable, &server);
            assert!(error.is_retryable() && error.to_string().contains("`birds`"));
            assert_eq!(server.calls(), [method; 3]);

            for (code, kind) in [
                (Code::InvalidArgument, ErrorKind::BadInput),
                (Code::PermissionDenied, ErrorKind::Unauthorized),
                (Code::Unimplemented, ErrorKind::Unsupported),
                (Code::DataLoss, ErrorKind::Malformed),
                (Code::NotFound, ErrorKind::NotFound),
            ] {
                server.fail(method, Fault::Code(code), 1);
                let error = call().await.unwrap_err();
                assert_error(&error, &kind, &server);
                assert_eq!(server.calls(), [method], "{code:?}");
            }
        }
    });
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it_unless_it_is_long() {
    run(async {
        let (server, store) = start();
        store.upsert(some(3)).await.unwrap();
        server.calls();
        server.fail("count", Fault::Slower(0), 2);
        assert_eq!(number(&store).await, 3);
        assert_eq!(server.calls(), ["count"; 3]);
        server.fail("count", Fault::Slower(3600), 1);
        let error = store.count(None).await.unwrap_err();
        let retry_after = Some(Duration::from_secs(3600));
        assert_error(&error, &ErrorKind::RateLimited { retry_after }, &server);
        assert_eq!(server.calls(), ["count"]);
    });
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    run(async {
        let server = ProtocolServer::start(VERSION, None);
        let options = QdrantOptions {
            timeout: Duration::from_millis(20),
            retries: 1,
            ..options(&server)
        };
        let store = QdrantStore::new(options, "birds").unwrap();
        server.fail("health_check", Fault::Silence, 9);
        let error = store.upsert(some(1)).await.unwrap_err();
        assert_error(&error, &ErrorKind::Unavailable, &server);
        assert!(error.to_string().contains("20ms"), "{error}");
    });
}

#[test]
fn half_an_answer_is_none() {
    run(async {
        let (server, store) = start();
        server.fail("get", Fault::Empty, 1);
        store.upsert(some(3)).await.unwrap();
        for method in ["upsert", "count", "query_batch"] {
            server.calls();
            for times in [2, 3] {
                server.fail(method, Fault::Empty, times);
                let answer = match method {
                    "upsert" => store.upsert(some(3)).await.map(|()| 3),
                    "count" => store.count(None).await,
                    _ => {
                        let anything = Query::Dense(vec![1.0, 0.0, 0.0, 0.0]);
                        let request = SearchRequest::new(anything, 9);
                        store.search(request).await.map(|hits| hits.len())
                    }
                };
                assert_eq!(server.calls(), [method; 3]);
                match times {
                    2 => assert_eq!(answer.unwrap(), 3),
                    _ => {
                        let error = answer.unwrap_err();
                        assert_error(&error, &ErrorKind::Unavailable, &server);
                    }
                }
            }
        }
    });
}

/// A server that is away, one that hangs up, and one that speaks otherwise.
#[test]
fn broken_connections_are_named_and_may_pass() {
    run(async {
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let away = listen().local_addr().unwrap();
        let rude = listen();
        let hangs_up = rude.local_addr().unwrap();
        std::thread::spawn(move || rude.incoming().for_each(drop));
        let server = ProtocolServer::start(VERSION, None);
        let plain = server.url.replace("http", "https");
        let urls = [
            format!("http://{away}"),
            format!("http://{hangs_up}"),
            plain,
        ];
        for url in urls {
            let options = QdrantOptions {
                url: url.clone(),
                ..options(&server)
            };
            let store = QdrantStore::new(options, "birds").unwrap();
            let error = store.count(None).await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains(&url), "{error}");
            assert!(error.next_step().is_some(), "{error}");
        }
    });
}

#[test]
fn a_key_is_sent_and_never_shown() {
    run(async {
        let server = ProtocolServer::start(VERSION, Some("hush-hush"));
        let with = |key: Option<&str>| QdrantOptions {
            api_key: key.map(Into::into),
            ..options(&server)
        };
        for key in [None, Some("hush-hash")] {
            let store = QdrantStore::new(with(key), "birds").unwrap();
            let error = store.upsert(some(1)).await.unwrap_err();
            assert_error(&error, &ErrorKind::Unauthorized, &server);
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
        let options = with(Some("hush-hush"));
        assert!(!format!("{options:?}").contains("hush"), "{options:?}");
        let store = QdrantStore::new(options, "birds").unwrap();
        store.upsert(some(1)).await.unwrap();
        assert_eq!(number(&store).await, 1);
    });
}

#[test]
fn a_key_leaves_this_machine_only_encrypted_or_when_allowed() {
    let open = |url: &str, key: &str, plain_key| {
        let options = QdrantOptions {
            api_key: Some(key.into()),
            plain_key,
            ..QdrantOptions::new(url)
        };
        QdrantStore::new(options, "birds").map(|_| ())
    };
    let plain = "http://qdrant.example.com:6334";
    let error = open(plain, "hush", false).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
    assert!(error.to_string().contains(plain), "{error}");
    open(plain, "hush", true).unwrap();
    open("https://qdrant.example.com", "hush", false).unwrap();
    open("http://[::1]:6334", "hush", false).unwrap();
    for bad in ["hush\n", "hush\0"] {
        let error = open("http://localhost", bad, false).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn a_collection_that_somebody_removed_is_not_an_empty_one() {
    run(async {
        let (server, store) = start();
        store.upsert(some(3)).await.unwrap();
        server.lose("birds");
        for error in [
            store.count(None).await.unwrap_err(),
            store.ids().await.unwrap_err(),
            store.upsert(some(1)).await.unwrap_err(),
        ] {
            assert_error(&error, &ErrorKind::NotFound, &server);
        }
        assert!(server.collections().is_empty());
    });
}

#[test]
fn it_needs_a_runtime_and_outlives_one() {
    let error = {
        let store = QdrantStore::new(QdrantOptions::new("http://localhost"), "birds").unwrap();
        futures::executor::block_on(store.count(None)).unwrap_err()
    };
    assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
    let serving = runtime();
    let (_server, store) = serving.block_on(async { start() });
    for count in 1..4 {
        run(store.upsert(some(count))).unwrap();
        assert_eq!(run(store.count(None)).unwrap(), count);
    }
}

#[test]
fn stores_are_called_by_their_address_alone() {
    let name = |url: &str| {
        let options = QdrantOptions {
            api_key: Some("hush".into()),
            ..QdrantOptions::new(url)
        };
        qdrant_stores(options).name()
    };
    assert_eq!(
        name("https://Q.example.com/"),
        "qdrant:https://q.example.com:6334"
    );
    assert_eq!(name("http://localhost:1"), "qdrant:http://localhost:1");
    assert_eq!(name("http://user:hush@localhost"), "qdrant");
}

#[test]
fn an_index_is_kept_there() {
    run(async {
        let server = ProtocolServer::start(VERSION, None);
        let dir = tempfile::tempdir().unwrap();
        let collections = Collections::new(dir.path());
        let stores = qdrant_stores(options(&server));
        let parts_of = |embedder| parts(embedder, Arc::clone(&stores));
        let files = Files::new([
            ("a.md", "ravens cache\ncrows count"),
            ("b.md", "渡鸦会藏食物\n乌鸦会数数"),
        ]);
        let old = CountingEmbedder::new("old", 16);
        let index = Index::open(&collections, "birds", parts_of(old.clone())).unwrap();
        assert!(server.collections().is_empty(), "opening reaches nobody");
        let report = index.sync(&files, "/birds", &()).await.unwrap();
        assert_eq!((report.added, report.chunks), (2, 4));
        let found = async |index: &Index| {
            let retriever = index.retriever(SearchMode::Hybrid);
            let request = RetrieveRequest::new("谁会藏食物？");
            let hits = retriever.retrieve(request).await.unwrap();
            hits[0].chunk.text.clone()
        };
        assert_eq!(found(&index).await, "渡鸦会藏食物");
        let first = server.collections();
        assert_eq!(first.len(), 1);
        assert!(first[0].starts_with("corbie_birds_"), "{first:?}");
        drop(index);

        files.write("a.md", "ravens cache\nmagpies steal");
        let index = Index::open(&collections, "birds", parts_of(old)).unwrap();
        let report = index.sync(&files, "/birds", &()).await.unwrap();
        assert_eq!((report.updated, report.skipped), (1, 1));
        let texts = points(index.store().as_ref()).await;
        let texts: Vec<&str> = texts.iter().map(|point| &*point.chunk.text).collect();
        assert_eq!(texts.len(), 4);
        assert!(texts.contains(&"magpies steal") && !texts.contains(&"crows count"));
        drop(index);

        let elsewhere = parts(
            CountingEmbedder::new("old", 16),
            lasting_stores(kit::Fault::never()),
        );
        let error = Index::open(&collections, "birds", elsewhere).map(|_| ());
        let error = error.unwrap_err();
        assert!(error.to_string().contains(&server.url), "{error}");

        let new = CountingEmbedder::new("new", 32);
        let rebuild = Index::rebuild(&collections, "birds", parts_of(new), &());
        let (index, report) = rebuild.await.unwrap();
        assert_eq!((report.files, report.chunks), (2, 4));
        assert_eq!(found(&index).await, "渡鸦会藏食物");
        let second = server.collections();
        assert_eq!(second.len(), 1, "the old generation is removed: {second:?}");
        assert_ne!(second, first);
    });
}

#[test]
fn what_the_exact_store_keeps_moves_there_by_scroll_and_upsert() {
    run(async {
        let (_server, store) = start();
        let memory = MemoryStore::new(Some(4));
        memory.upsert(some(20)).await.unwrap();
        store.upsert(points(&memory).await).await.unwrap();
        assert_eq!(store.ids().await.unwrap(), memory.ids().await.unwrap());
        cases::same_ranking(&store, &memory).await;
    });
}
