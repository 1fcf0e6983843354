//! What `config.json` says: how large the encoder is and in what it departs from its row of the
//! table.

use std::path::{Path, PathBuf};

use corbie_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::architecture::{
    ARCHITECTURES, Activation, Architecture, Biases, FirstRow, Positions, Windows,
};
use super::files::{self, malformed, unsupported};

/// The shape of an encoder.
#[derive(Debug, Clone)]
pub(super) struct EncoderConfig {
    pub architecture: &'static Architecture,
    /// Numbers that stand for one token.
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Multiplies every score of attention.
    pub scale: f32,
    /// Numbers between the two products of a feed-forward layer.
    pub intermediate: usize,
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// Positions of the table, or as many as the model was trained for.
    pub positions: usize,
    /// The row of the table of positions which the first token takes.
    pub first_position: usize,
    pub norm_eps: f32,
    pub activation: Activation,
    pub biases: Biases,
    pub causal: bool,
    layer_kinds: LayerKinds,
    /// The rest, for heads.
    pub keys: Keys,
}

/// What a layer of its kind sees, and how it rotates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LayerKind {
    /// Tokens this far away are not seen; `None`: all are.
    pub window: Option<usize>,
    /// The base of the rotation; `None`: positions are a table.
    pub rope_base: Option<f32>,
}

/// Which layers are of which kind.
#[derive(Debug, Clone)]
struct LayerKinds {
    /// Whether each layer sees only a window, where the file lists them.
    listed: Option<Vec<bool>>,
    windows: Windows,
    whole: LayerKind,
    local: LayerKind,
}

impl EncoderConfig {
    /// Reads `config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let keys = Keys::read(dir)?;
        let architecture = architecture(&keys)?;
        let hidden = keys.size(&["hidden_size", "dim", "n_embd"])?;
        let heads = keys.size(&["num_attention_heads", "n_heads", "n_head"])?;
        let kv_heads = keys
            .optional_size(&["num_key_value_heads"])?
            .unwrap_or(heads);
        let head_dim = match keys.optional_size(&["head_dim"])? {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                let cause = format!("`hidden_size` {hidden} is no multiple of {heads} heads");
                return Err(keys.malformed(cause));
            }
        };
        if !heads.is_multiple_of(kv_heads) || heads * head_dim > u32::MAX as usize {
            let cause = format!("{heads} heads of {head_dim} over {kv_heads} of keys");
            return Err(keys.malformed(cause));
        }
        let scale = keys.number("query_pre_attn_scalar")?;
        let scale = scale.unwrap_or(head_dim as f32);
        let causal = match keys.flag(&["use_bidirectional_attention"])? {
            Some(both) => architecture.causal && !both,
            None => architecture.causal,
        };
        let layers = keys.size(&["num_hidden_layers", "n_layers", "n_layer"])?;
        let norm_eps = norm_eps(architecture, &keys)?;
        let (positions, first_position) = positions(architecture, &keys)?;
        Ok(Self {
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            scale: 1.0 / scale.sqrt(),
            intermediate: keys.size(&["intermediate_size", "hidden_dim", "n_inner"])?,
            vocabulary: keys.size(&["vocab_size"])?,
            positions,
            first_position,
            norm_eps,
            activation: activation(architecture, &keys)?,
            biases: biases(architecture, &keys)?,
            causal,
            layer_kinds: LayerKinds::read(architecture, &keys, causal, layers, head_dim)?,
            architecture,
            keys,
        })
    }

    /// The most tokens of one text, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.positions - self.first_position
    }

    /// What the layer of this index, from 0, sees and how it rotates.
    pub fn layer(&self, index: usize) -> LayerKind {
        let kinds = &self.layer_kinds;
        let local = match (&kinds.listed, kinds.windows) {
            (Some(listed), _) => listed.get(index).copied().unwrap_or(false),
            (None, Windows::Never) => false,
            (None, Windows::AllButFirst { of }) => !index.is_multiple_of(of),
            (None, Windows::AllButLast { of }) => !(index + 1).is_multiple_of(of),
        };
        if local { kinds.local } else { kinds.whole }
    }
}

fn architecture(keys: &Keys) -> Result<&'static Architecture> {
    let model_type = keys.text("model_type")?.unwrap_or("bert");
    let found = ARCHITECTURES.iter().find(|a| a.model_type == model_type);
    let architecture = found.ok_or_else(|| {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|a| a.model_type).collect();
        let cause = format!("an encoder of the type `{model_type}` is not known");
        unsupported(&keys.path, cause).hint(format!("known types: {}", known.join(", ")))
    })?;
    // What would change the arithmetic and is not built.
    let fixed = [
        ("position_embedding_type", "absolute"),
        ("rotary_emb_interleaved", "false"),
        ("rotary_emb_fraction", "1.0"),
        ("prenorm", "false"),
        ("use_rms_norm", "false"),
        ("use_sliding_window", "false"),
        ("attn_logit_softcapping", "null"),
        ("relative_attention_num_buckets", "32"),
    ];
    for (key, known) in fixed {
        let Some(value) = keys.values.get(key) else {
            continue;
        };
        let same = match value {
            Value::String(text) => text == known,
            Value::Number(number) => known.parse::<f64>().ok() == number.as_f64(),
            Value::Bool(flag) => known.parse() == Ok(*flag),
            _ => false,
        };
        // Older files write numbers and switches of other architectures as null.
        if !same && !value.is_null() {
            let cause = format!("`{key}` is {value}, and only {known} is known");
            return Err(unsupported(&keys.path, cause));
        }
    }
    Ok(architecture)
}

fn norm_eps(architecture: &Architecture, keys: &Keys) -> Result<f32> {
    let names = [
        "norm_eps",
        "layer_norm_eps",
        "layer_norm_epsilon",
        "rms_norm_eps",
    ];
    for key in names {
        if let Some(eps) = keys.number(key)? {
            if !(eps > 0.0 && eps < 1.0) {
                return Err(keys.malformed(format!("`{key}` is not between zero and one")));
            }
            return Ok(eps);
        }
    }
    Ok(architecture.norm_eps)
}

/// How many positions there are, and which one the first token takes.
fn positions(architecture: &Architecture, keys: &Keys) -> Result<(usize, usize)> {
    let all = keys.size(&["max_position_embeddings", "n_positions"])?;
    // Beyond these the rotation would be stretched, differently for each length of text.
    let trained = keys.optional_size(&["max_trained_positions"])?;
    let first = match architecture.positions {
        Positions::Table(first) | Positions::TableAndDistance { first, .. } => match first {
            FirstRow::Fixed(row) => row,
            FirstRow::AfterPadding => {
                let padding = keys.optional_index("pad_token_id")?.unwrap_or(1);
                padding.saturating_add(1)
            }
        },
        Positions::Rope { .. } => 0,
    };
    if first >= all {
        return Err(keys.malformed("no position is left for a token"));
    }
    Ok((all.min(trained.unwrap_or(all)), first))
}

fn activation(architecture: &Architecture, keys: &Keys) -> Result<Activation> {
    for key in [
        "hidden_act",
        "hidden_activation",
        "activation_function",
        "activation",
    ] {
        if let Some(name) = keys.text(key)? {
            return known_activation(keys, key, name);
        }
    }
    Ok(architecture.activation)
}

/// The activation that `config.json` calls `name` under `key`.
pub(super) fn known_activation(keys: &Keys, key: &str, name: &str) -> Result<Activation> {
    Ok(match name {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "silu" | "swish" | "swiglu" => Activation::Silu,
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        _ => {
            let cause = format!("`{key}` is `{name}`, which is not known");
            return Err(unsupported(&keys.path, cause)
                .hint("known are gelu, gelu_new, silu, relu and tanh"));
        }
    })
}

fn biases(architecture: &Architecture, keys: &Keys) -> Result<Biases> {
    let table = architecture.biases;
    if table.attention {
        return Ok(table);
    }
    Ok(Biases {
        attention: keys
            .flag(&["attention_bias", "qkv_proj_bias"])?
            .unwrap_or(table.attention),
        feed_forward: keys
            .flag(&["mlp_bias", "mlp_fc1_bias"])?
            .unwrap_or(table.feed_forward),
        norm: keys.flag(&["norm_bias"])?.unwrap_or(table.norm),
    })
}

impl LayerKinds {
    fn read(
        architecture: &Architecture,
        keys: &Keys,
        causal: bool,
        layers: usize,
        head_dim: usize,
    ) -> Result<Self> {
        let Positions::Rope {
            base,
            local_base,
            windows,
        } = architecture.positions
        else {
            let all = LayerKind {
                window: None,
                rope_base: None,
            };
            return Ok(Self {
                listed: None,
                windows: Windows::Never,
                whole: all,
                local: all,
            });
        };
        if !head_dim.is_multiple_of(2) {
            return Err(keys.malformed(format!("heads of {head_dim} cannot be rotated in pairs")));
        }
        let (window, windows) = match windows {
            Windows::Never => (None, windows),
            Windows::AllButFirst { of } => {
                let of = keys
                    .optional_size(&["global_attn_every_n_layers"])?
                    .unwrap_or(of);
                // The key counts both sides.
                let half = keys.size(&["local_attention"])? / 2;
                (Some(half + 1), Windows::AllButFirst { of })
            }
            Windows::AllButLast { of } => {
                let of = keys
                    .optional_size(&["sliding_window_pattern", "_sliding_window_pattern"])?
                    .unwrap_or(of);
                let window = keys.size(&["sliding_window"])?;
                let window = if causal { window } else { window / 2 + 1 };
                (Some(window), Windows::AllButLast { of })
            }
        };
        let listed = keys.layer_types(layers)?;
        if window.is_none() && listed.iter().flatten().any(|local| *local) {
            let cause = "`layer_types` has windowed layers, which this type has not got here";
            return Err(unsupported(&keys.path, cause));
        }
        let whole = keys.rope_base("full_attention", &WHOLE_BASES)?;
        let local = keys.rope_base("sliding_attention", &LOCAL_BASES)?;
        Ok(Self {
            listed,
            windows,
            whole: LayerKind {
                window: None,
                rope_base: Some(whole.unwrap_or(base)),
            },
            local: LayerKind {
                window,
                rope_base: Some(local.unwrap_or(local_base)),
            },
        })
    }
}

const WHOLE_BASES: [&str; 3] = ["rope_theta", "rotary_emb_base", "global_rope_theta"];
const LOCAL_BASES: [&str; 2] = ["local_rope_theta", "rope_local_base_freq"];

/// The keys of `config.json`, each checked when it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub path: PathBuf,
    values: Map<String, Value>,
}

impl Keys {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let values = files::json(dir, "config.json")?.ok_or_else(|| {
            let subject = path.display().to_string();
            files::needed(
                Error::new(ErrorKind::NotFound, subject, "no such file"),
                dir,
            )
        })?;
        Ok(Self { path, values })
    }

    /// The value of the first of `keys` that is there and not null.
    fn first<'a>(&self, keys: &[&'a str]) -> Option<(&'a str, &Value)> {
        keys.iter()
            .filter_map(|key| Some((*key, self.values.get(*key)?)))
            .find(|(_, value)| !value.is_null())
    }

    fn size(&self, keys: &[&str]) -> Result<usize> {
        self.optional_size(keys)?
            .ok_or_else(|| self.malformed(format!("`{}` is missing", keys[0])))
    }

    fn optional_size(&self, keys: &[&str]) -> Result<Option<usize>> {
        let Some((key, value)) = self.first(keys) else {
            return Ok(None);
        };
        // What is left after this is compared with the shapes in the file of weights.
        let size = value
            .as_u64()
            .filter(|size| (1..=u64::from(u32::MAX)).contains(size));
        match size {
            Some(size) => Ok(Some(size as usize)),
            None => Err(self.malformed(format!("`{key}` is {value}, which is no size"))),
        }
    }

    fn optional_index(&self, key: &str) -> Result<Option<usize>> {
        let Some((_, value)) = self.first(&[key]) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(index) => Ok(Some(usize::try_from(index).unwrap_or(usize::MAX))),
            None => Err(self.malformed(format!("`{key}` is {value}, which is no index"))),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f32>> {
        let Some((_, value)) = self.first(&[key]) else {
            return Ok(None);
        };
        let number = value.as_f64().map(|number| number as f32);
        match number.filter(|number| number.is_finite() && *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(self.malformed(format!("`{key}` is {value}, no number above zero"))),
        }
    }

    /// A switch.
    pub fn flag(&self, keys: &[&str]) -> Result<Option<bool>> {
        let Some((key, value)) = self.first(keys) else {
            return Ok(None);
        };
        match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.malformed(format!("`{key}` is {value}, neither true nor false"))),
        }
    }

    /// A word.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.first(&[key]) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((_, value)) => {
                Err(self.malformed(format!("`{key}` is {value}, which is no text")))
            }
        }
    }

    /// Anything.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// The base of a kind of layers: an entry of `rope_parameters`, or a key of its own.
    fn rope_base(&self, kind: &str, keys: &[&str]) -> Result<Option<f32>> {
        // A scaling in its old place stretches every layer.
        self.unscaled("rope_scaling", self.value("rope_scaling"))?;
        if let Some(all) = self.value("rope_parameters") {
            // One entry for each kind of layers, or one for all.
            let own = all.get(kind).unwrap_or(all);
            self.unscaled("rope_parameters", Some(own))?;
            if let Some(base) = own.get("rope_theta") {
                let base = base.as_f64().map(|base| base as f32);
                return match base.filter(|base| base.is_finite() && *base > 0.0) {
                    Some(base) => Ok(Some(base)),
                    None => Err(self.malformed("`rope_theta` is no number above zero")),
                };
            }
        }
        for key in keys {
            if let Some(base) = self.number(key)? {
                return Ok(Some(base));
            }
        }
        Ok(None)
    }

    fn unscaled(&self, key: &str, parameters: Option<&Value>) -> Result<()> {
        let Some(parameters) = parameters else {
            return Ok(());
        };
        let kind = ["rope_type", "type"]
            .iter()
            .find_map(|key| parameters.get(key));
        match kind.and_then(Value::as_str) {
            None | Some("default") => Ok(()),
            Some(kind) => {
                let cause = format!("`{key}` asks for a rotation of the type `{kind}`");
                Err(unsupported(&self.path, cause).hint("only `default` is known in encoders"))
            }
        }
    }

    /// Whether each layer sees a window, where there is such a list.
    fn layer_types(&self, layers: usize) -> Result<Option<Vec<bool>>> {
        let Some(list) = self.value("layer_types") else {
            return Ok(None);
        };
        let list = list.as_array().filter(|list| list.len() == layers);
        let list = list.ok_or_else(|| {
            self.malformed(format!("`layer_types` is no list of {layers} layers"))
        })?;
        let kinds = list.iter().map(|kind| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(unsupported(
                &self.path,
                format!("`layer_types` has a layer of the type {kind}"),
            )),
        });
        kinds.collect::<Result<_>>().map(Some)
    }

    /// The error of a key that cannot be so.
    pub fn malformed(&self, cause: impl std::fmt::Display) -> Error {
        malformed(&self.path, cause)
    }
}
