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
//! Logits of a position depend on the tokens up to it alone, bit for bit: not on the other
//! sequences of a pass, on how a prompt is cut into chunks, on what was rolled back or taken from
//! another sequence's memory before, or on the number of threads.

mod config;
mod forward;
mod weights;

use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};

pub use config::{ARCHITECTURES, Activation, Architecture, DecoderConfig, Rope, Sliding, Window};
pub use forward::Workspace;

use crate::gguf::GgufFile;
use crate::kernels::{BLOCK_POSITIONS, CacheMeter, KvBlock, KvCache, Precision, RopeTable};
use weights::Weights;

/// A decoder: its shape and its weights. Shared between sequences, never changed.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    weights: Weights,
    rope: RopeTable,
    local_rope: Option<RopeTable>,
    name: String,
    meter: CacheMeter,
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
            meter: CacheMeter::default(),
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

    /// The bytes that the sequences and [`Memory`] of this decoder take now.
    pub fn memory_in_use(&self) -> usize {
        self.meter.bytes()
    }

    /// The bytes of one block of positions in all layers.
    pub fn block_bytes(&self) -> usize {
        let config = &self.config;
        config.layers * KvCache::block_bytes(config.kv_heads, config.head_dim)
    }

    /// The most bytes that a sequence of `tokens` takes.
    pub fn memory_of(&self, tokens: usize) -> usize {
        let config = &self.config;
        let layers = 0..config.layers;
        let blocks = layers.map(|layer| {
            let kept = config.windowed(layer).map(|it| it.size + ROLLBACK);
            let kept = kept.map_or(tokens, |kept| tokens.min(kept));
            // A window may begin and end within a block.
            kept.div_ceil(BLOCK_POSITIONS) + usize::from(kept < tokens)
        });
        blocks.sum::<usize>() * KvCache::block_bytes(config.kv_heads, config.head_dim)
    }

    /// An empty sequence.
    pub fn sequence(self: &Arc<Self>) -> Sequence {
        let config = &self.config;
        let cache = |_| KvCache::new(config.kv_heads, config.head_dim, &self.meter);
        Sequence {
            caches: (0..config.layers).map(cache).collect(),
            decoder: Arc::clone(self),
            tokens: Vec::new(),
        }
    }

    /// A sequence that has read `tokens` as other sequences did, whose memory of each
    /// [`BLOCK_POSITIONS`] of them is given; `None` when layers with a sliding window no longer
    /// had what the last token saw.
    ///
    /// # Panics
    ///
    /// When the memory is of fewer tokens, or of another decoder's shape.
    pub fn recall(self: &Arc<Self>, tokens: &[u32], memory: &[&Memory]) -> Option<Sequence> {
        let mut sequence = self.sequence();
        for (layer, cache) in sequence.caches.iter_mut().enumerate() {
            let blocks = memory.iter().map(|memory| memory.layers[layer].clone());
            cache.restore(tokens.len(), blocks.collect());
        }
        sequence.tokens = tokens.to_vec();
        sequence.is_whole().then_some(sequence)
    }

    /// Reads the tokens of every step, each into its own sequence, and gives the logits they
    /// want, `[vocabulary]` each, one step's after the other's.
    ///
    /// A sequence comes out as if it were read alone.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a token the decoder does not know or more logits
    /// than tokens; nothing is read then.
    pub fn read<'w>(
        &self,
        steps: &mut [Step<'_>],
        workspace: &'w mut Workspace,
    ) -> Result<&'w [f32]> {
        let refuse = |cause: String| Err(Error::new(ErrorKind::BadInput, &self.name, cause));
        let vocabulary = self.vocabulary();
        for step in &*steps {
            let unknown = |token: &&u32| **token as usize >= vocabulary;
            if let Some(token) = step.tokens.iter().find(unknown) {
                return refuse(format!("token {token} is not among its {vocabulary}"));
            }
            if step.wanted > step.tokens.len() {
                let (wanted, tokens) = (step.wanted, step.tokens.len());
                return refuse(format!("{wanted} logits of {tokens} tokens"));
            }
        }
        let wanted: usize = steps.iter().map(|step| step.wanted).sum();
        if steps.iter().any(|step| !step.tokens.is_empty()) {
            self.run(steps, workspace);
            for step in steps {
                step.sequence.advance(step.tokens);
            }
        }
        Ok(&workspace.logits[..wanted * vocabulary])
    }
}

/// How many positions before what its windows see a sequence keeps, so that it can be rolled back
/// by as many.
const ROLLBACK: usize = 64;

/// One sequence's part of a pass.
#[derive(Debug)]
pub struct Step<'a> {
    /// The sequence that goes on.
    pub sequence: &'a mut Sequence,
    /// What it reads.
    pub tokens: &'a [u32],
    /// How many of the last tokens' logits are wanted: 0 within a prompt, 1 at its end, all to
    /// weigh a given text.
    pub wanted: usize,
}

/// What a sequence remembers of [`BLOCK_POSITIONS`] positions. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory {
    /// None where a sliding window has moved on.
    layers: Vec<Option<KvBlock>>,
}

impl Memory {
    /// Of how many layers it remembers something.
    pub fn layers(&self) -> usize {
        self.layers.iter().flatten().count()
    }
}

/// A text that a [`Decoder`] has read so far, with what it remembers of each position. Clones
/// share what they have in common.
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

    /// Forgets the tokens from position `len` on. What sliding windows saw there may be gone
    /// already when that is more than a few tokens back: then all are forgotten. Gives how many
    /// are left.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.tokens.len() {
            self.cut(len);
            if !self.is_whole() {
                self.cut(0);
            }
        }
        self.tokens.len()
    }

    fn cut(&mut self, len: usize) {
        self.tokens.truncate(len);
        self.caches.iter_mut().for_each(|cache| cache.truncate(len));
    }

    /// What it remembers of the `index`th [`BLOCK_POSITIONS`] positions.
    pub fn memory(&self, index: usize) -> Memory {
        let layers = self.caches.iter().map(|cache| cache.block(index));
        Memory {
            layers: layers.collect(),
        }
    }

    /// Reads `tokens` and gives the logits of the last `wanted` of them: [`Decoder::read`] of
    /// one sequence.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::read`].
    pub fn read<'w>(
        &mut self,
        tokens: &[u32],
        wanted: usize,
        workspace: &'w mut Workspace,
    ) -> Result<&'w [f32]> {
        let decoder = Arc::clone(&self.decoder);
        let step = Step {
            sequence: self,
            tokens,
            wanted,
        };
        decoder.read(&mut [step], workspace)
    }

    /// The first position that the next token will see in `layer`.
    fn sight(&self, layer: usize) -> usize {
        let window = self.decoder.config.windowed(layer);
        window.map_or(0, |window| {
            (self.tokens.len() + 1).saturating_sub(window.size)
        })
    }

    /// Whether all that the next token will see is there.
    fn is_whole(&self) -> bool {
        let mut caches = self.caches.iter().enumerate();
        caches.all(|(layer, cache)| cache.reaches_back_to(self.sight(layer)))
    }

    /// Counts `tokens` as read and forgets what no window reaches any more.
    fn advance(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        for layer in 0..self.caches.len() {
            let sight = self.sight(layer).saturating_sub(ROLLBACK);
            self.caches[layer].forget_before(sight);
        }
    }
}
