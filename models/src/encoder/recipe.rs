//! How a model directory wants texts prepared and token vectors pooled: the files that
//! Sentence Transformers writes beside a model.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use corbie_core::{EmbedKind, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::architecture::Activation;
use super::embedder::LocalEmbedderOptions;
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
    /// What is done to the pooled vector, in this order.
    pub steps: Vec<Step>,
    /// The most tokens of one text, special tokens included.
    pub max_tokens: Option<usize>,
    /// Whether texts are put in lower case before the tokenizer sees them.
    pub lowercase: bool,
    pub prompts: Prompts,
}

/// What is written before texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Prompts {
    /// Before a document.
    pub document: String,
    /// Before a query.
    pub query: String,
}

/// Something done to a pooled vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// It is scaled to unit length.
    Normalize,
    /// It goes through a linear layer.
    Dense(DenseConfig),
}

/// A linear layer after the pooling.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DenseConfig {
    /// Its folder in the model.
    pub folder: String,
    pub inputs: usize,
    pub outputs: usize,
    pub bias: bool,
    /// `None`: there is none.
    pub activation: Option<Activation>,
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

/// An entry of `modules.json`.
#[derive(Deserialize)]
pub(super) struct Module {
    /// Its folder in the model; empty: the model's own.
    #[serde(default)]
    pub path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct RawDense {
    in_features: usize,
    out_features: usize,
    bias: Option<bool>,
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
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

impl Prompts {
    /// Reads `config_sentence_transformers.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let config: PromptConfig =
            files::json(dir, "config_sentence_transformers.json")?.unwrap_or_default();
        let default = config.default_prompt_name.as_deref();
        let prompt = |names: &[&str]| {
            let own = names.iter().copied().chain(default);
            let mut found = own.filter_map(|name| config.prompts.get(name)?.clone());
            found.next().unwrap_or_default()
        };
        Ok(Self {
            query: prompt(&["query"]),
            document: prompt(&["document", "passage", "corpus"]),
        })
    }

    /// These, or those that a caller has chosen.
    pub fn chosen(mut self, options: &LocalEmbedderOptions) -> Self {
        if let Some(prompt) = &options.document_prompt {
            self.document.clone_from(prompt);
        }
        if let Some(prompt) = &options.query_prompt {
            self.query.clone_from(prompt);
        }
        self
    }

    /// The one of a kind.
    pub fn of(&self, kind: EmbedKind) -> &str {
        match kind {
            EmbedKind::Document => &self.document,
            EmbedKind::Query => &self.query,
        }
    }
}

impl Recipe {
    /// Reads what is there of `modules.json`, the pooling configuration it points to,
    /// `sentence_bert_config.json`, `config_sentence_transformers.json` and
    /// `tokenizer_config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut recipe = Self {
            prompts: Prompts::read(dir)?,
            ..Self::read_lengths(dir)?
        };
        recipe.read_modules(dir)?;
        Ok(recipe)
    }

    /// Reads how long a text may be and whether it is put in lower case, and nothing else.
    pub fn read_lengths(dir: &Path) -> Result<Self> {
        let mut recipe = Self {
            pooling: vec![Pooling::Mean],
            steps: Vec::new(),
            max_tokens: None,
            lowercase: false,
            prompts: Prompts::default(),
        };
        recipe.read_length(dir)?;
        Ok(recipe)
    }

    fn read_modules(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("modules.json");
        let Some(modules) = modules(dir)? else {
            return self.read_pooling(dir, "1_Pooling/config.json");
        };
        for (index, module) in modules.iter().enumerate() {
            match (index, module.name()) {
                (0, "Transformer") if module.path.is_empty() => {}
                (1, "Pooling") => self.read_pooling(dir, &module.config(&path)?)?,
                (2.., "Normalize") => self.steps.push(Step::Normalize),
                (2.., "Dense") => self.steps.push(Step::Dense(dense(dir, &path, module)?)),
                (0, "Transformer") => {
                    let cause = format!("the encoder lies in a folder, `{}`", module.path);
                    return Err(unsupported(&path, cause));
                }
                (_, name) => {
                    let cause = format!("module {index} is a `{name}`");
                    return Err(unsupported(&path, cause).hint(
                        "known is: a Transformer, a Pooling, then Dense layers and Normalize",
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
        let prompted = self.prompts != Prompts::default();
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

/// What `modules.json` lists, if there is such a file.
pub(super) fn modules(dir: &Path) -> Result<Option<Vec<Module>>> {
    files::json(dir, "modules.json")
}

impl Module {
    /// The last part of its type: the package in front of it differs between versions.
    pub fn name(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or_default()
    }

    /// Its configuration file.
    pub fn config(&self, modules: &Path) -> Result<String> {
        self.file(modules, "config.json")
    }

    /// One of its files. Its path comes from the model and must stay inside it.
    pub fn file(&self, modules: &Path, name: &str) -> Result<String> {
        let inside = Path::new(&self.path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            let cause = format!("the module's path `{}` leads out of the model", self.path);
            return Err(malformed(modules, cause));
        }
        Ok(match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.path),
        })
    }
}

/// The last part of a Python class's name says which activation it is.
pub(super) fn activation_class(path: &Path, class: &str) -> Result<Option<Activation>> {
    Ok(match class.rsplit('.').next().unwrap_or_default() {
        "Identity" => None,
        "Tanh" => Some(Activation::Tanh),
        "ReLU" => Some(Activation::Relu),
        "GELU" => Some(Activation::Gelu),
        "SiLU" => Some(Activation::Silu),
        "Sigmoid" => Some(Activation::Sigmoid),
        _ => {
            return Err(unsupported(
                path,
                format!("the activation `{class}` is not known"),
            ));
        }
    })
}

fn dense(dir: &Path, modules: &Path, module: &Module) -> Result<DenseConfig> {
    let name = module.config(modules)?;
    let path = dir.join(&name);
    let config: RawDense = files::json(dir, &name)?
        .ok_or_else(|| malformed(&path, "a Dense module needs this file"))?;
    let sizes = [
        ("in_features", config.in_features),
        ("out_features", config.out_features),
    ];
    for (key, size) in sizes {
        if size == 0 || size > u32::MAX as usize {
            return Err(malformed(&path, format!("`{key}` is {size}")));
        }
    }
    if config.use_residual {
        return Err(unsupported(&path, "`use_residual` is not known"));
    }
    Ok(DenseConfig {
        folder: module.path.clone(),
        inputs: config.in_features,
        outputs: config.out_features,
        bias: config.bias.unwrap_or(true),
        activation: match &config.activation_function {
            Some(class) => activation_class(&path, class)?,
            None => Some(Activation::Tanh),
        },
    })
}

fn pooling_mode(path: &Path, mode: &Value) -> Result<Pooling> {
    serde_json::from_value(mode.clone())
        .map_err(|_| unsupported(path, format!("pooling by {mode} is not known")))
}
