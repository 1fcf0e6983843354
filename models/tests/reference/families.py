"""Writes families.json: a tiny model of each family of encoders, rerankers, sparse and static
embedders, and what transformers and Sentence Transformers compute with them.

    pip install torch transformers sentence-transformers
    python models/tests/reference/families.py

As in encoders.py, a case is a model directory whose weights follow from their names; the names
and shapes are those that transformers itself saves.
"""

import json
import pathlib
import tempfile

import tokenizers
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

import encoders
from encoders import HIDDEN, PIECES, BERT, XLM, modules, tokenizer, weight

WORDS = "a raven caches food and jays remember where for months 乌鸦会藏食物 crows use tools".split()
TEXTS = encoders.TEXTS + [" ".join(WORDS[i * i % len(WORDS)] for i in range(130))]
PAIRS = [("where is food", text) for text in TEXTS] + [
    ("乌鸦藏什么？", "乌鸦会藏食物。"),
    ("", "raven"),
    (TEXTS[-1], "raven food"),
    (TEXTS[-1], TEXTS[-1]),
]
VOCABULARY = len(PIECES) + 4

SIZES = {"hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 3,
         "intermediate_size": 40, "max_position_embeddings": 180, "vocab_size": VOCABULARY,
         "pad_token_id": 0}
# No text has this token: transformers would count its places as padding.
UNUSED = PIECES.index("##q") + 4
ROBERTA = SIZES | {"model_type": "roberta", "type_vocab_size": 1, "pad_token_id": UNUSED,
                   "max_position_embeddings": 180 + UNUSED,
                   "layer_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 2}
MPNET = SIZES | {"model_type": "mpnet", "pad_token_id": 1, "relative_attention_num_buckets": 32}
MODERN = SIZES | {"model_type": "modernbert", "num_hidden_layers": 4, "local_attention": 10,
                  "global_attn_every_n_layers": 3, "global_rope_theta": 500.0,
                  "local_rope_theta": 50.0, "cls_token_id": 2, "sep_token_id": 3,
                  "bos_token_id": 2, "eos_token_id": 3, "classifier_pooling": "cls"}
NOMIC = {"model_type": "nomic_bert", "hidden_size": HIDDEN, "num_hidden_layers": 2,
         "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 180,
         "vocab_size": VOCABULARY, "pad_token_id": 0, "layer_norm_eps": 1e-12,
         "type_vocab_size": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}
QWEN = SIZES | {"model_type": "qwen3", "num_attention_heads": 4, "num_key_value_heads": 2,
                "head_dim": 10, "rope_theta": 1000.0, "rms_norm_eps": 1e-6, "bos_token_id": 2,
                "eos_token_id": 3, "hidden_act": "silu"}
GEMMA = SIZES | {"model_type": "gemma3_text", "num_hidden_layers": 4, "num_attention_heads": 4,
                 "num_key_value_heads": 1, "head_dim": 10, "query_pre_attn_scalar": 12,
                 "sliding_window": 12, "sliding_window_pattern": 2, "rope_theta": 2000.0,
                 "rope_local_base_freq": 100.0, "use_bidirectional_attention": True,
                 "rms_norm_eps": 1e-6, "bos_token_id": 2, "eos_token_id": 3}


def unigram():
    """A tokenizer of XLM-R's kind: SentencePiece pieces with scores."""
    pieces = ["▁", "▁a", "▁raven", "s", "▁cache", "▁food", "▁crow", "▁jay", "▁remember", "▁where",
              "▁for", "▁month", "raven", "乌鸦", "会", "藏", "食物", "▁乌", "。", "fo", "od", ",", "!", ":"]
    pieces += [c for c in "abcdefghijklmnopqrstuvwxyz123" if c not in pieces]
    vocab = [[t, 0.0] for t in XLM.values()] + [[p, -1.5 - 0.11 * i] for i, p in enumerate(pieces)]
    made = tokenizer(XLM, False)
    ids = {t: i for i, (t, _) in enumerate(vocab)}
    assert all(ids[t["content"]] == t["id"] for t in made["added_tokens"])
    made["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}
    made["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                             "split": True}
    made["post_processor"]["pair"] = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    made["decoder"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    made["model"] = {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": False}
    return made


def wordpiece(special=BERT, single=None, types=True):
    """BERT's kind; `single` is what stands around a text where it is not both marks."""
    made = tokenizer(special, True)
    post = made["post_processor"]
    if single:
        tokens = {"A": {"Sequence": {"id": "A", "type_id": 0}}}
        tokens |= {n: {"SpecialToken": {"id": special[n], "type_id": 0}} for n in ("cls", "sep")}
        post["single"] = [tokens[name] for name in single]
    if types:
        for part in post["pair"][3:]:
            next(iter(part.values()))["type_id"] = 1
    return made


def shapes(config, kind, keep=lambda name: True):
    """The tensors as transformers saves them."""
    auto = getattr(transformers, kind)
    model = auto.from_config(transformers.AutoConfig.for_model(**config))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safe_open(pathlib.Path(folder) / "model.safetensors", "pt") as file:
            names = [name for name in file.keys() if keep(name)]
            return {name: list(file.get_slice(name).get_shape()) for name in names}


def files(config, made, special, length, **more):
    """The model's text files."""
    return {
        "config.json": config, "tokenizer.json": made,
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast",
                                  "model_max_length": length, "pad_token": special["pad"],
                                  "unk_token": special["unk"], "cls_token": special["cls"],
                                  "sep_token": special["sep"],
                                  "model_input_names": ["input_ids", "attention_mask"]
                                  + ["token_type_ids"] * (config.get("type_vocab_size") == 2)},
    } | more


def embedder(name, config, pool="mean", normalize=True, made=None, special=BERT, length=160,
             dense=(), prompts=None, kind="AutoModel"):
    tensors = {"model.safetensors": shapes(config, kind, lambda n: "pooler" not in n)}
    listed = modules(False)
    more = {"1_Pooling/config.json": {"word_embedding_dimension": HIDDEN, "pooling_mode": pool,
                                      "include_prompt": True},
            "sentence_bert_config.json": {"max_seq_length": length, "do_lower_case": False}}
    for inputs, outputs, bias, activation in dense:
        folder = f"{len(listed)}_Dense"
        listed.append({"idx": len(listed), "name": str(len(listed)), "path": folder,
                       "type": "sentence_transformers.models.Dense"})
        more[f"{folder}/config.json"] = {
            "in_features": inputs, "out_features": outputs, "bias": bias,
            "activation_function": f"torch.nn.modules.{activation}"}
        tensors[f"{folder}/model.safetensors"] = {"linear.weight": [outputs, inputs]} | (
            {"linear.bias": [outputs]} if bias else {})
    if normalize:
        listed.append({"idx": len(listed), "name": str(len(listed)), "path": f"{len(listed)}_Normalize",
                       "type": "sentence_transformers.models.Normalize"})
    more["modules.json"] = listed
    if prompts:
        more["config_sentence_transformers.json"] = {"prompts": prompts, "default_prompt_name": None}
    made = made or wordpiece(special)
    return {"name": name, "kind": "embedder", "files": files(config, made, special, length, **more),
            "tensors": tensors}


def reranker(name, config, made=None, special=BERT, length=40, **more):
    config = config | {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}} | more
    return {"name": name, "kind": "reranker",
            "files": files(config, made or wordpiece(special), special, length),
            "tensors": {"model.safetensors": shapes(config, "AutoModelForSequenceClassification")}}


def sparse(name, config, strategy="max", activation="relu", made=None, special=BERT, length=60):
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.sparse_encoder.models.MLMTransformer"},
              {"idx": 1, "name": "1", "path": "1_SpladePooling",
               "type": "sentence_transformers.sparse_encoder.models.SpladePooling"}]
    more = {"modules.json": listed,
            "1_SpladePooling/config.json": {"pooling_strategy": strategy, "activation_function": activation,
                                            "word_embedding_dimension": VOCABULARY},
            "config_sentence_transformers.json": {"model_type": "SparseEncoder"},
            "sentence_bert_config.json": {"max_seq_length": length, "do_lower_case": False}}
    return {"name": name, "kind": "sparse",
            "files": files(config, made or wordpiece(special), special, length, **more),
            "tensors": {"model.safetensors": shapes(config, "AutoModelForMaskedLM")}}


def static(name, normalize, folder):
    listed = [{"idx": 0, "name": "0", "path": folder, "type": "sentence_transformers.models.StaticEmbedding"}]
    if normalize:
        listed.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"})
    at = f"{folder}/" if folder else ""
    tensors = {"embedding.weight": [VOCABULARY, 16]} if folder else {"embeddings": [VOCABULARY, 16]}
    more = {"modules.json": listed, f"{at}tokenizer.json": tokenizer(BERT, True)}
    if not folder:
        more["config.json"] = {"model_type": "model2vec", "architectures": ["StaticModel"],
                               "normalize": normalize, "hidden_dim": 16}
    return {"name": name, "kind": "static", "files": more,
            "tensors": {f"{at}model.safetensors": tensors}}


def cases():
    types = {"type_vocab_size": 2, "layer_norm_eps": 1e-12}
    bert = SIZES | {"model_type": "bert"} | types
    distil = {"model_type": "distilbert", "dim": HIDDEN, "n_layers": 2, "n_heads": 3,
              "hidden_dim": 40, "max_position_embeddings": 180, "vocab_size": VOCABULARY,
              "pad_token_id": 0}
    xlm = ROBERTA | {"model_type": "xlm-roberta", "pad_token_id": 1, "vocab_size": len(unigram()["model"]["vocab"])}
    nomic_prompts = {"query": "where: ", "document": "food: "}
    return [
        embedder("bert, tanh form of gelu", bert | {"hidden_act": "gelu_new"}),
        embedder("roberta, offset after padding", ROBERTA, "cls", length=170),
        embedder("xlm-roberta, SentencePiece", xlm, "cls", made=unigram(), special=XLM),
        embedder("distilbert", distil),
        embedder("mpnet", MPNET, special=XLM),
        embedder("modernbert", MODERN, "cls"),
        embedder("modernbert with every bias", MODERN | {
            "attention_bias": True, "mlp_bias": True, "norm_bias": True,
            "layer_types": ["sliding_attention", "full_attention"] * 2}),
        embedder("nomic", NOMIC, normalize=False, prompts=nomic_prompts),
        embedder("qwen3", QWEN, "lasttoken", made=wordpiece(single=["A", "sep"]),
                 prompts={"query": "where is food: ", "document": ""}),
        embedder("embeddinggemma", GEMMA, dense=[(HIDDEN, 32, False, "linear.Identity"),
                                                 (32, 20, True, "activation.Tanh")],
                 prompts={"query": "where: ", "document": "food: ", "Retrieval-query": "no"}),
        reranker("bert", bert),
        reranker("bert, as it is", bert, sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}),
        reranker("xlm-roberta", xlm, made=unigram(), special=XLM),
        reranker("distilbert", distil),
        reranker("mpnet", MPNET, made=wordpiece(XLM, types=False), special=XLM),
        reranker("modernbert", MODERN, made=wordpiece(types=False)),
        reranker("modernbert, mean", MODERN | {"classifier_pooling": "mean", "classifier_bias": True},
                 made=wordpiece(types=False)),
        sparse("bert", bert),
        sparse("distilbert, sums", distil, strategy="sum"),
        sparse("roberta, twice", ROBERTA, activation="log1p_relu"),
        sparse("modernbert", MODERN, made=wordpiece(types=False)),
        static("model2vec", True, ""),
        static("static embedding", False, "0_StaticEmbedding"),
    ]


def rounded(rows):
    return [[float(f"{float(x):.6g}") for x in row] for row in rows]


def model2vec(case, folder):
    """What the package model2vec computes: unlike Sentence Transformers it leaves out unknown
    tokens."""
    tokens = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens.no_padding()
    table = weight("embeddings", case["tensors"]["model.safetensors"]["embeddings"]).double()
    rows = []
    for text in TEXTS:
        ids = tokens.encode(text, add_special_tokens=False).ids
        ids = [i for i in ids if i != tokens.token_to_id("[UNK]")]
        mean = table[ids].sum(0) / max(len(ids), 1)
        rows.append(mean / max(float(mean.norm()), 1e-12))
    return rows


def computed(case, folder):
    prompts = case["files"].get("config_sentence_transformers.json", {}).get("prompts", {})
    kind = case["kind"]
    if kind == "reranker":
        model = CrossEncoder(str(folder), device="cpu")
        return {"scores": [float(f"{float(x):.6g}") for x in model.predict(PAIRS)]}
    if kind == "sparse":
        model = SparseEncoder(str(folder), device="cpu")
        dense = model.encode(TEXTS, convert_to_sparse_tensor=False, convert_to_tensor=True)
        return {"document": rounded(dense)}
    if case["name"] == "model2vec":
        return {"document": rounded(model2vec(case, folder))}
    model = SentenceTransformer(str(folder), device="cpu")
    return {"document": rounded(model.encode(TEXTS, prompt=prompts.get("document"))),
            "query": rounded(model.encode(TEXTS, prompt=prompts.get("query")))}


def main():
    made = []
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, content in case["files"].items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(json.dumps(content))
            for name, tensors in case["tensors"].items():
                values = {n: weight(n, s) for n, s in tensors.items()}
                (folder / name).parent.mkdir(exist_ok=True)
                save_file(values, folder / name, metadata={"format": "pt"})
            expected = computed(case, folder)
        if expected.get("query") == expected.get("document"):
            expected.pop("query", None)
        made.append(case | {"expected": expected})
        first = expected.get("scores") or expected["document"][3][:4]
        print(case["name"], case["kind"], first)
    # A tokenizer is written once.
    written = []
    for case in made:
        for name, content in case["files"].items():
            if name.endswith("tokenizer.json"):
                if content not in written:
                    written.append(content)
                case["files"][name] = {"tokenizer": written.index(content)}
    path = pathlib.Path(__file__).with_name("families.json")
    fixture = {"texts": TEXTS, "pairs": PAIRS, "tokenizers": written, "cases": made}
    path.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":"))
                    .replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
