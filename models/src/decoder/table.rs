//! The table of architectures.

use super::architecture::{
    Activation, Architecture, HeadNorms, Normalisation, Sliding, WindowRope,
};
use crate::kernels::RopeLayout;

/// Llama (Touvron et al., 2023), which the other rows depart from.
const LLAMA: Architecture = Architecture {
    name: "llama",
    model_types: &["llama", "mistral", "ministral", "mixtral"],
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
    normalised_experts: true,
    sigmoid_experts: false,
    wide_scale_layers: None,
    norms_less_one: false,
    usual: &[],
    names: &[
        ("ffn_gate_inp", "block_sparse_moe.gate"),
        ("ffn_gate_exps", "block_sparse_moe.experts.{}.w1"),
        ("ffn_up_exps", "block_sparse_moe.experts.{}.w3"),
        ("ffn_down_exps", "block_sparse_moe.experts.{}.w2"),
    ],
};

/// Llama with halves that turn together, in files of both kinds.
const HALVES: Architecture = Architecture {
    rope_layout: RopeLayout::Halves,
    reordered: false,
    names: &[],
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

/// What Hugging Face's files of LFM2 call their tensors.
const LFM2: &[(&str, &str)] = &[
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
    ("ffn_gate_inp", "feed_forward.gate"),
    ("exp_probs_b.bias", "feed_forward.expert_bias"),
    ("ffn_gate_exps", "feed_forward.experts.{}.w1"),
    ("ffn_up_exps", "feed_forward.experts.{}.w3"),
    ("ffn_down_exps", "feed_forward.experts.{}.w2"),
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
    Architecture {
        name: "qwen2moe",
        model_types: &["qwen2_moe"],
        normalised_experts: false,
        ..HALVES
    },
    Architecture {
        name: "qwen3moe",
        model_types: &["qwen3_moe"],
        head_norms: Some(HeadNorms::BeforeRope),
        ..HALVES
    },
    Architecture {
        name: "olmoe",
        model_types: &["olmoe"],
        head_norms: Some(HeadNorms::BeforeRope),
        normalised_experts: false,
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
        usual: &[
            ("attention.head_count", 8.0),
            ("attention.head_count_kv", 4.0),
            ("attention.key_length", 256.0),
            ("attention.layer_norm_rms_epsilon", 1e-6),
            ("context_length", 131_072.0),
            ("rope.freq_base", 1_000_000.0),
        ],
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
        name: "granitemoe",
        model_types: &["granitemoe"],
        divided_logits: true,
        names: &[
            ("ffn_gate_inp", "block_sparse_moe.router.layer"),
            ("ffn_gate_up_exps", "block_sparse_moe.input_linear"),
            ("ffn_down_exps", "block_sparse_moe.output_linear"),
        ],
        ..LLAMA
    },
    Architecture {
        name: "lfm2",
        model_types: &["lfm2"],
        head_norms: Some(HeadNorms::BeforeRope),
        names: LFM2,
        ..HALVES
    },
    Architecture {
        name: "lfm2moe",
        model_types: &["lfm2_moe"],
        head_norms: Some(HeadNorms::BeforeRope),
        sigmoid_experts: true,
        names: LFM2,
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
