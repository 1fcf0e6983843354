//! The table of architectures: what sets each apart from the others.

use crate::kernels::RopeLayout;

/// What sets one architecture apart from the others.
///
/// What a file shows by itself has no flag here: biases, queries, keys and values in one matrix,
/// gate and up in one matrix, a head of its own, factors of rotary frequencies.
#[derive(Debug, PartialEq)]
pub struct Architecture {
    /// Its name in GGUF's `general.architecture`.
    pub name: &'static str,
    /// Its names in `model_type` of Hugging Face's `config.json`.
    pub model_types: &'static [&'static str],
    /// How states are normalised.
    pub normalisation: Normalisation,
    /// Whether the inputs of attention and feed-forward are normalised.
    pub pre_norms: bool,
    /// Whether their outputs are normalised before they are added.
    pub post_norms: bool,
    /// Whether the feed-forward layer reads what attention reads, not what it leaves.
    pub parallel: bool,
    /// The unit of the feed-forward layer.
    pub activation: Activation,
    /// Whether that unit has a gate beside it.
    pub gated: bool,
    /// Whether queries and keys are normalised, head by head or whole as the file has it.
    pub head_norms: Option<HeadNorms>,
    /// Which numbers of a head turn together.
    pub rope_layout: RopeLayout,
    /// Whether GGUF files have the rows of queries and keys in another order than Hugging Face's,
    /// where halves turn together.
    pub reordered: bool,
    /// Every so many layers there is one without rotary embedding.
    pub unturned_every: Option<usize>,
    /// Layers that see only a window, where the architecture has them.
    pub sliding: Option<Sliding>,
    /// Whether embeddings are multiplied by the root of their length.
    pub scaled_embeddings: bool,
    /// Whether logits are divided by the file's `logit_scale`, not multiplied.
    pub divided_logits: bool,
    /// A depth at which the attention scale is `1 / √(hidden / heads)` instead of
    /// `1 / √head_dim`: the only trace of it in a file.
    pub wide_scale_layers: Option<usize>,
    /// Whether Hugging Face's files have the weights of normalisations less one.
    pub(super) norms_less_one: bool,
    /// What Hugging Face's files call tensors, where it is not as in Llama's.
    pub(crate) names: &'static [(&'static str, &'static str)],
}

/// What GGUF's tensors are called in Llama's files of Hugging Face.
const LLAMA_NAMES: &[(&str, &str)] = &[
    ("token_embd", "embed_tokens"),
    ("token_embd_norm", "embedding_norm"),
    ("output_norm", "norm"),
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

impl Architecture {
    /// What Hugging Face's files call the tensor that GGUF calls `name`, where a model stands
    /// alone.
    pub(crate) fn hugging_face_name(&self, name: &str) -> String {
        let (head, kind) = name.rsplit_once('.').unwrap_or((name, "weight"));
        let called = |part| {
            let mut names = self.names.iter().chain(LLAMA_NAMES);
            names
                .find(|(known, _)| *known == part)
                .map_or(part, |(_, name)| *name)
        };
        match head
            .strip_prefix("blk.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((index, part)) => format!("model.layers.{index}.{}.{kind}", called(part)),
            None if head == "output" => format!("lm_head.{kind}"),
            None => format!("model.{}.{kind}", called(head)),
        }
    }
}

/// How a state is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalisation {
    /// By its root mean square (Zhang and Sennrich, 2019).
    RootMeanSquare,
    /// By mean and variance (Ba et al., 2016).
    Layer,
}

/// When queries and keys are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadNorms {
    /// Before they are turned by their positions.
    BeforeRope,
    /// After it.
    AfterRope,
}

/// Where sliding-window layers stand, when the file does not say so itself.
#[derive(Debug, PartialEq)]
pub struct Sliding {
    /// Every `global_every`-th layer sees everything; the others see a window. `None`: all do.
    pub global_every: Option<usize>,
    /// The rotary frequencies in the windowed layers.
    pub rope: WindowRope,
    /// Whether the layers that see everything have no rotary embedding.
    pub unturned_globals: bool,
}

/// The rotary frequencies in windowed layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WindowRope {
    /// Those of the other layers.
    Same,
    /// Those of the other layers without their scaling to longer contexts.
    Unscaled,
    /// From a base of their own, unless the file names one.
    Base(f32),
}

/// The unit of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// The Gaussian error linear unit in its tanh form.
    GeluTanh,
    /// `max(x, 0)²`.
    ReluSquared,
}

/// Llama (Touvron et al., 2023), which the other rows depart from.
const LLAMA: Architecture = Architecture {
    name: "llama",
    model_types: &["llama", "mistral", "ministral"],
    normalisation: Normalisation::RootMeanSquare,
    pre_norms: true,
    post_norms: false,
    parallel: false,
    activation: Activation::Silu,
    gated: true,
    head_norms: None,
    rope_layout: RopeLayout::Neighbours,
    reordered: true,
    unturned_every: None,
    sliding: Some(ALL_WINDOWED),
    scaled_embeddings: false,
    divided_logits: false,
    wide_scale_layers: None,
    norms_less_one: false,
    names: &[],
};

/// Llama with halves that turn together, in files of both kinds.
const HALVES: Architecture = Architecture {
    rope_layout: RopeLayout::Halves,
    reordered: false,
    ..LLAMA
};

/// Gemma (Gemma Team, 2024).
const GEMMA: Architecture = Architecture {
    name: "gemma",
    model_types: &["gemma"],
    activation: Activation::GeluTanh,
    scaled_embeddings: true,
    norms_less_one: true,
    ..HALVES
};

/// Every layer has a window, if the file names its size.
const ALL_WINDOWED: Sliding = Sliding {
    global_every: None,
    rope: WindowRope::Same,
    unturned_globals: false,
};

/// Norms around both halves of a block, as Hugging Face's Gemma calls them.
const NORMS_AROUND: &[(&str, &str)] = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

/// The architectures this decoder runs.
///
/// Sources: the model cards, papers and published code of each, and GGUF's naming of tensors.
#[rustfmt::skip]
pub const ARCHITECTURES: &[Architecture] = &[
    LLAMA,
    Architecture { name: "mistral3", model_types: &["ministral3", "mistral3"], ..LLAMA },
    Architecture {
        name: "smollm3",
        model_types: &["smollm3"],
        unturned_every: Some(4),
        ..LLAMA
    },
    Architecture { name: "qwen2", model_types: &["qwen2"], ..HALVES },
    Architecture {
        name: "qwen2vl",
        model_types: &["qwen2_vl", "qwen2_5_vl", "qwen2_vl_text", "qwen2_5_vl_text"],
        ..HALVES
    },
    Architecture {
        name: "qwen3",
        model_types: &["qwen3"],
        head_norms: Some(HeadNorms::BeforeRope),
        ..HALVES
    },
    Architecture {
        name: "qwen3vl",
        model_types: &["qwen3_vl", "qwen3_vl_text"],
        head_norms: Some(HeadNorms::BeforeRope),
        ..HALVES
    },
    GEMMA,
    Architecture {
        name: "gemma2",
        model_types: &["gemma2"],
        post_norms: true,
        sliding: Some(Sliding { global_every: Some(2), ..ALL_WINDOWED }),
        wide_scale_layers: Some(46),
        names: NORMS_AROUND,
        ..GEMMA
    },
    Architecture {
        name: "gemma3",
        model_types: &["gemma3_text", "gemma3"],
        post_norms: true,
        head_norms: Some(HeadNorms::BeforeRope),
        sliding: Some(Sliding {
            global_every: Some(6),
            rope: WindowRope::Base(10_000.0),
            ..ALL_WINDOWED
        }),
        wide_scale_layers: Some(62),
        names: NORMS_AROUND,
        ..GEMMA
    },
    Architecture {
        name: "phi3",
        model_types: &["phi3"],
        names: &[("attn_qkv", "self_attn.qkv_proj"), ("ffn_up", "mlp.gate_up_proj")],
        ..HALVES
    },
    Architecture {
        name: "granite",
        model_types: &["granite"],
        divided_logits: true,
        ..LLAMA
    },
    Architecture {
        name: "lfm2",
        model_types: &["lfm2"],
        head_norms: Some(HeadNorms::BeforeRope),
        names: &[
            ("attn_norm", "operator_norm"),
            ("attn_output", "self_attn.out_proj"),
            ("attn_q_norm", "self_attn.q_layernorm"),
            ("attn_k_norm", "self_attn.k_layernorm"),
            ("shortconv.conv", "conv.conv"),
            ("shortconv.in_proj", "conv.in_proj"),
            ("shortconv.out_proj", "conv.out_proj"),
            ("ffn_norm", "ffn_norm"),
            ("ffn_gate", "feed_forward.w1"),
            ("ffn_up", "feed_forward.w3"),
            ("ffn_down", "feed_forward.w2"),
        ],
        ..HALVES
    },
    Architecture {
        name: "olmo2",
        model_types: &["olmo2", "olmo3"],
        pre_norms: false,
        post_norms: true,
        head_norms: Some(HeadNorms::BeforeRope),
        sliding: Some(Sliding {
            global_every: Some(4),
            rope: WindowRope::Unscaled,
            ..ALL_WINDOWED
        }),
        names: NORMS_AROUND,
        ..HALVES
    },
    Architecture { name: "exaone", model_types: &[], ..HALVES },
    Architecture {
        name: "exaone4",
        model_types: &["exaone4"],
        pre_norms: false,
        post_norms: true,
        head_norms: Some(HeadNorms::BeforeRope),
        sliding: Some(Sliding {
            global_every: Some(4),
            unturned_globals: true,
            ..ALL_WINDOWED
        }),
        names: NORMS_AROUND,
        ..HALVES
    },
    Architecture { name: "internlm2", model_types: &[], ..LLAMA },
    Architecture { name: "seed_oss", model_types: &["seed_oss"], ..HALVES },
    Architecture {
        name: "ernie4_5",
        model_types: &["ernie4_5"],
        reordered: false,
        ..LLAMA
    },
    Architecture {
        name: "glm4",
        model_types: &["glm4"],
        post_norms: true,
        reordered: false,
        names: &[
            ("post_attention_norm", "post_self_attn_layernorm"),
            ("ffn_norm", "post_attention_layernorm"),
            ("post_ffw_norm", "post_mlp_layernorm"),
            ("ffn_up", "mlp.gate_up_proj"),
        ],
        ..LLAMA
    },
    Architecture {
        name: "hunyuan-dense",
        model_types: &["hunyuan_v1_dense"],
        head_norms: Some(HeadNorms::AfterRope),
        names: &[
            ("attn_q_norm", "self_attn.query_layernorm"),
            ("attn_k_norm", "self_attn.key_layernorm"),
        ],
        ..HALVES
    },
    Architecture {
        name: "arcee",
        model_types: &["arcee"],
        activation: Activation::ReluSquared,
        gated: false,
        ..LLAMA
    },
    Architecture {
        name: "starcoder2",
        model_types: &["starcoder2"],
        normalisation: Normalisation::Layer,
        activation: Activation::GeluTanh,
        gated: false,
        names: &[("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj")],
        ..HALVES
    },
    Architecture {
        name: "stablelm",
        model_types: &["stablelm"],
        normalisation: Normalisation::Layer,
        ..HALVES
    },
    Architecture {
        name: "nemotron",
        model_types: &["nemotron"],
        normalisation: Normalisation::Layer,
        activation: Activation::ReluSquared,
        gated: false,
        norms_less_one: true,
        ..HALVES
    },
    Architecture {
        name: "command-r",
        model_types: &["cohere"],
        normalisation: Normalisation::Layer,
        parallel: true,
        reordered: false,
        ..LLAMA
    },
    Architecture {
        name: "cohere2",
        model_types: &["cohere2"],
        normalisation: Normalisation::Layer,
        parallel: true,
        reordered: false,
        sliding: Some(Sliding {
            global_every: Some(4),
            unturned_globals: true,
            ..ALL_WINDOWED
        }),
        ..LLAMA
    },
];
