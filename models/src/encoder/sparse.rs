//! A local model of term weights: SPLADE.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use candle_core::Device;
use corbie_core::{
    BoxFuture, EmbedKind, Error, ErrorKind, Result, SparseEmbedder, SparseEmbedderInfo,
    SparseVector, TermWeights, TokenCounter,
};
use rayon::prelude::*;
use serde::Deserialize;

use super::batcher::Batcher;
use super::config::EncoderConfig;
use super::embedder::{directory_name, fingerprint, joined, read_tokenizer};
use super::files::{self, unsupported};
use super::forward::CpuEncoder;
use super::layers::Head;
use super::recipe::{self, Recipe};
use super::tokenize::TextTokenizer;
use super::weights::{WeightFile, Weights};

/// Tokens whose vocabulary scores are held at once.
const CHUNK: usize = 64;

/// What can be chosen about a [`LocalSparseEmbedder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSparseEmbedderOptions {
    /// The name to report; `None`: the directory's.
    pub name: Option<String>,
    /// The most tokens computed at once; weights do not depend on it.
    pub max_tokens_per_batch: usize,
}

impl Default for LocalSparseEmbedderOptions {
    fn default() -> Self {
        Self {
            name: None,
            max_tokens_per_batch: 4096,
        }
    }
}

/// A model that gives a text a weight for each token of its vocabulary, most of them zero: SPLADE
/// (Formal et al., 2021), on this machine's CPU.
///
/// The indices of its vectors are token ids. It computes on a thread of its own, which calls at
/// the same time share; a text's vector depends on that text alone, bit for bit.
pub struct LocalSparseEmbedder {
    info: SparseEmbedderInfo,
    tokenizer: Arc<TextTokenizer>,
    batcher: Batcher<SparseVector>,
}

impl LocalSparseEmbedder {
    /// Loads a masked language model from a directory with `config.json`, `tokenizer.json`,
    /// `model.safetensors`, and perhaps the `SpladePooling` that Sentence Transformers writes.
    ///
    /// # Errors
    ///
    /// Those of [`LocalEmbedder::load`](super::LocalEmbedder::load).
    pub fn load(dir: &Path, options: LocalSparseEmbedderOptions) -> Result<Self> {
        let (recipe, pooling) = read_recipe(dir)?;
        let config = EncoderConfig::read(dir)?;
        let weights = WeightFile::open(dir)?;
        let tokenizer_json = files::tokenizer(dir)?;
        let (fingerprint, tokenizer, model) = thread::scope(|scope| {
            let fingerprint = scope.spawn(|| {
                let parts = [
                    ("term weights", format!("{pooling:?}")),
                    ("max tokens", format!("{:?}", recipe.max_tokens)),
                    ("lowercase", recipe.lowercase.to_string()),
                ];
                fingerprint(dir, &parts, &tokenizer_json, std::iter::once(&weights))
            });
            let tokenizer = scope.spawn(|| read_tokenizer(dir, &tokenizer_json, &config, &recipe));
            let model = weights.weights(&config, &Device::Cpu).and_then(|weights| {
                let head = language_model(&config, &weights)?;
                Ok((CpuEncoder::new(&config, &weights)?, head))
            });
            (joined(fingerprint), joined(tokenizer), model)
        });
        let (tokenizer, (encoder, head)) = (tokenizer??, model?);
        let hidden = config.hidden;
        let info = SparseEmbedderInfo {
            model: options.name.unwrap_or_else(|| directory_name(dir)),
            fingerprint: fingerprint??,
            weights: TermWeights::Learned,
        };
        Ok(Self {
            batcher: Batcher::spawn(
                format!("sparse embedder `{}`", info.model),
                encoder,
                options.max_tokens_per_batch,
                Box::new(move |rows| pooling.pool(rows, hidden, &head)),
            )?,
            info,
            tokenizer: Arc::new(tokenizer),
        })
    }

    /// Its token counter: what is longer than the limit is cut off.
    pub fn tokens(&self) -> &dyn TokenCounter {
        &*self.tokenizer
    }
}

impl SparseEmbedder for LocalSparseEmbedder {
    fn info(&self) -> SparseEmbedderInfo {
        self.info.clone()
    }

    /// Documents and queries alike. Dropping the future ends the work.
    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<SparseVector>>> {
        let (tokenizer, texts) = (Arc::clone(&self.tokenizer), texts.to_vec());
        let encode = move || {
            let encode = |text: &String| tokenizer.encode("", text);
            texts.par_iter().map(encode).collect()
        };
        Box::pin(self.batcher.run(encode))
    }
}

impl std::fmt::Debug for LocalSparseEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("LocalSparseEmbedder");
        fields
            .field("model", &self.info.model)
            .finish_non_exhaustive()
    }
}

/// `config.json` of a `SpladePooling`.
#[derive(Deserialize, Debug, Clone, Copy, Default)]
struct SpladePooling {
    #[serde(default)]
    pooling_strategy: Strategy,
    #[serde(default)]
    activation_function: Saturation,
}

/// How the scores of a text's tokens become one.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Strategy {
    #[default]
    Max,
    Sum,
}

/// What becomes of a score.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
enum Saturation {
    /// `log(1 + relu(x))`.
    #[default]
    Relu,
    /// The logarithm taken twice (Shen et al., 2025).
    Log1pRelu,
}

impl SpladePooling {
    /// The weights of a text from the vectors of its tokens, `[tokens, hidden]`.
    fn pool(self, rows: &[f32], hidden: usize, head: &Head) -> SparseVector {
        let mut weights = vec![0.0f32; head.outputs()];
        for rows in rows.chunks(CHUNK * hidden) {
            let scores = head.apply(rows);
            for scores in scores.chunks_exact(weights.len()) {
                for (weight, score) in weights.iter_mut().zip(scores) {
                    match self.pooling_strategy {
                        // Saturation keeps the order, so the greatest is saturated once.
                        Strategy::Max => *weight = weight.max(*score),
                        Strategy::Sum => *weight += self.saturate(*score),
                    }
                }
            }
        }
        if self.pooling_strategy == Strategy::Max {
            weights
                .iter_mut()
                .for_each(|weight| *weight = self.saturate(*weight));
        }
        let terms = weights.into_iter().enumerate();
        let terms = terms.filter(|(_, weight)| *weight > 0.0);
        let (indices, values) = terms.map(|(index, weight)| (index as u32, weight)).unzip();
        let weights = TermWeights::Learned;
        SparseVector {
            indices,
            values,
            weights,
        }
    }

    fn saturate(self, score: f32) -> f32 {
        let once = score.max(0.0).ln_1p();
        match self.activation_function {
            Saturation::Relu => once,
            Saturation::Log1pRelu => once.ln_1p(),
        }
    }
}

fn read_recipe(dir: &Path) -> Result<(Recipe, SpladePooling)> {
    let path = dir.join("modules.json");
    let recipe = Recipe::read_lengths(dir)?;
    let Some(modules) = recipe::modules(dir)? else {
        return Ok((recipe, SpladePooling::default()));
    };
    let mut pooling = SpladePooling::default();
    for (index, module) in modules.iter().enumerate() {
        match (index, module.name()) {
            (0, "MLMTransformer" | "Transformer") if module.path.is_empty() => {}
            (1, "SpladePooling") => {
                let config = files::json(dir, &module.config(&path)?)?;
                pooling = config.unwrap_or_default();
            }
            (_, name) => {
                let cause = format!("module {index} is a `{name}`");
                return Err(unsupported(&path, cause)
                    .hint("known is: an MLMTransformer, then a SpladePooling"));
            }
        }
    }
    Ok((recipe, pooling))
}

fn language_model(config: &EncoderConfig, weights: &Weights<'_>) -> Result<Head> {
    let architecture = config.architecture;
    let path = &config.keys.path;
    let names = architecture.language_model.ok_or_else(|| {
        let kind = architecture.model_type;
        unsupported(
            path,
            format!("sparse models of the type `{kind}` are not known"),
        )
    })?;
    let keys = &config.keys;
    let bias = keys.flag(&["classifier_bias"])?;
    let bias = bias.unwrap_or(architecture.biases.attention);
    let head = Head::new(
        weights.head(names, config.vocabulary, bias)?,
        names.activation.unwrap_or(config.activation),
        architecture.norm,
        config.norm_eps,
    );
    head.map_err(|error| {
        Error::new(ErrorKind::Internal, path.display().to_string(), &error).caused_by(error)
    })
}
