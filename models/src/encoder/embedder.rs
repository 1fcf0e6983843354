//! A local model behind [`Embedder`].

use std::path::Path;
use std::sync::Arc;
use std::thread;

use candle_core::Device;
use corbie_core::{
    BoxFuture, EmbedKind, Embedder, EmbedderInfo, Embedding, Error, ErrorKind, Result, TokenCounter,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::after::{After, StepFiles};
use super::batcher::Batcher;
use super::config::EncoderConfig;
use super::files;
use super::forward::CpuEncoder;
use super::recipe::{Prompts, Recipe};
use super::tokenize::TextTokenizer;
use super::weights::WeightFile;

/// What can be chosen about a [`LocalEmbedder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEmbedderOptions {
    /// The name to report; `None`: the directory's.
    pub name: Option<String>,
    /// The most tokens computed at once. More use more memory, about 12 kB each for a small
    /// model; vectors do not depend on it.
    pub max_tokens_per_batch: usize,
    /// Written before a document; `None`: what the model's own files say.
    ///
    /// The E5 models, for one, want `"passage: "` and `"query: "` but do not say so in a file.
    pub document_prompt: Option<String>,
    /// Written before a query; `None`: what the model's own files say.
    pub query_prompt: Option<String>,
}

impl Default for LocalEmbedderOptions {
    fn default() -> Self {
        Self {
            name: None,
            max_tokens_per_batch: 4096,
            document_prompt: None,
            query_prompt: None,
        }
    }
}

/// An encoder as an embedder on this machine's CPU: BERT, RoBERTa, XLM-R, DistilBERT, MPNet,
/// ModernBERT, nomic, Qwen3 Embedding, EmbeddingGemma.
///
/// It computes on a thread of its own, which ends with it, so it works under any executor and
/// never holds one up. Calls that wait at the same time share batches, a text of each in turn; a
/// future that is dropped ends its call at the next batch.
///
/// Its fingerprint is the SHA-256 of what decides its vectors: the files of configuration, the
/// tokenizer, the whole file of weights and the prompts. Hashing 91 MB of weights takes about
/// 50 ms on hardware with SHA instructions, beside the loading and not after it.
///
/// ```no_run
/// use corbie_core::{EmbedKind, Embedder};
/// use corbie_models::encoder::{LocalEmbedder, LocalEmbedderOptions};
///
/// let dir = std::path::Path::new("models/all-MiniLM-L6-v2");
/// let embedder = LocalEmbedder::load(dir, LocalEmbedderOptions::default())?;
/// let texts = ["Ravens cache food.".to_owned(), "乌鸦会藏食物。".to_owned()];
/// let vectors = futures::executor::block_on(embedder.embed(&texts, EmbedKind::Document))?;
/// assert_eq!(vectors[0].len(), embedder.info().dimension);
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct LocalEmbedder {
    info: EmbedderInfo,
    tokenizer: Arc<TextTokenizer>,
    batcher: Batcher<Embedding>,
    prompts: Arc<Prompts>,
}

impl LocalEmbedder {
    /// Loads a model from a directory in the layout of the Hugging Face hub: `config.json`,
    /// `tokenizer.json`, `model.safetensors`, and what Sentence Transformers adds to them
    /// (`modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json`,
    /// `config_sentence_transformers.json`).
    ///
    /// Where those additions are absent, vectors are the mean of their tokens', not scaled to unit
    /// length, without prompts, of as many tokens as the model has positions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a missing file, [`ErrorKind::Malformed`] for a damaged one, and
    /// [`ErrorKind::Unsupported`] for an architecture or a module that is not known here. Each
    /// names the file.
    pub fn load(dir: &Path, options: LocalEmbedderOptions) -> Result<Self> {
        let mut recipe = Recipe::read(dir)?;
        recipe.prompts = recipe.prompts.chosen(&options);
        let config = EncoderConfig::read(dir)?;
        let weights = WeightFile::open(dir)?;
        let tokenizer_json = files::tokenizer(dir)?;

        let steps = StepFiles::open(dir, &recipe)?;

        let (fingerprint, tokenizer, encoder) = thread::scope(|scope| {
            let fingerprint = scope.spawn(|| {
                let parts = recipe_parts(&recipe);
                let weights = std::iter::once(&weights).chain(steps.weights());
                fingerprint(dir, &parts, &tokenizer_json, weights)
            });
            let tokenizer = scope.spawn(|| read_tokenizer(dir, &tokenizer_json, &config, &recipe));
            let encoder = weights
                .weights(&config, &Device::Cpu)
                .and_then(|weights| CpuEncoder::new(&config, &weights));
            (joined(fingerprint), joined(tokenizer), encoder)
        });
        let after = After::new(config.hidden, &recipe, &steps)?;
        let tokenizer = Arc::new(tokenizer??);
        let info = EmbedderInfo {
            model: options.name.unwrap_or_else(|| directory_name(dir)),
            fingerprint: fingerprint??,
            dimension: after.dimension(),
        };
        let prompts = Arc::new(recipe.prompts);
        let batcher = Batcher::spawn(
            format!("embedder `{}`", info.model),
            encoder?,
            options.max_tokens_per_batch,
            Box::new(move |rows| after.apply(rows)),
        )?;
        Ok(Self {
            info,
            tokenizer,
            batcher,
            prompts,
        })
    }
}

impl LocalEmbedder {
    /// How it counts tokens: shared with it.
    pub(super) fn counter(&self) -> Arc<dyn TokenCounter> {
        Arc::<TextTokenizer>::clone(&self.tokenizer)
    }
}

impl std::fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("LocalEmbedder");
        fields.field("info", &self.info).finish_non_exhaustive()
    }
}

impl Embedder for LocalEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn tokens(&self) -> &dyn TokenCounter {
        &*self.tokenizer
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        let (tokenizer, prompts) = (Arc::clone(&self.tokenizer), Arc::clone(&self.prompts));
        let texts = texts.to_vec();
        let encode = move || {
            let encode = |text: &String| tokenizer.encode(prompts.of(kind), text);
            texts.par_iter().map(encode).collect()
        };
        Box::pin(self.batcher.run(encode))
    }
}

pub(super) fn read_tokenizer(
    dir: &Path,
    json: &[u8],
    config: &EncoderConfig,
    recipe: &Recipe,
) -> Result<TextTokenizer> {
    let path = dir.join("tokenizer.json");
    let max_tokens = recipe
        .max_tokens
        .unwrap_or(usize::MAX)
        .min(config.max_tokens());
    let prompt = &recipe.prompts.document;
    TextTokenizer::new(&path, json, max_tokens, recipe.lowercase, prompt)
}

/// What of a recipe decides vectors: its meaning, not its files, which say the same in several
/// ways.
fn recipe_parts(recipe: &Recipe) -> Vec<(&'static str, String)> {
    vec![
        ("pooling", format!("{:?}", recipe.pooling)),
        ("steps", format!("{:?}", recipe.steps)),
        ("max tokens", format!("{:?}", recipe.max_tokens)),
        ("lowercase", recipe.lowercase.to_string()),
        ("document prompt", recipe.prompts.document.clone()),
        ("query prompt", recipe.prompts.query.clone()),
    ]
}

/// The digest of each part, preceded by its name and length so that no two sets look alike.
pub(super) fn fingerprint<'a>(
    dir: &Path,
    parts: &[(&str, String)],
    tokenizer: &[u8],
    weights: impl Iterator<Item = &'a WeightFile>,
) -> Result<String> {
    let config = files::config(dir, "config.json")?.unwrap_or_default();
    let parts = parts.iter().map(|(name, text)| (*name, text.as_bytes()));
    let files = [
        ("config.json", config.as_slice()),
        ("tokenizer.json", tokenizer),
    ];
    let weights = weights.map(|file| ("model.safetensors", file.bytes()));
    let mut digest = Sha256::new();
    for (name, bytes) in parts.chain(files).chain(weights) {
        digest.update(format!("{name} {}\n", bytes.len()));
        digest.update(bytes);
    }
    let hex = digest
        .finalize()
        .into_iter()
        .map(|byte| format!("{byte:02x}"));
    Ok(hex.collect())
}

pub(super) fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| {
        let cause = "its files cannot be read";
        Error::new(ErrorKind::Malformed, "the embedding model", cause)
            .hint("fetch the model's files again")
    })
}

pub(super) fn directory_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    name.to_string_lossy().into_owned()
}
