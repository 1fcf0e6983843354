//! The decoder of local chat models: one forward pass for all architectures, which differ only
//! by their row in [`ARCHITECTURES`].
//!
//! Weights and arithmetic meet in two places: [`crate::kernels::Matrix`] holds weights and
//! multiplies by them, and the other kernels work on the buffers between the products. The
//! forward pass itself (`forward.rs`) only says which kernel follows which. A device backend
//! replaces those two: it keeps `Matrix`, `KvCache` and the `Workspace` buffers as tensors of
//! its device and implements the same operations on them; the configuration, the sequences and
//! everything above stay as they are.
//!
//! Logits of a position depend on the tokens up to it alone, bit for bit: not on how a prompt is
//! cut into chunks, on what was rolled back before, or on the number of threads.

mod config;
mod forward;
mod weights;

use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};

pub use config::{ARCHITECTURES, Activation, Architecture, DecoderConfig, Rope, Sliding, Window};
pub use forward::Workspace;

use crate::gguf::GgufFile;
use crate::kernels::{KvCache, Precision, RopeTable};
use weights::Weights;

/// A decoder: its shape and its weights. Shared between sequences, never changed.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    weights: Weights,
    rope: RopeTable,
    local_rope: Option<RopeTable>,
    name: String,
}

impl Decoder {
    /// Reads the decoder in a model file.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for an architecture we have no row for;
    /// [`Malformed`](ErrorKind::Malformed), naming the key or tensor, when the file's parts do
    /// not fit together.
    pub fn load(file: &GgufFile, precision: Precision) -> Result<Self> {
        let config = DecoderConfig::read(file)?;
        let weights = Weights::read(file, &config, precision)?;
        let table = |rope: &Rope, factors| RopeTable {
            layout: config.architecture.rope_layout,
            frequencies: rope.frequencies(config.rope_dim / 2, factors),
        };
        Ok(Self {
            rope: table(&config.rope, weights.rope_factors.as_deref()),
            local_rope: config.window.as_ref().map(|w| table(&w.rope, None)),
            weights,
            config,
            name: file.name().to_owned(),
        })
    }

    /// Its shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// How many tokens it knows: the length of a row of logits.
    pub fn vocabulary(&self) -> usize {
        self.weights.embedding.rows()
    }

    /// An empty sequence.
    pub fn sequence(self: &Arc<Self>) -> Sequence {
        let cache = |_| KvCache::new(self.config.kv_heads, self.config.head_dim);
        Sequence {
            caches: (0..self.config.layers).map(cache).collect(),
            decoder: Arc::clone(self),
            tokens: Vec::new(),
        }
    }
}

/// A text that a [`Decoder`] has read so far, with what it remembers of each position.
#[derive(Debug, Clone)]
pub struct Sequence {
    decoder: Arc<Decoder>,
    caches: Vec<KvCache>,
    tokens: Vec<u32>,
}

impl Sequence {
    /// The tokens read so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Forgets the tokens from position `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.tokens.truncate(len);
            self.caches.iter_mut().for_each(|cache| cache.truncate(len));
        }
    }

    /// Reads `tokens` and gives the logits of the last `wanted` of them, `[wanted, vocabulary]`:
    /// 0 within a prompt, 1 at its end, all to weigh a given text.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a token the decoder does not know or more logits
    /// than tokens; nothing is read then.
    pub fn read<'w>(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        workspace: &'w mut Workspace,
    ) -> Result<&'w [f32]> {
        let refuse =
            |cause: String| Err(Error::new(ErrorKind::BadInput, &self.decoder.name, cause));
        let vocabulary = self.decoder.vocabulary();
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return refuse(format!("token {token} is not among its {vocabulary}"));
        }
        if wanted > tokens.len() {
            return refuse(format!("{wanted} logits of {} tokens", tokens.len()));
        }
        if !tokens.is_empty() {
            self.decoder
                .run(&mut self.caches, workspace, tokens, wanted);
            self.tokens.extend_from_slice(tokens);
        }
        Ok(&workspace.logits[..wanted * vocabulary])
    }
}
