"""The whole path from files to searchable, beside LangChain and LlamaIndex: the same files, the same
embedding model, one after the other.

    pip install torch sentence-transformers langchain-community langchain-huggingface \\
        langchain-chroma langchain-text-splitters llama-index-core llama-index-embeddings-huggingface
    python benches/peers/vectors/ingest.py CORBIE MINILM_DIRECTORY FOLDER [--rounds 1]
    python benches/peers/vectors/ingest.py CORBIE MINILM_DIRECTORY --scifact CORPUS.jsonl --files 2000

FOLDER holds text files; with --scifact it is made of the first entries of a BEIR corpus. LangChain:
TextLoader, RecursiveCharacterTextSplitter 1000/100, sentence-transformers, Chroma on disk.
LlamaIndex: SimpleDirectoryReader, SentenceSplitter 256/20, its own store, persisted. Corbie as it is:
200 tokens a chunk, the embedded engine. Two threads each. Each peer runs in a process of its own, whose
greatest memory is told; afterwards each answers 20 questions.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

QUESTIONS = 20


def questions(folder):
    """The first words of some files: what they ask is the same for all."""
    files = sorted(pathlib.Path(folder).glob("*.txt"))
    step = max(1, len(files) // QUESTIONS)
    return [" ".join(it.read_text(encoding="utf-8").split()[:12]) for it in files[::step]][:QUESTIONS]


def langchain(model, folder, home):
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    embeddings = HuggingFaceEmbeddings(model_name=model, model_kwargs={"device": "cpu"},
                                       encode_kwargs={"batch_size": 32})
    embeddings.embed_query("warm")
    yield
    loader = DirectoryLoader(folder, glob="*.txt", loader_cls=TextLoader,
                             loader_kwargs={"encoding": "utf-8"})
    chunks = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=100).split_documents(
        loader.load())
    store = Chroma(embedding_function=embeddings, persist_directory=home)
    for first in range(0, len(chunks), 5000):
        store.add_documents(chunks[first:first + 5000])
    yield len(chunks)
    yield lambda question: store.similarity_search(question, k=10)


def llamaindex(model, folder, home):
    from llama_index.core import Settings, SimpleDirectoryReader, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    Settings.embed_model = HuggingFaceEmbedding(model_name=model, device="cpu", embed_batch_size=32)
    Settings.llm = None
    Settings.embed_model.get_query_embedding("warm")
    yield
    documents = SimpleDirectoryReader(folder).load_data()
    nodes = SentenceSplitter(chunk_size=256, chunk_overlap=20).get_nodes_from_documents(documents)
    index = VectorStoreIndex(nodes)
    index.storage_context.persist(home)
    yield len(nodes)
    retriever = index.as_retriever(similarity_top_k=10)
    yield retriever.retrieve


def one(name, model, folder):
    """In the peer's own process."""
    import torch
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as home:
        steps = {"langchain": langchain, "llamaindex": llamaindex}[name](model, folder, home)
        next(steps)
        begun = time.perf_counter()
        chunks = next(steps)
        seconds = time.perf_counter() - begun
        ask = next(steps)
        times = []
        for question in questions(folder):
            begun = time.perf_counter()
            ask(question)
            times.append(1000 * (time.perf_counter() - begun))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "chunks": chunks, "peak_rss_mb": peak,
                          "query_ms": statistics.median(times)}))


def corbie(program, folder):
    answer = subprocess.run([program, "bench", "ingest", folder, "--output", "json"], check=True,
                            capture_output=True, text=True)
    figures = json.loads(answer.stdout)
    return {"seconds": figures["seconds"]["whole"], "chunks": figures["chunks"],
            "peak_rss_mb": figures["peak_rss_mb"], "query_ms": figures["query_ms"],
            "parts": figures["seconds"]}


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--peer":
        return one(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("corbie")
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--scifact")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", default="langchain,llamaindex")
    options = parser.parse_args()
    folder = options.folder or tempfile.mkdtemp()
    if options.scifact:
        with open(options.scifact, encoding="utf-8") as lines:
            for number, line in zip(range(options.files), lines):
                entry = json.loads(line)
                text = f"{entry.get('title', '')}\n\n{entry['text']}\n"
                pathlib.Path(folder, f"{number:05}.txt").write_text(text, encoding="utf-8")
    figures = {}
    for _ in range(options.rounds):
        figures.setdefault("corbie", []).append(corbie(options.corbie, folder))
        for name in options.peers.split(","):
            answer = subprocess.run([sys.executable, __file__, "--peer", name, options.model, folder],
                                    capture_output=True, text=True,
                                    env=os.environ | {"OMP_NUM_THREADS": "2"})
            if answer.returncode:
                print(f"{name} failed: {answer.stderr.strip().splitlines()[-1]}")
                continue
            figures.setdefault(name, []).append(json.loads(answer.stdout.strip().splitlines()[-1]))
    print("| | seconds | chunks | chunks/s | peak MiB | a question, ms |\n|---|---|---|---|---|---|")
    for name, runs in figures.items():
        middle = lambda what: statistics.median(it[what] for it in runs)
        print(f"| {name} | {middle('seconds'):.1f} | {middle('chunks'):.0f} | "
              f"{middle('chunks') / middle('seconds'):.1f} | {middle('peak_rss_mb'):.0f} | "
              f"{middle('query_ms'):.1f} |")
    print("Corbie, seconds:", json.dumps(figures["corbie"][0]["parts"]))


if __name__ == "__main__":
    main()
