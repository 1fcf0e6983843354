//! Safetensors directories: a configuration and weights of any bytes are refused, or a decoder
//! that reads.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use corbie_models::decoder::{Decoder, DecoderOptions, Workspace};

pub fn run(bytes: &[u8]) {
    let (config, weights) = crate::halves(bytes);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).expect("a file can be written");
    };
    write("config.json", config);
    write("model.safetensors", weights);
    let options = DecoderOptions::default();
    if let Ok(decoder) = Decoder::load_directory(directory.path(), &options) {
        let mut sequence = Arc::new(decoder).sequence();
        let _ = sequence.read(&[0, 1], 1, &mut Workspace::default());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let types = [GgmlDType::F32, GgmlDType::BF16];
    types
        .map(|dtype| {
            let directory = tempfile::tempdir().expect("a directory can be made");
            let model = crate::tiny();
            model
                .write_directory(directory.path(), dtype)
                .expect("a model can be written");
            let read = |name: &str| {
                std::fs::read(directory.path().join(name)).expect("the file was written")
            };
            crate::joined(&read("config.json"), &read("model.safetensors"))
        })
        .to_vec()
}

pub const WORDS: &[&str] = &[
    "\"model_type\"",
    "qwen2",
    "qwen3",
    "gemma3_text",
    "phi3",
    "lfm2",
    "mistral",
    "\"rope_scaling\"",
    "\"rope_parameters\"",
    "yarn",
    "llama3",
    "longrope",
    "\"sliding_window\"",
    "\"layer_types\"",
    "\"num_experts\"",
    "\"head_dim\"",
    "null",
    "true",
    "-1",
    "1e308",
    "18446744073709551615",
    "[]",
    "{}",
    "\"F32\"",
    "\"F8_E4M3\"",
    "\"data_offsets\":[",
    "\"shape\":[0]",
    "__metadata__",
    "\"quantization_config\"",
    "\"tie_word_embeddings\"",
];
