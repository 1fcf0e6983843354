//! Random-weight models of any row's shape.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::{SafetensorsWriter, random_weights, stored};
use crate::decoder::{ARCHITECTURES, Activation, Architecture, Normalisation};
use crate::gguf::GgufWriter;

/// A model with random weights: its shape, to be changed at will.
///
/// Files have every tensor that a decoder of the architecture reads, in the real layout, but no
/// tokenizer. The same shape and seed give the same weights, in GGUF and in safetensors.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomModel {
    /// The row of its architecture.
    pub architecture: &'static Architecture,
    /// How many tokens it knows.
    pub vocabulary: usize,
    /// Blocks; 4, so that layers of every kind are among them.
    pub layers: usize,
    /// Numbers in one position's state.
    pub hidden: usize,
    /// Numbers between the two halves of the feed-forward layer.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Numbers in one head.
    pub head_dim: usize,
    /// The most positions.
    pub context_length: usize,
    /// How many positions the layers with a window see, where there are some.
    pub window: Option<usize>,
    /// How many experts feed-forward layers have, of which each position uses two; `None`: they
    /// are no mixtures.
    pub experts: Option<usize>,
    /// Whether queries, keys and values have biases.
    pub biases: bool,
    /// Whether the embedding serves as the head too.
    pub tied: bool,
    /// Another seed makes other weights.
    pub seed: u64,
}

impl RandomModel {
    /// A model of a few thousand weights of the architecture that GGUF calls `name`.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) when there is no such row.
    pub fn new(name: &str) -> Result<Self> {
        let architecture = ARCHITECTURES.iter().find(|row| row.name == name);
        let unknown = || {
            let subject = format!("architecture `{name}`");
            Error::new(
                ErrorKind::Unsupported,
                subject,
                "it has no row in the decoder's table",
            )
        };
        let architecture = architecture.ok_or_else(unknown)?;
        let has_windows = |it: &crate::decoder::Sliding| it.global_every.is_some();
        Ok(Self {
            architecture,
            vocabulary: 320,
            layers: 4,
            hidden: 64,
            feed_forward: 128,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            context_length: 256,
            window: architecture
                .sliding
                .as_ref()
                .is_some_and(has_windows)
                .then_some(16),
            experts: name.ends_with("moe").then_some(4),
            biases: false,
            tied: true,
            seed: 0,
        })
    }

    /// Whether layers take turns with short convolutions.
    fn convolves(&self) -> bool {
        self.calls("shortconv.conv").is_some()
    }

    /// What Hugging Face's files call a part of a block, where it is not as in Llama's.
    fn calls(&self, part: &str) -> Option<&'static str> {
        let names = self.architecture.names.iter();
        names
            .copied()
            .find(|(known, _)| *known == part)
            .map(|(_, name)| name)
    }

    /// GGUF's names and the shapes of all tensors, outermost dimension first.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (row, hidden) = (self.architecture, self.hidden);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let last_norm = match self.convolves() {
            true => "token_embd_norm.weight",
            false => "output_norm.weight",
        };
        let mut tensors = vec![
            (
                "token_embd.weight".to_owned(),
                vec![self.vocabulary, hidden],
            ),
            (last_norm.to_owned(), vec![hidden]),
        ];
        if !self.tied {
            tensors.push(("output.weight".to_owned(), vec![self.vocabulary, hidden]));
        }
        for index in 0..self.layers {
            let mut add = |part: &str, shape: &[usize]| {
                tensors.push((format!("blk.{index}.{part}"), shape.to_vec()));
            };
            if row.pre_norms {
                add("attn_norm.weight", &[hidden]);
                if !row.parallel {
                    add("ffn_norm.weight", &[hidden]);
                }
            }
            if row.post_norms {
                add("post_attention_norm.weight", &[hidden]);
                add("post_ffw_norm.weight", &[hidden]);
            }
            if self.convolves() && index % 2 == 0 {
                add("shortconv.conv.weight", &[hidden, 3]);
                add("shortconv.in_proj.weight", &[3 * hidden, hidden]);
                add("shortconv.out_proj.weight", &[hidden, hidden]);
            } else {
                let parts: &[(&str, usize)] = match self.calls("attn_qkv") {
                    Some(_) => &[("attn_qkv", q + 2 * kv)],
                    None => &[("attn_q", q), ("attn_k", kv), ("attn_v", kv)],
                };
                for (part, rows) in parts {
                    add(&format!("{part}.weight"), &[*rows, hidden]);
                    if self.biases {
                        add(&format!("{part}.bias"), &[*rows]);
                    }
                }
                add("attn_output.weight", &[hidden, q]);
                if row.head_norms.is_some() {
                    // OLMo's are of all heads together.
                    let whole = row.name == "olmo2";
                    let dims = if whole { [q, kv] } else { [self.head_dim; 2] };
                    add("attn_q_norm.weight", &dims[..1]);
                    add("attn_k_norm.weight", &dims[1..]);
                }
            }
            let n = self.feed_forward;
            let fused = self.calls("ffn_up") == Some("mlp.gate_up_proj");
            match self.experts {
                None => {
                    add("ffn_up.weight", &[if fused { 2 * n } else { n }, hidden]);
                    if row.gated && !fused {
                        add("ffn_gate.weight", &[n, hidden]);
                    }
                    add("ffn_down.weight", &[hidden, n]);
                }
                Some(experts) => {
                    add("ffn_gate_inp.weight", &[experts, hidden]);
                    add("ffn_down_exps.weight", &[experts, hidden, n]);
                    if self.calls("ffn_gate_up_exps").is_some() {
                        add("ffn_gate_up_exps.weight", &[experts, 2 * n, hidden]);
                    } else {
                        add("ffn_gate_exps.weight", &[experts, n, hidden]);
                        add("ffn_up_exps.weight", &[experts, n, hidden]);
                    }
                }
            }
        }
        tensors
    }

    /// The GGUF file, its matrices stored as `dtype` where their rows are whole blocks, and as
    /// F32 where not.
    pub fn gguf(&self, dtype: GgmlDType) -> GgufWriter {
        let name = self.architecture.name;
        let key = |part: &str| format!("{name}.{part}");
        let mut writer = GgufWriter::new().string("general.architecture", name);
        for (part, value) in [
            ("block_count", self.layers),
            ("context_length", self.context_length),
            ("embedding_length", self.hidden),
            ("feed_forward_length", self.feed_forward),
            ("attention.head_count", self.heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
        ] {
            writer = writer.u32(&key(part), value as u32);
        }
        writer = match self.convolves() {
            true => {
                let count = |layer: usize| (layer % 2 * self.kv_heads) as i32;
                let counts: Vec<i32> = (0..self.layers).map(count).collect();
                writer
                    .i32s(&key("attention.head_count_kv"), &counts)
                    .u32(&key("shortconv.l_cache"), 3)
            }
            false => writer.u32(&key("attention.head_count_kv"), self.kv_heads as u32),
        };
        if let Some(experts) = self.experts {
            writer = writer.u32(&key("expert_count"), experts as u32);
            writer = writer.u32(&key("expert_used_count"), 2);
        }
        if let Some(window) = self.window {
            writer = writer.u32(&key("attention.sliding_window"), window as u32);
        }
        let eps = match self.architecture.normalisation {
            Normalisation::RootMeanSquare => "attention.layer_norm_rms_epsilon",
            Normalisation::Layer => "attention.layer_norm_epsilon",
        };
        writer = writer.f32(&key(eps), 1e-5);
        for (name, shape) in self.tensors() {
            let (dtype, data) = self.data(&name, &shape, dtype);
            writer = writer.tensor(&name, dtype, &shape, data);
        }
        writer
    }

    /// The numbers of a tensor as they are stored.
    fn data(&self, name: &str, shape: &[usize], dtype: GgmlDType) -> (GgmlDType, Vec<u8>) {
        let values = random_weights(name, shape, self.seed);
        let columns = shape.last().copied().unwrap_or(1);
        let is_matrix = shape.len() > 1 && !name.contains("shortconv.conv");
        match stored(&values, columns, dtype) {
            Ok(data) if is_matrix => (dtype, data),
            _ => {
                let bytes = values.iter().flat_map(|x| x.to_le_bytes());
                (GgmlDType::F32, bytes.collect())
            }
        }
    }

    /// Writes `config.json` and `model.safetensors` into `directory`, as Hugging Face keeps
    /// models: matrices as `dtype`, one of F32, F16 and BF16. Tokens mean other logits than in
    /// the GGUF file where the two formats keep weights differently.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for an architecture that Hugging Face has no
    /// name for, or another type; [`Io`](ErrorKind::Io) when the system refuses.
    pub fn write_directory(&self, directory: &Path, dtype: GgmlDType) -> Result<()> {
        let row = self.architecture;
        let refuse = |cause: String| {
            let subject = format!("random model of `{}`", row.name);
            Error::new(ErrorKind::Unsupported, subject, cause)
        };
        let Some(model_type) = row.model_types.first() else {
            return Err(refuse(
                "safetensors directories have no name for it".to_owned(),
            ));
        };
        if ![GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16].contains(&dtype) {
            return Err(refuse(format!("safetensors have no {dtype:?}")));
        }
        let mut writer = SafetensorsWriter::new();
        for (name, mut shape) in self.tensors() {
            let (dtype, data) = self.data(&name, &shape, dtype);
            if name.ends_with("shortconv.conv.weight") {
                shape.insert(1, 1);
            }
            let name = row.hugging_face_name(&name);
            // Experts lie one by one.
            let count = if name.contains("{}") {
                shape.remove(0)
            } else {
                1
            };
            for (expert, data) in data.chunks(data.len() / count).enumerate() {
                let name = name.replace("{}", &expert.to_string());
                writer = writer.tensor(&name, dtype, &shape, data.to_vec());
            }
        }
        writer.write(&directory.join("model.safetensors"))?;
        let path = directory.join("config.json");
        std::fs::write(&path, self.config(model_type).to_string())
            .map_err(|error| Error::io(format!("model file `{}`", path.display()), error))
    }

    fn config(&self, model_type: &str) -> Value {
        let layer_type = |layer: usize| match &self.architecture.sliding {
            _ if self.convolves() && layer.is_multiple_of(2) => "conv",
            Some(sliding) if self.window.is_some() => match sliding.global_every {
                Some(every) if (layer + 1).is_multiple_of(every) => "full_attention",
                _ => "sliding_attention",
            },
            _ => "full_attention",
        };
        json!({
            "model_type": model_type,
            "architectures": ["RandomForCausalLM"],
            "vocab_size": self.vocabulary,
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.context_length,
            "sliding_window": self.window,
            "layer_types": (0..self.layers).map(layer_type).collect::<Vec<_>>(),
            "num_experts": self.experts,
            "num_experts_per_tok": self.experts.and(Some(2)),
            "conv_L_cache": self.convolves().then_some(3),
            "rms_norm_eps": 1e-5,
            "layer_norm_eps": 1e-5,
            "hidden_act": match self.architecture.activation {
                Activation::Silu => "silu",
                Activation::GeluTanh => "gelu_pytorch_tanh",
                Activation::ReluSquared => "relu2",
            },
            "tie_word_embeddings": self.tied,
        })
    }
}
