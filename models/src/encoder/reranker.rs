//! A local cross-encoder behind [`Reranker`].

use std::path::Path;
use std::sync::Arc;
use std::thread;

use candle_core::Device;
use corbie_core::{BoxFuture, Error, ErrorKind, Reranker, Result};
use rayon::prelude::*;
use serde_json::Value;

use super::architecture::Activation;
use super::batcher::Batcher;
use super::config::{EncoderConfig, known_activation};
use super::embedder::{directory_name, joined, read_tokenizer};
use super::files::{self, malformed, unsupported};
use super::forward::CpuEncoder;
use super::layers::{Head, activate};
use super::pooling::Pooling;
use super::recipe::{Recipe, activation_class};
use super::tokenize::{PairTemplate, TextTokenizer};
use super::weights::{WeightFile, Weights};

/// What can be chosen about a [`LocalReranker`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRerankerOptions {
    /// The name to report; `None`: the directory's.
    pub name: Option<String>,
    /// The most tokens computed at once; scores do not depend on it.
    pub max_tokens_per_batch: usize,
}

impl Default for LocalRerankerOptions {
    fn default() -> Self {
        Self {
            name: None,
            max_tokens_per_batch: 4096,
        }
    }
}

/// A cross-encoder on this machine's CPU: it reads question and passage together (Nogueira and
/// Cho, 2019), which is more exact than comparing their vectors, and slower.
///
/// Models are encoders for the classification of sequences with one label, as Sentence
/// Transformers' `CrossEncoder` loads them. Scores lie between 0 and 1 unless the model's files
/// ask for the bare number. A passage that does not fit beside its question is cut.
///
/// It computes on a thread of its own, which calls at the same time share, like
/// [`LocalEmbedder`](super::LocalEmbedder).
///
/// ```no_run
/// use corbie_core::Reranker;
/// use corbie_models::encoder::{LocalReranker, LocalRerankerOptions};
///
/// let dir = std::path::Path::new("models/bge-reranker-base");
/// let reranker = LocalReranker::load(dir, LocalRerankerOptions::default())?;
/// let passages = ["乌鸦会藏食物。".to_owned(), "Crows use tools.".to_owned()];
/// let scores = reranker.rerank("乌鸦藏什么？", &passages);
/// assert_eq!(futures::executor::block_on(scores)?.len(), 2);
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct LocalReranker {
    model: String,
    tokenizer: Arc<TextTokenizer>,
    template: Arc<PairTemplate>,
    batcher: Batcher<f32>,
}

impl LocalReranker {
    /// Loads a model from a directory with `config.json`, `tokenizer.json` and
    /// `model.safetensors`.
    ///
    /// # Errors
    ///
    /// Those of [`LocalEmbedder::load`](super::LocalEmbedder::load), and
    /// [`ErrorKind::Unsupported`] for a model that is no classifier of one label.
    pub fn load(dir: &Path, options: LocalRerankerOptions) -> Result<Self> {
        let recipe = Recipe::read(dir)?;
        let config = EncoderConfig::read(dir)?;
        check_kind(&config)?;
        let pooling = classifier_pooling(&config)?;
        let activation = score_activation(dir, &config)?;
        let weights = WeightFile::open(dir)?;
        let tokenizer_json = files::tokenizer(dir)?;
        let (tokenizer, model) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| read_tokenizer(dir, &tokenizer_json, &config, &recipe));
            let model = weights.weights(&config, &Device::Cpu).and_then(|weights| {
                let head = classifier(&config, &weights)?;
                Ok((CpuEncoder::new(&config, &weights)?, head))
            });
            (joined(tokenizer), model)
        });
        let (tokenizer, (encoder, head)) = (tokenizer??, model?);
        let max_tokens = recipe.max_tokens.unwrap_or(usize::MAX);
        let max_tokens = max_tokens.min(config.max_tokens());
        let template = tokenizer.pair(&dir.join("tokenizer.json"), max_tokens)?;
        let hidden = config.hidden;
        let finish = move |rows: &[f32]| {
            let mut vector = vec![0.0; hidden];
            pooling.pool(rows, &mut vector);
            let mut score = head.apply(&vector);
            if let Some(activation) = activation {
                activate(activation, &mut score);
            }
            score[0]
        };
        let model = options.name.unwrap_or_else(|| directory_name(dir));
        Ok(Self {
            batcher: Batcher::spawn(
                format!("reranker `{model}`"),
                encoder,
                options.max_tokens_per_batch,
                Box::new(finish),
            )?,
            model,
            tokenizer: Arc::new(tokenizer),
            template: Arc::new(template),
        })
    }

    /// The name it reports.
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl std::fmt::Debug for LocalReranker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("LocalReranker");
        fields.field("model", &self.model).finish_non_exhaustive()
    }
}

impl Reranker for LocalReranker {
    fn rerank<'a>(
        &'a self,
        question: &'a str,
        passages: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<f32>>> {
        let tokenizer = Arc::clone(&self.tokenizer);
        let template = Arc::clone(&self.template);
        let (question, passages) = (question.to_owned(), passages.to_vec());
        let encode = move || {
            let question = tokenizer.bare(&question)?;
            let pair = |passage: &String| {
                let passage = tokenizer.bare(passage)?;
                Ok(template.join(&question, &passage))
            };
            passages.par_iter().map(pair).collect()
        };
        Box::pin(self.batcher.run(encode))
    }
}

/// A reranker is a classifier with one label.
fn check_kind(config: &EncoderConfig) -> Result<()> {
    let keys = &config.keys;
    let named = keys.value("architectures").and_then(Value::as_array);
    let named = named.and_then(|names| names.first()?.as_str());
    let unfit = |cause: String| {
        unsupported(&keys.path, cause)
            .hint("a reranker is a model for sequence classification with one label")
    };
    if let Some(name) = named.filter(|name| !name.ends_with("ForSequenceClassification")) {
        return Err(unfit(format!(
            "the model is a `{name}`, which is no reranker"
        )));
    }
    let labels = match (keys.value("id2label"), keys.value("num_labels")) {
        (Some(Value::Object(labels)), _) => labels.len() as u64,
        (_, Some(labels)) => labels.as_u64().unwrap_or(0),
        // The number of labels where nothing is said.
        _ => 2,
    };
    match labels {
        1 => Ok(()),
        _ => Err(unfit(format!("the model has {labels} labels"))),
    }
}

fn classifier(config: &EncoderConfig, weights: &Weights<'_>) -> Result<Head> {
    let architecture = config.architecture;
    let names = architecture.classifier.ok_or_else(|| {
        let cause = format!(
            "rerankers of the type `{}` are not known",
            architecture.model_type
        );
        unsupported(&config.keys.path, cause)
    })?;
    let keys = &config.keys;
    // Only ModernBERT leaves either open.
    let bias = keys.flag(&["classifier_bias"])?;
    let bias = bias.unwrap_or(architecture.biases.attention);
    let own = match keys.text("classifier_activation")? {
        Some(name) => known_activation(keys, "classifier_activation", name)?,
        None => Activation::Gelu,
    };
    let activation = names.activation.unwrap_or(own);
    Head::new(
        weights.head(names, 1, bias)?,
        activation,
        architecture.norm,
        config.norm_eps,
    )
    .map_err(|error| {
        let subject = keys.path.display().to_string();
        Error::new(ErrorKind::Internal, subject, &error).caused_by(error)
    })
}

fn classifier_pooling(config: &EncoderConfig) -> Result<Pooling> {
    let keys = &config.keys;
    match keys.text("classifier_pooling")? {
        None | Some("cls") => Ok(Pooling::Cls),
        Some("mean") => Ok(Pooling::Mean),
        Some(other) => {
            let cause = format!("`classifier_pooling` is `{other}`");
            Err(unsupported(&keys.path, cause).hint("known are cls and mean"))
        }
    }
}

/// What is made of the label's number, by any of the places where Sentence Transformers has
/// written it.
fn score_activation(dir: &Path, config: &EncoderConfig) -> Result<Option<Activation>> {
    let keys = &config.keys;
    let own = keys.value("sentence_transformers");
    let newer = own.and_then(|own| own.get("activation_fn"));
    let older = keys.value("sbert_ce_default_activation_function");
    let name = "config_sentence_transformers.json";
    let file: Option<Value> = files::json(dir, name)?;
    let newest = file.as_ref().and_then(|file| file.get("activation_fn"));
    let found = [
        (newer, "config.json"),
        (older, "config.json"),
        (newest, name),
    ];
    let found = found.into_iter().find_map(|(value, file)| {
        let value = value.filter(|value| !value.is_null())?;
        Some((value, dir.join(file)))
    });
    match found {
        None => Ok(Some(Activation::Sigmoid)),
        Some((Value::String(class), path)) => activation_class(&path, class),
        Some((other, path)) => Err(malformed(&path, format!("{other} is no activation"))),
    }
}
