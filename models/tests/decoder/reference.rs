//! Logits against those of `transformers`.

use std::sync::Arc;

use corbie_models::decoder::{Decoder, DecoderOptions};
use corbie_models::kernels::Precision;

use serde_json::json;

use super::tiny::{Storage, TinyModel};
use super::{error, fixtures, load, read};

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

/// Models that see, too, keep their decoder within.
#[test]
fn decoders_are_found_within_larger_models() {
    let mut model = TinyModel::fixture("gemma3");
    let mut text = model.directory.config.take();
    // What is as usual is left out there.
    text.as_object_mut()
        .unwrap()
        .remove("max_position_embeddings");
    model.directory.config = json!({ "model_type": "gemma3", "text_config": text });
    for name in model.directory.names.values_mut() {
        *name = format!("language_model.{name}");
    }
    model.adds("vision", "vision_tower.embeddings.weight");
    let directory = tempfile::tempdir().unwrap();
    model.write_directory(directory.path(), 2);
    let options = DecoderOptions::default();
    let decoder = Decoder::load_directory(directory.path(), &options).unwrap();
    assert_eq!(decoder.config().context_length, 131_072);
    assert!(error(&model, &Arc::new(decoder)) < 1e-4);
}

/// What a file says of a model changes its logits, or is missed when it is gone: so no fixture
/// agrees by chance.
#[test]
fn every_key_matters() {
    // Nothing looks at these, or they say what other keys or the row say already.
    let idle = [
        "context_length",
        "expert_gating_func",
        "dimension_sections",
        "olmoe.attention.head_count_kv",
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

/// How far quantized logits lie from those of the same weights in `f32`, typically and at worst,
/// in units of the logits' spread.
fn error_of(model: &TinyModel, precision: Precision) -> (f32, f32) {
    let exact = read(
        &load(model, Storage::Q8_0, Precision::F32),
        &model.tokens,
        64,
    );
    let other = read(&load(model, Storage::Q8_0, precision), &model.tokens, 64);
    let differences = || exact.iter().zip(&other).map(|(exact, other)| exact - other);
    let worst = differences().map(f32::abs).fold(0.0, f32::max) / model.spread;
    let squares = differences().map(|x| x * x).sum::<f32>() / exact.len() as f32;
    (squares.sqrt() / model.spread, worst)
}

#[test]
fn fine_logits_are_those_of_the_weights() {
    for name in fixtures() {
        let (typical, worst) = error_of(&TinyModel::fixture(&name), Precision::Fine);
        println!("{name}: typically {typical:.6}, at worst {worst:.5}");
        assert!(typical < 1e-3 && worst < 1e-2, "{name}: {typical}, {worst}");
    }
}

/// Activations of 8 bits make each product about 0.7 % noisier, and a tiny model of random
/// weights, whose states are white noise, some 2 % after all of them. Where noise makes a position
/// choose another expert, it goes another way.
#[test]
fn quantized_logits_stay_close() {
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        let (typical, worst) = error_of(&model, Precision::Quantized);
        println!("{name}: typically {typical:.4}, at worst {worst:.3}");
        let decoder = load(&model, Storage::Q8_0, Precision::Quantized);
        let bounds = match decoder.config().experts {
            None => (0.035, 0.25),
            Some(_) => (0.1, 2.0),
        };
        assert!(
            typical < bounds.0 && worst < bounds.1,
            "{name}: {typical}, {worst}"
        );
    }
}
