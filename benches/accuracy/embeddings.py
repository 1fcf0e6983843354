"""Compares Corbie's vectors with those of sentence-transformers: their cosine on 100 texts of 1 to
400 words, English and Chinese.

    pip install torch sentence-transformers
    cargo build --release -p corbie-models --example embed
    CORBIE_DATA=… python benches/accuracy/embeddings.py MODEL_DIRECTORY target/release/examples/embed

Fails when the smallest cosine is below 0.9999.
"""

import json
import os
import pathlib
import random
import subprocess
import sys

import numpy as np
from sentence_transformers import SentenceTransformer

BOUND = 0.9999


def texts():
    """Passages of `$CORBIE_DATA/retrieval`, joined and cut to 1, 5, 9, … 397 words and 400."""
    retrieval = pathlib.Path(os.environ["CORBIE_DATA"]) / "retrieval"
    chance = random.Random(0)
    pools = {}
    for name in ("scifact", "xquad-en", "cmrc2018-trial", "drcd-dev"):
        with open(retrieval / name / "corpus.jsonl", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        chance.shuffle(rows)
        pools[name] = [(row.get("title", "") + " " + row["text"]).strip() for row in rows]
    english = iter(" ".join(pools["scifact"] + pools["xquad-en"]).split(" "))
    chinese = iter(pools["cmrc2018-trial"] + pools["drcd-dev"])
    for length in [*range(1, 400, 4)][:-1] + [400]:
        # Every fifth text is Chinese, where a word is about two characters.
        if length % 5 == 0:
            yield next(chinese)[: 2 * length]
        else:
            yield " ".join(next(english) for _ in range(length))


def main():
    model, program = sys.argv[1:]
    rows = list(texts())
    lines = "".join(json.dumps(text) + "\n" for text in rows)
    done = subprocess.run([program, model], input=lines, capture_output=True, text=True, check=True)
    ours = np.array([json.loads(line) for line in done.stdout.splitlines()])
    theirs = SentenceTransformer(model, device="cpu").encode(rows).astype(np.float64)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / norms
    print(f"{len(rows)} texts, {sum(len(text.split()) for text in rows)} words: "
          f"cosine min {cosines.min():.8f}, mean {cosines.mean():.8f}, "
          f"greatest difference {np.abs(ours - theirs).max():.2e}")
    sys.exit(cosines.min() < BOUND)


main()
