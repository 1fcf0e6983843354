//! What the files of a model say of themselves.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, Result};
use serde_json::{Value, json};

use crate::chat::LocalChatOptions;
use crate::decoder::DecoderSize;
use crate::dialect::Dialect;
use crate::encoder::{EncoderFacts, LocalEmbedderOptions};
use crate::estimate::{self, MemoryNeed};
use crate::gguf::GgufFile;
use crate::hub::{Format, LocalModel, ModelKind};
use crate::kernels::Precision;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

type Facts = Vec<(&'static str, Value)>;

/// What the files of a model say of themselves: for people, in the order of interest. Only headers
/// are read.
///
/// # Errors
///
/// When a file is damaged, or of an architecture that is not known.
pub fn describe(model: &LocalModel) -> Result<Facts> {
    let kind = model.kind;
    let (mut facts, need) = match (model.format, kind) {
        (Format::Gguf, _) => gguf(&model.path, kind)?,
        (_, Some(ModelKind::Chat | ModelKind::Completion)) => decoder(&model.path, kind)?,
        _ => encoder(&model.path, kind)?,
    };
    let files = files(model)?;
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let files = files.into_iter();
    let files: Vec<Value> = files
        .map(|(name, bytes)| json!({ "name": name, "bytes": bytes }))
        .collect();
    facts.push(("files", json!(files)));
    facts.push(("bytes", json!(bytes)));
    let mut memory = json!(need);
    memory["least"] = json!(need.least());
    memory["total"] = json!(need.total());
    facts.push(("memory", memory));
    Ok(facts)
}

fn gguf(path: &Path, kind: Option<ModelKind>) -> Result<(Facts, MemoryNeed)> {
    let file = GgufFile::open(path)?;
    let metadata = file.metadata();
    let size = DecoderSize::of_gguf(&file, Precision::default())?;
    let template = metadata.str("tokenizer.chat_template")?;
    let kind = kind.unwrap_or(match template {
        Some(_) => ModelKind::Chat,
        None => ModelKind::Completion,
    });
    let mut facts = Vec::new();
    if let Some(title) = metadata.str("general.name")? {
        facts.push(("title", json!(title)));
    }
    let quantization = metadata.u32("general.file_type")?.and_then(file_type);
    let quantization = quantization.unwrap_or_else(|| type_name(size.dtype));
    facts.extend([
        ("kind", json!(kind.as_str())),
        ("format", json!("gguf")),
        ("architecture", json!(file.architecture()?)),
        ("parameters", json!(size.parameters)),
        ("quantization", json!(quantization)),
        ("context_length", json!(size.config.context_length)),
        ("tokenizer", json!(metadata.str("tokenizer.ggml.model")?)),
        ("chat_template", json!(template.is_some())),
    ]);
    let tokens = metadata.strings("tokenizer.ggml.tokens")?;
    let dialect = Dialect::of(template, &|token| {
        tokens
            .as_ref()
            .is_some_and(|tokens| tokens.contains(&token))
    });
    facts.push(("dialect", json!(dialect.name)));
    if let Some(licence) = metadata.str("general.license")? {
        facts.push(("licence", json!(licence)));
    }
    Ok((facts, estimate::gguf(&file, &LocalChatOptions::default())?))
}

fn decoder(folder: &Path, kind: Option<ModelKind>) -> Result<(Facts, MemoryNeed)> {
    let size = DecoderSize::of_directory(folder, Precision::default())?;
    let tokenizer = Tokenizer::from_directory(folder)?;
    let template = ChatTemplate::from_directory(folder, &tokenizer)?;
    let facts = vec![
        ("kind", json!(kind.map(ModelKind::as_str))),
        ("format", json!("safetensors")),
        ("architecture", json!(size.config.architecture.name)),
        ("parameters", json!(size.parameters)),
        ("quantization", json!(type_name(size.dtype))),
        ("context_length", json!(size.config.context_length)),
        ("tokenizer", json!("tokenizer.json")),
        ("chat_template", json!(template.source().is_some())),
        ("dialect", json!(template.dialect().name)),
    ];
    Ok((facts, estimate::chat(folder, &LocalChatOptions::default())?))
}

fn encoder(folder: &Path, kind: Option<ModelKind>) -> Result<(Facts, MemoryNeed)> {
    let about = EncoderFacts::read(folder)?;
    let mut facts = vec![
        ("kind", json!(kind.map(ModelKind::as_str))),
        ("format", json!("safetensors")),
        ("architecture", json!(about.architecture)),
        ("parameters", json!(about.parameters)),
        ("quantization", json!(about.dtype)),
        ("context_length", json!(about.max_tokens)),
        ("tokenizer", json!("tokenizer.json")),
    ];
    if kind != Some(ModelKind::Reranking) {
        facts.extend([
            ("dimension", json!(about.dimension)),
            ("pooling", json!(about.pooling)),
            ("normalized", json!(about.normalized)),
            ("document_prompt", json!(about.document_prompt)),
            ("query_prompt", json!(about.query_prompt)),
        ]);
    }
    let need = estimate::embedder(folder, &LocalEmbedderOptions::default())?;
    Ok((facts, need))
}

/// The names and sizes of a model's files.
fn files(model: &LocalModel) -> Result<Vec<(String, u64)>> {
    let size = |path: &Path| -> Result<u64> {
        let about = std::fs::metadata(path);
        let about = about.map_err(|error| Error::io(path.display().to_string(), error))?;
        Ok(about.len())
    };
    let files = model.files();
    let folder = match model.format {
        Format::Gguf => model.path.parent().unwrap_or(&model.path),
        Format::Safetensors => &model.path,
    };
    let sized = |name: String| Ok((name.clone(), size(&folder.join(name))?));
    files.into_iter().map(sized).collect()
}

/// How llama.cpp names the mixtures of types that it writes, by `general.file_type`.
fn file_type(code: u32) -> Option<&'static str> {
    const NAMES: [(u32, &str); 18] = [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (21, "Q2_K_S"),
        (32, "BF16"),
    ];
    let row = NAMES.iter().find(|(known, _)| *known == code);
    row.map(|(_, name)| *name)
}

fn type_name(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 => "F32",
        GgmlDType::F16 => "F16",
        GgmlDType::BF16 => "BF16",
        GgmlDType::Q4_0 => "Q4_0",
        GgmlDType::Q4_1 => "Q4_1",
        GgmlDType::Q5_0 => "Q5_0",
        GgmlDType::Q5_1 => "Q5_1",
        GgmlDType::Q8_0 => "Q8_0",
        GgmlDType::Q8_1 => "Q8_1",
        GgmlDType::Q2K => "Q2_K",
        GgmlDType::Q3K => "Q3_K",
        GgmlDType::Q4K => "Q4_K",
        GgmlDType::Q5K => "Q5_K",
        GgmlDType::Q6K => "Q6_K",
        GgmlDType::Q8K => "Q8_K",
    }
}
