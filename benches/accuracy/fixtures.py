"""Writes models/tests/fixtures/decoder/*.json: what `transformers` computes for tiny models.

    python benches/accuracy/fixtures.py models/tests/fixtures/decoder

A fixture names a model's metadata and the shapes of its tensors; the weights follow from the
tensors' names by `weights`, which the Rust test repeats bit for bit. So a few kilobytes hold a
whole model and its expected logits. Matrices keep the variance of what they multiply, so logits
have a variance of about one. Beside it stand the model's `config.json` and what `transformers`
calls its tensors, from which the test makes a safetensors directory.

The texts are longer than every window, and than the contexts at which scaled frequencies begin
to differ.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import reference

TOKENS = 40
POSITIONS = [0, 7, 8, 20, 39]


def weights(name, shape):
    """Numbers that follow from the name: around 0, or around 1 for normalisations."""
    with np.errstate(over="ignore"):
        seed = np.uint64(0xCBF29CE484222325)
        for byte in name.encode():
            seed = (seed ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        x = seed + np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    numbers = (x >> np.uint64(40)).astype(np.float32) / np.float32(1 << 25) - np.float32(0.25)
    if len(shape) > 1:
        numbers *= np.float32(4) * np.sqrt(np.float32(3) / np.float32(shape[-1]))
    return (numbers + np.float32(name.endswith("norm.weight"))).reshape(shape)


def tensors(sizes, vocabulary=40, tied=True, parts="", biases="", head_norms=None):
    """The shapes of the tensors. `parts` names what departs from Llama; `biases` the parts with
    biases; `head_norms` are normalisations of a `head` each, or of the `whole`."""
    hidden, feed_forward = sizes["embedding_length"], sizes["feed_forward_length"]
    heads, kv_heads = sizes["attention.head_count"], sizes["attention.head_count_kv"]
    head_dim = sizes.get("attention.key_length", hidden // heads)
    parts, biases = parts.split(), biases.split()
    shapes = {"token_embd.weight": [vocabulary, hidden]}
    shapes[("token_embd_norm" if "conv" in parts else "output_norm") + ".weight"] = [hidden]
    if not tied:
        shapes["output.weight"] = [vocabulary, hidden]
    for index in range(sizes["block_count"]):
        kv_count = kv_heads[index] if isinstance(kv_heads, list) else kv_heads
        q, kv = heads * head_dim, kv_count * head_dim
        layer = {}
        if "no_pre" not in parts:
            layer["attn_norm"] = [hidden]
            if "seed" in parts:
                layer["post_attention_norm"] = [hidden]
            elif "parallel" not in parts:
                layer["ffn_norm"] = [hidden]
        if "post" in parts:
            layer |= {"post_attention_norm": [hidden], "post_ffw_norm": [hidden]}
        if kv_count == 0:
            layer["shortconv.conv"] = [hidden, sizes["shortconv.l_cache"]]
            layer["shortconv.in_proj"] = [3 * hidden, hidden]
            layer["shortconv.out_proj"] = [hidden, hidden]
        else:
            if "fused_qkv" in parts:
                layer["attn_qkv"] = [q + 2 * kv, hidden]
            else:
                layer |= {"attn_q": [q, hidden], "attn_k": [kv, hidden], "attn_v": [kv, hidden]}
            layer["attn_output"] = [hidden, q]
            if head_norms:
                whole = head_norms == "whole"
                layer["attn_q_norm"] = [q if whole else head_dim]
                layer["attn_k_norm"] = [kv if whole else head_dim]
        experts = sizes.get("expert_count")
        if experts and index >= sizes.get("leading_dense_block_count", 0):
            width = sizes.get("expert_feed_forward_length", feed_forward)
            layer["ffn_gate_inp"] = [experts, hidden]
            layer["ffn_gate_exps"] = layer["ffn_up_exps"] = [experts, width, hidden]
            layer["ffn_down_exps"] = [experts, hidden, width]
            if shared := sizes.get("expert_shared_feed_forward_length"):
                layer["ffn_gate_inp_shexp"] = [hidden]
                layer["ffn_gate_shexp"] = layer["ffn_up_shexp"] = [shared, hidden]
                layer["ffn_down_shexp"] = [hidden, shared]
            if "expert_gating_func" in sizes:
                shapes[f"blk.{index}.exp_probs_b.bias"] = [experts]
        else:
            layer["ffn_down"] = [hidden, feed_forward]
            layer["ffn_up"] = [(2 if "fused_up" in parts else 1) * feed_forward, hidden]
            if not {"fused_up", "ungated"} & set(parts):
                layer["ffn_gate"] = [feed_forward, hidden]
        for part, shape in layer.items():
            shapes[f"blk.{index}.{part}.weight"] = shape
            if part in biases or ("norm" in biases and part.endswith("norm")):
                shapes[f"blk.{index}.{part}.bias"] = shape[:1]
    if "norm" in biases:
        shapes["output_norm.bias"] = [hidden]
    return shapes


def llama3_factors(base, pairs, factor, low, high, original):
    """What `rope_freqs.weight` holds for Llama 3.1 and later (published with those models)."""
    wavelengths = 2 * np.pi * base ** (np.arange(pairs) / pairs)
    smooth = (original / wavelengths - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    inside = np.where(wavelengths > original / low, factor, between)
    return np.where(wavelengths < original / high, 1.0, inside).astype(np.float32)


SIZES = {
    "block_count": 3,
    "context_length": 64,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
FOUR = SIZES | {"block_count": 4}
WIDE = {"attention.key_length": 24, "attention.value_length": 24}
WINDOW = {"attention.sliding_window": 8}
GEMMA = {
    "block_count": 7,
    "context_length": 64,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "attention.head_count": 4,
    "attention.head_count_kv": 1,
    "attention.key_length": 16,
    "attention.value_length": 16,
}
LFM2 = FOUR | {"attention.head_count_kv": [0, 2, 0, 2], "shortconv.l_cache": 3}
SECTIONS = {"rope.dimension_sections": [4, 4, 4, 0]}
"""For images alone: the three positions of a text's token are the same."""
EXPERTS = {"expert_count": 5, "expert_used_count": 2}
NARROW = EXPERTS | {"expert_feed_forward_length": 32}
RMS = {"attention.layer_norm_rms_epsilon": 1e-5}
MEAN = {"attention.layer_norm_epsilon": 1e-5}
BASE = lambda base: RMS | {"rope.freq_base": base}
ORIGINAL = {"rope.scaling.original_context_length": 16}
QKV = "attn_q attn_k attn_v"
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
MINISTRAL = YARN | {"mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3}
LONG = [1.0 + i / 2 for i in range(6)]
SHORT = [1.0 + i / 8 for i in range(6)]


def case(architecture, sizes, numbers, rope=None, scaling=None, **shapes):
    """A model: its metadata; what `transformers` is told of rotary scaling beside the base;
    what the file is told of it; and how its tensors depart from Llama's."""
    return architecture, sizes, numbers, rope or {}, scaling, shapes


def yarn(numbers, **more):
    return numbers | {"rope.scaling.factor": 4.0} | more


CASES = {
    "llama": case("llama", SIZES, BASE(100000.0)),
    "llama_untied": case("llama", SIZES, RMS, tied=False),
    "llama3_rope": case(
        "llama",
        SIZES,
        BASE(500.0),
        dict(
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
        "llama3",
    ),
    "llama_linear_rope": case(
        "llama",
        SIZES,
        BASE(100.0) | {"rope.scaling.factor": 4.0},
        {"rope_type": "linear", "factor": 4.0},
        "linear",
    ),
    "llama_yarn": case("llama", SIZES | ORIGINAL, yarn(BASE(100.0)), YARN, "yarn"),
    "mistral": case("llama", SIZES | WINDOW, RMS, tied=False),
    "mixtral": case("llama", SIZES | EXPERTS, RMS, tied=False),
    "mistral3": case(
        "mistral3",
        SIZES | ORIGINAL,
        yarn(
            BASE(100.0),
            **{
                "rope.scaling.yarn_log_multiplier": 1.0,
                "attention.temperature_scale": 0.3,
            },
        ),
        MINISTRAL,
        "yarn",
    ),
    "smollm3": case("smollm3", FOUR, BASE(1000.0)),
    "qwen2": case("qwen2", SIZES, BASE(1000.0), biases=QKV),
    "qwen2vl": case("qwen2vl", SIZES | SECTIONS, BASE(1000.0), biases=QKV, tied=False),
    "qwen3": case("qwen3", SIZES | WIDE, BASE(1000.0), head_norms="head"),
    "qwen3_yarn": case(
        "qwen3", SIZES | WIDE | ORIGINAL, yarn(BASE(1000.0)), YARN, "yarn", head_norms="head"
    ),
    "qwen3vl": case(
        "qwen3vl", SIZES | WIDE | SECTIONS, BASE(1000.0), head_norms="head", tied=False
    ),
    "qwen2moe": case(
        "qwen2moe",
        SIZES | NARROW | {"expert_shared_feed_forward_length": 48},
        RMS,
        biases=QKV,
        tied=False,
    ),
    "qwen3moe": case("qwen3moe", SIZES | WIDE | NARROW, RMS, head_norms="head", tied=False),
    "olmoe": case(
        "olmoe",
        SIZES | EXPERTS | {"attention.head_count_kv": 4},
        RMS,
        head_norms="whole",
        tied=False,
    ),
    "granitemoe": case(
        "granitemoe",
        SIZES | EXPERTS,
        RMS
        | {
            "embedding_scale": 3.0,
            "residual_scale": 0.4,
            "attention.scale": 0.5,
            "logit_scale": 0.8,
        },
    ),
    "gemma": case("gemma", GEMMA | {"block_count": 3}, RMS),
    "gemma2": case(
        "gemma2",
        GEMMA | WINDOW | {"block_count": 4},
        RMS | {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0},
        parts="post",
    ),
    "gemma3": case("gemma3", GEMMA | WINDOW, BASE(1000000.0), parts="post", head_norms="head"),
    "phi3": case("phi3", SIZES | WINDOW, RMS, parts="fused_qkv fused_up", tied=False),
    "phi3_long": case(
        "phi3",
        SIZES | ORIGINAL | {"rope.dimension_count": 12},
        RMS,
        {"rope_type": "longrope", "long_factor": LONG, "short_factor": SHORT},
        "longrope",
        parts="fused_qkv fused_up",
    ),
    "phi3_short": case(
        "phi3",
        SIZES | {"rope.scaling.original_context_length": 48, "rope.dimension_count": 12},
        RMS,
        {"rope_type": "longrope", "long_factor": LONG, "short_factor": SHORT},
        "longrope",
        parts="fused_qkv fused_up",
    ),
    "granite": case(
        "granite",
        SIZES,
        RMS
        | {
            "embedding_scale": 3.0,
            "residual_scale": 0.4,
            "attention.scale": 0.5,
            "logit_scale": 0.8,
        },
    ),
    "lfm2": case("lfm2", LFM2, BASE(1000.0), parts="conv", head_norms="head"),
    "lfm2moe": case(
        "lfm2moe",
        LFM2 | NARROW | {"leading_dense_block_count": 1, "expert_gating_func": 2},
        BASE(1000.0),
        parts="conv",
        head_norms="head",
    ),
    "olmo2": case("olmo2", SIZES, RMS, parts="no_pre post", head_norms="whole", tied=False),
    "olmo3": case(
        "olmo2",
        FOUR | WINDOW | ORIGINAL,
        yarn(BASE(1000.0)),
        YARN,
        "yarn",
        parts="no_pre post",
        head_norms="whole",
        tied=False,
    ),
    "exaone": case("exaone", SIZES, RMS, tied=False),
    "exaone4": case(
        "exaone4", FOUR | WINDOW, RMS, parts="no_pre post", head_norms="head", tied=False
    ),
    "exaone4_global": case("exaone4", FOUR, RMS, parts="no_pre post", head_norms="head"),
    "internlm2": case("internlm2", SIZES, RMS, tied=False),
    "seed_oss": case("seed_oss", SIZES | WIDE, RMS, parts="seed", biases=QKV, tied=False),
    "ernie4_5": case("ernie4_5", SIZES, RMS),
    "glm4": case(
        "glm4",
        SIZES | {"rope.dimension_count": 8},
        RMS,
        parts="post fused_up",
        biases=QKV,
        tied=False,
    ),
    "hunyuan": case("hunyuan-dense", SIZES, RMS, head_norms="head"),
    "arcee": case("arcee", SIZES, RMS, parts="ungated", tied=False),
    "starcoder2": case(
        "starcoder2",
        SIZES | WINDOW,
        MEAN,
        parts="ungated",
        biases=f"{QKV} attn_output ffn_up ffn_down norm",
    ),
    "stablelm": case(
        "stablelm",
        SIZES | {"rope.dimension_count": 4},
        MEAN,
        biases=f"{QKV} norm",
        tied=False,
    ),
    "nemotron": case(
        "nemotron",
        SIZES | {"rope.dimension_count": 8},
        MEAN,
        parts="ungated",
        biases="norm",
        tied=False,
    ),
    "command_r": case("command-r", SIZES, MEAN | {"logit_scale": 0.7}, parts="parallel"),
    "cohere2": case("cohere2", FOUR | WINDOW, MEAN | {"logit_scale": 0.7}, parts="parallel"),
}


CONTEXTS = {"phi3_short": 48}
"""How many positions a sequence may have, where it is not what the model was made for."""


def describe_scaling(architecture, sizes, numbers, rope, scaling):
    """What a file says of rotary scaling: strings, factors, and more numbers."""
    kinds = {} if scaling in (None, "llama3") else {"rope.scaling.type": scaling}
    default = sizes["embedding_length"] // sizes["attention.head_count"]
    head_dim = sizes.get("attention.key_length", default)
    base = numbers.get("rope.freq_base", 10000.0)
    if scaling == "llama3":
        factors = llama3_factors(base, head_dim // 2, 8.0, 1.0, 4.0, 32)
        return kinds, {"rope_freqs.weight": [float(x) for x in factors]}, {}
    if scaling == "longrope":
        original = sizes["rope.scaling.original_context_length"]
        stretch = sizes["context_length"] / original
        magnitude = float(np.sqrt(1 + np.log(stretch) / np.log(original)))
        factors = {"rope_factors_long.weight": LONG, "rope_factors_short.weight": SHORT}
        return kinds, factors, {"rope.scaling.attn_factor": magnitude}
    return kinds, {}, {}


def main(folder, wanted):
    folder.mkdir(parents=True, exist_ok=True)
    ids = [int(x) for x in np.random.default_rng(1).integers(0, 40, TOKENS)]
    for name, (architecture, sizes, numbers, rope, scaling, options) in CASES.items():
        if wanted and name not in wanted:
            continue
        shapes = tensors(sizes, **options)
        values = {tensor: weights(tensor, shape) for tensor, shape in shapes.items()}
        strings, factors, more = describe_scaling(architecture, sizes, numbers, rope, scaling)
        numbers = numbers | more
        metadata = {f"{architecture}.{key}": value for key, value in (sizes | numbers).items()}
        metadata["general.architecture"] = architecture
        config = {}
        if rope:
            said = reference.configuration(metadata, values)["rope_parameters"]
            original = sizes.get("rope.scaling.original_context_length")
            rope = rope | ({"original_max_position_embeddings": original} if original else {})
            if "full_attention" in said:
                config["rope_parameters"] = said | {"full_attention": said["full_attention"] | rope}
            else:
                config["rope_parameters"] = said | rope
            if scaling == "longrope":
                config["original_max_position_embeddings"] = original
        made = reference.model(metadata, values, **config)
        computed = reference.logits(made, ids)
        known = reference.row(metadata)
        listed = {key: value for key, value in sizes.items() if isinstance(value, list)}
        prefixed = lambda values: {f"{architecture}.{key}": value for key, value in values.items()}
        fixture = {
            "architecture": architecture,
            "integers": prefixed({k: v for k, v in sizes.items() if k not in listed}),
            "lists": prefixed(listed),
            "numbers": prefixed(numbers),
            "strings": prefixed(strings),
            "factors": factors,
            "context": CONTEXTS.get(name),
            "tensors": shapes,
            "tokens": ids,
            "spread": round(float(computed.std()), 6),
            "logits": {p: [round(float(x), 7) for x in computed[p]] for p in POSITIONS},
            "directory": {
                "config": made.config.to_diff_dict(),
                "names": {tensor: reference.name_of(metadata, tensor) for tensor in shapes},
                "reordered": known.reordered,
                "less_one": known.less_one,
            },
        }
        # One line a tensor or row keeps differences readable.
        text = json.dumps(fixture, indent=1)
        text = text.replace(",\n   ", ", ").replace("[\n   ", "[").replace("\n  ]", "]")
        (folder / f"{name}.json").write_text(text + "\n")
        print(name, len(text), "bytes; spread of the logits", fixture["spread"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
