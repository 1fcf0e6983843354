"""Embedding beside onnxruntime and sentence-transformers: the same model, texts and threads.

    pip install onnxruntime onnx sentence-transformers
    python benches/peers/engine/embed.py CORBIE MINILM_FOLDER [--threads 2] [--runs 7]
        [--lengths 20,128,256] [--batches 1,32]

MINILM_FOLDER is a folder in the layout of the hub. The model is exported with `torch.onnx`; all
compute in 32 bits and take turns. Tokenizing is part of it, as it is of `corbie bench embed`.
Prints a row for each length and batch: tokens a second, medians, and ours over the better of theirs.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corbie")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--lengths", type=numbers, default=[20, 128, 256])
    parser.add_argument("--batches", type=numbers, default=[1, 32])
    options = parser.parse_args()

    import onnxruntime
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(options.threads)
    model = SentenceTransformer(options.model, device="cpu")
    tokenizer = model.tokenizer
    encoder = model[0].auto_model.eval()

    path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    example = tokenizer(["a raven"], return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    dynamic = {name: {0: "batch", 1: "length"} for name in [*names, "states"]}
    torch.onnx.export(encoder, tuple(example[name] for name in names), path, input_names=names,
                      output_names=["states"], dynamic_axes=dynamic, dynamo=False)
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(path, session_options)

    def with_onnxruntime(texts):
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
        states = session.run(None, {name: tokens[name] for name in names})[0]
        mask = tokens["attention_mask"][..., None]
        pooled = (states * mask).sum(1) / mask.sum(1)
        return pooled / ((pooled**2).sum(1, keepdims=True) ** 0.5)

    def with_sentence_transformers(texts):
        return model.encode(texts, batch_size=len(texts), normalize_embeddings=True)

    def timed(embed, texts):
        begun = time.perf_counter()
        embed(texts)
        return time.perf_counter() - begun

    def ours(length, batch):
        out = subprocess.run(
            [options.corbie, "bench", "embed", "--embedder", options.model, "--output", "json",
             "--tokens", str(length), "--batch", str(batch)],
            capture_output=True, text=True, check=True,
            env={**os.environ, "RAYON_NUM_THREADS": str(options.threads)}).stdout
        return json.loads(out)["tokens_per_second"]

    for length in options.lengths:
        for batch in options.batches:
            texts = [" ".join(["raven"] * (length - 2))] * batch
            tokens = batch * length
            figures = {"corbie": [], "onnxruntime": [], "sentence-transformers": []}
            peers = {"onnxruntime": with_onnxruntime,
                     "sentence-transformers": with_sentence_transformers}
            for embed in peers.values():
                embed(texts)
            for _ in range(options.runs):
                figures["corbie"].append(ours(length, batch))
                for name, embed in peers.items():
                    seconds = statistics.median(timed(embed, texts) for _ in range(5))
                    figures[name].append(tokens / seconds)
            row = {name: round(statistics.median(values)) for name, values in figures.items()}
            best = max(row["onnxruntime"], row["sentence-transformers"])
            print(json.dumps({"length": length, "batch": batch, **row,
                              "ratio": round(row["corbie"] / best, 2)}), flush=True)


if __name__ == "__main__":
    main()
