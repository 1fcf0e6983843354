//! Models that are here: caches of other tools, the user's own files, listing and removing.

use corbie_core::ErrorKind;

use super::*;

/// Writes a snapshot as `huggingface_hub` does, each file linked to its content.
fn snapshot(cache: &Path, repo: &str, files: &[(&str, &[u8])]) -> std::path::PathBuf {
    let folder = cache.join(format!("models--{}", repo.replace('/', "--")));
    let snapshot = folder.join("snapshots").join(COMMIT);
    for (name, content) in files {
        let blob = folder.join("blobs").join(sha256(content));
        let link = snapshot.join(name);
        std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::fs::write(&blob, content).unwrap();
        let up = "../".repeat(name.split('/').count() + 1);
        std::os::unix::fs::symlink(format!("{up}blobs/{}", sha256(content)), link).unwrap();
    }
    std::fs::create_dir_all(folder.join("refs")).unwrap();
    std::fs::write(folder.join("refs/main"), COMMIT).unwrap();
    snapshot
}

fn offline(cache: &Path) -> Hub {
    Hub::new(HubOptions {
        offline: true,
        ..HubOptions::new(cache)
    })
}

#[test]
fn what_other_tools_fetched_is_found() {
    let cache = tempfile::tempdir().unwrap();
    let hub = offline(cache.path());
    let model = gguf(100);
    let encoder: &[(&str, &[u8])] = &[
        ("config.json", b"{}"),
        ("tokenizer.json", b"{ }"),
        ("modules.json", b"[]"),
        ("1_Pooling/config.json", b"{  }"),
        ("model.safetensors", b"weights"),
    ];
    let here = snapshot(cache.path(), "owner/chat", &[("m-Q8_0.gguf", &model)]);
    let found = hub.cached("hf:owner/chat").unwrap();
    assert_eq!(found.path, here.join("m-Q8_0.gguf"));
    assert!(
        hub.cached("hf:owner/chat:Q4_K_M").is_err(),
        "another quantization"
    );
    assert!(hub.cached(&format!("hf:owner/chat@{COMMIT}:Q8_0")).is_ok());

    let here = snapshot(
        cache.path(),
        "sentence-transformers/all-MiniLM-L6-v2",
        encoder,
    );
    let found = hub.cached("minilm").unwrap();
    assert_eq!((found.path, found.kind), (here, Some(ModelKind::Embedding)));

    // Without its pooling an encoder would give wrong vectors silently.
    snapshot(
        cache.path(),
        "owner/partial",
        &[encoder[0], encoder[1], encoder[4]],
    );
    assert!(hub.cached("hf:owner/partial").is_err());

    let listed: Vec<(String, Option<&str>)> = hub
        .list()
        .into_iter()
        .map(|model| (model.name, model.alias))
        .collect();
    assert_eq!(
        listed,
        [
            ("hf:owner/chat:m-Q8_0.gguf".to_owned(), None),
            (
                "hf:sentence-transformers/all-MiniLM-L6-v2".to_owned(),
                Some("minilm")
            ),
        ]
    );
    for (name, _) in listed {
        assert!(hub.cached(&name).is_ok(), "{name} finds it again");
    }
}

#[test]
fn removing_takes_one_model_and_leaves_its_neighbours() {
    let cache = tempfile::tempdir().unwrap();
    let hub = offline(cache.path());
    let (small, large) = (gguf(100), gguf(200));
    let here = snapshot(
        cache.path(),
        "owner/chat",
        &[("m-Q4_0.gguf", &small), ("m-Q8_0.gguf", &large)],
    );
    let removed = hub.remove("hf:owner/chat:Q4_0").unwrap();
    assert_eq!(removed.bytes, 100);
    assert!(hub.cached("hf:owner/chat:Q4_0").is_err());
    assert!(hub.cached("hf:owner/chat:Q8_0").is_ok());
    let blobs = here.join("../../blobs");
    assert_eq!(files_below(&blobs), [sha256(&large)]);

    hub.remove("hf:owner/chat:Q8_0").unwrap();
    assert!(!cache.path().join("models--owner--chat").exists());
    assert_eq!(
        hub.remove("hf:owner/chat").unwrap_err().kind(),
        &ErrorKind::NotFound
    );

    let own = cache.path().join("own.gguf");
    std::fs::write(&own, gguf(10)).unwrap();
    let error = hub.remove(own.to_str().unwrap()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
    assert!(own.exists());
}

#[test]
fn paths_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let hub = offline(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (name, content) in [
        ("模型.gguf", gguf(10)),
        ("weights.bin", b"x".to_vec()),
        ("notes.txt", b"x".to_vec()),
        ("one/m.gguf", gguf(10)),
        ("encoder/config.json", b"{}".to_vec()),
        ("encoder/tokenizer.json", b"{}".to_vec()),
        ("encoder/model.safetensors", b"x".to_vec()),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    for (name, expected) in [
        ("模型.gguf", Ok(Format::Gguf)),
        ("one", Ok(Format::Gguf)),
        ("encoder", Ok(Format::Safetensors)),
        ("weights.bin", Err(ErrorKind::Unsupported)),
        ("notes.txt", Err(ErrorKind::Unsupported)),
        ("absent.gguf", Err(ErrorKind::NotFound)),
    ] {
        let found = hub.cached(&at(name));
        let found = found
            .map(|model| model.format)
            .map_err(|error| error.kind().clone());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_near_ones() {
    let cache = tempfile::tempdir().unwrap();
    let hub = offline(cache.path());
    let error = hub.cached("smolm2").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    assert!(error.next_step().unwrap().contains("smollm2"), "{error}");
    let error = hub.cached("owner/repo").unwrap_err();
    assert!(
        error.next_step().unwrap().contains("hf:owner/repo"),
        "{error}"
    );
    assert_eq!(
        hub.cached("openai:gpt-5").unwrap_err().kind(),
        &ErrorKind::BadInput
    );
}
