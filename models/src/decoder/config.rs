//! What kind of decoder a model file holds: a row per architecture, and the file's numbers.

use corbie_core::{Error, ErrorKind, Result};

use crate::gguf::{GgufFile, Metadata};
use crate::kernels::{AttentionShape, RopeLayout};

/// What sets one architecture apart from the others.
#[derive(Debug, PartialEq)]
pub struct Architecture {
    /// Its name in `general.architecture`.
    pub name: &'static str,
    /// The unit between the two halves of the feed-forward layer.
    pub activation: Activation,
    /// Which numbers of a head turn together.
    pub rope_layout: RopeLayout,
    /// Whether each query and key head is normalised before it is turned.
    pub head_norms: bool,
    /// Whether the outputs of attention and feed-forward are normalised before they are added.
    pub post_norms: bool,
    /// Whether embeddings are multiplied by the root of their length.
    pub scaled_embeddings: bool,
    /// Layers that see only a window, where the architecture has them.
    pub sliding: Option<Sliding>,
    /// A depth at which the attention scale is `1 / √(hidden / heads)` instead of
    /// `1 / √head_dim`: the only trace of it in a file.
    pub wide_scale_layers: Option<usize>,
}

/// Where sliding-window layers stand, when the file does not say so itself.
#[derive(Debug, PartialEq)]
pub struct Sliding {
    /// Every `global_every`-th layer sees everything; the others see a window.
    pub global_every: usize,
    /// The base of the rotary frequencies in the windowed layers.
    pub local_rope_base: f32,
}

/// The gating unit of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// The Gaussian error linear unit in its tanh form.
    GeluTanh,
}

/// The architectures this decoder runs.
///
/// Sources: the model cards and papers (Llama: Touvron et al., 2023; Gemma 3: Gemma Team, 2025)
/// and GGUF's naming of their tensors.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "llama",
        activation: Activation::Silu,
        rope_layout: RopeLayout::Neighbours,
        head_norms: false,
        post_norms: false,
        scaled_embeddings: false,
        sliding: None,
        wide_scale_layers: None,
    },
    Architecture {
        name: "gemma3",
        activation: Activation::GeluTanh,
        rope_layout: RopeLayout::Halves,
        head_norms: true,
        post_norms: true,
        scaled_embeddings: true,
        sliding: Some(Sliding {
            global_every: 6,
            local_rope_base: 10_000.0,
        }),
        wide_scale_layers: Some(62),
    },
];

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
            let names: Vec<&str> = ARCHITECTURES.iter().map(|row| row.name).collect();
            Error::new(
                ErrorKind::Unsupported,
                file.name(),
                format!("its architecture `{name}` is not supported"),
            )
            .hint(format!("take a model of one of: {}", names.join(", ")))
        })
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
    /// The most positions the model was made for.
    pub context_length: usize,
    /// What keeps a normalisation from dividing by zero.
    pub norm_eps: f32,
    /// Multiplies each embedding.
    pub embedding_scale: f32,
    /// Multiplies each attention score.
    pub attention_scale: f32,
    /// Bounds attention scores.
    pub attention_softcap: Option<f32>,
    /// Bounds logits.
    pub final_softcap: Option<f32>,
    /// The rotary frequencies of layers that see everything.
    pub rope: Rope,
    /// The layers that see a window.
    pub window: Option<Window>,
}

/// How rotary frequencies follow from a base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// Pair `i` of `n` turns by `base^(-i / n)` a position.
    pub base: f32,
    /// Divides every frequency: linear scaling to longer contexts.
    pub divisor: f32,
}

impl Rope {
    /// The frequency of each of `pairs` pairs, divided by its own factor where there are factors.
    pub fn frequencies(&self, pairs: usize, factors: Option<&[f32]>) -> Vec<f32> {
        (0..pairs)
            .map(|i| {
                let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
                let power = f64::from(self.base).powf(-(i as f64) / pairs as f64);
                (power / f64::from(self.divisor) / factor) as f32
            })
            .collect()
    }
}

/// The layers of a model that see only the last positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// How many positions they see, their own among them.
    pub size: usize,
    /// Which layers they are.
    pub layers: Vec<bool>,
    /// Their rotary frequencies.
    pub rope: Rope,
}

const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 18;
const MAX_FEED_FORWARD: usize = 1 << 20;
const MAX_CONTEXT: usize = 1 << 24;

impl DecoderConfig {
    /// Reads and checks the shape of the decoder in `file`.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for an architecture or variant we have no code
    /// for; [`Malformed`](ErrorKind::Malformed), naming the key, for numbers that make no model.
    pub fn read(file: &GgufFile) -> Result<Self> {
        let architecture = Architecture::of(file)?;
        let keys = Keys {
            metadata: file.metadata(),
            prefix: architecture.name,
        };
        if let Some(experts) = keys.optional_size("expert_count", 1 << 16)? {
            return Err(keys.unsupported(
                "expert_count",
                format!("a mixture of {experts} experts is not supported"),
            ));
        }
        let layers = keys.size("block_count", MAX_LAYERS)?;
        let hidden = keys.size("embedding_length", MAX_WIDTH)?;
        let heads = keys.size("attention.head_count", MAX_WIDTH)?;
        let kv_heads = keys
            .optional_size("attention.head_count_kv", heads)?
            .unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(keys.malformed(
                "attention.head_count_kv",
                format!("{kv_heads} does not divide the {heads} query heads"),
            ));
        }
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
        Ok(Self {
            architecture,
            layers,
            hidden,
            feed_forward: keys.size("feed_forward_length", MAX_FEED_FORWARD)?,
            heads,
            kv_heads,
            head_dim,
            rope_dim,
            context_length: keys.size("context_length", MAX_CONTEXT)?,
            norm_eps: keys
                .positive("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| keys.malformed("attention.layer_norm_rms_epsilon", "missing"))?,
            embedding_scale: match architecture.scaled_embeddings {
                true => (hidden as f32).sqrt(),
                false => 1.0,
            },
            attention_scale: 1.0 / scale_dim.sqrt(),
            attention_softcap: keys.positive("attn_logit_softcapping")?,
            final_softcap: keys.positive("final_logit_softcapping")?,
            rope: keys.rope()?,
            window: keys.window(architecture, layers)?,
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
}

/// The metadata of one architecture: keys without their prefix.
struct Keys<'a> {
    metadata: Metadata<'a>,
    prefix: &'static str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn malformed(&self, name: &str, cause: impl std::fmt::Display) -> Error {
        self.refuse(ErrorKind::Malformed, name, cause)
    }

    fn unsupported(&self, name: &str, cause: impl std::fmt::Display) -> Error {
        self.refuse(ErrorKind::Unsupported, name, cause)
    }

    fn refuse(&self, kind: ErrorKind, name: &str, cause: impl std::fmt::Display) -> Error {
        let key = self.key(name);
        Error::new(
            kind,
            self.metadata.subject(),
            format!("metadata `{key}`: {cause}"),
        )
    }

    fn size(&self, name: &str, limit: usize) -> Result<usize> {
        self.optional_size(name, limit)?
            .ok_or_else(|| self.malformed(name, "missing"))
    }

    /// A count between 1 and `limit`.
    fn optional_size(&self, name: &str, limit: usize) -> Result<Option<usize>> {
        let Some(value) = self.metadata.u64(&self.key(name))? else {
            return Ok(None);
        };
        match usize::try_from(value) {
            Ok(size) if (1..=limit).contains(&size) => Ok(Some(size)),
            _ => Err(self.malformed(name, format!("{value} is not between 1 and {limit}"))),
        }
    }

    /// A finite number above zero. Files write zero for "none", so zero is none.
    fn positive(&self, name: &str) -> Result<Option<f32>> {
        match self.metadata.f32(&self.key(name))? {
            Some(0.0) | None => Ok(None),
            Some(value) if value.is_finite() && value > 0.0 => Ok(Some(value)),
            Some(value) => Err(self.malformed(name, format!("{value} is no positive number"))),
        }
    }

    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize> {
        let head_dim = match self.optional_size("attention.key_length", MAX_WIDTH)? {
            Some(length) => length,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                return Err(self.malformed(
                    "attention.head_count",
                    format!("{heads} heads do not divide the width {hidden}"),
                ));
            }
        };
        if heads.saturating_mul(head_dim) > MAX_WIDTH {
            return Err(self.malformed(
                "attention.head_count",
                format!("{heads} heads of {head_dim} are wider than {MAX_WIDTH}"),
            ));
        }
        match self.optional_size("attention.value_length", MAX_WIDTH)? {
            Some(length) if length != head_dim => Err(self.unsupported(
                "attention.value_length",
                format!("values of {length} beside keys of {head_dim} are not supported"),
            )),
            _ => Ok(head_dim),
        }
    }

    fn rope(&self) -> Result<Rope> {
        let base = self.positive("rope.freq_base")?.unwrap_or(10_000.0);
        let divisor = match self.metadata.str(&self.key("rope.scaling.type"))? {
            // Files from before the key was there name the factor alone.
            None => self.positive("rope.scale_linear")?,
            Some("none" | "") => None,
            Some("linear") => self.positive("rope.scaling.factor")?,
            Some(other) => {
                return Err(self.unsupported(
                    "rope.scaling.type",
                    format!("`{other}` is not supported: only `none` and `linear` are"),
                ));
            }
        };
        Ok(Rope {
            base,
            divisor: divisor.unwrap_or(1.0),
        })
    }

    fn window(&self, architecture: &Architecture, layers: usize) -> Result<Option<Window>> {
        let Some(sliding) = &architecture.sliding else {
            return Ok(None);
        };
        let Some(size) = self.optional_size("attention.sliding_window", MAX_CONTEXT)? else {
            return Ok(None);
        };
        let base = self.positive("rope.freq_base_swa")?;
        Ok(Some(Window {
            size,
            layers: self.windowed_layers(sliding, layers)?,
            rope: Rope {
                base: base.unwrap_or(sliding.local_rope_base),
                divisor: 1.0,
            },
        }))
    }

    /// Which layers see a window: the file's own list, or its period, or the architecture's.
    fn windowed_layers(&self, sliding: &Sliding, layers: usize) -> Result<Vec<bool>> {
        let name = "attention.sliding_window_pattern";
        if let Ok(Some(list)) = self.metadata.bools(&self.key(name)) {
            return match list.len() == layers {
                true => Ok(list),
                false => {
                    let count = list.len();
                    Err(self.malformed(name, format!("{count} entries for {layers} layers")))
                }
            };
        }
        let every = self
            .optional_size(name, MAX_LAYERS)?
            .unwrap_or(sliding.global_every);
        Ok((1..=layers).map(|layer| layer % every != 0).collect())
    }
}
