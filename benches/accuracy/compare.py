"""How far next-token distributions are from the f32 reference: Corbie's and llama.cpp's.

    python benches/accuracy/compare.py MODEL.gguf --ours target/release/examples/logits

The text is English and Chinese in equal parts, from $CORBIE_DATA/retrieval (scifact and
cmrc2018-trial) or from the files given by --text. Each text is read as one passage, so that
positions past a sliding window are weighed too. Printed for each: the mean Kullback-Leibler
divergence of the distributions from the reference's, perplexity, the largest difference between
two logits, and the root mean square of all differences relative to the logits' deviation.

Needs: pip install torch transformers gguf llama-cpp-python
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch

import reference


def passages(arguments):
    """The texts to weigh."""
    if arguments.text:
        return {path.stem: path.read_text() for path in arguments.text}
    data = Path(os.environ["CORBIE_DATA"]) / "retrieval"
    texts = {}
    for name in ("scifact", "cmrc2018-trial"):
        lines = (data / name / "corpus.jsonl").read_text().splitlines()[:40]
        texts[name] = "\n\n".join(json.loads(line)["text"] for line in lines)
    return texts


def ours(command, ids, vocabulary):
    """Corbie's logits, row by row."""
    given = ",".join(map(str, ids)).encode()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(given)
        process.stdin.close()
        for _ in ids:
            row = process.stdout.read(4 * vocabulary)
            assert len(row) == 4 * vocabulary, "the command ended before its last logits"
            yield torch.from_numpy(np.frombuffer(row, np.float32).copy())


class Measure:
    """Sums over all positions of all passages."""

    def __init__(self):
        self.kl, self.loss, self.count, self.targets, self.difference = 0.0, 0.0, 0, 0, 0.0
        self.squares, self.spread = 0.0, 0.0

    def add(self, expected, rows, ids):
        for position, row in enumerate(rows):
            truth = expected[position].double().log_softmax(-1)
            guess = row.double().log_softmax(-1)
            self.kl += (truth.exp() * (truth - guess)).sum().item()
            off = (expected[position] - row).double()
            self.difference = max(self.difference, off.abs().max().item())
            self.squares += off.square().mean().item()
            self.spread += expected[position].double().var().item()
            self.count += 1
            if position + 1 < len(ids):
                self.loss -= guess[ids[position + 1]].item()
                self.targets += 1

    def report(self, name):
        perplexity = np.exp(self.loss / self.targets)
        print(
            f"{name:12} KL {self.kl / self.count:.6f}  perplexity {perplexity:.4f}"
            f"  largest difference {self.difference:.6f}"
            f"  relative {np.sqrt(self.squares / self.spread):.5f}  positions {self.count}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--ours", required=True, help="the `logits` example")
    parser.add_argument("--precision", action="append", choices=["quantized", "fine", "f32"])
    parser.add_argument("--text", type=Path, action="append")
    parser.add_argument("--tokens", type=int, default=2000, help="of all passages together")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    precisions = arguments.precision or ["quantized", "fine", "f32"]
    torch.set_num_threads(arguments.threads)

    from llama_cpp import Llama

    texts = passages(arguments)
    each = arguments.tokens // len(texts)
    peer = Llama(
        str(arguments.model),
        n_ctx=each + 8,
        n_threads=arguments.threads,
        n_threads_batch=arguments.threads,
        logits_all=True,
        verbose=False,
    )
    metadata, tensors = reference.read(arguments.model)
    truth = reference.model(metadata, tensors)
    del tensors

    measures = {name: Measure() for name in ["reference", "llama.cpp", *precisions]}
    for name, text in texts.items():
        ids = peer.tokenize(text.encode(), add_bos=True)[:each]
        print(f"{name}: {len(ids)} tokens", flush=True)
        expected = reference.logits(truth, ids)
        measures["reference"].add(expected, expected, ids)
        peer.reset()
        peer.eval(ids)
        scores = torch.from_numpy(peer.scores[: len(ids)])
        measures["llama.cpp"].add(expected, scores, ids)
        for precision in precisions:
            command = [arguments.ours, str(arguments.model), precision]
            rows = ours(command, ids, expected.shape[1])
            measures[precision].add(expected, rows, ids)
    for name, measure in measures.items():
        measure.report(name)


if __name__ == "__main__":
    main()
