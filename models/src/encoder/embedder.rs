//! A local model behind [`Embedder`].

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use candle_core::Device;
use corbie_core::{
    BoxFuture, EmbedKind, Embedder, EmbedderInfo, Embedding, Error, ErrorKind, Result, TokenCounter,
};
use futures::channel::oneshot;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::config::EncoderConfig;
use super::files;
use super::forward::{CpuEncoder, Scratch};
use super::pooling::normalize;
use super::recipe::Recipe;
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

/// An embedder of the BERT family on this machine's CPU.
///
/// It computes on a thread of its own, which ends with it, so it works under any executor and
/// never holds one up. Calls are answered in turn; a future that is dropped stops its call at the
/// next batch.
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
    jobs: mpsc::Sender<Job>,
}

struct Job {
    texts: Vec<String>,
    kind: EmbedKind,
    reply: oneshot::Sender<Result<Vec<Embedding>>>,
}

/// What the thread owns.
struct Worker {
    tokenizer: Arc<TextTokenizer>,
    recipe: Recipe,
    encoder: CpuEncoder,
    scratch: Scratch,
    hidden: usize,
    max_tokens_per_batch: usize,
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
        if let Some(prompt) = &options.document_prompt {
            recipe.document_prompt.clone_from(prompt);
        }
        if let Some(prompt) = &options.query_prompt {
            recipe.query_prompt.clone_from(prompt);
        }
        let config = EncoderConfig::read(dir)?;
        let weights = WeightFile::open(dir)?;
        let tokenizer_json = files::tokenizer(dir)?;

        let (fingerprint, tokenizer, encoder) = thread::scope(|scope| {
            let fingerprint = scope.spawn(|| fingerprint(dir, &recipe, &tokenizer_json, &weights));
            let tokenizer = scope.spawn(|| read_tokenizer(dir, &tokenizer_json, &config, &recipe));
            let encoder = weights
                .weights(&config, &Device::Cpu)
                .and_then(|weights| CpuEncoder::new(&config, &weights));
            (joined(fingerprint), joined(tokenizer), encoder)
        });
        let tokenizer = Arc::new(tokenizer??);
        let info = EmbedderInfo {
            model: options.name.unwrap_or_else(|| directory_name(dir)),
            fingerprint: fingerprint??,
            dimension: config.hidden * recipe.pooling.len(),
        };
        let worker = Worker {
            tokenizer: Arc::clone(&tokenizer),
            recipe,
            encoder: encoder?,
            scratch: Scratch::default(),
            hidden: config.hidden,
            max_tokens_per_batch: options.max_tokens_per_batch,
        };
        let (jobs, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("corbie-embedder".into())
            .spawn(move || worker.run(&inbox))
            .map_err(|error| Error::io("the embedder's thread", error))?;
        Ok(Self {
            info,
            tokenizer,
            jobs,
        })
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
        Box::pin(async move {
            let gone = || {
                let subject = format!("embedder `{}`", self.info.model);
                Error::new(ErrorKind::Internal, subject, "its thread has ended")
            };
            let (reply, answer) = oneshot::channel();
            let job = Job {
                texts: texts.to_vec(),
                kind,
                reply,
            };
            self.jobs.send(job).map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        })
    }
}

impl Worker {
    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            // The tokenizer comes from a file that nobody vouches for: should it panic on some
            // text, that call fails and the next is served.
            let vectors =
                catch_unwind(AssertUnwindSafe(|| self.embed(&job))).unwrap_or_else(|_| {
                    self.scratch = Scratch::default();
                    let cause = "the computation panicked";
                    Err(Error::new(ErrorKind::Internal, "a text to embed", cause))
                });
            // Nobody may be waiting any more.
            let _ = job.reply.send(vectors);
        }
    }

    fn embed(&mut self, job: &Job) -> Result<Vec<Embedding>> {
        let prompt = match job.kind {
            EmbedKind::Document => &self.recipe.document_prompt,
            EmbedKind::Query => &self.recipe.query_prompt,
        };
        let encoded = job
            .texts
            .par_iter()
            .map(|text| self.tokenizer.encode(prompt, text))
            .collect::<Result<Vec<Vec<u32>>>>()?;
        let lengths: Vec<usize> = encoded.iter().map(Vec::len).collect();
        let mut vectors = vec![Embedding::new(); encoded.len()];
        let mut ids = Vec::new();
        for batch in batches(&lengths, self.max_tokens_per_batch) {
            if job.reply.is_canceled() {
                let cause = "nobody waits for the vectors any more";
                return Err(Error::new(ErrorKind::Cancelled, "a call to embed", cause));
            }
            ids.clear();
            let segments: Vec<Range<usize>> = batch
                .iter()
                .map(|index| {
                    let start = ids.len();
                    ids.extend_from_slice(&encoded[*index]);
                    start..ids.len()
                })
                .collect();
            let states = self
                .encoder
                .forward(&ids, &segments, &mut self.scratch)
                .map_err(|error| {
                    let cause = "the tokenizer and the encoder do not fit together";
                    Error::new(ErrorKind::Mismatch, "the embedding model", cause).caused_by(error)
                })?;
            for (index, segment) in batch.into_iter().zip(segments) {
                let rows = segment.start * self.hidden..segment.end * self.hidden;
                vectors[index] = pool(&self.recipe, &states[rows], self.hidden);
            }
        }
        Ok(vectors)
    }
}

/// Texts of like length together, the longest first, at most `budget` tokens in each batch unless
/// one text alone has more.
fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for index in order {
        match batches.last_mut() {
            Some(batch) if lengths[index] <= room => batch.push(index),
            _ => {
                batches.push(vec![index]);
                room = budget.max(lengths[index]);
            }
        }
        room -= lengths[index];
    }
    batches
}

fn pool(recipe: &Recipe, rows: &[f32], hidden: usize) -> Embedding {
    let mut vector = vec![0.0; hidden * recipe.pooling.len()];
    for (pooling, out) in recipe.pooling.iter().zip(vector.chunks_exact_mut(hidden)) {
        pooling.pool(rows, out);
    }
    if recipe.normalize {
        normalize(&mut vector);
    }
    vector
}

fn read_tokenizer(
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
    let prompt = &recipe.document_prompt;
    TextTokenizer::new(&path, json, max_tokens, recipe.lowercase, prompt)
}

/// The digest of each part, preceded by its name and length so that no two sets look alike.
///
/// Of the recipe its meaning is digested, not its files: they say the same in several ways.
fn fingerprint(
    dir: &Path,
    recipe: &Recipe,
    tokenizer: &[u8],
    weights: &WeightFile,
) -> Result<String> {
    let config = files::config(dir, "config.json")?.unwrap_or_default();
    let recipe_parts = [
        ("pooling", format!("{:?}", recipe.pooling)),
        ("normalize", recipe.normalize.to_string()),
        ("max tokens", format!("{:?}", recipe.max_tokens)),
        ("lowercase", recipe.lowercase.to_string()),
        ("document prompt", recipe.document_prompt.clone()),
        ("query prompt", recipe.query_prompt.clone()),
    ];
    let files = [
        ("config.json", config.as_slice()),
        ("tokenizer.json", tokenizer),
        ("model.safetensors", weights.bytes()),
    ];
    let recipe_parts = recipe_parts
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()));
    let mut digest = Sha256::new();
    for (name, bytes) in recipe_parts.chain(files) {
        digest.update(format!("{name} {}\n", bytes.len()));
        digest.update(bytes);
    }
    let hex = digest
        .finalize()
        .into_iter()
        .map(|byte| format!("{byte:02x}"));
    Ok(hex.collect())
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| {
        let cause = "its files cannot be read";
        Error::new(ErrorKind::Malformed, "the embedding model", cause)
            .hint("fetch the model's files again")
    })
}

fn directory_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    name.to_string_lossy().into_owned()
}
