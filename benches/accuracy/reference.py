"""The reference: a GGUF file's weights, expanded to f32, in the models of `transformers`.

It shares no code with Corbie: the `gguf` package expands the weights, `transformers` runs them.
Needs: pip install torch transformers gguf
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import transformers


@dataclass
class Row:
    """How one architecture of GGUF is called and kept in `transformers`."""

    kind: str
    """Its classes are `{kind}Config` and `{kind}ForCausalLM`."""
    names: dict = field(default_factory=dict)
    """Parts of a block that are called otherwise than in Llama."""
    reordered: bool = False
    """GGUF keeps pairs that turn together side by side; `transformers` half a head apart."""
    less_one: bool = False
    """GGUF adds one to the weights of normalisations."""
    whole: dict = field(default_factory=dict)
    """Tensors outside of blocks that are called otherwise than in Llama."""
    experts: tuple = ("mlp.experts", "mlp.gate")
    """Where a model in memory has its experts and their router."""
    more: tuple = ()
    """What its configuration takes without saying so."""
    windows: object = None
    """Which of `layers` layers see a window only, from `(index, layers)`."""


LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.{}.gate_proj",
    "ffn_up_exps": "mlp.experts.{}.up_proj",
    "ffn_down_exps": "mlp.experts.{}.down_proj",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
"""What files call the parts of a block; `{}` is an expert's number. In memory `transformers` stacks
experts and calls their place otherwise (`Row.experts`)."""
WHOLE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
AROUND = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
PHI3 = {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
GLM4 = {
    "post_attention_norm": "post_self_attn_layernorm",
    "post_ffw_norm": "post_mlp_layernorm",
    "ffn_up": "mlp.gate_up_proj",
}
HUNYUAN = {
    "attn_q_norm": "self_attn.query_layernorm",
    "attn_k_norm": "self_attn.key_layernorm",
}
LFM2 = {
    "attn_norm": "operator_norm",
    "attn_output": "self_attn.out_proj",
    "attn_q_norm": "self_attn.q_layernorm",
    "attn_k_norm": "self_attn.k_layernorm",
    "shortconv.conv": "conv.conv",
    "shortconv.in_proj": "conv.in_proj",
    "shortconv.out_proj": "conv.out_proj",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_up": "feed_forward.w3",
    "ffn_down": "feed_forward.w2",
    "ffn_gate_inp": "feed_forward.gate",
    "ffn_gate_exps": "feed_forward.experts.{}.w1",
    "ffn_up_exps": "feed_forward.experts.{}.w3",
    "ffn_down_exps": "feed_forward.experts.{}.w2",
}
MIXTRAL = {
    "ffn_gate_inp": "block_sparse_moe.gate",
    "ffn_gate_exps": "block_sparse_moe.experts.{}.w1",
    "ffn_up_exps": "block_sparse_moe.experts.{}.w3",
    "ffn_down_exps": "block_sparse_moe.experts.{}.w2",
}
ALL = lambda index, layers: True
BUT_EVERY = lambda every: lambda index, layers: (index + 1) % every != 0
ROWS = {
    "llama": Row("Llama", reordered=True),
    "mistral": Row("Mistral", reordered=True, windows=ALL),
    "mixtral": Row("Mixtral", MIXTRAL, reordered=True),
    "mistral3": Row("Ministral3", reordered=True),
    "smollm3": Row("SmolLM3", reordered=True),
    "qwen2": Row("Qwen2"),
    "qwen2vl": Row("Qwen2"),
    "qwen3": Row("Qwen3"),
    "qwen3vl": Row("Qwen3"),
    "qwen2moe": Row("Qwen2Moe"),
    "qwen3moe": Row("Qwen3Moe", more=("head_dim",)),
    "olmoe": Row("Olmoe"),
    "granitemoe": Row(
        "GraniteMoe",
        {
            "ffn_gate_inp": "block_sparse_moe.router.layer",
            "ffn_gate_exps": "block_sparse_moe.input_linear",
            "ffn_up_exps": "block_sparse_moe.input_linear",
            "ffn_down_exps": "block_sparse_moe.output_linear",
        },
        reordered=True,
        experts=("block_sparse_moe.experts", "block_sparse_moe.router"),
    ),
    "gemma": Row("Gemma", less_one=True),
    "gemma2": Row("Gemma2", AROUND, less_one=True, windows=BUT_EVERY(2)),
    "gemma3": Row("Gemma3", AROUND, less_one=True, windows=BUT_EVERY(6)),
    "phi3": Row("Phi3", PHI3, windows=ALL),
    "granite": Row("Granite", reordered=True),
    "lfm2": Row("Lfm2", LFM2, whole={"token_embd_norm": "model.embedding_norm"}),
    "lfm2moe": Row(
        "Lfm2Moe",
        LFM2,
        whole={"token_embd_norm": "model.embedding_norm"},
        experts=("feed_forward.experts", "feed_forward.gate"),
    ),
    "olmo2": Row("Olmo2", AROUND),
    "olmo3": Row("Olmo3", AROUND, windows=BUT_EVERY(4)),
    "exaone": Row("Llama"),
    "exaone4": Row("Exaone4", AROUND, windows=BUT_EVERY(4)),
    "internlm2": Row("Llama", reordered=True),
    "seed_oss": Row("SeedOss", {"post_attention_norm": "post_attention_layernorm"}),
    "ernie4_5": Row("Ernie4_5"),
    "glm4": Row("Glm4", GLM4),
    "hunyuan-dense": Row("HunYuanDenseV1", HUNYUAN),
    "arcee": Row("Arcee", reordered=True),
    "starcoder2": Row("Starcoder2", {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}, windows=ALL),
    "stablelm": Row("StableLm"),
    "nemotron": Row("Nemotron", less_one=True),
    "command-r": Row("Cohere"),
    "cohere2": Row("Cohere2", windows=BUT_EVERY(4)),
}


def row(metadata):
    """The row of a file. Its name does not tell Mistral with windows from Llama, nor OLMo 3 from
    OLMo 2: their windows do; nor Mixtral from Llama."""
    name = metadata["general.architecture"]
    if name == "llama" and metadata.get("llama.expert_count"):
        name = "mixtral"
    if metadata.get(f"{name}.attention.sliding_window"):
        name = {"llama": "mistral", "olmo2": "olmo3"}.get(name, name)
    return ROWS[name]


def read(path):
    """The metadata and the f32 tensors of a GGUF file."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    metadata = {
        key: entry.contents()
        for key, entry in reader.fields.items()
        if not key.startswith("tokenizer.")
    }
    tensors = {
        tensor.name: np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(
            [int(n) for n in reversed(tensor.shape)]
        )
        for tensor in reader.tensors
    }
    return metadata, tensors


def configuration(metadata, tensors):
    """What the metadata says, by the names of `transformers`."""
    architecture = metadata["general.architecture"]
    key = lambda name, default=None: metadata.get(f"{architecture}.{name}", default)
    heads, layers = key("attention.head_count"), key("block_count")
    head_dim = key("attention.key_length", key("embedding_length") // heads)
    eps = key("attention.layer_norm_rms_epsilon", key("attention.layer_norm_epsilon"))
    kv_heads = key("attention.head_count_kv", heads)
    rope = {"rope_type": "default", "rope_theta": key("rope.freq_base", 10000.0)}
    turned = key("rope.dimension_count", head_dim) / head_dim
    if turned != 1.0:
        rope["partial_rotary_factor"] = turned
    has_bias = lambda part: any(name.endswith(f"{part}.bias") for name in tensors)
    config = dict(
        vocab_size=tensors["token_embd.weight"].shape[0],
        hidden_size=key("embedding_length"),
        intermediate_size=key("feed_forward_length"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(kv_heads) if isinstance(kv_heads, list) else kv_heads,
        head_dim=head_dim,
        max_position_embeddings=key("context_length"),
        tie_word_embeddings="output.weight" not in tensors,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        rope_parameters=rope,
    )
    for name in ("rms_norm_eps", "norm_eps", "layer_norm_eps", "norm_epsilon"):
        config[name] = eps
    for name in ("attention_bias", "use_qkv_bias", "use_bias"):
        config[name] = has_bias("attn_q")
    config["attention_out_bias"] = has_bias("attn_output")
    config["mlp_bias"] = has_bias("ffn_up")
    window, windows = key("attention.sliding_window"), row(metadata).windows
    kinds = ["full_attention", "sliding_attention"]
    config["sliding_window"] = window
    if window and windows and windows is not ALL:
        config["layer_types"] = [kinds[windows(index, layers)] for index in range(layers)]
    names = {
        "embedding_multiplier": "embedding_scale",
        "residual_multiplier": "residual_scale",
        "attention_multiplier": "attention.scale",
        "logits_scaling": "logit_scale",
        "logit_scale": "logit_scale",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping",
    }
    config |= {theirs: key(ours) for theirs, ours in names.items() if key(ours)}
    if architecture.startswith("gemma"):
        wide = {"gemma2": 46, "gemma3": 62}.get(architecture) == layers
        config["query_pre_attn_scalar"] = key("embedding_length") // heads if wide else head_dim
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            config.setdefault(name, None)
    if architecture == "gemma3":
        local = {"rope_type": "default", "rope_theta": key("rope.freq_base_swa", 10000.0)}
        config["rope_parameters"] = {"sliding_attention": local, "full_attention": rope}
    if row(metadata).kind == "Olmo3":
        local = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
        config["rope_parameters"] = {"sliding_attention": local, "full_attention": rope}
    if architecture == "exaone4" and not window:
        config["layer_types"] = ["full_attention"] * layers
    if key("expert_count"):
        config["num_experts"] = config["num_local_experts"] = key("expert_count")
        config["num_experts_per_tok"] = key("expert_used_count")
        config["moe_intermediate_size"] = key("expert_feed_forward_length")
        config["shared_expert_intermediate_size"] = key("expert_shared_feed_forward_length")
        config["norm_topk_prob"] = architecture in ("qwen3moe", "lfm2moe")
        config["num_dense_layers"] = key("leading_dense_block_count")
    if architecture.startswith("lfm2"):
        kinds = ["conv", "full_attention"]
        config["layer_types"] = [kinds[count > 0] for count in kv_heads]
        config["conv_L_cache"] = key("shortconv.l_cache")
        config["conv_bias"] = has_bias("shortconv.in_proj")
        config["block_auto_adjust_ff_dim"] = False
        del config["sliding_window"]
    return config


def model(metadata, tensors, **config):
    """The `transformers` model of these weights; `config` adds to what the metadata says."""
    kind = row(metadata).kind
    suffix = "TextConfig" if kind == "Gemma3" else "Config"
    configure = getattr(transformers, f"{kind}{suffix}")
    known = configure()
    said = configuration(metadata, tensors) | config
    # What a kind does not know it would keep all the same.
    more = row(metadata).more
    said = {key: value for key, value in said.items() if hasattr(known, key) or key in more}
    made = getattr(transformers, f"{kind}ForCausalLM")(
        configure(attn_implementation="eager", **said)
    )
    weights = state(metadata, tensors)
    unknown = made.load_state_dict(weights, strict=False).unexpected_keys
    assert not unknown, unknown
    missing = set(dict(made.named_parameters())) - set(weights)
    missing |= {name for name, _ in made.named_buffers() if "expert_bias" in name} - set(weights)
    assert missing <= {"lm_head.weight"}, missing
    return made.float().eval()


def name_of(metadata, name):
    """What `transformers` calls the tensor `name` of a file."""
    known = row(metadata)
    head, kind = name.rsplit(".", 1)
    if head.endswith("exp_probs_b"):
        return f"model.layers.{head.split('.')[1]}.feed_forward.expert_bias"
    if head.startswith("blk."):
        _, index, part = head.split(".", 2)
        return f"model.layers.{index}.{(LAYER | known.names)[part]}.{kind}"
    return f"{(WHOLE | known.whole)[head]}.{kind}"


def state(metadata, tensors):
    """The tensors by their names in `transformers`, in its layout."""
    known = row(metadata)
    architecture = metadata["general.architecture"]
    heads = {
        "attn_q": metadata[f"{architecture}.attention.head_count"],
        "attn_k": metadata.get(f"{architecture}.attention.head_count_kv"),
    }
    named = {}
    for name, values in tensors.items():
        if name.startswith("rope_"):
            continue
        part = name.split(".")[-2]
        if known.reordered and part in heads:
            values = halves(values, heads[part])
        if known.less_one and name.endswith("norm.weight"):
            values = values - 1
        if part == "conv":
            values = values[:, None, :]
        if part.endswith("_exps"):
            continue
        if part == "ffn_gate_inp_shexp":
            values = values.reshape(1, -1)
        if part == "ffn_gate_inp":
            named[f"model.layers.{name.split('.')[1]}.{known.experts[1]}.weight"] = (
                torch.from_numpy(np.array(values))
            )
            continue
        named[name_of(metadata, name)] = torch.from_numpy(np.array(values))
    for name, down in tensors.items():
        if name.endswith("ffn_down_exps.weight"):
            place = f"model.layers.{name.split('.')[1]}.{known.experts[0]}"
            gate, up = (tensors[name.replace("down", other)] for other in ("gate", "up"))
            stacked = np.concatenate([gate, up], axis=1)
            named[f"{place}.gate_up_proj"] = torch.from_numpy(stacked)
            named[f"{place}.down_proj"] = torch.from_numpy(np.array(down))
    return named


def halves(values, heads):
    """GGUF keeps pairs that turn together side by side; `transformers` half a head apart."""
    pairs = values.reshape(heads, len(values) // heads // 2, 2, -1)
    return pairs.swapaxes(1, 2).reshape(values.shape)


def logits(made, ids):
    """The logits after each of `ids`, [n, vocabulary]."""
    with torch.no_grad():
        return made(torch.tensor([ids]), use_cache=False).logits[0]
