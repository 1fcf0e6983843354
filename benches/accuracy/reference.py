"""The reference: a GGUF file's weights, expanded to f32, in the models of `transformers`.

It shares no code with Corbie: the `gguf` package expands the weights, `transformers` runs them.
Needs: pip install torch transformers gguf
"""

import numpy as np
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NORMS = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
WHOLE = {
    "token_embd": "model.embed_tokens.weight",
    "output_norm": "model.norm.weight",
    "output": "lm_head.weight",
}


def read(path):
    """The metadata and the f32 tensors of a GGUF file."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    metadata = {
        key: field.contents()
        for key, field in reader.fields.items()
        if not key.startswith("tokenizer.")
    }
    tensors = {
        tensor.name: np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(
            [int(n) for n in reversed(tensor.shape)]
        )
        for tensor in reader.tensors
    }
    return metadata, tensors


def model(metadata, tensors, **config):
    """The `transformers` model of these weights; `config` adds to what the metadata says."""
    architecture = metadata["general.architecture"]
    key = lambda name, default=None: metadata.get(f"{architecture}.{name}", default)
    heads = key("attention.head_count")
    head_dim = key("attention.key_length", key("embedding_length") // heads)
    common = dict(
        vocab_size=tensors["token_embd.weight"].shape[0],
        hidden_size=key("embedding_length"),
        intermediate_size=key("feed_forward_length"),
        num_hidden_layers=key("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=key("attention.head_count_kv", heads),
        head_dim=head_dim,
        max_position_embeddings=key("context_length"),
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in tensors,
        attn_implementation="eager",
    )
    base = key("rope.freq_base", 10000.0)
    if architecture == "llama":
        rope = {"rope_type": "default", "rope_theta": base}
        made = LlamaForCausalLM(LlamaConfig(**(common | {"rope_parameters": rope} | config)))
    else:
        rope = {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "default", "rope_theta": base},
        }
        layers = [
            "sliding_attention" if layer % 6 else "full_attention"
            for layer in range(1, key("block_count") + 1)
        ]
        common |= dict(
            rope_parameters=rope,
            layer_types=layers,
            sliding_window=key("attention.sliding_window"),
            query_pre_attn_scalar=head_dim,
        )
        made = Gemma3ForCausalLM(Gemma3TextConfig(**(common | config)))
    made.load_state_dict(state(architecture, tensors, common), strict=False)
    missing = set(dict(made.named_parameters())) - set(state(architecture, tensors, common))
    assert missing <= {"lm_head.weight"}, missing
    return made.float().eval()


def state(architecture, tensors, config):
    """The tensors by their names in `transformers`, in its layout."""
    named = {}
    for name, values in tensors.items():
        parts = name.removesuffix(".weight").split(".")
        if parts == ["rope_freqs"]:
            continue
        if parts[0] == "blk":
            inner = (LAYER | NORMS[architecture])[parts[2]]
            target = f"model.layers.{parts[1]}.{inner}.weight"
        else:
            target = WHOLE[parts[0]]
        if architecture == "llama" and parts[-1] in ("attn_q", "attn_k"):
            kind = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}[parts[-1]]
            values = halves(values, config[kind])
        if architecture == "gemma3" and "norm" in name:
            # GGUF folds in the one that Gemma adds to the weight of each normalisation.
            values = values - 1
        named[target] = torch.from_numpy(np.array(values))
    return named


def halves(values, heads):
    """GGUF keeps pairs that turn together side by side; `transformers` half a head apart."""
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def logits(made, ids):
    """The logits after each of `ids`, [n, vocabulary]."""
    with torch.no_grad():
        return made(torch.tensor([ids]), use_cache=False).logits[0]
