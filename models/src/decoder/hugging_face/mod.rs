//! What Hugging Face's `config.json` says, by GGUF's keys.

mod rope;

use std::collections::BTreeMap;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::architecture::{Activation, Architecture};
use super::config::DecoderConfig;
use super::keys::{Keys, Source};
use super::table::ARCHITECTURES;
use crate::kernels::RopeLayout;

/// GGUF's keys and what they are called here, as Llama has them and others.
const NAMES: &[(&str, &[&str])] = &[
    ("context_length", &["max_position_embeddings"]),
    ("embedding_length", &["hidden_size"]),
    ("block_count", &["num_hidden_layers"]),
    (
        "feed_forward_length",
        &["block_ff_dim", "intermediate_size"],
    ),
    ("attention.head_count", &["num_attention_heads"]),
    ("attention.head_count_kv", &["num_key_value_heads"]),
    ("attention.key_length", &["head_dim"]),
    (
        "attention.layer_norm_rms_epsilon",
        &["rms_norm_eps", "norm_eps"],
    ),
    (
        "attention.layer_norm_epsilon",
        &["layer_norm_eps", "norm_epsilon", "norm_eps"],
    ),
    ("attention.sliding_window", &["sliding_window"]),
    (
        "attention.sliding_window_pattern",
        &["sliding_window_pattern"],
    ),
    ("attention.scale", &["attention_multiplier"]),
    ("attn_logit_softcapping", &["attn_logit_softcapping"]),
    ("final_logit_softcapping", &["final_logit_softcapping"]),
    ("embedding_scale", &["embedding_multiplier"]),
    ("residual_scale", &["residual_multiplier"]),
    ("logit_scale", &["logits_scaling", "logit_scale"]),
    (
        "expert_count",
        &["num_local_experts", "num_experts", "n_routed_experts"],
    ),
    ("expert_used_count", &["num_experts_per_tok"]),
    ("expert_feed_forward_length", &["moe_intermediate_size"]),
    (
        "expert_shared_feed_forward_length",
        &["shared_expert_intermediate_size"],
    ),
    ("expert_weights_norm", &["norm_topk_prob"]),
    ("expert_weights_scale", &["routed_scaling_factor"]),
    ("leading_dense_block_count", &["num_dense_layers"]),
    ("attention.clamp_kqv", &["clip_qkv"]),
    ("shortconv.l_cache", &["conv_L_cache"]),
    ("rope.freq_base", &["rope_theta"]),
    ("rope.freq_base_swa", &["rope_local_base_freq"]),
];

/// Switches for variants that the decoder does not have.
const UNSUPPORTED_SWITCHES: &[&str] = &[
    "use_parallel_residual",
    "qk_layernorm",
    "use_qk_norm",
    "use_bidirectional_attention",
];

/// What a `config.json` says.
pub(super) struct HuggingFaceConfig {
    pub architecture: &'static Architecture,
    /// The file, for messages.
    subject: String,
    /// By GGUF's keys: the file's own key, and the value.
    values: BTreeMap<&'static str, (String, Value)>,
    /// The part that describes the decoder.
    text: Map<String, Value>,
    /// How rotary frequencies are scaled.
    rope: Map<String, Value>,
}

impl HuggingFaceConfig {
    /// Reads the `config.json` at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let subject = format!("model file `{}`", path.display());
        let malformed = |cause: String| Error::new(ErrorKind::Malformed, &subject, cause);
        let whole = match serde_json::from_slice(&read_small(path, &subject)?) {
            Ok(Value::Object(whole)) => whole,
            Ok(_) => return Err(malformed("it is no object".to_owned())),
            Err(error) => return Err(malformed(error.to_string()).caused_by(error)),
        };
        // Models that see, too, describe their decoder within.
        let text = match whole.get("text_config") {
            Some(Value::Object(text)) => text.clone(),
            _ => whole.clone(),
        };
        let types = [&text, &whole].map(|it| it.get("model_type").and_then(Value::as_str));
        let known = |row: &&Architecture| {
            types
                .iter()
                .flatten()
                .any(|it| row.model_types.contains(it))
        };
        let architecture = ARCHITECTURES.iter().find(known).ok_or_else(|| {
            let known = ARCHITECTURES
                .iter()
                .flat_map(|row| row.model_types)
                .copied();
            let name = types.into_iter().flatten().next().unwrap_or("");
            Architecture::unknown(&subject, name, known)
        })?;
        if whole
            .get("quantization_config")
            .is_some_and(|it| !it.is_null())
        {
            let cause = "`quantization_config`: quantized safetensors are not supported";
            return Err(Error::new(ErrorKind::Unsupported, subject, cause)
                .hint("take the model itself, or a GGUF file of it"));
        }
        let mut config = Self {
            architecture,
            subject,
            values: BTreeMap::new(),
            text,
            rope: Map::new(),
        };
        config.translate()?;
        Ok(config)
    }

    /// The shape of the decoder.
    pub fn decoder(&self) -> Result<DecoderConfig> {
        let value = |name: &str| self.values.get(name).cloned();
        let layout = match self.architecture.reordered {
            true => RopeLayout::Halves,
            false => self.architecture.rope_layout,
        };
        let keys = Keys {
            source: Source::Named(&value, &self.subject),
            architecture: self.architecture,
        };
        DecoderConfig::from_keys(&keys, layout)
    }

    /// Whether the embedding serves as the head too, whatever else there is.
    pub fn is_tied(&self) -> bool {
        self.text.get("tie_word_embeddings") == Some(&Value::Bool(true))
    }

    fn refuse(&self, kind: ErrorKind, key: &str, cause: impl std::fmt::Display) -> Error {
        Error::new(kind, &self.subject, format!("`{key}`: {cause}"))
    }

    fn set(&mut self, name: &'static str, key: &str, value: Value) {
        self.values.insert(name, (key.to_owned(), value));
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.text.get(key)?.as_f64()
    }

    fn is_on(&self, key: &str) -> bool {
        self.text.get(key) == Some(&Value::Bool(true))
    }

    fn translate(&mut self) -> Result<()> {
        for (name, keys) in NAMES {
            let found = keys.iter().find_map(|key| {
                let value = self.text.get(*key).filter(|value| !value.is_null())?;
                Some((*key, value.clone()))
            });
            if let Some((key, value)) = found {
                self.set(name, key, value);
            }
        }
        for (name, value) in self.architecture.usual {
            if !self.values.contains_key(name) {
                self.set(name, name, number(*value));
            }
        }
        for key in UNSUPPORTED_SWITCHES {
            if self.is_on(key) {
                return Err(self.refuse(ErrorKind::Unsupported, key, "it is not supported"));
            }
        }
        let step = self.number("decoder_sparse_step").unwrap_or(1.0);
        let exceptions = self.text.get("mlp_only_layers").and_then(Value::as_array);
        if step != 1.0 || exceptions.is_some_and(|layers| !layers.is_empty()) {
            let cause = "experts in some layers alone are not supported";
            return Err(self.refuse(ErrorKind::Unsupported, "decoder_sparse_step", cause));
        }
        self.check_activation()?;
        if let Some(scalar) = self.number("query_pre_attn_scalar") {
            self.set(
                "attention.scale",
                "query_pre_attn_scalar",
                json!(scalar.sqrt().recip()),
            );
        }
        self.adjust_feed_forward();
        self.set_windows()?;
        self.set_rope();
        Ok(())
    }

    fn check_activation(&self) -> Result<()> {
        let names: &[&str] = match self.architecture.activation {
            Activation::Silu => &["silu", "swish"],
            // Gemma's oldest files say `gelu` and mean this.
            Activation::GeluTanh if self.architecture.scaled_embeddings => {
                &["gelu_pytorch_tanh", "gelu"]
            }
            Activation::GeluTanh => &["gelu_pytorch_tanh", "gelu_new", "gelu_fast"],
            Activation::ReluSquared => &["relu2"],
        };
        for key in ["hidden_activation", "hidden_act"] {
            if let Some(name) = self.text.get(key).and_then(Value::as_str) {
                if names.contains(&name) {
                    return Ok(());
                }
                let cause = format!("`{name}` is not supported here: only {}", names.join(", "));
                return Err(self.refuse(ErrorKind::Unsupported, key, cause));
            }
        }
        Ok(())
    }

    /// LFM2 names a width of which its feed-forward layers have two thirds, rounded up.
    fn adjust_feed_forward(&mut self) {
        let key = "block_auto_adjust_ff_dim";
        let width = self
            .values
            .get("feed_forward_length")
            .and_then(|it| it.1.as_u64());
        let (true, Some(width)) = (self.is_on(key), width) else {
            return;
        };
        let factor = self.number("block_ffn_dim_multiplier").unwrap_or(1.0);
        let width = (factor * (2.0 * width as f64 / 3.0).floor()).floor();
        let multiple = self.number("block_multiple_of").unwrap_or(256.0).max(1.0);
        let width = (width / multiple).ceil() * multiple;
        self.set("feed_forward_length", key, json!(width as u64));
    }

    /// Which layers see a window, and which are convolutions.
    fn set_windows(&mut self) -> Result<()> {
        let pattern = "attention.sliding_window_pattern";
        if self.text.get("use_sliding_window") == Some(&Value::Bool(false)) {
            self.values.remove("attention.sliding_window");
        }
        let layers = self.number("num_hidden_layers").unwrap_or(0.0) as usize;
        let layers = 0..layers.min(super::config::MAX_LAYERS);
        if let Some(Value::Array(types)) = self.text.get("layer_types") {
            let unknown = |kind: &&Value| {
                !["full_attention", "sliding_attention", "conv"]
                    .contains(&kind.as_str().unwrap_or(""))
            };
            if let Some(kind) = types.iter().find(unknown) {
                let cause = format!("{kind} is not supported");
                return Err(self.refuse(ErrorKind::Unsupported, "layer_types", cause));
            }
            let windowed: Vec<bool> = types
                .iter()
                .map(|kind| kind == "sliding_attention")
                .collect();
            if types.iter().any(|kind| kind == "conv") {
                let heads = self
                    .values
                    .get("attention.head_count_kv")
                    .map(|it| it.1.clone());
                let heads = heads.unwrap_or_default();
                let count = |kind: &Value| {
                    if kind == "conv" {
                        json!(0)
                    } else {
                        heads.clone()
                    }
                };
                let counts: Vec<Value> = types.iter().map(count).collect();
                self.set("attention.head_count_kv", "layer_types", json!(counts));
            } else {
                self.set(pattern, "layer_types", json!(windowed));
            }
        } else if let Some(first) = self.number("max_window_layers") {
            let windowed: Vec<bool> = layers.map(|layer| layer as f64 >= first).collect();
            self.set(pattern, "max_window_layers", json!(windowed));
        } else if let Some(Value::String(letters)) = self.text.get("sliding_window_pattern") {
            let windowed = letters
                .chars()
                .cycle()
                .take(layers.len())
                .map(|it| it == 'L');
            let windowed: Vec<bool> = windowed.collect();
            self.set(pattern, "sliding_window_pattern", json!(windowed));
        }
        if let Some(Value::Array(turned)) = self.text.get("no_rope_layers") {
            let unturned: Vec<bool> = turned.iter().map(|turned| *turned == 0).collect();
            self.set("rope.unturned_layers", "no_rope_layers", json!(unturned));
        }
        Ok(())
    }
}

/// A number as JSON has it: counts are whole.
fn number(value: f64) -> Value {
    match value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        true => json!(value as u64),
        false => json!(value),
    }
}

/// The content of a file that is small in any model.
pub(crate) fn read_small(path: &Path, subject: &str) -> Result<Vec<u8>> {
    use std::io::Read;
    /// The longest index, of a model with a hundred thousand tensors, stays below it.
    const LIMIT: u64 = 16 << 20;
    let io = |error| Error::io(subject, error);
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    match bytes.len() as u64 > LIMIT {
        true => Err(Error::new(
            ErrorKind::Malformed,
            subject,
            format!("longer than {LIMIT} bytes"),
        )),
        false => Ok(bytes),
    }
}
