//! What sets one architecture apart from the others.

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
    /// Whether the weights of chosen experts are made to sum to one, unless the file says.
    pub normalised_experts: bool,
    /// Whether experts are wanted by the sigmoid of their scores, unless the file says.
    pub sigmoid_experts: bool,
    /// A depth at which the attention scale is `1 / √(hidden / heads)` instead of
    /// `1 / √head_dim`: the only trace of it in a file.
    pub wide_scale_layers: Option<usize>,
    /// Whether Hugging Face's files have the weights of normalisations less one.
    pub(super) norms_less_one: bool,
    /// What Hugging Face's configurations leave out when it is as usual, by GGUF's keys.
    pub(crate) usual: &'static [(&'static str, f64)],
    /// What Hugging Face's files call tensors, where it is not as in Llama's.
    pub(crate) names: &'static [(&'static str, &'static str)],
}

/// What GGUF's tensors are called in Llama's files of Hugging Face. Experts lie one by one there: `{}` is the place of their number.
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
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_exps", "mlp.experts.{}.gate_proj"),
    ("ffn_up_exps", "mlp.experts.{}.up_proj"),
    ("ffn_down_exps", "mlp.experts.{}.down_proj"),
    ("ffn_gate_inp_shexp", "mlp.shared_expert_gate"),
    ("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
    ("ffn_up_shexp", "mlp.shared_expert.up_proj"),
    ("ffn_down_shexp", "mlp.shared_expert.down_proj"),
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
            // A buffer, not a parameter of a layer, is called so whole.
            Some((index, "exp_probs_b")) => {
                format!("model.layers.{index}.{}", called("exp_probs_b.bias"))
            }
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
