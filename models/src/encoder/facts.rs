//! What is known of an encoder before it is loaded: from its         let parameters = |files of configuration and the
//! headers of its weights.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};
use corbie_core::Result;

use super::after::StepFiles;
use super::config::EncoderConfig;
use super::files::{self, malformed};
use super::pooling::Pooling;
use super::recipe::{Recipe, Step};
use super::static_embedder::StaticEmbedder;
use super::weights::WeightFile;
use crate::kernels::{Matrix, Precision};

/// What the files of an embedder or a reranker say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderFacts {
    /// The kind of encoder: `model_type` in `config.json`, or `model2vec` for a table of vectors.
    pub architecture: String,
    /// How many numbers its weights are.
    pub parameters: u64,
    /// The type that its table of tokens is stored in.
    pub dtype: &'static str,
    /// The length of its vectors.
    pub dimension: usize,
    /// The most tokens of one text, special tokens included; `None`: as many as it has.
    pub max_tokens: Option<usize>,
    /// How the vectors of tokens become one, joined in this order.
    pub pooling: Vec<String>,
    /// Whether vectors have unit length.
    pub normalized: bool,
    /// What is written before a document.
    pub document_prompt: String,
    /// What is written before a query.
    pub query_prompt: String,
    /// The bytes of its weights as they are kept in memory: in `f32`, laid out for the kernels.
    pub weights: usize,
    /// The bytes that stay in their file, mapped into memory: the table of tokens.
    pub mapped: usize,
    /// The bytes that a batch takes for each of its tokens.
    pub bytes_per_token: usize,
}

impl EncoderFacts {
    /// Reads the directory of an embedder or a reranker, but not its weights.
    ///
    /// # Errors
    ///
    /// Those of [`LocalEmbedder::load`](super::LocalEmbedder::load) about its files.
    pub fn read(dir: &Path) -> Result<Self> {
        match StaticEmbedder::is_one(dir)? {
            true => Self::of_table(dir),
            false => Self::of_encoder(dir),
        }
    }

    fn of_table(dir: &Path) -> Result<Self> {
        let (folder, normalized, prompts) = StaticEmbedder::recipe(dir)?;
        let file = WeightFile::open(&dir.join(folder))?;
        let tensors = file.tensors(&Device::Cpu)?;
        let mut largest: (usize, usize, DType) = (0, 0, DType::F32);
        let mut parameters = 0;
        for (shape, dtype) in tensors.shapes() {
            let count: usize = shape.iter().product();
            parameters += count as u64;
            if let [rows, columns] = shape.as_slice()
                && count > largest.0 * largest.1
            {
                largest = (*rows, *columns, dtype);
            }
        }
        let (rows, dimension, dtype) = largest;
        if rows == 0 {
            return Err(malformed(file.path(), "it holds no table of vectors"));
        }
        Ok(Self {
            architecture: "model2vec".to_owned(),
            parameters,
            dtype: dtype_name(dtype),
            dimension,
            max_tokens: None,
            pooling: vec!["mean".to_owned()],
            normalized,
            document_prompt: prompts.document,
            query_prompt: prompts.query,
            weights: rows * dimension * size_of::<f32>(),
            mapped: 0,
            bytes_per_token: 0,
        })
    }

    fn of_encoder(dir: &Path) -> Result<Self> {
        let recipe = Recipe::read(dir)?;
        let config = EncoderConfig::read(dir)?;
        let file = WeightFile::open(dir)?;
        let weights = file.weights(&config, &Device::Cpu)?;
        let parameters = |file: &WeightFile| -> Result<u64> {
            let tensors = file.tensors(&Device::Cpu)?;
            let counts = tensors
                .shapes()
                .map(|(shape, _)| shape.iter().product::<usize>());
            Ok(counts.sum::<usize>() as u64)
        };
        let steps = StepFiles::open(dir, &recipe)?;
        let mut count = parameters(&file)?;
        for file in steps.weights() {
            count += parameters(file)?;
        }
        let hidden = config.hidden;
        let mut dimension = hidden * recipe.pooling.len();
        let mut bytes = weights.table_bytes()?;
        bytes += config.layers * layer_bytes(&config);
        for step in &recipe.steps {
            if let Step::Dense(dense) = step {
                bytes += matrix(dense.outputs, dense.inputs);
                dimension = dense.outputs;
            }
        }
        if weights.classifies() {
            bytes += matrix(hidden, hidden) + matrix(1, hidden);
        }
        let max_tokens = recipe.max_tokens.unwrap_or(usize::MAX);
        Ok(Self {
            architecture: config.architecture.model_type.to_owned(),
            parameters: count,
            dtype: dtype_name(weights.word_type()?),
            dimension,
            max_tokens: Some(max_tokens.min(config.max_tokens())),
            pooling: recipe.pooling.iter().map(pooling_name).collect(),
            normalized: recipe.steps.last() == Some(&Step::Normalize),
            document_prompt: recipe.prompts.document,
            query_prompt: recipe.prompts.query,
            weights: bytes,
            mapped: weights.word_bytes()?,
            bytes_per_token: bytes_per_token(&config),
        })
    }
}

/// The bytes of a file called `tokenizer.json`, wherever the model keeps it.
pub(crate) fn tokenizer_bytes(dir: &Path) -> Result<usize> {
    let folder = match StaticEmbedder::is_one(dir)? {
        true => dir.join(StaticEmbedder::recipe(dir)?.0),
        false => dir.to_owned(),
    };
    let path = folder.join("tokenizer.json");
    let about = std::fs::metadata(&path).map_err(|error| {
        let subject = path.display().to_string();
        files::needed(corbie_core::Error::io(subject, error), dir)
    })?;
    Ok(about.len() as usize)
}

/// A matrix and its bias, as the kernels keep them.
fn matrix(rows: usize, columns: usize) -> usize {
    Matrix::bytes_of(GgmlDType::F32, rows, columns, Precision::F32) + rows * size_of::<f32>()
}

fn layer_bytes(config: &EncoderConfig) -> usize {
    let (hidden, width) = (config.hidden, config.heads * config.head_dim);
    let kv = config.kv_heads * config.head_dim;
    let halves = 1 + usize::from(config.architecture.names.gated);
    matrix(width + 2 * kv, hidden)
        + matrix(hidden, width)
        + matrix(halves * config.intermediate, hidden)
        + matrix(hidden, config.intermediate)
        + 4 * hidden * size_of::<f32>()
}

/// Buffers of the forward pass, their copies in strips, and the tiles of attention.
fn bytes_per_token(config: &EncoderConfig) -> usize {
    let (hidden, width) = (config.hidden, config.heads * config.head_dim);
    let kv = config.kv_heads * config.head_dim;
    let halves = 1 + usize::from(config.architecture.names.gated);
    let wide = (width + 2 * kv).max(halves * config.intermediate);
    let inner = width.max(config.intermediate);
    let numbers = 2 * hidden + width + 2 * kv + wide + inner + inner.max(hidden) + 2 * kv;
    numbers * size_of::<f32>()
}

fn pooling_name(pooling: &Pooling) -> String {
    let name = serde_json::to_value(pooling).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::U8 => "U8",
        _ => "other",
    }
}
