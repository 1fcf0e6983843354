//! How much memory a model will take, before it is loaded: from the headers of its files alone.
//!
//! What the loader does decides it. Quantized weights are laid out anew for the kernels, in as
//! many bits as their file has; `F16`, `BF16` and `F32` keep their width; encoders' matrices become
//! `f32`. All files are mapped into memory while they are loaded. Of an encoder the table of tokens
//! stays mapped, where it is the largest part; nothing of a chat model does, because no kernel
//! reads what lies in its file. What grammars make of a vocabulary, when an answer is first held to
//! a form, is not foretold.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use corbie_models::chat::LocalChatOptions;
//! use corbie_models::estimate;
//!
//! let need = estimate::chat(Path::new("model.gguf"), &LocalChatOptions::default())?;
//! println!("{} MB, of which {} MB are weights", need.total() / 1_000_000, need.weights / 1_000_000);
//! # Ok::<(), corbie_core::Error>(())
//! ```

use std::path::Path;

use corbie_core::Result;
use serde::Serialize;

use crate::chat::LocalChatOptions;
use crate::decoder::DecoderSize;
use crate::encoder::{
    EncoderFacts, LocalEmbedderOptions, LocalRerankerOptions, LocalSparseEmbedderOptions,
    tokenizer_bytes,
};
use crate::engine::MOST_PROMPT_TOKENS;
use crate::gguf::GgufFile;

/// What a tokenizer takes for each of its tokens, in bytes: their texts, their kinds, and the
/// tables by which texts are found. Measured: see `docs/measurements.md`.
const BYTES_PER_TOKEN: usize = 110;

/// What a tokenizer takes for each byte of its `tokenizer.json`. Measured likewise.
const BYTES_PER_JSON_BYTE: usize = 30;

/// The bytes that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MemoryNeed {
    /// What stays in its file, mapped into memory: the system reads what is touched, and takes it
    /// back when memory is short. No part of the sums below.
    pub mapped: usize,
    /// Weights, as they are kept.
    pub weights: usize,
    /// The tokenizer.
    pub tokenizer: usize,
    /// Keys and values of one conversation as long as the options allow.
    pub context: usize,
    /// The same of one as long as the model was made for: what `context` is when the options ask
    /// for that.
    pub longest_context: usize,
    /// Keys and values of further conversations, and of beginnings kept for later ones: useful,
    /// not needed.
    pub spare: usize,
    /// Buffers of a pass.
    pub workspace: usize,
}

impl MemoryNeed {
    /// What it cannot do without.
    pub fn least(&self) -> usize {
        self.weights + self.tokenizer + self.context + self.workspace
    }

    /// What it takes when it may.
    pub fn total(&self) -> usize {
        self.least() + self.spare
    }
}

/// That of the chat model at `path`: a GGUF file, or a directory as Hugging Face keeps models.
///
/// # Errors
///
/// Those of [`DecoderSize::of_gguf`] and [`DecoderSize::of_directory`].
pub fn chat(path: &Path, options: &LocalChatOptions) -> Result<MemoryNeed> {
    match path.is_dir() {
        true => {
            let size = DecoderSize::of_directory(path, options.precision)?;
            // The library that runs it is asked in two ways, by two copies.
            let tokenizer = 2 * BYTES_PER_JSON_BYTE * tokenizer_bytes(path)?;
            Ok(of_decoder(&size, tokenizer, options))
        }
        false => gguf(&GgufFile::open(path)?, options),
    }
}

/// That of the chat model in an open file.
///
/// # Errors
///
/// Those of [`DecoderSize::of_gguf`].
pub fn gguf(file: &GgufFile, options: &LocalChatOptions) -> Result<MemoryNeed> {
    let size = DecoderSize::of_gguf(file, options.precision)?;
    let tokens = file
        .metadata()
        .get("tokenizer.ggml.tokens")
        .map_or(0, |tokens| match tokens {
            crate::gguf::Value::Array { count, .. } => count,
            _ => 0,
        });
    Ok(of_decoder(&size, BYTES_PER_TOKEN * tokens, options))
}

fn of_decoder(size: &DecoderSize, tokenizer: usize, options: &LocalChatOptions) -> MemoryNeed {
    let limits = options.limits(&size.config);
    let context = size.config.memory_of(options.context_of(&size.config));
    // A limit below what the context takes shortens the context.
    let context = context.min(limits.memory);
    MemoryNeed {
        mapped: 0,
        weights: size.weights,
        tokenizer,
        context,
        longest_context: size.config.memory_of(size.config.context_length),
        spare: limits.memory - context,
        workspace: size.workspace(MOST_PROMPT_TOKENS + limits.running, limits.running),
    }
}

/// That of the embedder in a directory.
///
/// # Errors
///
/// Those of [`EncoderFacts::read`].
pub fn embedder(dir: &Path, options: &LocalEmbedderOptions) -> Result<MemoryNeed> {
    of_encoder(dir, options.max_tokens_per_batch)
}

/// That of the reranker in a directory.
///
/// # Errors
///
/// Those of [`EncoderFacts::read`].
pub fn reranker(dir: &Path, options: &LocalRerankerOptions) -> Result<MemoryNeed> {
    of_encoder(dir, options.max_tokens_per_batch)
}

/// That of the sparse embedder in a directory.
///
/// # Errors
///
/// Those of [`EncoderFacts::read`].
pub fn sparse_embedder(dir: &Path, options: &LocalSparseEmbedderOptions) -> Result<MemoryNeed> {
    of_encoder(dir, options.max_tokens_per_batch)
}

fn of_encoder(dir: &Path, batch: usize) -> Result<MemoryNeed> {
    let facts = EncoderFacts::read(dir)?;
    let most = facts.max_tokens.unwrap_or(0).max(batch);
    Ok(MemoryNeed {
        mapped: facts.mapped,
        weights: facts.weights,
        tokenizer: BYTES_PER_JSON_BYTE * tokenizer_bytes(dir)?,
        workspace: most.min(MOST_BATCH) * facts.bytes_per_token,
        ..MemoryNeed::default()
    })
}

/// No text is longer for this estimate: some files say that they know no limit.
const MOST_BATCH: usize = 1 << 16;
