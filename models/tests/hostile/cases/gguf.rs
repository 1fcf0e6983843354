//! Model files that are damaged on purpose, read as far as they can be: the file, its tokenizer,
//! its template, its weights, one step.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use corbie_core::{Message, Result};
use corbie_models::chat::{LocalChatModel, LocalChatOptions};
use corbie_models::decoder::{Decoder, Workspace};
use corbie_models::gguf::{GgufFile, GgufWriter, ValueKind};
use corbie_models::kernels::Precision;
use corbie_models::testing::RandomModel;
use corbie_models::tokenizer::EncodeOptions;

use super::Case;

const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";

/// A whole model of a few thousand weights.
pub fn whole() -> GgufWriter {
    let names = names();
    RandomModel {
        vocabulary: names.len(),
        layers: 1,
        hidden: 16,
        feed_forward: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        context_length: 64,
        ..RandomModel::new("llama").expect("there is such a row")
    }
    .gguf(GgmlDType::F32)
    .f32("llama.rope.freq_base", 10_000.0)
    .u32("llama.rope.dimension_count", 8)
    .string("general.name", "tiny")
    .string("tokenizer.ggml.model", "llama")
    .string("tokenizer.ggml.pre", "default")
    .strings("tokenizer.ggml.tokens", &names)
    .f32s("tokenizer.ggml.scores", &vec![-1.0; names.len()])
    .i32s("tokenizer.ggml.token_type", &kinds())
    .u32("tokenizer.ggml.bos_token_id", 1)
    .u32("tokenizer.ggml.eos_token_id", 2)
    .u32("tokenizer.ggml.unknown_token_id", 0)
    .bool("tokenizer.ggml.add_bos_token", true)
    .bool("tokenizer.ggml.add_space_prefix", false)
    .string("tokenizer.chat_template", TEMPLATE)
}

fn names() -> Vec<String> {
    let marks = ["<unk>", "<s>", "</s>", "▁", "渡鸦"];
    let letters = ('a'..='z').map(String::from);
    marks.map(String::from).into_iter().chain(letters).collect()
}

fn kinds() -> Vec<i32> {
    let marks = [2, 3, 3, 1, 1];
    marks.into_iter().chain([1; 26]).collect()
}

/// The same model with a vocabulary of GPT-2's kind.
fn byte_level() -> GgufWriter {
    whole()
        .without("tokenizer.ggml.model")
        .string("tokenizer.ggml.model", "gpt2")
        .strings("tokenizer.ggml.merges", &["a b", "ab c"])
}

/// Opens a file and uses all of it.
pub fn open(bytes: Vec<u8>) -> Result<()> {
    let file = GgufFile::from_bytes("model file `hostile`", bytes)?;
    let metadata = file.metadata();
    for key in metadata.keys() {
        let _ = (metadata.get(key), metadata.u64(key), metadata.str(key));
    }
    let options = LocalChatOptions {
        threads: Some(1),
        memory: Some(1 << 20),
        ..LocalChatOptions::default()
    };
    let model = LocalChatModel::from_file(&file, "hostile", options)?;
    let messages = [Message::user("Ravens 渡鸦 cache food.")];
    let prompt = model.template().render(&messages, &[], true)?;
    let tokenizer = model.tokenizer();
    let ids = tokenizer.encode(&prompt, EncodeOptions::default())?;
    let _ = tokenizer.decode(&ids, true);
    let decoder = Arc::new(Decoder::load(&file, Precision::F32)?);
    decoder
        .sequence()
        .read(&[0], 1, &mut Workspace::default())
        .map(drop)
}

pub fn cases() -> Vec<Case> {
    let mut files: Vec<(String, Vec<u8>)> = written();
    files.extend(odd_values());
    files.extend(patched());
    let mut cases: Vec<Case> = files
        .into_iter()
        .map(|(name, bytes)| Case::new(name, move |_| open(bytes.clone())))
        .collect();
    cases.push(Case::new("cut at every byte", |step| {
        let whole = whole().to_bytes();
        let _: Vec<_> = (0..whole.len())
            .map(|end| open(whole[..end].to_vec()).map(|()| step()).err())
            .collect();
        Ok(())
    }));
    cases.push(Case::new("every bit of the header", |step| {
        let whole = whole().to_bytes();
        let mut names = whole.windows(6).enumerate();
        let header = names.rfind(|(_, bytes)| *bytes == b"weight");
        let end = header.map_or(whole.len(), |(at, _)| at + 40);
        for at in 0..end {
            let mut file = whole.clone();
            file[at] ^= 1 << (at % 8);
            let _ = open(file);
            step();
            for bit in 0..8 {
                let mut file = whole.clone();
                file[at] ^= 1 << bit;
                let _ = GgufFile::from_bytes("model file `hostile`", file);
            }
        }
        Ok(())
    }));
    cases
}

/// What a writer can be told to write.
fn written() -> Vec<(String, Vec<u8>)> {
    let list = |item: u32, count: u64| {
        let content = [&item.to_le_bytes()[..], &count.to_le_bytes()].concat();
        whole().value("list", ValueKind::Array, &content)
    };
    let tensor = |shape: &[usize]| whole().tensor("w", GgmlDType::F32, shape, vec![0; 64]);
    let text = |length: u64| whole().value("text", ValueKind::String, &length.to_le_bytes());
    let vocabulary = |count: usize| {
        whole()
            .without("tokenizer.ggml.tokens")
            .without("tokenizer.ggml.scores")
            .without("tokenizer.ggml.token_type")
            .strings("tokenizer.ggml.tokens", &vec![""; count])
            .f32s("tokenizer.ggml.scores", &vec![f32::NAN; count])
    };
    let merges = |lines: &[String]| {
        byte_level()
            .without("tokenizer.ggml.merges")
            .strings("tokenizer.ggml.merges", lines)
    };
    let template = |source: &str| {
        whole()
            .without("tokenizer.chat_template")
            .string("tokenizer.chat_template", source)
    };
    let long = "x".repeat(1 << 20);
    let files = [
        ("whole", whole()),
        ("whole, byte level", byte_level()),
        ("arrays 10,000 deep", nested(10_000)),
        ("arrays 4 deep", nested(4)),
        ("a list of 2^60 bytes", list(0, 1 << 60)),
        ("a list of 2^60 texts", list(8, 1 << 60)),
        ("a list of 2^60 lists", list(9, 1 << 60)),
        ("a list of no kind", list(77, 1)),
        ("a text of 2^63 bytes", text(1 << 63)),
        ("a text of 2^64 - 1 bytes", text(u64::MAX)),
        ("a key twice", whole().u32("llama.block_count", 1)),
        (
            "a tensor twice",
            whole().f32_tensor("output_norm.weight", &[16], &[0.0; 16]),
        ),
        ("no dimension", tensor(&[])),
        ("a dimension of 0", tensor(&[0, 16])),
        ("2^80 numbers", tensor(&[1 << 40, 1 << 40])),
        (
            "2^64 numbers",
            tensor(&[1 << 16, 1 << 16, 1 << 16, 1 << 16]),
        ),
        ("2^62 numbers", tensor(&[1 << 62])),
        ("alignment 3", whole().alignment(3)),
        ("alignment 2^31", whole().u32("general.alignment", 1 << 31)),
        (
            "factors for other heads",
            whole().f32_tensor("rope_freqs.weight", &[3], &[1.0; 3]),
        ),
        (
            "factors of 0",
            whole().f32_tensor("rope_freqs.weight", &[4], &[0.0; 4]),
        ),
        (
            "factors that are none",
            whole().f32_tensor("rope_freqs.weight", &[4], &[f32::NAN; 4]),
        ),
        (
            "2^31 experts",
            whole()
                .u32("llama.expert_count", 1 << 31)
                .u32("llama.expert_used_count", 1),
        ),
        (
            "more experts used than there are",
            whole()
                .u32("llama.expert_count", 2)
                .u32("llama.expert_used_count", 9),
        ),
        ("one of three parts", whole().u32("split.count", 3)),
        ("a vocabulary of a million", vocabulary(1_000_000)),
        ("a vocabulary of four million", vocabulary(4_000_000)),
        ("no vocabulary", vocabulary(0)),
        ("a merge that is no pair", merges(&["ab".to_owned()])),
        ("long merges", merges(&vec![format!("{long} {long}"); 8])),
        (
            "a million merges",
            merges(
                &(0..1_000_000)
                    .map(|n| format!("a{n} b"))
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "a long token",
            whole()
                .without("tokenizer.ggml.tokens")
                .strings("tokenizer.ggml.tokens", &vec![long.clone(); 31]),
        ),
        (
            "a template of 10 MB",
            template(&"{{ 1 }}".repeat(1_500_000)),
        ),
        (
            "a template that doubles",
            template(super::templates::DOUBLES),
        ),
        (
            "a template that never ends",
            template(super::templates::LOOPS),
        ),
        ("a template that is none", template("{% if %}")),
        ("a template of half a tag", template("{%}")),
    ];
    let files = files.map(|(name, writer)| (name.to_owned(), writer.to_bytes()));
    files.into_iter().collect()
}

fn nested(depth: usize) -> GgufWriter {
    let mut content = Vec::new();
    for _ in 1..depth {
        content.extend(9u32.to_le_bytes());
        content.extend(1u64.to_le_bytes());
    }
    content.extend(0u32.to_le_bytes());
    content.extend(0u64.to_le_bytes());
    whole().value("deep", ValueKind::Array, &content)
}

/// Each key of the model with values that it should not have.
fn odd_values() -> Vec<(String, Vec<u8>)> {
    let (whole, byte_level) = (whole(), byte_level());
    let keys = whole.keys().map(|key| (&whole, key));
    let keys = keys.chain([(&byte_level, "tokenizer.ggml.merges")]);
    let mut files = Vec::new();
    for (model, key) in keys {
        let without = || model.clone().without(key);
        let values = [
            ("missing", without()),
            ("0", without().u32(key, 0)),
            ("1", without().u32(key, 1)),
            ("7", without().u32(key, 7)),
            ("2^32 - 1", without().u32(key, u32::MAX)),
            ("2^31", without().u32(key, 1 << 31)),
            ("2^60", without().u64(key, 1 << 60)),
            ("2^24", without().u32(key, 1 << 24)),
            (
                "-1",
                without().value(key, ValueKind::I32, &(-1i32).to_le_bytes()),
            ),
            ("NaN", without().f32(key, f32::NAN)),
            ("-1.0", without().f32(key, -1.0)),
            ("infinite", without().f32(key, f32::INFINITY)),
            ("tiny", without().f32(key, f32::MIN_POSITIVE)),
            ("0.0", without().f32(key, 0.0)),
            ("text", without().string(key, "渡鸦")),
            ("no text", without().string(key, "")),
            (
                "broken text",
                without().value(key, ValueKind::String, b"\x02\0\0\0\0\0\0\0\xff\xfe"),
            ),
            ("true", without().bool(key, true)),
            ("no texts", without().strings::<&str>(key, &[])),
            ("one text", without().strings(key, &["a b"])),
            ("numbers", without().i32s(key, &[i32::MIN, -1, 0, i32::MAX])),
            (
                "numbers of another length",
                without().f32s(key, &[f32::NAN; 100]),
            ),
        ];
        let named = values.map(|(value, file)| (format!("{key}: {value}"), file.to_bytes()));
        files.extend(named);
    }
    files
}

/// Fields of the tensors' list, which the writer always writes well.
fn patched() -> Vec<(String, Vec<u8>)> {
    let whole = whole().to_bytes();
    let name = b"blk.0.ffn_up.weight";
    let at = whole.windows(name.len()).position(|bytes| bytes == name);
    let fields = at.expect("the tensor is there") + name.len();
    let fields = [
        ("dimensions", fields, 4),
        ("rows", fields + 4, 8),
        ("columns", fields + 12, 8),
        ("type", fields + 20, 4),
        ("offset", fields + 24, 8),
        ("number of tensors", 8, 8),
        ("number of keys", 16, 8),
        ("version", 4, 4),
    ];
    let values = [
        0,
        1,
        2,
        5,
        8,
        20,
        32,
        64,
        99,
        1 << 20,
        1 << 31,
        u64::from(u32::MAX),
        1 << 40,
        1 << 60,
        1 << 63,
        u64::MAX - 31,
        u64::MAX,
    ];
    let mut files = Vec::new();
    for (field, at, bytes) in fields {
        for value in values {
            let mut file = whole.clone();
            file[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            files.push((format!("{field} of a tensor {value:#x}"), file));
        }
    }
    files
}
