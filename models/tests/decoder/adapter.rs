//! Adapters against `peft`, against themselves merged, and damaged ones. The fixtures are written
//! by `benches/accuracy/adapters.py`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use corbie_core::ErrorKind;
use corbie_models::decoder::{Adapter, Decoder, DecoderOptions, Sequence, Step, Workspace};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::kernels::Precision;
use corbie_models::testing::{RandomModel, SafetensorsWriter, random_weights};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tiny::{Storage, TinyModel};

#[derive(Deserialize)]
struct Fixture {
    config: Value,
    tensors: BTreeMap<String, Vec<usize>>,
    spread: f32,
    logits: BTreeMap<usize, Vec<f32>>,
}

const FIXTURES: [&str; 3] = ["llama", "qwen3", "phi3"];

impl Fixture {
    fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapter");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Writes the directory as PEFT does.
    fn write(&self, directory: &Path) {
        let config = self.config.to_string();
        std::fs::write(directory.join("adapter_config.json"), config).unwrap();
        let mut writer = SafetensorsWriter::new();
        for (name, shape) in &self.tensors {
            let values = random_weights(name, shape, 0);
            let data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            writer = writer.tensor(name, GgmlDType::F32, shape, data);
        }
        writer
            .write(&directory.join("adapter_model.safetensors"))
            .unwrap();
    }
}

fn read(sequence: &mut Sequence, tokens: &[u32]) -> Vec<f32> {
    let mut workspace = Workspace::default();
    let logits = sequence.read(tokens, tokens.len(), &mut workspace);
    logits.unwrap().to_vec()
}

#[test]
fn adapters_agree_with_peft() {
    for name in FIXTURES {
        let (fixture, model) = (Fixture::open(name), TinyModel::fixture(name));
        let options = DecoderOptions {
            precision: Precision::F32,
            context: model.context,
        };
        let directory = tempfile::tempdir().unwrap();
        model.write_directory(directory.path(), 1);
        fixture.write(directory.path());
        for decoder in [
            Decoder::load_with(&model.file(Storage::F32), &options).unwrap(),
            Decoder::load_directory(directory.path(), &options).unwrap(),
        ] {
            let decoder = Arc::new(decoder);
            let adapter = Adapter::from_directory(directory.path(), decoder.config()).unwrap();
            assert_eq!(2 * adapter.weights(), fixture.tensors.len());
            let mut sequence = decoder.sequence_with(Some(Arc::new(adapter)));
            let logits = read(&mut sequence, &model.tokens);
            for (position, expected) in &fixture.logits {
                let row = &logits[position * decoder.vocabulary()..];
                for (ours, theirs) in row.iter().zip(expected) {
                    let error = (ours - theirs).abs() / fixture.spread;
                    assert!(error < 1e-4, "{name} at {position}: {error:.1e}");
                }
            }
        }
    }
}

/// An adapter of rank 3 for every weight of the model that can have one, a tenth as large as it,
/// which is more than training makes them.
fn adapter_for(model: &RandomModel, seed: u64) -> GgufWriter {
    let mut writer = GgufWriter::new()
        .string("general.type", "adapter")
        .string("general.architecture", model.architecture.name)
        .string("adapter.type", "lora")
        .f32("adapter.lora.alpha", 0.3);
    for (name, shape) in model.tensors() {
        let is_changed = ["attn_", "ffn_", "shortconv."].iter();
        let is_changed = is_changed.clone().any(|part| name.contains(part));
        let [rows, columns] = shape.as_slice() else {
            continue;
        };
        if !is_changed || name.contains("norm") || name.contains("shortconv.conv") {
            continue;
        }
        for (suffix, shape) in [("lora_a", [3, *columns]), ("lora_b", [*rows, 3])] {
            let name = format!("{name}.{suffix}");
            writer = writer.f32_tensor(&name, &shape, &random_weights(&name, &shape, seed));
        }
    }
    writer
}

fn open(writer: &GgufWriter) -> GgufFile {
    GgufFile::from_bytes("adapter `tiny`", writer.to_bytes()).unwrap()
}

const TOKENS: [u32; 40] = {
    let mut tokens = [0; 40];
    let mut i = 0;
    while i < 40 {
        tokens[i as usize] = i * i % 37;
        i += 1;
    }
    tokens
};

#[test]
fn beside_the_weights_is_as_merged() {
    for name in ["llama", "qwen3", "phi3", "gemma3", "lfm2", "starcoder2"] {
        let model = RandomModel::new(name).unwrap();
        for (dtype, precision, bound) in [
            (GgmlDType::F32, Precision::F32, 1e-5),
            // Rounding the merged weights again moves logits.
            (GgmlDType::Q8_0, Precision::F32, 0.3),
        ] {
            let file = open(&model.gguf(dtype));
            let options = DecoderOptions {
                precision,
                ..DecoderOptions::default()
            };
            let decoder = Arc::new(Decoder::load_with(&file, &options).unwrap());
            let adapter = Adapter::from_gguf(&open(&adapter_for(&model, 0)), decoder.config());
            let adapter = Arc::new(adapter.unwrap());
            let (merged, report) = Decoder::load_merged(&file, &options, &adapter).unwrap();
            assert_eq!(report.weights, adapter.weights(), "{name}");
            assert!(report.largest_change > 0.001 && report.mean_change > 0.0);
            assert_eq!(report.largest_error > 0.0, dtype == GgmlDType::Q8_0);
            assert!(report.mean_error < 0.01, "{report:?}");

            let plain = read(&mut decoder.sequence(), &TOKENS);
            let beside = read(&mut decoder.sequence_with(Some(adapter)), &TOKENS);
            let merged = read(&mut Arc::new(merged).sequence(), &TOKENS);
            let mean = plain.iter().sum::<f32>() / plain.len() as f32;
            let spread = plain.iter().map(|x| (x - mean).powi(2)).sum::<f32>();
            let spread = (spread / plain.len() as f32).sqrt();
            let farthest = |a: &[f32], b: &[f32]| {
                let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
                differences.fold(0.0, f32::max) / spread
            };
            let error = farthest(&beside, &merged);
            assert!(error < bound, "{name} in {dtype:?}: {error:.1e}");
            assert!(
                farthest(&beside, &plain) > 0.5,
                "{name}: it changes something"
            );
        }
    }
}

#[test]
fn sequences_with_different_adapters_share_a_pass() {
    let model = RandomModel::new("llama").unwrap();
    for (dtype, precision) in [
        (GgmlDType::F32, Precision::F32),
        (GgmlDType::Q8_0, Precision::Quantized),
    ] {
        let options = DecoderOptions {
            precision,
            ..DecoderOptions::default()
        };
        let decoder = Decoder::load_with(&open(&model.gguf(dtype)), &options).unwrap();
        let decoder = Arc::new(decoder);
        let adapters = [None, Some(1), Some(2)].map(|seed| {
            seed.map(|seed| {
                let file = open(&adapter_for(&model, seed));
                Arc::new(Adapter::from_gguf(&file, decoder.config()).unwrap())
            })
        });
        let mut sequences = adapters.clone().map(|it| decoder.sequence_with(it));
        let mut steps: Vec<Step<'_>> = sequences
            .iter_mut()
            .map(|sequence| Step {
                sequence,
                tokens: &TOKENS,
                wanted: TOKENS.len(),
            })
            .collect();
        let mut workspace = Workspace::default();
        let together = decoder.read(&mut steps, &mut workspace).unwrap();
        let mut alone = Vec::new();
        for adapter in adapters {
            alone.push(read(&mut decoder.sequence_with(adapter), &TOKENS));
        }
        assert!(alone[0] != alone[1] && alone[1] != alone[2]);
        assert!(together == alone.concat(), "{dtype:?}");
    }
}

#[test]
fn unfit_adapters_are_named() {
    use ErrorKind::{BadInput, Malformed, Mismatch, Unsupported};
    let model = RandomModel::new("llama").unwrap();
    let decoder = Decoder::load(&open(&model.gguf(GgmlDType::F32)), Precision::F32).unwrap();
    let head = |architecture: &str| {
        GgufWriter::new()
            .string("general.architecture", architecture)
            .string("adapter.type", "lora")
            .f32("adapter.lora.alpha", 1.0)
    };
    let pair = |name: &str, a: [usize; 2], b: [usize; 2]| {
        let zeros = |shape: [usize; 2]| vec![0.0; shape[0] * shape[1]];
        head("llama")
            .f32_tensor(&format!("{name}.lora_a"), &a, &zeros(a))
            .f32_tensor(&format!("{name}.lora_b"), &b, &zeros(b))
    };
    let cases = [
        (
            GgufWriter::new().string("general.architecture", "llama"),
            BadInput,
            "adapter.type",
        ),
        (head("qwen3"), Mismatch, "`qwen3`"),
        (head("llama"), Mismatch, "no weight"),
        (
            pair("blk.0.attn_q.weight", [3, 64], [64, 2]),
            Malformed,
            "ranks 3 and 2",
        ),
        (
            pair("blk.0.attn_q.weight", [3, 32], [64, 3]),
            Mismatch,
            "64 by 32",
        ),
        (
            pair("blk.0.attn_k.weight", [3, 64], [64, 3]),
            Mismatch,
            "32 by 64",
        ),
        (
            pair("blk.0.attn_q.weight", [3, 64], [64, 3]).f32_tensor(
                "token_embd.weight.lora_a",
                &[3, 8],
                &[0.0; 24],
            ),
            Unsupported,
            "token_embd",
        ),
        (
            pair("blk.9.attn_q.weight", [3, 64], [64, 3]),
            Mismatch,
            "no weight",
        ),
    ];
    for (writer, kind, word) in cases {
        let error = Adapter::from_gguf(&open(&writer), decoder.config()).unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(word), "{error} names {word}");
    }

    let directory = tempfile::tempdir().unwrap();
    let refused = || Adapter::from_directory(directory.path(), decoder.config()).unwrap_err();
    assert_eq!(refused().kind(), &ErrorKind::NotFound);
    for (config, kind, word) in [
        (json!(7), Malformed, "`r`"),
        (json!({"r": 0, "lora_alpha": 1}), Malformed, "`r`"),
        (json!({"r": 2, "lora_alpha": "x"}), Malformed, "lora_alpha"),
        (
            json!({"r": 2, "lora_alpha": 1, "peft_type": "IA3"}),
            Unsupported,
            "IA3",
        ),
        (
            json!({"r": 2, "lora_alpha": 1, "use_dora": true}),
            Unsupported,
            "use_dora",
        ),
        (
            json!({"r": 2, "lora_alpha": 1, "bias": "all"}),
            Unsupported,
            "bias",
        ),
        (
            json!({"r": 2, "lora_alpha": 1}),
            ErrorKind::NotFound,
            "adapter_model",
        ),
    ] {
        let path = directory.path().join("adapter_config.json");
        std::fs::write(path, config.to_string()).unwrap();
        assert_eq!(refused().kind(), &kind, "{}", refused());
        assert!(
            refused().to_string().contains(word),
            "{} names {word}",
            refused()
        );
    }
    let weights = directory.path().join("adapter_model.safetensors");
    std::fs::write(weights, b"nonsense").unwrap();
    assert_eq!(refused().kind(), &Malformed);

    // An adapter of one shape is no adapter of another.
    let wide = RandomModel {
        feed_forward: 256,
        ..RandomModel::new("llama").unwrap()
    };
    let wide = Decoder::load(&open(&wide.gguf(GgmlDType::F32)), Precision::F32).unwrap();
    let adapter = Adapter::from_gguf(&open(&adapter_for(&model, 0)), decoder.config()).unwrap();
    let wide = Arc::new(wide);
    let mut sequence = wide.sequence_with(Some(Arc::new(adapter)));
    let refused = sequence
        .read(&[1], 1, &mut Workspace::default())
        .unwrap_err();
    assert_eq!(refused.kind(), &Mismatch);
}
