//! Damaged, hostile and unknown models end in an error that names the file, and never in a panic.

use std::path::Path;

use candle_core::DType;
use corbie_core::{EmbedKind, Embedder, Error, ErrorKind};
use corbie_models::encoder::{LocalEmbedder, LocalEmbedderOptions};
use futures::executor::block_on;
use serde_json::json;

use crate::fixture::Fixture;

/// Loads the first case after `damage` was done to its directory.
fn error_after(damage: impl FnOnce(&Path)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    Fixture::first().write(dir.path());
    damage(dir.path());
    LocalEmbedder::load(dir.path(), LocalEmbedderOptions::default()).unwrap_err()
}

#[track_caller]
fn check(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(*error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error} lacks {part}");
    }
}

#[test]
fn missing_files_are_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let error = error_after(|dir| std::fs::remove_file(dir.join(name)).unwrap());
        check(
            &error,
            ErrorKind::NotFound,
            &[name, "an embedding model is"],
        );
    }
    let nowhere = Path::new("/nonexistent/model");
    let error = LocalEmbedder::load(nowhere, LocalEmbedderOptions::default()).unwrap_err();
    check(&error, ErrorKind::NotFound, &["/nonexistent/model"]);
}

#[test]
fn a_file_of_weights_cut_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Fixture::first().write(dir.path());
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let ends = (0..64).chain((64..whole.len()).step_by(whole.len() / 97));
    for end in ends.chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = LocalEmbedder::load(dir.path(), LocalEmbedderOptions::default()).unwrap_err();
        // An empty file cannot be mapped on some systems, which is an error of reading.
        assert!(
            matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Io),
            "{error}"
        );
    }
    for header in [0, u64::MAX, whole.len() as u64] {
        let bytes = [&header.to_le_bytes(), &whole[8..]].concat();
        std::fs::write(&path, bytes).unwrap();
        let error = LocalEmbedder::load(dir.path(), LocalEmbedderOptions::default()).unwrap_err();
        check(&error, ErrorKind::Malformed, &["model.safetensors"]);
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let case = Fixture::first();
    let name = "encoder.layer.1.attention.self.key.weight";
    let error = error_after(|dir| {
        case.write_tensors(dir, |n, tensor| (n != name).then_some(tensor));
    });
    check(&error, ErrorKind::Malformed, &[name, "missing"]);
    let error = error_after(|dir| {
        case.write_tensors(dir, |n, tensor| {
            let narrowed = n == name;
            Some(if narrowed {
                tensor.narrow(1, 0, 8).unwrap().contiguous().unwrap()
            } else {
                tensor
            })
        });
    });
    check(&error, ErrorKind::Malformed, &[name, "[24, 8]", "[24, 24]"]);
    let error = error_after(|dir| {
        case.write_tensors(dir, |n, tensor| {
            Some(if n == name {
                tensor.to_dtype(DType::F64).unwrap()
            } else {
                tensor
            })
        });
    });
    check(&error, ErrorKind::Unsupported, &[name, "F64"]);
}

#[test]
fn what_a_configuration_may_not_say() {
    let malformed = [
        ("config.json", json!("no object")),
        ("config.json", config("hidden_size", json!(0))),
        ("config.json", config("hidden_size", json!(-1))),
        ("config.json", config("hidden_size", json!(u64::MAX))),
        ("config.json", config("num_attention_heads", json!(5))),
        (
            "config.json",
            config("num_hidden_layers", json!(4_000_000_000_u64)),
        ),
        (
            "config.json",
            config("max_position_embeddings", json!(1 << 30)),
        ),
        ("config.json", config("layer_norm_eps", json!(-1.0))),
        ("modules.json", json!({"0": 1})),
        (
            "modules.json",
            json!([
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "../outside", "type": "sentence_transformers.models.Pooling"}]),
        ),
        ("sentence_bert_config.json", json!({"max_seq_length": 2})),
        (
            "sentence_bert_config.json",
            json!({"max_seq_length": "many"}),
        ),
        ("tokenizer.json", json!({"version": "1.0"})),
        ("tokenizer.json", json!([])),
    ];
    let unsupported = [
        ("config.json", config("model_type", json!("t5")), "t5"),
        ("config.json", config("hidden_act", json!("mish")), "mish"),
        (
            "config.json",
            config("position_embedding_type", json!("relative_key")),
            "relative_key",
        ),
        (
            "1_Pooling/config.json",
            json!({"pooling_mode": "attention"}),
            "attention",
        ),
        (
            "modules.json",
            json!([
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_LSTM", "type": "sentence_transformers.models.LSTM"}]),
            "LSTM",
        ),
        (
            "modules.json",
            json!([
            {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]),
            "0_Transformer",
        ),
    ];
    for (name, content) in &malformed {
        let error = error_after(|dir| std::fs::write(dir.join(name), content.to_string()).unwrap());
        assert_eq!(*error.kind(), ErrorKind::Malformed, "{content}: {error}");
    }
    for (name, content, part) in &unsupported {
        let error = error_after(|dir| std::fs::write(dir.join(name), content.to_string()).unwrap());
        check(&error, ErrorKind::Unsupported, &[name, part]);
    }
}

#[test]
fn no_file_may_be_garbage() {
    let files = [
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "tokenizer.json",
        "model.safetensors",
    ];
    for name in files {
        for garbage in [&b""[..], b"\xff\xfe\x00", b"{", b"null", &[b'['; 100_000]] {
            // An empty configuration file is no configuration, not an absent one.
            let error = error_after(|dir| std::fs::write(dir.join(name), garbage).unwrap());
            assert!(
                matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Io),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn a_tokenizer_of_another_model_is_an_error_when_it_is_met() {
    let dir = tempfile::tempdir().unwrap();
    Fixture::first().write(dir.path());
    let path = dir.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    tokenizer["model"]["vocab"]["raven"] = json!(4_000_000);
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let embedder = LocalEmbedder::load(dir.path(), LocalEmbedderOptions::default()).unwrap();
    let error = block_on(embedder.embed(&["a raven".to_owned()], EmbedKind::Document)).unwrap_err();
    check(
        &error,
        ErrorKind::Mismatch,
        &["the tokenizer and the encoder"],
    );
    let fine = block_on(embedder.embed(&["a crow".to_owned()], EmbedKind::Document));
    assert!(fine.is_ok(), "the next call is served");
}

/// The first case's configuration with one key changed.
fn config(key: &str, value: serde_json::Value) -> serde_json::Value {
    let mut config = Fixture::first().file("config.json");
    config[key] = value;
    config
}
