"""llama.cpp's streams together, as its llama-batched-bench measures them: all prompts in one batch,
then one token of each stream a step.

    python benches/speed/llama_streams.py MODEL.gguf [STREAMS] [PROMPT] [WRITTEN] [THREADS] [ROUNDS]

Needs llama-cpp-python. Prints medians over the rounds; `models/examples/streams.rs` measures ours.
"""

import statistics
import sys
import time

import llama_cpp as llama


def decode(context, batch, rows):
    """Reads rows of (token, position, stream, logits wanted)."""
    batch.n_tokens = len(rows)
    for index, (token, position, stream, wanted) in enumerate(rows):
        batch.token[index] = token
        batch.pos[index] = position
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = stream
        batch.logits[index] = wanted
    if llama.llama_decode(context, batch) != 0:
        sys.exit("llama_decode failed")
    llama.llama_synchronize(context)


def measure(model, streams, prompt, written, threads, rounds):
    options = llama.llama_context_default_params()
    options.n_ctx = streams * (prompt + written)
    options.n_batch = 2048
    options.n_ubatch = 512
    options.n_seq_max = streams
    options.n_threads = threads
    options.n_threads_batch = threads
    context = llama.llama_init_from_model(model, options)
    batch = llama.llama_batch_init(2048, 0, 1)
    memory = llama.llama_get_memory(context)
    reading, writing = [], []
    # The first round warms up.
    for round in range(rounds + 1):
        llama.llama_memory_clear(memory, True)
        rows = [
            (100 + stream + i * 7 % 5000, i, stream, i == prompt - 1)
            for stream in range(streams)
            for i in range(prompt)
        ]
        begun = time.perf_counter()
        for start in range(0, len(rows), 2048):
            decode(context, batch, rows[start : start + 2048])
        read = time.perf_counter()
        for i in range(written):
            decode(context, batch, [(200 + i, prompt + i, s, True) for s in range(streams)])
        done = time.perf_counter()
        if round > 0:
            reading.append(read - begun)
            writing.append(done - read)
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    reading, writing = statistics.median(reading), statistics.median(writing)
    tokens = streams * written
    print(
        f"{streams} streams of {prompt} + {written}: prompts {streams * prompt / reading:.1f} tokens/s, "
        f"writing {tokens / writing:.1f}, written tokens over the whole time "
        f"{tokens / (reading + writing):.1f}"
    )


def main():
    numbers = [int(argument) for argument in sys.argv[2:]]
    streams, prompt, written, threads, rounds = numbers + [8, 128, 128, 2, 3][len(numbers) :]
    log = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(log, None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        sys.argv[1].encode(), llama.llama_model_default_params()
    )
    for count in sorted({1, streams}):
        measure(model, count, prompt, written, threads, rounds)


main()
