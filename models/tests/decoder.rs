//! The decoder against `transformers`, on tiny models in the real layout, and its laws.
//!
//! The fixtures are written by `benches/accuracy/fixtures.py`.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used)]

mod tiny;

use std::sync::Arc;

use corbie_core::ErrorKind;
use corbie_models::decoder::{Decoder, Workspace};
use corbie_models::kernels::Precision;

use tiny::{Storage, TinyModel};

const FIXTURES: [&str; 5] = [
    "llama",
    "llama_untied",
    "llama3_rope",
    "llama_linear_rope",
    "gemma3",
];

fn load(model: &TinyModel, storage: Storage, precision: Precision) -> Arc<Decoder> {
    Arc::new(Decoder::load(&model.file(storage), precision).unwrap())
}

/// The logits after each token, read in chunks of `chunk`.
fn read(decoder: &Arc<Decoder>, tokens: &[u32], chunk: usize) -> Vec<f32> {
    let (mut sequence, mut workspace) = (decoder.sequence(), Workspace::default());
    let mut logits = Vec::new();
    for chunk in tokens.chunks(chunk) {
        logits.extend_from_slice(sequence.read(chunk, chunk.len(), &mut workspace).unwrap());
    }
    logits
}

#[test]
fn logits_agree_with_transformers() {
    for name in FIXTURES {
        let model = TinyModel::fixture(name);
        let decoder = load(&model, Storage::F32, Precision::F32);
        let logits = read(&decoder, &model.tokens, model.tokens.len());
        assert_eq!(model.logits.len(), 4, "{name}");
        for (position, expected) in &model.logits {
            let row = &logits[position * decoder.vocabulary()..][..decoder.vocabulary()];
            for (token, (ours, theirs)) in row.iter().zip(expected).enumerate() {
                assert!(
                    (ours - theirs).abs() < 2e-5,
                    "{name}, position {position}, token {token}: {ours} for {theirs}"
                );
            }
        }
    }
}

#[test]
fn logits_do_not_depend_on_chunks() {
    for name in ["llama", "gemma3"] {
        let model = TinyModel::fixture(name);
        let tokens: Vec<u32> = (0..150u32).map(|i| i * i % 40).collect();
        for (storage, precision) in [
            (Storage::F32, Precision::F32),
            (Storage::Q8_0, Precision::Quantized),
        ] {
            let decoder = load(&model, storage, precision);
            let whole = read(&decoder, &tokens, tokens.len());
            for chunk in [1, 7, 64] {
                let bits = |logits: &[f32]| logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert!(
                    bits(&read(&decoder, &tokens, chunk)) == bits(&whole),
                    "{name} {precision:?} in chunks of {chunk}"
                );
            }
        }
    }
}

#[test]
fn quantized_logits_stay_close() {
    for name in ["llama", "gemma3"] {
        let model = TinyModel::fixture(name);
        let exact = load(&model, Storage::Q8_0, Precision::F32);
        let quick = load(&model, Storage::Q8_0, Precision::Quantized);
        let exact = read(&exact, &model.tokens, 64);
        let quick = read(&quick, &model.tokens, 64);
        for (exact, quick) in exact.iter().zip(&quick) {
            assert!((exact - quick).abs() < 0.2, "{name}: {exact} and {quick}");
        }
    }
}

#[test]
fn a_sequence_rolls_back() {
    let model = TinyModel::fixture("gemma3");
    let decoder = load(&model, Storage::F32, Precision::F32);
    let (mut sequence, mut workspace) = (decoder.sequence(), Workspace::default());
    sequence.read(&model.tokens, 0, &mut workspace).unwrap();
    assert_eq!(sequence.truncate(10), 10);
    assert_eq!(sequence.truncate(99), 10);
    assert_eq!(sequence.tokens(), &model.tokens[..10]);
    let other = [3, 1, 4, 1, 5, 9, 2, 6];
    let after = sequence.read(&other, 1, &mut workspace).unwrap().to_vec();

    let fresh: Vec<u32> = [&model.tokens[..10], &other].concat();
    let whole = read(&decoder, &fresh, 64);
    assert_eq!(after, whole[whole.len() - decoder.vocabulary()..]);
}

#[test]
fn only_known_tokens_are_read() {
    let model = TinyModel::fixture("llama");
    let decoder = load(&model, Storage::F32, Precision::F32);
    let (mut sequence, mut workspace) = (decoder.sequence(), Workspace::default());
    let refused = sequence.read(&[1, 40], 1, &mut workspace).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::BadInput);
    assert!(refused.to_string().contains("token 40"), "{refused}");
    assert!(sequence.read(&[1], 2, &mut workspace).is_err());
    assert!(sequence.tokens().is_empty());
}

#[test]
fn damaged_models_are_named() {
    type Change = fn(&mut TinyModel);
    use ErrorKind::{Malformed, Unsupported};
    let cases: [(&str, Change, ErrorKind, &str); 18] = [
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
            "llama, gemma3",
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
            Unsupported,
            "expert_count",
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
        ("llama", |m| m.scale("yarn"), Unsupported, "yarn"),
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
