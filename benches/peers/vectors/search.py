"""Vector search beside faiss, hnswlib, Chroma and LanceDB: the same vectors, one after the other.

    pip install numpy faiss-cpu hnswlib chromadb lancedb
    python benches/peers/vectors/search.py CORBIE [--points 100000] [--queries 1000] [--rounds 3]

Clustered unit vectors of 384 dimensions; one question at a time, one thread, the ten nearest by
cosine; recall against an exact scan. Each round asks all programs in turn; the figures are medians
of the rounds. A search of Corbie is a whole one: its hits carry their texts; those of the others are
numbers, for Chroma and LanceDB what they return by default.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

DIMENSION, LIMIT, CLUSTERS = 384, 10, 1000
GROUPS = 100  # The filter lets one point in a hundred pass.
FILTERED = 200  # Some peers take their time under a filter.


def made(points, queries):
    random = np.random.default_rng(7)
    centres = random.standard_normal((CLUSTERS, DIMENSION), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = []
    for first in range(0, points + queries, 100_000):
        count = min(100_000, points + queries - first)
        noise = random.standard_normal((count, DIMENSION), dtype=np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        part = centres[random.integers(CLUSTERS, size=count)] + 0.6 * noise
        rows.append(part / np.linalg.norm(part, axis=1, keepdims=True))
    rows = np.concatenate(rows)
    return rows[:points], rows[points:]


def exact(vectors, questions, step):
    some = vectors[::step]
    found = []
    for question in questions:
        scores = some @ question
        best = np.argpartition(-scores, LIMIT)[:LIMIT]
        found.append(set((best * step).tolist()))
    return found


def asked(questions, truth, search):
    times, right = [], 0
    for question in questions[:20]:
        search(question)
    for question, nearest in zip(questions, truth):
        begun = time.perf_counter()
        found = search(question)
        times.append(1000 * (time.perf_counter() - begun))
        right += len(nearest & set(int(it) for it in found))
    return {"p50": statistics.median(times), "p99": float(np.quantile(times, 0.99)),
            "recall": right / (LIMIT * len(truth))}


def faiss_index(vectors):
    import faiss
    faiss.omp_set_num_threads(2)
    index = faiss.IndexHNSWFlat(DIMENSION, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    index.add(vectors)
    faiss.omp_set_num_threads(1)
    index.hnsw.efSearch = 64
    allowed = np.arange(0, len(vectors), GROUPS)
    selector = faiss.IDSelectorBatch(allowed)
    filtered = faiss.SearchParametersHNSW(sel=selector, efSearch=64)
    return (lambda q: index.search(q[None], LIMIT)[1][0],
            lambda q: index.search(q[None], LIMIT, params=filtered)[1][0])


def hnswlib_index(vectors):
    import hnswlib
    index = hnswlib.Index(space="ip", dim=DIMENSION)
    index.init_index(len(vectors), M=16, ef_construction=100)
    index.add_items(vectors, num_threads=2)
    index.set_num_threads(1)
    index.set_ef(64)
    allows = lambda number: number % GROUPS == 0
    return (lambda q: index.knn_query(q[None], LIMIT)[0][0],
            lambda q: index.knn_query(q[None], LIMIT, filter=allows)[0][0])


def chroma_index(vectors):
    import chromadb
    client = chromadb.PersistentClient(tempfile.mkdtemp())
    collection = client.create_collection("bench", metadata={"hnsw:space": "cosine"})
    for first in range(0, len(vectors), 5000):
        numbers = range(first, min(first + 5000, len(vectors)))
        collection.add(ids=[str(it) for it in numbers],
                       embeddings=vectors[first:first + 5000],
                       metadatas=[{"group": it % GROUPS} for it in numbers])
    ask = lambda q, **more: collection.query(
        query_embeddings=[q], n_results=LIMIT, include=[], **more)["ids"][0]
    return ask, lambda q: ask(q, where={"group": 0})


def lancedb_index(vectors):
    import lancedb
    import pyarrow
    table = pyarrow.table({
        "id": np.arange(len(vectors)), "group": np.arange(len(vectors)) % GROUPS,
        "vector": pyarrow.FixedSizeListArray.from_arrays(vectors.reshape(-1), DIMENSION)})
    table = lancedb.connect(tempfile.mkdtemp()).create_table("bench", table)
    table.create_index("vector", config=lancedb.index.HnswSq(distance_type="cosine"))
    ask = lambda q: table.search(q).metric("cosine").limit(LIMIT).select(["id"])
    numbers = lambda found: found.to_arrow()["id"].to_pylist()
    return (lambda q: numbers(ask(q)),
            lambda q: numbers(ask(q).where("\"group\" = 0", prefilter=True)))


PEERS = {"faiss": faiss_index, "hnswlib": hnswlib_index, "chroma": chroma_index,
         "lancedb": lancedb_index}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corbie")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS))
    options = parser.parse_args()
    vectors, questions = made(options.points, options.queries)
    truth = exact(vectors, questions, 1)
    truth_filtered = exact(vectors, questions[:FILTERED], GROUPS)
    with tempfile.NamedTemporaryFile(suffix=".f32", delete=False) as file:
        file.write(vectors.tobytes() + questions.tobytes())
    built, figures = {}, {}
    for name in options.peers.split(","):
        begun = time.perf_counter()
        try:
            built[name] = PEERS[name](vectors)
        except ImportError as error:
            print(f"{name}: not installed ({error})")
            continue
        seconds = time.perf_counter() - begun
        figures[name] = {"build": [seconds], "rounds": []}
    figures["corbie"] = {"build": [], "rounds": []}
    for _ in range(options.rounds):
        answer = subprocess.run(
            [options.corbie, "bench", "search", "--output", "json", "--points",
             str(options.points), "--dimension", str(DIMENSION), "--queries",
             str(options.queries), "--vectors", file.name],
            check=True, capture_output=True, text=True)
        ours = json.loads(answer.stdout)
        ingest = options.points / ours["ingest_per_second"] + ours["optimize_seconds"]
        figures["corbie"]["build"].append(ingest)
        figures["corbie"]["rounds"].append((
            ours["dense"] | {"recall": ours["recall"]},
            ours["filtered"] | {"recall": ours["filtered_recall"]}))
        for name, (search, filtered) in built.items():
            figures[name]["rounds"].append((
                asked(questions, truth, search), asked(questions[:FILTERED], truth_filtered, filtered)))
    os.unlink(file.name)
    print("| | build s | p50 ms | p99 ms | recall@10 | 1 % filter: p50 ms | p99 ms | recall@10 |")
    print("|---|---|---|---|---|---|---|---|")
    for name, of in figures.items():
        middle = lambda kind, what: statistics.median(it[kind][what] for it in of["rounds"])
        cells = [f"{statistics.median(of['build']):.0f}"]
        for kind in (0, 1):
            cells += [f"{middle(kind, 'p50'):.2f}", f"{middle(kind, 'p99'):.2f}",
                      f"{middle(kind, 'recall'):.4f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
