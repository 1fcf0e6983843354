//! Damaged and unknown models.

use std::path::Path;
use std::sync::Arc;

use corbie_core::ErrorKind;
use corbie_models::decoder::{Decoder, DecoderOptions};
use corbie_models::kernels::Precision;

use serde_json::json;

use super::tiny::{Storage, TinyModel};

#[test]
fn damaged_models_are_named() {
    type Change = fn(&mut TinyModel);
    use ErrorKind::{Malformed, Unsupported};
    let cases: [(&str, Change, ErrorKind, &str); 19] = [
        (
            "llama",
            |m| m.adds("blk.1.attn_q_norm.weight", ""),
            Unsupported,
            "blk.1.attn_q_norm.weight",
        ),
        (
            "llama",
            |m| m.architecture = "mamba".into(),
            Unsupported,
            "mamba",
        ),
        (
            "llama",
            |m| m.architecture = "mamba".into(),
            Unsupported,
            "llama, mistral3",
        ),
        (
            "llama",
            |m| m.set("llama.attention.head_count", 0),
            Malformed,
            "attention.head_count",
        ),
        (
            "llama",
            |m| m.set("llama.attention.head_count_kv", 3),
            Malformed,
            "head_count_kv",
        ),
        (
            "llama",
            |m| m.set("llama.attention.head_count", 7),
            Malformed,
            "head_count",
        ),
        (
            "llama",
            |m| m.set("llama.block_count", 1 << 30),
            Malformed,
            "block_count",
        ),
        (
            "llama",
            |m| m.set("llama.embedding_length", u32::MAX),
            Malformed,
            "embedding_length",
        ),
        (
            "llama",
            |m| m.set("llama.attention.key_length", 1 << 18),
            Malformed,
            "head_count",
        ),
        (
            "llama",
            |m| m.set("llama.attention.value_length", 8),
            Unsupported,
            "value_length",
        ),
        (
            "llama",
            |m| m.set("llama.rope.dimension_count", 7),
            Malformed,
            "rope.dimension_count",
        ),
        (
            "llama",
            |m| m.set("llama.expert_count", 8),
            Malformed,
            "expert_used_count",
        ),
        (
            "llama",
            |m| m.unset("llama.context_length"),
            Malformed,
            "context_length",
        ),
        (
            "llama",
            |m| m.unset("llama.attention.layer_norm_rms_epsilon"),
            Malformed,
            "rms_epsilon",
        ),
        ("llama", |m| m.scale("ntk"), Unsupported, "ntk"),
        (
            "llama",
            |m| m.drop("blk.2.ffn_up.weight"),
            Malformed,
            "blk.2.ffn_up.weight",
        ),
        (
            "gemma3",
            |m| m.drop("blk.6.attn_q_norm.weight"),
            Malformed,
            "blk.6.attn_q_norm.weight",
        ),
        (
            "llama",
            |m| m.reshape("blk.0.attn_k.weight", &[64, 64]),
            Malformed,
            "attn_k.weight",
        ),
        (
            "llama",
            |m| m.reshape("token_embd.weight", &[40, 63]),
            Malformed,
            "token_embd.weight",
        ),
    ];
    for (name, change, kind, word) in cases {
        let mut model = TinyModel::fixture(name);
        change(&mut model);
        let error = Decoder::load(&model.file(Storage::F32), Precision::F32).unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(word), "{error} names {word}");
    }
}

fn assert_refused(directory: &Path, kind: ErrorKind, word: &str) {
    let error = Decoder::load_directory(directory, &DecoderOptions::default()).unwrap_err();
    assert_eq!(error.kind(), &kind, "{error}");
    assert!(error.to_string().contains(word), "{error} names {word}");
}

#[test]
fn damaged_directories_are_named() {
    type Change = fn(&mut TinyModel);
    use ErrorKind::{Malformed, Unsupported};
    let cases: [(&str, Change, ErrorKind, &str); 15] = [
        (
            "llama",
            |m| m.says("model_type", json!("mamba")),
            Unsupported,
            "mamba",
        ),
        (
            "llama",
            |m| m.says("hidden_size", json!(0)),
            Malformed,
            "hidden_size",
        ),
        (
            "llama",
            |m| m.says("num_hidden_layers", json!("3")),
            Malformed,
            "num_hidden_layers",
        ),
        (
            "llama",
            |m| m.says("num_attention_heads", json!(7)),
            Malformed,
            "7 query heads",
        ),
        (
            "llama",
            |m| m.says("num_key_value_heads", json!(3)),
            Malformed,
            "num_key_value_heads",
        ),
        (
            "llama",
            |m| m.says("rms_norm_eps", json!(null)),
            Malformed,
            "rms_epsilon",
        ),
        (
            "llama",
            |m| m.says("hidden_act", json!("relu6")),
            Unsupported,
            "relu6",
        ),
        (
            "llama",
            |m| m.says("quantization_config", json!({"quant_method": "gptq"})),
            Unsupported,
            "quantization_config",
        ),
        (
            "llama",
            |m| {
                m.says(
                    "rope_parameters",
                    json!({"rope_type": "ntk", "rope_theta": 1e4}),
                )
            },
            Unsupported,
            "ntk",
        ),
        (
            "llama3_rope",
            |m| {
                m.says(
                    "rope_parameters",
                    json!({"rope_type": "llama3", "rope_theta": 1e4}),
                )
            },
            Malformed,
            "low_freq_factor",
        ),
        (
            "phi3_long",
            |m| m.directory.config["rope_parameters"]["long_factor"] = json!([1.0]),
            Malformed,
            "rope_factors_long",
        ),
        (
            "lfm2",
            |m| m.directory.config["layer_types"][1] = json!("linear_attention"),
            Unsupported,
            "linear_attention",
        ),
        (
            "llama",
            |m| m.reshape("blk.0.attn_k.weight", &[64, 64]),
            Malformed,
            "model.layers.0.self_attn.k_proj.weight",
        ),
        (
            "llama",
            |m| m.drop("blk.2.ffn_up.weight"),
            Malformed,
            "model.layers.2.mlp.up_proj.weight",
        ),
        (
            "llama",
            |m| {
                m.adds(
                    "blk.1.attn_q_norm.weight",
                    "model.layers.1.self_attn.q_norm.weight",
                )
            },
            Unsupported,
            "model.layers.1.self_attn.q_norm.weight",
        ),
    ];
    for (name, change, kind, word) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut model = TinyModel::fixture(name);
        change(&mut model);
        model.write_directory(directory.path(), 1);
        assert_refused(directory.path(), kind, word);
    }
}

#[test]
fn damaged_files_are_named() {
    use ErrorKind::{Malformed, NotFound};
    let whole = "model.safetensors";
    let index = "model.safetensors.index.json";
    let outside = r#"{"weight_map": {"a": "../../secret.safetensors"}}"#;
    let absent = r#"{"weight_map": {"a": "other.safetensors"}}"#;
    let cases: [(&str, Option<&[u8]>, ErrorKind, &str); 7] = [
        (whole, Some(&[255; 64]), Malformed, whole),
        (whole, None, NotFound, index),
        (index, Some(b"{}"), Malformed, "weight_map"),
        (
            index,
            Some(outside.as_bytes()),
            Malformed,
            "../../secret.safetensors",
        ),
        (
            index,
            Some(absent.as_bytes()),
            NotFound,
            "other.safetensors",
        ),
        ("config.json", Some(b"[1]"), Malformed, "config.json"),
        ("config.json", None, NotFound, "config.json"),
    ];
    for (file, content, kind, word) in cases {
        let directory = tempfile::tempdir().unwrap();
        TinyModel::fixture("llama").write_directory(directory.path(), 1);
        if file == index {
            std::fs::remove_file(directory.path().join(whole)).unwrap();
        }
        match content {
            Some(content) => std::fs::write(directory.path().join(file), content).unwrap(),
            None => std::fs::remove_file(directory.path().join(file)).unwrap(),
        }
        assert_refused(directory.path(), kind, word);
    }
}

/// Whatever a number of a model is, loading it ends well or with an error, and a model that loads
/// reads.
#[test]
fn odd_values_do_no_harm() {
    let names = ["llama3_rope", "mistral3", "phi3_long", "lfm2moe", "cohere2"];
    let tokens = [1, 2, 3];
    for name in names {
        let whole = TinyModel::fixture(name);
        let directory = tempfile::tempdir().unwrap();
        whole.write_directory(directory.path(), 1);
        let config = directory.path().join("config.json");
        let serde_json::Value::Object(said) = &whole.directory.config else {
            panic!("{name}: a configuration is an object");
        };
        let rope = said.get("rope_parameters").cloned().unwrap_or_default();
        let odd = [
            json!(null),
            json!(-1),
            json!(0),
            json!(1),
            json!(7),
            json!(u64::MAX),
            json!(1e308),
            json!(1e-320),
            json!("text"),
            json!([]),
            json!([0, true, "x"]),
            json!({}),
        ];
        for value in &odd {
            let changed = said.keys().map(|key| {
                let mut said = said.clone();
                said.insert(key.clone(), value.clone());
                said
            });
            let inner = rope.as_object().into_iter().flat_map(|rope| rope.keys());
            let inner = inner.map(|key| {
                let mut said = said.clone();
                said["rope_parameters"][key] = value.clone();
                said
            });
            for said in changed.chain(inner) {
                std::fs::write(&config, serde_json::to_vec(&said).unwrap()).unwrap();
                let options = DecoderOptions::default();
                if let Ok(decoder) = Decoder::load_directory(directory.path(), &options) {
                    super::read(&Arc::new(decoder), &tokens, 3);
                }
            }
        }
        for key in whole.keys() {
            for value in [0, 1, 7, u32::MAX] {
                let mut model = TinyModel::fixture(name);
                model.unset(&key);
                model.set(&key, value);
                if let Ok(decoder) = Decoder::load(&model.file(Storage::F32), Precision::F32) {
                    super::read(&Arc::new(decoder), &tokens, 3);
                }
            }
        }
    }
}
