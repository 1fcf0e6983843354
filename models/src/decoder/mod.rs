//! The decoder of local chat models: one forward pass for all architectures, which differ only
//! by their row in [`ARCHITECTURES`].
//!
//! | file | question it answers |
//! |---|---|
//! | `table`, `architecture` | what sets one architecture apart from the others |
//! | `keys`, `config`, `rope` | how large a model is, from its own values, each checked |
//! | `hugging_face` | what `config.json` says, by GGUF's keys |
//! | `source`, `safetensors` | where tensors come from: GGUF files or safetensors directories |
//! | `progress` | how far loading is |
//! | `weights`, `projection` | the numbers, checked against the shape |
//! | `memory` | how many bytes they and the sequences take |
//! | `forward`, `mix`, `feed_forward` | the arithmetic: the whole, and the two halves of a block |
//!
//! A row has a flag only for what a file does not show by itself. A new architecture is a row, a
//! flag where its arithmetic is new, and fixtures from `benches/accuracy/fixtures.py`, which
//! bring it under all laws of `tests/decoder`.
//!
//! Weights and arithmetic meet in two places: [`crate::kernels::Matrix`] holds weights and
//! multiplies by them, and the other kernels work on the buffers between the products. The
//! forward pass itself only says which kernel follows which. A device backend
//! replaces those two: it keeps `Matrix`, `KvCache` and the `Workspace` buffers as tensors of
//! its device and implements the same operations on them; the configuration, the sequences and
//! everything above stay as they are.
//!
//! Logits of a position depend on the tokens up to it alone, bit for bit: not on the other
//! sequences of a pass, on how a prompt is cut into chunks, on what was rolled back or taken from
//! another sequence's memory before, or on the number of threads.

mod adapter;
mod architecture;
mod config;
mod feed_forward;
mod forward;
mod hugging_face;
mod keys;
mod memory;
mod mix;
mod progress;
mod projection;
mod rope;
mod safetensors;
mod source;
mod table;
mod weights;

use std::path::Path;
use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};

pub use adapter::{Adapter, MergeReport};
pub use architecture::{Activation, Architecture, HeadNorms, Normalisation, Sliding, WindowRope};
pub use config::{Convolution, DecoderConfig, Experts, Growth, Window};
pub use forward::Workspace;
pub(crate) use hugging_face::read_small;
pub use memory::DecoderSize;
pub(crate) use progress::Progress;
pub use rope::{Rope, Yarn};
pub use table::ARCHITECTURES;

use crate::gguf::GgufFile;
use crate::kernels::{CacheMeter, KvBlock, KvCache, Precision, RopeTable};
use adapter::MergedTensors;
use hugging_face::HuggingFaceConfig;
use progress::WatchedTensors;
use safetensors::{DirectoryTensors, WeightFiles};
use source::{GgufTensors, Tensors};
use weights::Weights;

/// How a decoder is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecoderOptions {
    /// How quantized weights are multiplied.
    pub precision: Precision,
    /// The most positions that a sequence will have; `None`: as many as the model was made for.
    /// Models with frequencies of their own for long contexts use those when it is beyond their
    /// original context.
    pub context: Option<usize>,
}

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
        let options = DecoderOptions {
            precision,
            ..DecoderOptions::default()
        };
        Self::load_with(file, &options)
    }

    /// Reads the decoder in a model file.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::load`].
    pub fn load_with(file: &GgufFile, options: &DecoderOptions) -> Result<Self> {
        Self::load_watched(file, options, &|_| ())
    }

    /// The same, telling how far it is.
    pub(crate) fn load_watched(
        file: &GgufFile,
        options: &DecoderOptions,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let config = DecoderConfig::read(file)?;
        let tensors = GgufTensors::new(file, config.layers);
        let watched = WatchedTensors::new(&tensors, config.layers, progress);
        Self::build(config, &watched, options)
    }

    /// Reads the decoder in a model file with `adapter` merged into its weights, which stay in
    /// their formats: the report says how much was changed, and lost.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::load`]; [`Mismatch`](ErrorKind::Mismatch) when the adapter is for
    /// another shape.
    pub fn load_merged(
        file: &GgufFile,
        options: &DecoderOptions,
        adapter: &Adapter,
    ) -> Result<(Self, MergeReport)> {
        let config = DecoderConfig::read(file)?;
        if !adapter.fits(&config) {
            return Err(unfit(file.name(), adapter));
        }
        let tensors = GgufTensors::new(file, config.layers);
        let merged = MergedTensors::new(&tensors, adapter);
        let decoder = Self::build(config, &merged, options)?;
        Ok((decoder, merged.report()))
    }

    /// Reads the decoder in a directory as Hugging Face keeps models: `config.json` beside
    /// `model.safetensors`, or beside several files and their index.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::load`], naming the directory's own keys and tensors;
    /// [`NotFound`](ErrorKind::NotFound) when a file is missing.
    pub fn load_directory(directory: &Path, options: &DecoderOptions) -> Result<Self> {
        Self::load_directory_watched(directory, options, &|_| ())
    }

    /// The same, telling how far it is.
    pub(crate) fn load_directory_watched(
        directory: &Path,
        options: &DecoderOptions,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let said = HuggingFaceConfig::read(&directory.join("config.json"))?;
        let config = said.decoder()?;
        let maps = WeightFiles::open(directory)?;
        let files = maps.tensors()?;
        let tensors = DirectoryTensors::new(
            directory,
            said.architecture,
            config.layers,
            said.is_tied(),
            &files,
            said.factors(&config)?,
        );
        let watched = WatchedTensors::new(&tensors, config.layers, progress);
        Self::build(config, &watched, options)
    }

    fn build(
        config: DecoderConfig,
        tensors: &dyn Tensors,
        options: &DecoderOptions,
    ) -> Result<Self> {
        let context = options.context.unwrap_or(config.context_length);
        let weights = Weights::read(tensors, &config, context, options.precision)?;
        let table = |rope: &Rope, factors| RopeTable {
            layout: config.rope_layout,
            frequencies: rope.frequencies(config.rope_dim / 2, factors),
            magnitude: rope.magnitude,
        };
        let local_rope = config.window.as_ref().and_then(|it| it.rope.as_ref());
        Ok(Self {
            rope: table(&config.rope, weights.rope_factors.as_deref()),
            local_rope: local_rope.map(|rope| table(rope, None)),
            weights,
            config,
            name: tensors.subject().to_owned(),
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
        self.config.memory_of(tokens)
    }

    /// An empty sequence.
    pub fn sequence(self: &Arc<Self>) -> Sequence {
        self.sequence_with(None)
    }

    /// An empty sequence whose tokens are read with an adapter, which must fit the decoder: see
    /// [`Adapter::fits`].
    pub fn sequence_with(self: &Arc<Self>, adapter: Option<Arc<Adapter>>) -> Sequence {
        Sequence {
            adapter,
            caches: (0..self.config.layers)
                .map(|layer| self.cache(layer))
                .collect(),
            decoder: Arc::clone(self),
            tokens: Vec::new(),
        }
    }

    /// An empty cache of the layer.
    fn cache(&self, layer: usize) -> KvCache {
        self.config.cache(layer, &self.meter)
    }

    /// A sequence that has read `tokens` as other sequences did, whose memory of each
    /// [`BLOCK_POSITIONS`](crate::kernels::BLOCK_POSITIONS) of them is given; `None` when layers with a sliding window no longer
    /// had what the last token saw.
    ///
    /// # Panics
    ///
    /// When the memory is of fewer tokens, or of another decoder's shape.
    pub fn recall(
        self: &Arc<Self>,
        adapter: Option<Arc<Adapter>>,
        tokens: &[u32],
        memory: &[&Memory],
    ) -> Option<Sequence> {
        let mut sequence = self.sequence_with(adapter);
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
    /// than tokens; [`Mismatch`](ErrorKind::Mismatch) for an adapter of another shape; nothing is
    /// read then.
    pub fn read<'w>(
        &self,
        steps: &mut [Step<'_>],
        workspace: &'w mut Workspace,
    ) -> Result<&'w [f32]> {
        let refuse = |cause: String| Err(Error::new(ErrorKind::BadInput, &self.name, cause));
        let vocabulary = self.vocabulary();
        for step in &*steps {
            if let Some(adapter) = &step.sequence.adapter
                && !adapter.fits(&self.config)
            {
                return Err(unfit(&self.name, adapter));
            }
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

fn unfit(subject: &str, adapter: &Adapter) -> Error {
    let cause = format!("{} is for a model of another shape", adapter.name());
    Error::new(ErrorKind::Mismatch, subject, cause)
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

/// What a sequence remembers of [`BLOCK_POSITIONS`](crate::kernels::BLOCK_POSITIONS) positions. Clones share it.
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
    adapter: Option<Arc<Adapter>>,
    caches: Vec<KvCache>,
    tokens: Vec<u32>,
}

impl Sequence {
    /// The adapter that it is read with.
    pub fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref()
    }

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

    /// What it remembers of the `index`th [`BLOCK_POSITIONS`](crate::kernels::BLOCK_POSITIONS) positions.
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
        let reach = self.decoder.config.reach(layer);
        reach.map_or(0, |reach| (self.tokens.len() + 1).saturating_sub(reach))
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
