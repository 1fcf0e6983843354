"""Writes models/tests/fixtures/decoder/*.json: what `transformers` computes for tiny models.

    python benches/accuracy/fixtures.py models/tests/fixtures/decoder

A fixture names a model's metadata and the shapes of its tensors; the weights follow from the
tensors' names by `weights`, which the Rust test repeats bit for bit. So a few kilobytes hold a
whole model and its expected logits.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import reference


def weights(name, shape):
    """Numbers between -0.25 and 0.25 that follow from the name; around 1 for normalisations."""
    with np.errstate(over="ignore"):
        seed = np.uint64(0xCBF29CE484222325)
        for byte in name.encode():
            seed = (seed ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        x = seed + np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    numbers = (x >> np.uint64(40)).astype(np.float32) / np.float32(1 << 25) - np.float32(0.25)
    return (numbers + np.float32(name.endswith("norm.weight"))).reshape(shape)


def tensors(architecture, keys, vocabulary, tied):
    hidden, feed_forward = keys["embedding_length"], keys["feed_forward_length"]
    heads, kv_heads = keys["attention.head_count"], keys["attention.head_count_kv"]
    head_dim = keys.get("attention.key_length", hidden // heads)
    layer = {
        "attn_norm": [hidden],
        "attn_q": [heads * head_dim, hidden],
        "attn_k": [kv_heads * head_dim, hidden],
        "attn_v": [kv_heads * head_dim, hidden],
        "attn_output": [hidden, heads * head_dim],
        "ffn_norm": [hidden],
        "ffn_gate": [feed_forward, hidden],
        "ffn_up": [feed_forward, hidden],
        "ffn_down": [hidden, feed_forward],
    }
    if architecture == "gemma3":
        layer |= {"attn_q_norm": [head_dim], "attn_k_norm": [head_dim]}
        layer |= {"post_attention_norm": [hidden], "post_ffw_norm": [hidden]}
    shapes = {"token_embd.weight": [vocabulary, hidden], "output_norm.weight": [hidden]}
    if not tied:
        shapes["output.weight"] = [vocabulary, hidden]
    for index in range(keys["block_count"]):
        shapes |= {f"blk.{index}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def llama3_factors(base, pairs, factor, low, high, original):
    """What `rope_freqs.weight` holds for Llama 3.1 and later (published with those models)."""
    wavelengths = 2 * np.pi * base ** (np.arange(pairs) / pairs)
    smooth = (original / wavelengths - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    inside = np.where(wavelengths > original / low, factor, between)
    return np.where(wavelengths < original / high, 1.0, inside).astype(np.float32)


LLAMA = {
    "block_count": 3,
    "context_length": 64,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
GEMMA = {
    "block_count": 7,
    "context_length": 64,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "attention.head_count": 4,
    "attention.head_count_kv": 1,
    "attention.key_length": 16,
    "attention.value_length": 16,
    "attention.sliding_window": 8,
}
EPS = "attention.layer_norm_rms_epsilon"
CASES = {
    "llama": ("llama", LLAMA, {EPS: 1e-5, "rope.freq_base": 100000.0}, True, None),
    "llama_untied": ("llama", LLAMA, {EPS: 1e-5}, False, None),
    "llama3_rope": ("llama", LLAMA, {EPS: 1e-5, "rope.freq_base": 500.0}, True, "llama3"),
    "llama_linear_rope": (
        "llama",
        LLAMA,
        {EPS: 1e-5, "rope.freq_base": 100.0, "rope.scaling.factor": 4.0},
        True,
        "linear",
    ),
    "gemma3": ("gemma3", GEMMA, {EPS: 1e-6, "rope.freq_base": 1000000.0}, True, None),
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    ids = [int(x) for x in np.random.default_rng(1).integers(0, 40, 28)]
    for name, (architecture, sizes, numbers, tied, scaling) in CASES.items():
        shapes = tensors(architecture, sizes, 40, tied)
        values = {tensor: weights(tensor, shape) for tensor, shape in shapes.items()}
        metadata = {f"{architecture}.{key}": value for key, value in (sizes | numbers).items()}
        metadata["general.architecture"] = architecture
        config, factors, strings = {}, None, {}
        base = numbers.get("rope.freq_base", 10000.0)
        if scaling == "llama3":
            options = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)
            rope = {"rope_type": "llama3", "rope_theta": base, **options}
            config["rope_parameters"] = rope | {"original_max_position_embeddings": 32}
            factors = llama3_factors(base, 8, 8.0, 1.0, 4.0, 32)
        if scaling == "linear":
            rope = {"rope_type": "linear", "rope_theta": base}
            config["rope_parameters"] = rope | {"factor": numbers["rope.scaling.factor"]}
            strings[f"{architecture}.rope.scaling.type"] = "linear"
        made = reference.model(metadata, values, **config)
        computed = reference.logits(made, ids)
        positions = [0, 7, 8, 27]
        fixture = {
            "architecture": architecture,
            "integers": {f"{architecture}.{key}": value for key, value in sizes.items()},
            "numbers": {f"{architecture}.{key}": value for key, value in numbers.items()},
            "strings": strings,
            "tensors": shapes,
            "rope_factors": None if factors is None else [float(x) for x in factors],
            "tokens": ids,
            "logits": {p: [round(float(x), 6) for x in computed[p]] for p in positions},
        }
        # One line a tensor or row keeps differences readable.
        text = json.dumps(fixture, indent=1)
        text = text.replace(",\n   ", ", ").replace("[\n   ", "[").replace("\n  ]", "]")
        (folder / f"{name}.json").write_text(text + "\n")
        print(name, len(text), "bytes; largest logit", float(torch.max(computed.abs())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
