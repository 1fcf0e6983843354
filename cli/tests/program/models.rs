use corbie_models::gguf::GgufWriter;
use serde_json::Value;

use crate::Place;
use crate::stages::write_encoder;

/// Writes a chat model of one layer, of which only the header is looked at.
fn write_chat_model(place: &Place) {
    let mut writer = GgufWriter::new()
        .string("general.architecture", "llama")
        .string("general.name", "Tiny 乌鸦")
        .string("general.license", "apache-2.0")
        .u32("llama.block_count", 1)
        .u32("llama.context_length", 16_384)
        .u32("llama.embedding_length", 32)
        .u32("llama.feed_forward_length", 64)
        .u32("llama.attention.head_count", 2)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .string("tokenizer.ggml.model", "gpt2")
        .strings("tokenizer.ggml.tokens", &["a"; 64])
        .string(
            "tokenizer.chat_template",
            "<tool_call> <function-name> {{ messages }}",
        );
    for (name, shape) in [
        ("token_embd.weight", &[64, 32][..]),
        ("output_norm.weight", &[32]),
        ("blk.0.attn_norm.weight", &[32]),
        ("blk.0.ffn_norm.weight", &[32]),
        ("blk.0.attn_q.weight", &[32, 32]),
        ("blk.0.attn_k.weight", &[32, 32]),
        ("blk.0.attn_v.weight", &[32, 32]),
        ("blk.0.attn_output.weight", &[32, 32]),
        ("blk.0.ffn_gate.weight", &[64, 32]),
        ("blk.0.ffn_up.weight", &[64, 32]),
        ("blk.0.ffn_down.weight", &[32, 64]),
    ] {
        let count = shape.iter().product();
        writer = writer.f32_tensor(name, shape, &vec![0.5; count]);
    }
    place.write("tiny.gguf", writer.to_bytes());
}

#[test]
fn a_chat_model_shows_what_it_is_and_what_it_needs() {
    let place = Place::new();
    write_chat_model(&place);
    let facts = place.json(&["models", "show", "./tiny.gguf"], "");
    for (key, expected) in [
        ("v", Value::from(1)),
        ("title", "Tiny 乌鸦".into()),
        ("kind", "chat".into()),
        ("format", "gguf".into()),
        ("architecture", "llama".into()),
        (
            "parameters",
            (64 * 32 + 3 * 32 + 4 * 1024 + 3 * 2048).into(),
        ),
        ("quantization", "F32".into()),
        ("context_length", 16_384.into()),
        ("tokenizer", "gpt2".into()),
        ("chat_template", true.into()),
        ("dialect", "hermes".into()),
        ("licence", "apache-2.0".into()),
        ("fits", true.into()),
    ] {
        assert_eq!(facts[key], expected, "{key}: {facts}");
    }
    assert_eq!(facts["files"][0]["name"], "tiny.gguf");
    assert_eq!(facts["files"][0]["bytes"], facts["bytes"]);
    let memory = |key: &str| facts["memory"][key].as_u64().unwrap();
    assert_eq!(memory("weights"), 4 * facts["parameters"].as_u64().unwrap());
    // Keys and values of 8,192 tokens: 2 heads of 16, twice, in four bytes.
    assert_eq!(memory("context"), 8192 * 2 * 2 * 16 * 4);
    assert_eq!(memory("longest_context"), 2 * memory("context"));
    let parts = ["weights", "tokenizer", "context", "workspace"];
    assert_eq!(
        memory("least"),
        parts.iter().map(|key| memory(key)).sum::<u64>()
    );
    assert_eq!(memory("total"), memory("least") + memory("spare"));
}

#[test]
fn a_model_that_does_not_fit_says_so_and_is_not_loaded() {
    let place = Place::new();
    write_chat_model(&place);
    let with_little = |arguments: &[&str]| {
        let mut command = place.corbie(arguments);
        command.env("CORBIE_MEMORY", "100 kB").write_stdin("x");
        command.output().unwrap()
    };
    let output = with_little(&["models", "show", "./tiny.gguf"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "fits             no",
        "memory_limit     100 kB",
        "memory: weights  50 kB",
        "  longest context",
        "file             tiny.gguf, ",
    ] {
        assert!(text.contains(line), "`{line}`: {text}");
    }
    for call in [&["chat"][..], &["generate", "--prompt", "x"]] {
        let output = with_little(&[call, &["--model", "./tiny.gguf"]].concat());
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("tiny.gguf") && error.contains("MB of memory"),
            "{error}"
        );
    }

    let mut command = place.corbie(&["models", "show", "./tiny.gguf"]);
    let output = command.env("CORBIE_MEMORY", "much").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("memory") && error.contains("much"),
        "{error}"
    );
}

#[test]
fn encoders_show_their_vectors_and_prompts() {
    let place = Place::new();
    write_encoder(&place, "embedder");
    let facts = place.json(&["models", "show", "./tiny"], "");
    assert_eq!(facts["kind"], "embedding", "{facts}");
    assert_eq!(facts["format"], "safetensors");
    let keys = [
        "dimension",
        "pooling",
        "context_length",
        "architecture",
        "document_prompt",
    ];
    for key in keys {
        assert!(!facts[key].is_null(), "{key}: {facts}");
    }
    assert!(facts["memory"]["weights"].as_u64().unwrap() > 0, "{facts}");
    assert_eq!(facts["fits"], true);
    let files = facts["files"].as_array().unwrap();
    assert!(files.iter().any(|file| file["name"] == "model.safetensors"));

    let place = Place::new();
    write_encoder(&place, "reranker");
    let facts = place.json(&["models", "show", "./tiny"], "");
    assert_eq!(facts["kind"], "reranking", "{facts}");
    assert!(facts["dimension"].is_null(), "{facts}");
}
