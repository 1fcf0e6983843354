"""What a step of an agent loop costs: Corbie, rig and LangChain in turn, in one run.

    cargo build --release -p corbie-agents --example steps
    cargo build --release --manifest-path benches/peers/agents/rig/Cargo.toml
    pip install langchain==1.5.2
    python benches/peers/agents/steps.py OURS RIG [TURNS]

OURS and RIG are the two programs. Everybody runs the same loop: a model that answers at once,
one tool, 50 steps. Corbie and rig run 100 agents at once on one thread, with what they need
between them; LangChain runs one after another. Each turn runs all of them once, so that what
else the machine does meets all alike; the last column is the median of each turn's ratio.
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

AGENTS, STEPS, ROUNDS = "100", "50", "5"


def figures(command):
    """The numbers that a program prints, each with what stands before it on its line."""
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in out.splitlines():
        number = re.search(r"\d+(?:\.\d+)?(?= µs)|^\d+(?:\.\d+)?$", line)
        if number:
            found[line[: number.start()].strip(" :") or "rig"] = float(number.group())
    return found


def main():
    ours, rig, *more = sys.argv[1:]
    turns = int(more[0]) if more else 3
    langchain = str(Path(__file__).parent / "langchain_steps.py")
    commands = [
        [ours, AGENTS, STEPS, ROUNDS],
        [rig, AGENTS, STEPS],
        [sys.executable, langchain, STEPS, "9"],
    ]
    all_turns = []
    for _ in range(turns):
        turn = {}
        for command in commands:
            turn |= figures(command)
        all_turns.append(turn)
    base = next(iter(all_turns[0]))
    print(f"{'':42} µs a step, each turn{'':12} against `{base}`")
    for name in all_turns[0]:
        values = [turn[name] for turn in all_turns]
        ratio = statistics.median(turn[name] / turn[base] for turn in all_turns)
        print(f"{name:42} {', '.join(f'{value:.1f}' for value in values):32} {ratio:.1f} ×")


main()
