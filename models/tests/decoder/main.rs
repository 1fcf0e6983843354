//! The decoder on tiny models in the real layout. The fixtures are written by
//! `benches/accuracy/fixtures.py`.
//!
//! | file | what it asks |
//! |---|---|
//! | `reference` | do logits agree with `transformers`, from GGUF and from safetensors |
//! | `adapter` | do adapters change what `peft` says, beside the weights and merged |
//! | `laws` | do they stay the same however sequences are cut, mixed, rolled back and recalled |
//! | `malformed` | are damaged and unknown models refused by name |
//! | `random` | does the generator make models that load, in every format |

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod adapter;
mod laws;
mod malformed;
mod random;
mod reference;
#[path = "../tiny/mod.rs"]
mod tiny;

use std::path::Path;
use std::sync::Arc;

use corbie_models::decoder::{Decoder, DecoderOptions, Workspace};
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
