"""Reading and writing beside llama.cpp: the same file, the same threads, taking turns.

    python benches/peers/engine/llama.py CORBIE LLAMA_BIN MODEL.gguf [--threads 2] [--runs 5]
        [--prompts 512,2048] [--tokens 128] [--depths 0,2048] [--streams 8]

LLAMA_BIN is the folder of a build of llama.cpp with `llama-bench` and `llama-batched-bench`; the
source of one comes with `pip download --no-binary :all: llama-cpp-python`, and
`cmake -DGGML_NATIVE=ON` builds it for the machine. (On virtual machines whose AMX it cannot set up
it dies of a protection fault: add `-mno-amx-tile -mno-amx-int8 -mno-amx-bf16` to its flags.)

Prints a row a test: medians of both in tokens a second, and how often theirs ours is.
"""

import argparse
import json
import os
import re
import statistics
import subprocess


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corbie")
    parser.add_argument("llama")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompts", type=numbers, default=[512, 2048])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--depths", type=numbers, default=[0, 2048])
    parser.add_argument("--streams", type=int, default=8)
    options = parser.parse_args()

    def ours(figure, prompt, depth=0, streams=1):
        row = json.loads(run([
            options.corbie, "bench", "generate", "--model", options.model, "--output", "json",
            "--threads", str(options.threads), "--runs", "1", "--prompt-tokens", str(prompt),
            "--tokens", str(options.tokens), "--depth", str(depth), "--streams", str(streams)]))
        return row[figure]

    def theirs(prompt, tokens, depth=0):
        rows = json.loads(run([
            os.path.join(options.llama, "llama-bench"), "-m", options.model, "-o", "json",
            "-t", str(options.threads), "-r", "1", "-p", str(prompt), "-n", str(tokens),
            "-d", str(depth)]))
        return rows[0]["avg_ts"]

    def theirs_together():
        prompt, streams = 128, options.streams
        out = run([
            os.path.join(options.llama, "llama-batched-bench"), "-m", options.model,
            "-t", str(options.threads), "-c", str(streams * (prompt + options.tokens)),
            "-npp", str(prompt), "-ntg", str(options.tokens), "-npl", str(streams)])
        header = re.search(r"\|\s*PP\s*\|.*", out).group(0)
        column = [name.strip() for name in header.split("|")].index("S_TG t/s")
        values = [line for line in out.splitlines() if re.match(r"\|\s*\d", line)][-1]
        return float(values.split("|")[column])

    tests = [(f"read {length}", lambda n=length: ours("prefill_tps", n),
              lambda n=length: theirs(n, 0)) for length in options.prompts]
    tests += [(f"write {options.tokens} after {depth}",
               lambda d=depth: ours("decode_tps", 16, d),
               lambda d=depth: theirs(0, options.tokens, d)) for depth in options.depths]
    if options.streams > 1:
        tests.append((f"write {options.tokens} for {options.streams} at once, after 128",
                      lambda: ours("decode_tps", 16, 128, options.streams), theirs_together))
    for name, our_test, their_test in tests:
        pairs = [(our_test(), their_test()) for _ in range(options.runs)]
        our, their = (statistics.median(side) for side in zip(*pairs))
        print(json.dumps({"test": name, "corbie": round(our, 1), "llama.cpp": round(their, 1),
                          "ratio": round(our / their, 2)}), flush=True)


if __name__ == "__main__":
    main()
