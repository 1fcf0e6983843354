//! How a model directory wants texts prepared and token vectors pooled: the files that
//! Sentence Transformers writes beside a model.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use corbie_core::Result;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::{self, malformed, unsupported};
use super::pooling::Pooling;

/// What is done around the encoder.
///
/// Where a file is absent: mean pooling, no normalisation, no prompts, and the length that the
/// tokenizer and the encoder allow, as Sentence Transformers has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recipe {
    /// The results are joined in this order.
    pub pooling: Vec<Pooling>,
    /// Whether vectors are scaled to unit length.
    pub normalize: bool,
    /// The most tokens of one text, special tokens included.
    pub max_tokens: Option<usize>,
    /// Whether texts are put in lower case before the tokenizer sees them.
    pub lowercase: bool,
    /// Written before a document.
    pub document_prompt: String,
    /// Written before a query.
    pub query_prompt: String,
}

/// The old names of `sentence_bert_config.json`, which depended on the encoder.
const LENGTH_FILES: [&str; 5] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_xlm-roberta_config.json",
];

/// The old keys of a pooling configuration, in the order in which their results are joined.
const POOLING_KEYS: [(&str, Pooling); 6] = [
    ("pooling_mode_cls_token", Pooling::Cls),
    ("pooling_mode_max_tokens", Pooling::Max),
    ("pooling_mode_mean_tokens", Pooling::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("pooling_mode_lasttoken", Pooling::LastToken),
];

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Default)]
struct LengthConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// A float because "no limit" is written as 10³⁰.
    model_max_length: Option<f64>,
}

#[derive(Deserialize, Default)]
struct PromptConfig {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
}

impl Recipe {
    /// Reads what is there of `modules.json`, the pooling configuration it points to,
    /// `sentence_bert_config.json`, `config_sentence_transformers.json` and
    /// `tokenizer_config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut recipe = Self {
            pooling: vec![Pooling::Mean],
            normalize: false,
            max_tokens: None,
            lowercase: false,
            document_prompt: String::new(),
            query_prompt: String::new(),
        };
        recipe.read_prompts(dir)?;
        recipe.read_modules(dir)?;
        recipe.read_length(dir)?;
        Ok(recipe)
    }

    fn read_prompts(&mut self, dir: &Path) -> Result<()> {
        let config: PromptConfig =
            files::json(dir, "config_sentence_transformers.json")?.unwrap_or_default();
        let default = config.default_prompt_name.as_deref();
        let prompt = |names: &[&str]| {
            let own = names.iter().copied().chain(default);
            let mut found = own.filter_map(|name| config.prompts.get(name)?.clone());
            found.next().unwrap_or_default()
        };
        self.query_prompt = prompt(&["query"]);
        self.document_prompt = prompt(&["document", "passage", "corpus"]);
        Ok(())
    }

    fn read_modules(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("modules.json");
        let Some(modules) = files::json::<Vec<Module>>(dir, "modules.json")? else {
            return self.read_pooling(dir, "1_Pooling/config.json");
        };
        for (index, module) in modules.iter().enumerate() {
            // The package in front of the name differs between versions.
            let name = module.kind.rsplit('.').next().unwrap_or_default();
            match (index, name) {
                (0, "Transformer") if module.path.is_empty() => {}
                (1, "Pooling") => self.read_pooling(dir, &module_config(&path, module)?)?,
                (2, "Normalize") => self.normalize = true,
                (0, "Transformer") => {
                    let cause = format!("the encoder lies in a folder, `{}`", module.path);
                    return Err(unsupported(&path, cause));
                }
                _ => {
                    let cause = format!("module {index} is a `{name}`");
                    return Err(unsupported(&path, cause).hint(
                        "known is: a Transformer, then a Pooling, then perhaps a Normalize",
                    ));
                }
            }
        }
        Ok(())
    }

    fn read_pooling(&mut self, dir: &Path, name: &str) -> Result<()> {
        let path = dir.join(name);
        let Some(config) = files::json::<Map<String, Value>>(dir, name)? else {
            return Ok(());
        };
        let prompted = !self.document_prompt.is_empty() || !self.query_prompt.is_empty();
        if config.get("include_prompt") == Some(&Value::Bool(false)) && prompted {
            let cause = "the prompt is to be left out of the pooling (`include_prompt`)";
            return Err(unsupported(&path, cause));
        }
        self.pooling = match config.get("pooling_mode") {
            Some(Value::Array(modes)) => modes
                .iter()
                .map(|mode| pooling_mode(&path, mode))
                .collect::<Result<_>>()?,
            Some(mode) => vec![pooling_mode(&path, mode)?],
            None => {
                let chosen = |key: &str| config.get(key) == Some(&Value::Bool(true));
                let known = POOLING_KEYS.iter();
                known.filter(|row| chosen(row.0)).map(|row| row.1).collect()
            }
        };
        if self.pooling.is_empty() {
            self.pooling = vec![Pooling::Mean];
        }
        Ok(())
    }

    fn read_length(&mut self, dir: &Path) -> Result<()> {
        for name in LENGTH_FILES {
            if let Some(config) = files::json::<LengthConfig>(dir, name)? {
                self.max_tokens = config.max_seq_length;
                self.lowercase = config.do_lower_case;
                break;
            }
        }
        if self.max_tokens.is_none() {
            let config: TokenizerConfig =
                files::json(dir, "tokenizer_config.json")?.unwrap_or_default();
            self.max_tokens = config.model_max_length.map(|length| length as usize);
        }
        Ok(())
    }
}

/// The configuration file of a module, whose path comes from the model and must stay inside it.
fn module_config(path: &Path, module: &Module) -> Result<String> {
    let inside = Path::new(&module.path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        let cause = format!("the module's path `{}` leads out of the model", module.path);
        return Err(malformed(path, cause));
    }
    Ok(format!("{}/config.json", module.path))
}

fn pooling_mode(path: &Path, mode: &Value) -> Result<Pooling> {
    serde_json::from_value(mode.clone())
        .map_err(|_| unsupported(path, format!("pooling by {mode} is not known")))
}
