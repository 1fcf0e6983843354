"""Writes encoders.json: tiny encoders and the vectors that Sentence Transformers gives them.

    pip install torch sentence-transformers
    python models/tests/reference/encoders.py

Each case is a model directory: its text files stand in the fixture, its weights follow from
their names (`weight` below), so that the Rust tests can write the very same directory.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

TEXTS = [
    "A raven caches food",
    "",
    "乌鸦会藏食物。",
    "Crows, ravens and jays: they remember where, for months!",
    "raven " * 40,
    "Ünknown WORDS 123",
]

WORDS = "a raven ##s cache food crow ##w and jay they remember where for month use tool".split()
LETTERS = [x for c in "abcdefghijklmnopqrstuvwxyz" for x in (c, "##" + c)][2:]
PIECES = WORDS + LETTERS + list("乌鸦会藏食。,:!123") + ["##2", "##3", "A", "C", "W"]

HIDDEN, HEADS, LAYERS, INTERMEDIATE, POSITIONS = 24, 3, 2, 40, 32


def tokenizer(special, lowercase):
    pad, unk, cls, sep = (special[name] for name in ("pad", "unk", "cls", "sep"))
    vocab = {token: i for i, token in enumerate(list(special.values()) + PIECES)}
    ids = {token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in (cls, sep)}
    part = lambda token, kind=0: {"SpecialToken": {"id": token, "type_id": kind}}
    text = lambda name, kind=0: {"Sequence": {"id": name, "type_id": kind}}
    return {
        "version": "1.0",
        "truncation": {"max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
                    "pad_id": vocab[pad], "pad_type_id": 0, "pad_token": pad},
        "added_tokens": [
            {"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for t in special.values()],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [part(cls), text("A"), part(sep)],
            "pair": [part(cls), text("A"), part(sep), text("B"), part(sep)],
            "special_tokens": ids},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    }


def bert(**changes):
    return {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "intermediate_size": INTERMEDIATE, "max_position_embeddings": POSITIONS,
            "vocab_size": len(PIECES) + 4, "type_vocab_size": 2, "hidden_act": "gelu",
            "layer_norm_eps": 1e-12, "pad_token_id": 0} | changes


# The order of these names is the order of the ids.
BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
XLM = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>"}
DISTIL = {"model_type": "distilbert", "architectures": ["DistilBertModel"], "dim": HIDDEN,
          "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INTERMEDIATE,
          "max_position_embeddings": POSITIONS, "vocab_size": len(PIECES) + 4,
          "activation": "gelu", "pad_token_id": 0, "sinusoidal_pos_embds": False}


def bert_tensors(types=2):
    shapes = {
        "embeddings.word_embeddings.weight": [len(PIECES) + 4, HIDDEN],
        "embeddings.position_embeddings.weight": [POSITIONS, HIDDEN],
        "embeddings.token_type_embeddings.weight": [types, HIDDEN],
        "embeddings.LayerNorm.weight": [HIDDEN], "embeddings.LayerNorm.bias": [HIDDEN]}
    for n in range(LAYERS):
        layer = f"encoder.layer.{n}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value",
                     "attention.output.dense"):
            shapes |= {layer + name + ".weight": [HIDDEN, HIDDEN], layer + name + ".bias": [HIDDEN]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {layer + name + ".weight": [HIDDEN], layer + name + ".bias": [HIDDEN]}
        shapes |= {layer + "intermediate.dense.weight": [INTERMEDIATE, HIDDEN],
                   layer + "intermediate.dense.bias": [INTERMEDIATE],
                   layer + "output.dense.weight": [HIDDEN, INTERMEDIATE],
                   layer + "output.dense.bias": [HIDDEN]}
    return shapes


def distilbert_tensors():
    renames = [("encoder.layer", "transformer.layer"), ("attention.self.query", "attention.q_lin"),
               ("attention.self.key", "attention.k_lin"), ("attention.self.value", "attention.v_lin"),
               ("attention.output.dense", "attention.out_lin"),
               ("attention.output.LayerNorm", "sa_layer_norm"),
               ("intermediate.dense", "ffn.lin1"), ("output.dense", "ffn.lin2"),
               ("output.LayerNorm", "output_layer_norm")]
    shapes = {}
    for name, shape in bert_tensors().items():
        for old, new in renames:
            name = name.replace(old, new)
        if "token_type" not in name:
            shapes[name] = shape
    return shapes


def weight(name, shape):
    """Numbers from the tensor's name: FNV-1a of it, then SplitMix64 of that plus the index."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    uniform = (z >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5
    values = 1 + uniform / 2 if name.lower().endswith("norm.weight") else uniform
    return torch.tensor(values.astype(np.float32).reshape(shape))


def modules(normalize=False):
    rows = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    return [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
            for i, (path, name) in enumerate(rows[:3 if normalize else 2])]


def pooling(*chosen):
    keys = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens",
            "weightedmean_tokens", "lasttoken")
    return {"word_embedding_dimension": HIDDEN} | {f"pooling_mode_{k}": k in chosen for k in keys}


def case(name, config=None, pool=("mean_tokens",), normalize=False, special=BERT, lowercase=True,
         tensors=None, dtype="F32", length={"max_seq_length": 16, "do_lower_case": False},
         prompts=None, bare=False, prefix=""):
    files = {"config.json": config or bert(), "tokenizer.json": tokenizer(special, lowercase),
             "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast",
                                       "model_max_length": 512}
             | {f"{name}_token": token for name, token in special.items()}}
    if not bare:
        files |= {"modules.json": modules(normalize), "1_Pooling/config.json": pooling(*pool)
                  if isinstance(pool, tuple) else pool, "sentence_bert_config.json": length}
    if prompts:
        files["config_sentence_transformers.json"] = prompts
    tensors = {prefix + k: v for k, v in (tensors or bert_tensors()).items()}
    return {"name": name, "files": files, "tensors": tensors, "dtype": dtype}


CASES = [
    case("mean, normalised", normalize=True),
    case("cls", pool=("cls_token",)),
    case("max", pool=("max_tokens",)),
    case("mean over the root of the length", pool=("mean_sqrt_len_tokens",)),
    case("weighted mean", pool=("weightedmean_tokens",)),
    case("last token", pool=("lasttoken",)),
    case("cls and mean joined", pool=("cls_token", "mean_tokens"), normalize=True),
    case("pooling by its new key", pool={"embedding_dimension": HIDDEN, "pooling_mode": "cls",
                                         "include_prompt": True}),
    case("encoder files only", bare=True),
    case("f16", normalize=True, dtype="F16"),
    case("bf16", normalize=True, dtype="BF16"),
    case("tensors under a prefix", normalize=True, prefix="bert."),
    case("lower case asked for by the recipe", lowercase=False,
         length={"max_seq_length": 16, "do_lower_case": True}),
    case("prompts", normalize=True, prompts={
        "prompts": {"query": "for ", "passage": "they use: "}, "default_prompt_name": None}),
    case("xlm-roberta", normalize=True, special=XLM,
         config=bert(model_type="xlm-roberta", architectures=["XLMRobertaModel"], type_vocab_size=1,
                     pad_token_id=1, bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5),
         tensors=bert_tensors(types=1), length={"max_seq_length": 30, "do_lower_case": False}),
    case("distilbert", config=DISTIL, tensors=distilbert_tensors()),
]


def vectors(case):
    dtypes = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, content in case["files"].items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
        tensors = {n: weight(n, s).to(dtypes[case["dtype"]]) for n, s in case["tensors"].items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
        rounded = lambda rows: [[round(float(x), 5) for x in row] for row in rows]
        # By `encode` because `encode_document` (6.2) takes its own empty prompt named `document`
        # before a model's `passage`.
        prompts = case["files"].get("config_sentence_transformers.json", {}).get("prompts", {})
        return {"document": rounded(model.encode(TEXTS, prompt=prompts.get("passage"))),
                "query": rounded(model.encode(TEXTS, prompt=prompts.get("query")))}


def main():
    cases = []
    for row in CASES:
        expected = vectors(row)
        if expected["document"] == expected["query"]:
            del expected["query"]
        cases.append(row | {"expected": expected})
    # A case says only in what it differs from the first; null stands for "absent".
    for row in cases[1:]:
        names = cases[0]["files"].keys() | row["files"].keys()
        files = {name: row["files"].get(name) for name in sorted(names)}
        row["files"] = {k: v for k, v in files.items() if v != cases[0]["files"].get(k)}
        if row["tensors"] == cases[0]["tensors"]:
            row["tensors"] = {}
    path = pathlib.Path(__file__).with_name("encoders.json")
    path.write_text(json.dumps({"texts": TEXTS, "cases": cases}, ensure_ascii=False,
                               separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
