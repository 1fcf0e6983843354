//! What `config.json` says: how large the encoder is and what its tensors are called.

use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::files::{self, malformed, unsupported};

/// The shape of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EncoderConfig {
    pub architecture: &'static Architecture,
    /// Numbers that stand for one token.
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    /// Numbers between the two products of a feed-forward layer.
    pub intermediate: usize,
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// The row of that table which the first token takes.
    pub first_position: usize,
    pub layer_norm_eps: f32,
}

/// One row of the table of model types.
#[derive(Debug, PartialEq)]
pub(super) struct Architecture {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// The tensors' names may begin so when the file holds a head beside the encoder.
    pub prefix: &'static str,
    /// Whether the first `pad_token_id + 1` positions are left unused.
    positions_follow_padding: bool,
    pub names: &'static Names,
}

/// What the tensors are called, without `.weight` and `.bias`.
#[derive(Debug, PartialEq)]
pub(super) struct Names {
    pub words: &'static str,
    pub positions: &'static str,
    pub token_types: Option<&'static str>,
    pub norm: &'static str,
    /// The rest are found below `layer.N.`.
    pub layer: &'static str,
    pub query_key_value: [&'static str; 3],
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: &'static str,
    pub output: &'static str,
    pub output_norm: &'static str,
}

const BERT: Names = Names {
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    token_types: Some("embeddings.token_type_embeddings"),
    norm: "embeddings.LayerNorm",
    layer: "encoder.layer",
    query_key_value: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    ],
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
};

const DISTILBERT: Names = Names {
    token_types: None,
    layer: "transformer.layer",
    query_key_value: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    intermediate: "ffn.lin1",
    output: "ffn.lin2",
    output_norm: "output_layer_norm",
    ..BERT
};

const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        model_type: "bert",
        prefix: "bert.",
        positions_follow_padding: false,
        names: &BERT,
    },
    Architecture {
        model_type: "roberta",
        prefix: "roberta.",
        positions_follow_padding: true,
        names: &BERT,
    },
    Architecture {
        model_type: "xlm-roberta",
        prefix: "roberta.",
        positions_follow_padding: true,
        names: &BERT,
    },
    Architecture {
        model_type: "camembert",
        prefix: "roberta.",
        positions_follow_padding: true,
        names: &BERT,
    },
    Architecture {
        model_type: "distilbert",
        prefix: "distilbert.",
        positions_follow_padding: false,
        names: &DISTILBERT,
    },
];

/// The keys of `config.json` that matter; DistilBERT has names of its own for some.
#[derive(Deserialize)]
struct RawConfig {
    #[serde(alias = "dim")]
    hidden_size: usize,
    #[serde(alias = "n_layers")]
    num_hidden_layers: usize,
    #[serde(alias = "n_heads")]
    num_attention_heads: usize,
    #[serde(alias = "hidden_dim")]
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    pad_token_id: Option<usize>,
    position_embedding_type: Option<String>,
}

impl EncoderConfig {
    /// Reads `config.json`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        // The type is looked at first: the configuration of another kind of model lacks keys.
        let value: serde_json::Value = files::json(dir, "config.json")?.ok_or_else(|| {
            let missing = Error::new(
                ErrorKind::NotFound,
                path.display().to_string(),
                "no such file",
            );
            files::needed(missing, dir)
        })?;
        let model_type = value["model_type"].as_str().unwrap_or("bert").to_owned();
        let architecture = ARCHITECTURES
            .iter()
            .find(|a| a.model_type == model_type)
            .ok_or_else(|| {
                let known: Vec<&str> = ARCHITECTURES.iter().map(|a| a.model_type).collect();
                unsupported(
                    &path,
                    format!("an encoder of the type `{model_type}` is not known"),
                )
                .hint(format!("known types: {}", known.join(", ")))
            })?;
        let raw: RawConfig = serde_json::from_value(value)
            .map_err(|error| malformed(&path, &error).caused_by(error))?;
        raw.check(&path)?;
        let first_position = if architecture.positions_follow_padding {
            raw.pad_token_id.unwrap_or(1).saturating_add(1)
        } else {
            0
        };
        if first_position >= raw.max_position_embeddings {
            return Err(malformed(&path, "no position is left for a token"));
        }
        Ok(Self {
            architecture,
            hidden: raw.hidden_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            intermediate: raw.intermediate_size,
            vocabulary: raw.vocab_size,
            positions: raw.max_position_embeddings,
            first_position,
            layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-12),
        })
    }

    /// The most tokens of one text, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.positions - self.first_position
    }
}

impl RawConfig {
    fn check(&self, path: &Path) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (key, size) in sizes {
            // What is left after this is compared with the shapes in the file of weights.
            if size == 0 || size > u32::MAX as usize {
                return Err(malformed(path, format!("`{key}` is {size}")));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
            return Err(malformed(
                path,
                format!("`hidden_size` {hidden} is no multiple of {heads} heads"),
            ));
        }
        if self
            .layer_norm_eps
            .is_some_and(|eps| !(eps > 0.0 && eps < 1.0))
        {
            return Err(malformed(
                path,
                "`layer_norm_eps` is not between zero and one",
            ));
        }
        let options = [
            ("hidden_act", &self.hidden_act, "gelu"),
            (
                "position_embedding_type",
                &self.position_embedding_type,
                "absolute",
            ),
        ];
        for (key, value, known) in options {
            if let Some(value) = value.as_deref().filter(|value| *value != known) {
                let cause = format!("`{key}` is `{value}`, and only `{known}` is known");
                return Err(unsupported(path, cause));
            }
        }
        Ok(())
    }
}
