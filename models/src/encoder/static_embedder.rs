//! Embeddings without an encoder: a table of vectors, one for each token.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use corbie_core::{
    BoxFuture, EmbedKind, Embedder, EmbedderInfo, Embedding, Error, ErrorKind, Result, TokenCounter,
};
use futures::channel::oneshot;
use rayon::prelude::*;
use serde_json::Value;

use super::embedder::{LocalEmbedderOptions, directory_name, fingerprint};
use super::files::{self, malformed, unsupported};
use super::layers::numbers;
use super::pooling::normalize;
use super::recipe::{self, Prompts};
use super::tokenize::TextTokenizer;
use super::weights::WeightFile;

/// An embedder that averages the vectors of a text's tokens: Model2Vec (Tulkens and van Dongen,
/// 2024) and Sentence Transformers' `StaticEmbedding`.
///
/// It is hundreds of times faster than an encoder, and knows nothing of a word's surroundings.
/// Texts are cut only where `tokenizer.json` says so.
pub struct StaticEmbedder {
    info: EmbedderInfo,
    table: Arc<Table>,
}

struct Table {
    tokenizer: Arc<TextTokenizer>,
    dimension: usize,
    /// `[rows, dimension]`.
    rows: Vec<f32>,
    /// The row of each token; `None`: the one of its id.
    mapping: Option<Vec<usize>>,
    /// How much each token counts.
    weights: Option<Vec<f32>>,
    /// A token that is left out: Model2Vec's unknown one.
    ignored: Option<u32>,
    normalize: bool,
    prompts: Prompts,
}

/// What the files say of a static model.
struct StaticRecipe {
    /// The folder of its tokenizer and its table.
    folder: String,
    normalize: bool,
    ignores_unknown: bool,
}

impl StaticEmbedder {
    /// Whether a directory holds such a model.
    ///
    /// # Errors
    ///
    /// When `modules.json` or `config.json` is damaged.
    pub fn is_one(dir: &Path) -> Result<bool> {
        Ok(StaticRecipe::read(dir)?.is_some())
    }

    /// The folder of its files, whether its vectors have unit length, and its prompts.
    pub(super) fn recipe(dir: &Path) -> Result<(String, bool, Prompts)> {
        let config = dir.join("config.json");
        let recipe = StaticRecipe::read(dir)?
            .ok_or_else(|| unsupported(&config, "this is no static model"))?;
        Ok((recipe.folder, recipe.normalize, Prompts::read(dir)?))
    }

    /// How it counts tokens: shared with it.
    pub(super) fn counter(&self) -> Arc<dyn TokenCounter> {
        Arc::<TextTokenizer>::clone(&self.table.tokenizer)
    }

    /// Loads a model from a directory. Of the options, the size of batches means nothing here.
    ///
    /// # Errors
    ///
    /// Those of [`LocalEmbedder::load`](super::LocalEmbedder::load).
    pub fn load(dir: &Path, options: LocalEmbedderOptions) -> Result<Self> {
        let config = dir.join("config.json");
        let recipe = StaticRecipe::read(dir)?
            .ok_or_else(|| unsupported(&config, "this is no static model"))?;
        let prompts = Prompts::read(dir)?.chosen(&options);
        let folder = dir.join(&recipe.folder);
        let tokenizer_json = files::tokenizer(&folder)?;
        let path = folder.join("tokenizer.json");
        let tokenizer = TextTokenizer::new(&path, &tokenizer_json, usize::MAX, false, "")?
            .bare_only(&path, &tokenizer_json)?;
        let file = WeightFile::open(&folder)?;
        let table = Table::read(&file, recipe, tokenizer, prompts)?;
        let parts = [
            ("static", table.normalize.to_string()),
            ("document prompt", table.prompts.document.clone()),
            ("query prompt", table.prompts.query.clone()),
        ];
        let fingerprint = fingerprint(dir, &parts, &tokenizer_json, std::iter::once(&file))?;
        Ok(Self {
            info: EmbedderInfo {
                model: options.name.unwrap_or_else(|| directory_name(dir)),
                fingerprint,
                dimension: table.dimension,
            },
            table: Arc::new(table),
        })
    }
}

impl std::fmt::Debug for StaticEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("StaticEmbedder");
        fields.field("info", &self.info).finish_non_exhaustive()
    }
}

impl Embedder for StaticEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn tokens(&self) -> &dyn TokenCounter {
        &*self.table.tokenizer
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        let (table, texts) = (Arc::clone(&self.table), texts.to_vec());
        let subject = format!("embedder `{}`", self.info.model);
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            rayon::spawn(move || {
                let embed = || {
                    texts
                        .par_iter()
                        .map(|text| table.embed(text, kind))
                        .collect()
                };
                // The tokenizer comes from a file that nobody vouches for. Should it panic, the
                // reply is dropped, and the caller sees that.
                if let Ok(vectors) = catch_unwind(AssertUnwindSafe(embed)) {
                    let _ = reply.send(vectors);
                }
            });
            let panicked = |_| Error::new(ErrorKind::Internal, subject, "the computation panicked");
            answer.await.map_err(panicked)?
        })
    }
}

impl StaticRecipe {
    fn read(dir: &Path) -> Result<Option<Self>> {
        let config: Option<Value> = files::json(dir, "config.json")?;
        let config = config.unwrap_or_default();
        let model2vec = config["model_type"] == "model2vec";
        let path = dir.join("modules.json");
        let Some(modules) = recipe::modules(dir)? else {
            return Ok(model2vec.then(|| Self {
                folder: String::new(),
                normalize: config["normalize"] == true,
                ignores_unknown: true,
            }));
        };
        let mut found: Option<Self> = None;
        for (index, module) in modules.iter().enumerate() {
            match (index, module.name(), &mut found) {
                (0, "StaticEmbedding", _) => {
                    module.config(&path)?;
                    found = Some(Self {
                        folder: module.path.clone(),
                        normalize: false,
                        ignores_unknown: model2vec,
                    });
                }
                (0, ..) => return Ok(None),
                (_, "Normalize", Some(recipe)) => recipe.normalize = true,
                (_, name, _) => {
                    let cause = format!("module {index} is a `{name}`");
                    return Err(unsupported(&path, cause)
                        .hint("known is: a StaticEmbedding, then perhaps a Normalize"));
                }
            }
        }
        Ok(found)
    }
}

impl Table {
    fn read(
        file: &WeightFile,
        recipe: StaticRecipe,
        tokenizer: TextTokenizer,
        prompts: Prompts,
    ) -> Result<Self> {
        let tensors = file.tensors(&Device::Cpu)?.configured_by("the model");
        let internal = |error: candle_core::Error| {
            let subject = file.path().display().to_string();
            Error::new(ErrorKind::Internal, subject, &error).caused_by(error)
        };
        let native = tensors.has("embedding.weight");
        let name = if native {
            "embedding.weight"
        } else {
            "embeddings"
        };
        let shape = tensors.shape(name)?;
        let [rows, dimension] = shape[..] else {
            return Err(malformed(
                file.path(),
                format!("tensor `{name}` has the shape {shape:?}"),
            ));
        };
        if rows == 0 || dimension == 0 {
            return Err(malformed(file.path(), format!("tensor `{name}` is empty")));
        }
        let vector = |name: &str| -> Result<Option<Vec<f64>>> {
            tensors.has(name).then(|| tensors.vector(name)).transpose()
        };
        let mapping = vector("mapping")?;
        let mapping = mapping.map(|mapping| {
            let row = |row: &f64| (*row >= 0.0 && *row < rows as f64).then_some(*row as usize);
            let mapped = mapping.iter().map(row).collect::<Option<Vec<usize>>>();
            mapped.ok_or_else(|| malformed(file.path(), "`mapping` leads out of the table"))
        });
        let weights = vector("weights")?;
        let weights = weights.map(|all| all.into_iter().map(|weight| weight as f32).collect());
        let table = tensors.f32(name, &[rows, dimension])?;
        Ok(Self {
            dimension,
            rows: numbers(&table).map_err(internal)?,
            mapping: mapping.transpose()?,
            weights,
            ignored: tokenizer.unknown().filter(|_| recipe.ignores_unknown),
            normalize: recipe.normalize,
            prompts,
            tokenizer: Arc::new(tokenizer),
        })
    }

    fn embed(&self, text: &str, kind: EmbedKind) -> Result<Embedding> {
        let ids = self.tokenizer.encode(self.prompts.of(kind), text)?.ids;
        let mut vector = vec![0.0; self.dimension];
        let mut count = 0;
        for id in ids.iter().filter(|id| Some(**id) != self.ignored) {
            let (row, weight) = self.row(*id).ok_or_else(|| {
                let cause = format!("the tokenizer knows a token {id}, and the table does not");
                Error::new(ErrorKind::Mismatch, "the static model", cause)
                    .hint("fetch the model's files again")
            })?;
            for (sum, x) in vector.iter_mut().zip(row) {
                *sum += weight * x;
            }
            count += 1;
        }
        let count = count.max(1) as f32;
        vector.iter_mut().for_each(|x| *x /= count);
        if self.normalize {
            normalize(&mut vector);
        }
        Ok(vector)
    }

    /// A token's vector and how much it counts.
    fn row(&self, id: u32) -> Option<(&[f32], f32)> {
        let id = id as usize;
        let row = match &self.mapping {
            Some(mapping) => *mapping.get(id)?,
            None => id,
        };
        let weight = match &self.weights {
            Some(weights) => *weights.get(id)?,
            None => 1.0,
        };
        let vector = self.rows.chunks_exact(self.dimension).nth(row)?;
        Some((vector, weight))
    }
}
