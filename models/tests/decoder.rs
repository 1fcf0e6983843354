//! The decoder against `transformers`, on tiny models in the real layout, and its laws.
//!
//! The fixtures are written by `benches/accuracy/fixtures.py`.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used)]

mod tiny;

use std::path::Path;
use std::sync::Arc;

use corbie_core::ErrorKind;
use corbie_models::decoder::{Decoder, DecoderOptions, Sequence, Step, Workspace};
use corbie_models::kernels::Precision;

use tiny::{Storage, TinyModel};

/// The names of all fixtures.
fn fixtures() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoder");
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    names
}

fn load(model: &TinyModel, storage: Storage, precision: Precision) -> Arc<Decoder> {
    let options = DecoderOptions {
        precision,
        context: model.context,
    };
    Arc::new(Decoder::load_with(&model.file(storage), &options).unwrap())
}

/// The greatest difference from what `transformers` computed, as a share of the logits' spread.
fn error(model: &TinyModel, decoder: &Arc<Decoder>) -> f32 {
    let logits = read(decoder, &model.tokens, model.tokens.len());
    let rows = model.logits.iter().flat_map(|(position, expected)| {
        let row = &logits[position * decoder.vocabulary()..][..decoder.vocabulary()];
        row.iter().zip(expected)
    });
    let worst = rows
        .map(|(ours, theirs)| (ours - theirs).abs())
        .fold(0.0, f32::max);
    worst / model.spread
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
    let mut failed = Vec::new();
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        let decoder = load(&model, Storage::F32, Precision::F32);
        assert_eq!(model.logits.len(), 5, "{name}");
        let error = error(&model, &decoder);
        println!("{name}: {error:.1e}");
        if error.is_nan() || error > 1e-4 {
            failed.push((name, error));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn directories_agree_with_transformers() {
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        let options = DecoderOptions {
            precision: Precision::F32,
            context: model.context,
        };
        for files in [1, 3] {
            let directory = tempfile::tempdir().unwrap();
            model.write_directory(directory.path(), files);
            let decoder = Decoder::load_directory(directory.path(), &options).unwrap();
            let error = error(&model, &Arc::new(decoder));
            assert!(error < 1e-4, "{name} in {files} files: {error:.1e}");
        }
    }
}

/// What a file says of a model changes its logits, or is missed when it is gone: so no fixture
/// agrees by chance.
#[test]
fn every_key_matters() {
    // No layer looks at these, and half of them say what the others say already.
    let idle = [
        "context_length",
        "value_length",
        "scaling.original_context_length",
    ];
    for name in fixtures() {
        let whole = TinyModel::fixture(&name);
        for key in whole.keys() {
            // Which of two sets of factors holds is no matter of a name.
            let is_named = whole.strings.get(&key).is_some_and(|it| it == "longrope");
            if is_named || idle.iter().any(|idle| key.ends_with(idle)) {
                continue;
            }
            let mut model = TinyModel::fixture(&name);
            model.unset(&key);
            let Ok(decoder) = Decoder::load(&model.file(Storage::F32), Precision::F32) else {
                continue;
            };
            let error = error(&model, &Arc::new(decoder));
            assert!(error > 1e-3, "{name} without {key}: {error:.1e}");
        }
    }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// More tokens than a block of the cache has positions, and than windows and rollback keep.
fn text(seed: u32) -> Vec<u32> {
    (0..150u32).map(|i| (i * i + seed) % 40).collect()
}

#[test]
fn logits_do_not_depend_on_company_or_cuts() {
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        for (storage, precision) in [
            (Storage::F32, Precision::F32),
            (Storage::Q8_0, Precision::Quantized),
        ] {
            let decoder = load(&model, storage, precision);
            let texts = [text(0), text(1)[..70].to_vec(), text(2)[..9].to_vec()];
            let alone: Vec<_> = texts.iter().map(|text| read(&decoder, text, 150)).collect();
            for chunk in [1, 7, 64] {
                let cut = read(&decoder, &texts[0], chunk);
                assert!(
                    bits(&cut) == bits(&alone[0]),
                    "{name} {precision:?} by {chunk}"
                );
            }
            // Together, in chunks of different lengths.
            let mut sequences = [(); 3].map(|()| decoder.sequence());
            let mut workspace = Workspace::default();
            let mut logits = [const { Vec::new() }; 3];
            for round in 0..30 {
                let mut parts = Vec::new();
                for (text, chunk) in texts.iter().zip([5 + round % 3, 3, 1]) {
                    let start = sequences[parts.len()].tokens().len();
                    parts.push(&text[start..text.len().min(start + chunk)]);
                }
                let steps = sequences.iter_mut().zip(&parts);
                let mut steps: Vec<_> = steps
                    .map(|(sequence, tokens)| Step {
                        sequence,
                        tokens,
                        wanted: tokens.len(),
                    })
                    .collect();
                let mut rows = decoder.read(&mut steps, &mut workspace).unwrap();
                for (logits, part) in logits.iter_mut().zip(&parts) {
                    let (own, rest) = rows.split_at(part.len() * decoder.vocabulary());
                    logits.extend_from_slice(own);
                    rows = rest;
                }
            }
            for (index, logits) in logits.iter().enumerate() {
                assert!(!logits.is_empty());
                let whole = &alone[index][..logits.len()];
                assert!(
                    bits(logits) == bits(whole),
                    "{name} {precision:?}, text {index}"
                );
            }
        }
    }
}

/// The logits after `tokens` more, which must be as if all had been read at once.
fn assert_goes_on(name: &str, sequence: &mut Sequence, decoder: &Arc<Decoder>, more: &[u32]) {
    let whole = [sequence.tokens(), more].concat();
    let after = sequence
        .read(more, more.len(), &mut Workspace::default())
        .unwrap()
        .to_vec();
    let whole = read(decoder, &whole, 64);
    assert!(
        bits(&after) == bits(&whole[whole.len() - after.len()..]),
        "{name}"
    );
}

#[test]
fn sequences_roll_back_fork_and_are_recalled() {
    let (long, more) = (text(0), text(3)[..9].to_vec());
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        let decoder = load(&model, Storage::F32, Precision::F32);
        let mut workspace = Workspace::default();
        let mut sequence = decoder.sequence();
        sequence.read(&long[..100], 0, &mut workspace).unwrap();
        // The memory of the first block, which others share; layers with a short sight keep it
        // for a while.
        let memory = sequence.memory(0);
        let mut fork = sequence.clone();
        sequence.read(&long[100..], 0, &mut workspace).unwrap();
        let most = decoder.memory_of(150) + decoder.memory_of(100);
        assert!(decoder.memory_in_use() <= most, "{name}: shared at least");
        assert_goes_on(&name, &mut fork, &decoder, &more);
        for back in [1, 60] {
            let len = sequence.tokens().len() - back;
            assert_eq!(sequence.truncate(len), len, "{name}: {back} back");
            assert_goes_on(&name, &mut sequence, &decoder, &more);
        }
        // Far back, layers with a short sight have forgotten: all or nothing is left.
        let left = sequence.truncate(10);
        let sees_all = (0..decoder.config().layers).all(|it| decoder.config().reach(it).is_none());
        assert_eq!(left, if sees_all { 10 } else { 0 }, "{name}");
        assert_goes_on(&name, &mut sequence, &decoder, &more);
        let mut recalled = decoder.recall(&long[..64], &[&memory]).unwrap();
        assert_goes_on(&name, &mut recalled, &decoder, &more);
        drop((sequence, fork, memory, recalled));
        assert_eq!(decoder.memory_in_use(), 0, "{name}");
    }
}

/// Activations of 8 bits make each product about 0.7 % noisier, and a tiny model of random
/// weights, whose states are white noise, some 2 % after all of them.
#[test]
fn quantized_logits_stay_close() {
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        let exact = load(&model, Storage::Q8_0, Precision::F32);
        let quick = load(&model, Storage::Q8_0, Precision::Quantized);
        let exact = read(&exact, &model.tokens, 64);
        let quick = read(&quick, &model.tokens, 64);
        let differences = || exact.iter().zip(&quick).map(|(exact, quick)| exact - quick);
        let worst = differences().map(f32::abs).fold(0.0, f32::max) / model.spread;
        let squares = differences().map(|x| x * x).sum::<f32>() / exact.len() as f32;
        let typical = squares.sqrt() / model.spread;
        println!("{name}: typically {typical:.4}, at worst {worst:.3}");
        assert!(
            typical < 0.035 && worst < 0.25,
            "{name}: {typical}, {worst}"
        );
    }
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
