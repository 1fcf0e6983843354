"""Times a warm `ask`: when its first word is shown, when it ends, and the memory it takes.

    python3 benches/acceptance/first_word.py target/release/corbie [RUNS]

Asks about the example handbook, whose index is made before the first timed run.
"""

import os
import statistics
import subprocess
import sys
import time

QUESTIONS = [
    "At what battery level does the diesel generator start by itself?",
    "How many days of paid leave do staff get?",
    "岛上每人每天可以用多少升淡水？",
]


def run(program: str, question: str) -> tuple[float, float, int]:
    started = time.monotonic()
    process = subprocess.Popen(
        [program, "ask", question, "--docs", "examples/handbook", "--quiet"],
        stdout=subprocess.PIPE,
    )
    process.stdout.read(1)
    first = time.monotonic() - started
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{question}: status {status}")
    return first, time.monotonic() - started, usage.ru_maxrss


def main() -> None:
    program, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    run(program, QUESTIONS[0])
    for question in QUESTIONS:
        times = [run(program, question) for _ in range(runs)]
        first, whole, memory = zip(*times)
        print(f"{question}\n  first word: median {statistics.median(first):.2f} s, slowest {max(first):.2f} s; "
              f"end: median {statistics.median(whole):.2f} s; memory: {max(memory) // 1024} MiB")


main()
