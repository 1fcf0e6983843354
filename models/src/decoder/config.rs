//! The shape of a decoder, read from a model file and checked.

use corbie_core::{Error, ErrorKind, Result};

use super::architecture::{Architecture, Normalisation};
use super::keys::{Keys, Source};
use super::rope::Rope;
use super::table::ARCHITECTURES;
use crate::gguf::GgufFile;
use crate::kernels::{AttentionShape, RopeLayout};

impl Architecture {
    /// The row of the file's architecture.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) when there is none, with the names of those
    /// there are.
    pub fn of(file: &GgufFile) -> Result<&'static Self> {
        let name = file.architecture()?;
        let known = |row: &&Architecture| row.name == name;
        ARCHITECTURES.iter().find(known).ok_or_else(|| {
            let names = ARCHITECTURES.iter().map(|row| row.name);
            Self::unknown(file.name(), name, names)
        })
    }

    /// The error of a model with no row, which names those with one.
    pub(super) fn unknown<'a>(
        subject: &str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Error {
        let cause = format!("its architecture `{name}` is not supported");
        let known: Vec<&str> = known.collect();
        Error::new(ErrorKind::Unsupported, subject, cause)
            .hint(format!("take a model of one of: {}", known.join(", ")))
    }
}

/// The shape of a decoder, read from a model file and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The row of its architecture.
    pub architecture: &'static Architecture,
    /// How many blocks of attention and feed-forward there are.
    pub layers: usize,
    /// Numbers in one position's state.
    pub hidden: usize,
    /// Numbers between the two halves of the feed-forward layer.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; a divisor of `heads`.
    pub kv_heads: usize,
    /// Numbers in one head.
    pub head_dim: usize,
    /// Numbers of a head that are turned by its position; even.
    pub rope_dim: usize,
    /// Which numbers of a head turn together.
    pub rope_layout: RopeLayout,
    /// The most positions the model was made for.
    pub context_length: usize,
    /// How many positions it was first trained on, if it was stretched since.
    pub original_context: Option<usize>,
    /// What keeps a normalisation from dividing by zero.
    pub norm_eps: f32,
    /// Multiplies each embedding.
    pub embedding_scale: f32,
    /// Multiplies what attention and feed-forward add to the state.
    pub residual_scale: f32,
    /// Multiplies each attention score.
    pub attention_scale: f32,
    /// Multiplies each logit.
    pub logit_scale: f32,
    /// Bounds attention scores.
    pub attention_softcap: Option<f32>,
    /// Bounds logits.
    pub final_softcap: Option<f32>,
    /// Queries that grow with their position.
    pub growth: Option<Growth>,
    /// The rotary frequencies of layers that see everything.
    pub rope: Rope,
    /// The layers without rotary embedding.
    pub unturned: Vec<bool>,
    /// The layers that see a window.
    pub window: Option<Window>,
    /// The layers that mix positions by a short convolution instead of attention.
    pub convolution: Option<Convolution>,
    /// The experts that feed-forward layers have, if they do.
    pub experts: Option<Experts>,
}

/// The layers of a model that see only the last positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// How many positions they see, their own among them.
    pub size: usize,
    /// Which layers they are.
    pub layers: Vec<bool>,
    /// Their rotary frequencies, where they are others.
    pub rope: Option<Rope>,
}

/// The layers of a model that are short convolutions (LFM2: Liquid AI, 2025).
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// How many positions they see, their own among them.
    pub reach: usize,
    /// Which layers they are.
    pub layers: Vec<bool>,
}

/// The experts of a model that is a mixture of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// How many each layer has.
    pub count: usize,
    /// How many of them a position uses.
    pub used: usize,
    /// Numbers between the two halves of an expert.
    pub feed_forward: usize,
    /// The same of an expert that all positions use.
    pub shared_feed_forward: Option<usize>,
    /// Whether each is wanted by the sigmoid of its score, not by the softmax of all.
    pub sigmoid: bool,
    /// Whether the weights of those used are made to sum to one.
    pub normalised: bool,
    /// Multiplies their weights.
    pub scale: f32,
    /// How many layers come before the first with experts.
    pub dense_layers: usize,
}

/// Queries at position `p` are multiplied by `1 + factor · ln(1 + ⌊p / span⌋)`, so that attention
/// stays sharp in long contexts (Llama 4, Ministral 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// How fast they grow.
    pub factor: f32,
    /// How many positions share one factor.
    pub span: usize,
}

impl Growth {
    /// What a query at `position` is multiplied by.
    pub fn at(&self, position: usize) -> f32 {
        1.0 + self.factor * ((1 + position / self.span) as f32).ln()
    }
}

pub(super) const MAX_LAYERS: usize = 1024;
pub(super) const MAX_WIDTH: usize = 1 << 18;
pub(super) const MAX_FEED_FORWARD: usize = 1 << 20;
pub(super) const MAX_CONTEXT: usize = 1 << 24;

impl DecoderConfig {
    /// Reads and checks the shape of the decoder in `file`.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for an architecture or variant we have no code
    /// for; [`Malformed`](ErrorKind::Malformed), naming the key, for numbers that make no model.
    pub fn read(file: &GgufFile) -> Result<Self> {
        let architecture = Architecture::of(file)?;
        Self::from_keys(
            &Keys {
                source: Source::Gguf(file.metadata()),
                architecture,
            },
            architecture.rope_layout,
        )
    }

    pub(super) fn from_keys(keys: &Keys<'_>, rope_layout: RopeLayout) -> Result<Self> {
        let architecture = keys.architecture;
        let layers = keys.size("block_count", MAX_LAYERS)?;
        let hidden = keys.size("embedding_length", MAX_WIDTH)?;
        let heads = keys.size("attention.head_count", MAX_WIDTH)?;
        let (kv_heads, convolution) = keys.kv_heads(heads, layers)?;
        let head_dim = keys.head_dim(hidden, heads)?;
        let rope_dim = keys
            .optional_size("rope.dimension_count", head_dim)?
            .unwrap_or(head_dim);
        if !rope_dim.is_multiple_of(2) {
            return Err(keys.malformed("rope.dimension_count", format!("{rope_dim} is odd")));
        }
        let scale_dim = match architecture.wide_scale_layers {
            Some(depth) if depth == layers => hidden as f32 / heads as f32,
            _ => head_dim as f32,
        };
        let norm_eps = match architecture.normalisation {
            Normalisation::RootMeanSquare => "attention.layer_norm_rms_epsilon",
            Normalisation::Layer => "attention.layer_norm_epsilon",
        };
        if let Some(bound) = keys.positive("attention.clamp_kqv")? {
            let cause = format!("a bound of {bound} is not supported");
            return Err(keys.unsupported("attention.clamp_kqv", cause));
        }
        let context_length = keys.size("context_length", MAX_CONTEXT)?;
        let feed_forward = keys.size("feed_forward_length", MAX_FEED_FORWARD)?;
        let original_context = keys.original_context()?;
        let rope = keys.rope(context_length)?;
        let window = keys.window(&rope, layers)?;
        let logit_scale = keys.positive("logit_scale")?.unwrap_or(1.0);
        Ok(Self {
            architecture,
            layers,
            hidden,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            rope_dim,
            rope_layout,
            context_length,
            original_context,
            norm_eps: keys
                .positive(norm_eps)?
                .ok_or_else(|| keys.malformed(norm_eps, "missing"))?,
            embedding_scale: match architecture.scaled_embeddings {
                true => (hidden as f32).sqrt(),
                false => keys.positive("embedding_scale")?.unwrap_or(1.0),
            },
            residual_scale: keys.positive("residual_scale")?.unwrap_or(1.0),
            attention_scale: keys
                .positive("attention.scale")?
                .unwrap_or(1.0 / scale_dim.sqrt()),
            logit_scale: match architecture.divided_logits {
                true => 1.0 / logit_scale,
                false => logit_scale,
            },
            attention_softcap: keys.positive("attn_logit_softcapping")?,
            final_softcap: keys.positive("final_logit_softcapping")?,
            growth: match (
                keys.positive("attention.temperature_scale")?,
                original_context,
            ) {
                (Some(factor), Some(span)) => Some(Growth { factor, span }),
                _ => None,
            },
            unturned: keys.unturned_layers(layers, window.as_ref())?,
            rope,
            window,
            convolution,
            experts: keys.experts(feed_forward, layers)?,
        })
    }

    /// The attention of one layer.
    pub fn attention(&self, layer: usize) -> AttentionShape {
        AttentionShape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: self.attention_scale,
            window: self.windowed(layer).map(|window| window.size),
            softcap: self.attention_softcap,
        }
    }

    /// The window of `layer`, if it has one.
    pub fn windowed(&self, layer: usize) -> Option<&Window> {
        self.window.as_ref().filter(|window| window.layers[layer])
    }

    /// The convolution that `layer` is, if it is one.
    pub fn convolved(&self, layer: usize) -> Option<&Convolution> {
        self.convolution.as_ref().filter(|it| it.layers[layer])
    }

    /// How many positions `layer` sees, its own among them; `None`: all.
    pub fn reach(&self, layer: usize) -> Option<usize> {
        match self.convolved(layer) {
            Some(convolution) => Some(convolution.reach),
            None => self.windowed(layer).map(|window| window.size),
        }
    }
}
