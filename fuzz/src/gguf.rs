//! Model files of any bytes: an error, or a file all of whose parts can be read, and a decoder
//! that reads.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use corbie_core::Message;
use corbie_models::decoder::{Decoder, Workspace};
use corbie_models::gguf::GgufFile;
use corbie_models::kernels::Precision;
use corbie_models::template::ChatTemplate;
use corbie_models::tokenizer::{EncodeOptions, Tokenizer};

pub fn run(bytes: &[u8]) {
    let Ok(file) = GgufFile::from_bytes("fuzz", bytes.to_vec()) else {
        return;
    };
    let metadata = file.metadata();
    for key in metadata.keys() {
        let _ = (metadata.get(key), metadata.u64(key), metadata.str(key));
        let _ = (
            metadata.strings(key),
            metadata.f32s(key),
            metadata.i32s(key),
        );
    }
    for tensor in file.tensors() {
        assert!(file.tensor(tensor.name).is_some());
        let _ = tensor.to_f32s();
    }
    if let Ok(tokenizer) = Tokenizer::from_gguf(&file)
        && let Ok(ids) = tokenizer.encode("Ravens 渡鸦\n", EncodeOptions::default())
    {
        let _ = tokenizer.decode(&ids, true);
    }
    if let Ok(template) = ChatTemplate::from_gguf(&file) {
        let _ = template.render(&[Message::user("渡鸦")], &[], true);
    }
    if let Ok(decoder) = Decoder::load(&file, Precision::Quantized) {
        let mut sequence = Arc::new(decoder).sequence();
        let _ = sequence.read(&[0], 1, &mut Workspace::default());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let letters = ('a'..='z').map(String::from);
    let names: Vec<String> = ["<unk>", "<s>", "</s>", "▁", "渡鸦"]
        .map(String::from)
        .into_iter()
        .chain(letters)
        .collect();
    let model = crate::tiny();
    let whole = |kind: &str, dtype: GgmlDType| {
        model
            .gguf(dtype)
            .string("tokenizer.ggml.model", kind)
            .strings("tokenizer.ggml.tokens", &names)
            .f32s("tokenizer.ggml.scores", &vec![-1.0; names.len()])
            .strings("tokenizer.ggml.merges", &["a b", "ab c"])
            .u32("tokenizer.ggml.bos_token_id", 1)
            .u32("tokenizer.ggml.eos_token_id", 2)
            .bool("tokenizer.ggml.add_bos_token", true)
            .string(
                "tokenizer.chat_template",
                "{% for m in messages %}{{ m.content }}{% endfor %}",
            )
            .to_bytes()
    };
    vec![
        whole("llama", GgmlDType::F32),
        whole("gpt2", GgmlDType::F16),
        whole("bert", GgmlDType::F32),
    ]
}

pub const WORDS: &[&str] = &[
    "llama.rope.scaling.type",
    "yarn",
    "linear",
    "rope_freqs.weight",
    "llama.expert_count",
    "general.alignment",
    "llama.attention.sliding_window",
    "qwen3",
    "gemma3",
    "lfm2",
];
