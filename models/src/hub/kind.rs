//! What a folder of safetensors is for, by its own files.

use std::path::Path;

use serde_json::Value;

use super::catalogue::ModelKind;

/// The most bytes of a `config.json` that is looked at.
const LIMIT: u64 = 4 << 20;

/// What the model in `folder` is for, as its `config.json` says; that of an encoder where it says
/// nothing.
///
/// The files of a sentence encoder beside it make an embedder of any architecture: some are
/// decoders.
pub fn of_folder(folder: &Path) -> ModelKind {
    let config = config(folder).unwrap_or_default();
    let names = config["architectures"].as_array();
    let name = names
        .and_then(|names| names.first()?.as_str())
        .unwrap_or("");
    if folder.join("modules.json").exists() {
        return ModelKind::Embedding;
    }
    // A file that names no architecture may still say how many labels there are.
    let one_label = config["id2label"]
        .as_object()
        .is_some_and(|it| it.len() == 1)
        || config["num_labels"] == 1;
    if name.ends_with("ForSequenceClassification") || (name.is_empty() && one_label) {
        return ModelKind::Reranking;
    }
    let generates = ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration"];
    if generates.iter().any(|end| name.ends_with(end)) || (name.is_empty() && decodes(&config)) {
        let templates = ["chat_template.jinja", "chat_template.json"];
        let has_template = templates.iter().any(|file| folder.join(file).exists())
            || tokenizer_config_has_template(folder);
        return match has_template {
            true => ModelKind::Chat,
            false => ModelKind::Completion,
        };
    }
    ModelKind::Embedding
}

/// Whether the model's type is one of decoders alone. Without the engine none is known.
#[cfg(feature = "local")]
fn decodes(config: &Value) -> bool {
    let kind = config["model_type"].as_str();
    let both = ["qwen3", "gemma3_text"];
    kind.is_some_and(|kind| {
        let rows = crate::decoder::ARCHITECTURES.iter();
        let mut types = rows.flat_map(|row| row.model_types);
        !both.contains(&kind) && types.any(|known| *known == kind)
    })
}

#[cfg(not(feature = "local"))]
fn decodes(_: &Value) -> bool {
    false
}

fn tokenizer_config_has_template(folder: &Path) -> bool {
    let config = read(&folder.join("tokenizer_config.json"));
    config.is_some_and(|config| config.get("chat_template").is_some_and(|it| !it.is_null()))
}

fn config(folder: &Path) -> Option<Value> {
    read(&folder.join("config.json"))
}

fn read(path: &Path) -> Option<Value> {
    use std::io::Read;
    let file = std::fs::File::open(path).ok()?;
    serde_json::from_reader(std::io::BufReader::new(file.take(LIMIT))).ok()
}
