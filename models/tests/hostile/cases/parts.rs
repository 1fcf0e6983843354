//! What lies beside a model: a `tokenizer.json`, a safetensors directory, an adapter; and what a
//! model may be made to write.

use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use corbie_core::Result;
use corbie_models::decoder::{Adapter, Decoder, DecoderOptions, Workspace};
use corbie_models::dialect::{DIALECTS, Opening};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::kernels::Precision;
use corbie_models::testing::{RandomModel, SafetensorsWriter};
use corbie_models::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};

use super::Case;

pub fn cases() -> Vec<Case> {
    let tokenizers = tokenizers().into_iter().map(|(name, bytes)| {
        Case::new(format!("tokenizer.json: {name}"), move |_| tokenize(&bytes))
    });
    let directories = directories()
        .into_iter()
        .map(|(name, files)| Case::new(format!("directory: {name}"), move |_| load(&files)));
    let adapters = adapters()
        .into_iter()
        .map(|(name, files)| Case::new(format!("adapter: {name}"), move |_| adapt(&files)));
    let replies = replies().into_iter().flat_map(|(name, reply)| {
        DIALECTS.iter().map(move |row| {
            let reply = reply.clone();
            Case::new(format!("reply, {}: {name}", row.name), move |_| {
                let mut parser = row.parser(&[], Opening::Answer);
                for piece in reply.as_bytes().chunks(1000) {
                    parser.push(&String::from_utf8_lossy(piece));
                }
                parser.finish();
                Ok(())
            })
        })
    });
    tokenizers
        .chain(directories)
        .chain(adapters)
        .chain(replies)
        .collect()
}

/// Files of a directory by name.
type Files = Vec<(&'static str, Vec<u8>)>;

fn written(files: &Files) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory can be made");
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).expect("a file can be written");
    }
    directory
}

/// Reads a `tokenizer.json` and encodes with it.
pub fn tokenize(bytes: &[u8]) -> Result<()> {
    let directory = written(&vec![("tokenizer.json", bytes.to_vec())]);
    let tokenizer = Tokenizer::from_file(&directory.path().join("tokenizer.json"))?;
    let ids = tokenizer.encode("Ravens 渡鸦 cache food.\n", EncodeOptions::default())?;
    let _ = tokenizer.decode(&ids, false);
    let _ = tokenizer.decode(&[u32::MAX, 0, 1], true);
    Ok(())
}

pub fn tokenizer_json() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": 3, "content": "<s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
    })
}

fn tokenizers() -> Vec<(&'static str, Vec<u8>)> {
    let with = |path: &str, value: Value| {
        let mut whole = tokenizer_json();
        *whole.pointer_mut(path).expect("the field is there") = value;
        whole.to_string().into_bytes()
    };
    let regex = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let replace = |pattern: &str, content: &str| json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": content});
    let sequence = |parts: Vec<Value>| json!({"type": "Sequence", "normalizers": parts});
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    vec![
        ("whole", tokenizer_json().to_string().into_bytes()),
        ("nothing", Vec::new()),
        ("no object", b"[]".to_vec()),
        ("100,000 lists in lists", deep(100_000)),
        (
            "an id of 2^24",
            with("/model/vocab", json!({"a": 1 << 24, "b": 1, "ab": 2})),
        ),
        (
            "an id of 2^32 - 1",
            with("/model/vocab", json!({"a": u32::MAX, "b": 1, "ab": 2})),
        ),
        (
            "an id of 2^64 - 1",
            with("/model/vocab", json!({"a": u64::MAX, "b": 1, "ab": 2})),
        ),
        (
            "an added id of 2^32 - 1",
            with("/added_tokens/0/id", json!(u32::MAX)),
        ),
        (
            "an added token of nothing",
            with("/added_tokens/0/content", json!("")),
        ),
        (
            "a merge of none",
            with("/model/merges", json!([["x", "y"]])),
        ),
        (
            "a merge that is no pair",
            with("/model/merges", json!(["ab"])),
        ),
        (
            "a merge of nothings",
            with("/model/merges", json!([["", ""]])),
        ),
        ("an alphabet of nothing", with("/model/vocab", json!({}))),
        (
            "a catastrophic pattern",
            with("/pre_tokenizer", regex("(a|aa)+$|((.*)*)*x")),
        ),
        (
            "a pattern that looks back",
            with("/pre_tokenizer", regex("(?<=(a|b)*)(.)\\2\\2")),
        ),
        ("a pattern of nothing", with("/pre_tokenizer", regex(""))),
        (
            "a long pattern",
            with("/pre_tokenizer", regex(&"(a|b){1000}".repeat(1000))),
        ),
        (
            "nested patterns",
            with(
                "/pre_tokenizer",
                regex("((((a{0,999}){0,999}){0,999}){0,999}){0,999}"),
            ),
        ),
        (
            "letters that double",
            with("/normalizer", sequence(vec![replace(".", "渡渡"); 40])),
        ),
        (
            "a normaliser of nothing",
            with("/normalizer", replace("", "渡鸦")),
        ),
        (
            "many normalisers",
            with(
                "/normalizer",
                sequence(vec![json!({"type": "NFKC"}); 10_000]),
            ),
        ),
        (
            "a broken map of characters",
            with(
                "/normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": "AAAA////"}),
            ),
        ),
        (
            "a decoder of half a word",
            tokenizer_json()
                .to_string()
                .replace("\"trim_offsets\":true,", "\"trim_offsets\":tru e,")
                .into_bytes(),
        ),
        ("an unknown model", with("/model/type", json!("Mystery"))),
        (
            "unigram without tokens",
            with(
                "/model",
                json!({"type": "Unigram", "unk_id": 5, "vocab": []}),
            ),
        ),
        (
            "unigram of nothings",
            with(
                "/model",
                json!({"type": "Unigram", "unk_id": 0, "vocab": [["", 0.0], ["", -1e308]]}),
            ),
        ),
        (
            "a word of no length",
            with(
                "/model",
                json!({"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "", "max_input_chars_per_word": 0, "vocab": {"": 0, "a": 1}}),
            ),
        ),
        (
            "a template of nothing",
            with(
                "/post_processor",
                json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}], "pair": [], "special_tokens": {}}),
            ),
        ),
        (
            "padding to 2^60",
            with(
                "/padding",
                json!({"strategy": {"Fixed": 1_u64 << 60}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}),
            ),
        ),
        (
            "truncation to 0",
            with(
                "/truncation",
                json!({"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 7}),
            ),
        ),
    ]
}

fn model() -> RandomModel {
    RandomModel {
        layers: 1,
        hidden: 16,
        feed_forward: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        vocabulary: 40,
        ..RandomModel::new("llama").expect("there is such a row")
    }
}

/// Loads a directory and reads a token.
fn load(files: &Files) -> Result<()> {
    let directory = written(files);
    open_directory(directory.path())
}

pub fn open_directory(directory: &Path) -> Result<()> {
    let decoder = Arc::new(Decoder::load_directory(
        directory,
        &DecoderOptions::default(),
    )?);
    decoder
        .sequence()
        .read(&[0], 1, &mut Workspace::default())
        .map(drop)
}

/// The files of a whole directory.
pub fn directory_files() -> (Value, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    model()
        .write_directory(directory.path(), GgmlDType::F32)
        .expect("a model can be written");
    let read = |name: &str| std::fs::read(directory.path().join(name)).expect("it was written");
    let config = serde_json::from_slice(&read("config.json")).expect("it is JSON");
    (config, read("model.safetensors"))
}

fn directories() -> Vec<(String, Files)> {
    let (config, weights) = directory_files();
    let whole = config.to_string().into_bytes();
    let files = |config: &[u8], weights: &[u8]| -> Files {
        vec![
            ("config.json", config.to_vec()),
            ("model.safetensors", weights.to_vec()),
        ]
    };
    let mut all = vec![("whole".to_owned(), files(&whole, &weights))];
    let odd = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(1 << 24),
        json!(1_u64 << 60),
        json!(u64::MAX),
        json!(1e308),
        json!(-0.0),
        json!("渡鸦"),
        json!([]),
        json!({}),
        json!([1e9, 1e9, 1e9]),
        json!(true),
    ];
    let keys: Vec<String> = config
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect();
    for key in &keys {
        for value in &odd {
            let mut config = config.clone();
            config[key] = value.clone();
            all.push((
                format!("{key}: {value}"),
                files(config.to_string().as_bytes(), &weights),
            ));
        }
    }
    let header =
        |length: u64, text: &str| [&length.to_le_bytes()[..], text.as_bytes(), &[0; 64]].concat();
    let tensor = |shape: &str, offsets: &str| {
        let text = format!(
            r#"{{"model.embed_tokens.weight": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}}}"#
        );
        header(text.len() as u64, &text)
    };
    for (name, weights) in [
        ("no weights", Vec::new()),
        ("a header of 2^63 bytes", header(1 << 63, "{}")),
        ("a header of 2^64 - 1 bytes", header(u64::MAX, "{}")),
        ("a header of a gigabyte", header(1 << 30, "{}")),
        ("a header of nothing", header(0, "")),
        ("a header of lists", header(100_000, &"[".repeat(100_000))),
        (
            "2^80 numbers",
            tensor("[1099511627776, 1099511627776]", "[0, 64]"),
        ),
        ("a negative offset", tensor("[16]", "[-1, 64]")),
        ("offsets that go back", tensor("[16]", "[64, 0]")),
        (
            "offsets past the end",
            tensor("[16]", "[0, 18446744073709551615]"),
        ),
        (
            "a dimension of 0",
            tensor("[0, 18446744073709551615]", "[0, 0]"),
        ),
        (
            "10,000 dimensions",
            tensor(&json!([1; 32].repeat(300)).to_string(), "[0, 4]"),
        ),
    ] {
        all.push((name.to_owned(), files(&whole, &weights)));
    }
    for (name, config) in [
        ("a configuration of lists", "[".repeat(100_000)),
        ("a configuration of nothing", String::new()),
        (
            "a long configuration",
            format!("{{\"x\": \"{}\"}}", "x".repeat(20 << 20)),
        ),
    ] {
        all.push((name.to_owned(), files(config.as_bytes(), &weights)));
    }
    let step = (weights.len() / 200).max(1);
    for end in (0..weights.len()).step_by(step) {
        all.push((format!("cut at {end}"), files(&whole, &weights[..end])));
    }
    all
}

/// Reads an adapter for the model.
fn adapt(files: &Files) -> Result<()> {
    let file = GgufFile::from_bytes("model", model().gguf(GgmlDType::F32).to_bytes())?;
    let decoder = Decoder::load(&file, Precision::F32)?;
    let directory = written(files);
    match files.iter().find(|(name, _)| name.ends_with(".gguf")) {
        Some((_, bytes)) => {
            let file = GgufFile::from_bytes("adapter", bytes.clone())?;
            Adapter::from_gguf(&file, decoder.config()).map(drop)
        }
        None => Adapter::from_directory(directory.path(), decoder.config()).map(drop),
    }
}

fn adapters() -> Vec<(String, Files)> {
    let mut all = Vec::new();
    let gguf = |alpha: f32, a: &[usize], b: &[usize]| {
        let numbers = |shape: &[usize]| vec![0.5; shape.iter().product()];
        GgufWriter::new()
            .string("general.type", "adapter")
            .string("general.architecture", "llama")
            .string("adapter.type", "lora")
            .f32("adapter.lora.alpha", alpha)
            .f32_tensor("blk.0.attn_q.weight.lora_a", a, &numbers(a))
            .f32_tensor("blk.0.attn_q.weight.lora_b", b, &numbers(b))
            .to_bytes()
    };
    for (name, bytes) in [
        ("whole", gguf(1.0, &[2, 16], &[16, 2])),
        ("other rows", gguf(1.0, &[2, 16], &[17, 2])),
        ("other ranks", gguf(1.0, &[2, 16], &[16, 3])),
        ("a vector", gguf(1.0, &[16], &[16])),
        ("three dimensions", gguf(1.0, &[1, 2, 16], &[16, 2, 1])),
        (
            "a scale that is no number",
            gguf(f32::NAN, &[2, 16], &[16, 2]),
        ),
        ("an infinite scale", gguf(f32::INFINITY, &[2, 16], &[16, 2])),
        ("a rank of 4,096", gguf(1.0, &[4096, 16], &[16, 4096])),
        ("no file", Vec::new()),
    ] {
        all.push((format!("GGUF, {name}"), vec![("adapter.gguf", bytes)]));
    }
    let name =
        |which: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.{which}.weight");
    let weights = |a: &[usize], b: &[usize]| {
        let bytes = |shape: &[usize]| vec![0; 4 * shape.iter().product::<usize>()];
        SafetensorsWriter::new()
            .tensor(&name("lora_A"), GgmlDType::F32, a, bytes(a))
            .tensor(&name("lora_B"), GgmlDType::F32, b, bytes(b))
            .to_bytes()
    };
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none",
        "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": false});
    let files = |config: &Value, weights: Vec<u8>| -> Files {
        vec![
            ("adapter_config.json", config.to_string().into_bytes()),
            ("adapter_model.safetensors", weights),
        ]
    };
    let whole = weights(&[2, 16], &[16, 2]);
    all.push(("whole".to_owned(), files(&config, whole.clone())));
    all.push((
        "other rows".to_owned(),
        files(&config, weights(&[2, 15], &[16, 2])),
    ));
    for key in [
        "peft_type",
        "r",
        "lora_alpha",
        "bias",
        "rank_pattern",
        "alpha_pattern",
        "use_rslora",
    ] {
        for value in [
            json!(null),
            json!(0),
            json!(-1),
            json!(1e308),
            json!(1e-320),
            json!("x"),
            json!({"": 0}),
            json!({"^^": 1e-40}),
            json!([]),
        ] {
            let mut config = config.clone();
            config[key] = value.clone();
            all.push((format!("{key}: {value}"), files(&config, whole.clone())));
        }
    }
    for end in (0..whole.len()).step_by(7) {
        all.push((
            format!("cut at {end}"),
            files(&config, whole[..end].to_vec()),
        ));
    }
    all
}

/// Replies that a model could be made to write.
fn replies() -> Vec<(&'static str, String)> {
    let much = |text: &str| text.repeat(200_000 / text.len());
    vec![
        ("open brackets", much("[{\"a\":")),
        ("open calls", much("<tool_call>")),
        ("half calls", much("<tool_call>{\"name\": \"")),
        ("thoughts in thoughts", much("<think>")),
        ("ends of thoughts", much("</think>")),
        (
            "backslashes in a text",
            format!("{{\"name\": \"{}", "\\".repeat(200_000)),
        ),
        ("quotes", much("\"'`")),
        ("functions", much("<function=x><parameter=y>")),
        ("pythonic calls", format!("[{}", much("f(a=[1,(2,{'b':"))),
        ("marks", much("<|python_tag|><|channel|>[TOOL_CALLS]")),
        (
            "special tokens of all kinds",
            much("<|tool_call_start|>[<｜tool▁calls▁begin｜>functools[>>>all\n"),
        ),
        ("spaces", " ".repeat(200_000)),
        (
            "one long number",
            format!(
                "{{\"name\":\"f\",\"arguments\":{{\"a\":{}}}}}",
                "9".repeat(200_000)
            ),
        ),
    ]
}
