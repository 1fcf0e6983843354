"""Asks every question about the example handbook and counts what comes back.

    python3 benches/acceptance/handbook.py target/release/corbie [QUESTIONS.jsonl DOCS]

For questions with a source: is that file among the first three citations? For questions about
other things (source null): is the verdict `no_evidence`? Prints one line for each failure, then
the counts and the median and slowest time.
"""

import json
import statistics
import subprocess
import sys
import time


def main() -> None:
    program = sys.argv[1]
    questions = sys.argv[2] if len(sys.argv) > 2 else "examples/handbook.questions.jsonl"
    docs = sys.argv[3] if len(sys.argv) > 3 else "examples/handbook"
    found = known = refused = unknown = 0
    seconds = []
    for line in open(questions, encoding="utf-8"):
        case = json.loads(line)
        started = time.monotonic()
        run = subprocess.run(
            [program, "ask", case["question"], "--docs", docs, "--output", "json", "--quiet"],
            capture_output=True, text=True, encoding="utf-8",
        )
        seconds.append(time.monotonic() - started)
        if run.returncode != 0:
            sys.exit(f"{case['question']}: {run.stderr}")
        answer = json.loads(run.stdout)
        first = [citation["source"] for citation in answer["citations"][:3]]
        if case["source"] is None:
            unknown += 1
            refused += answer["verdict"] == "no_evidence"
            if answer["verdict"] != "no_evidence":
                print(f"answered: {case['question']} <- {first}: {answer['answer']!r}")
        else:
            known += 1
            found += case["source"] in first
            if case["source"] not in first:
                print(f"missed: {case['question']} <- {answer['verdict']} {first}, not {case['source']}")
    print(f"right file among the first three: {found} of {known}")
    print(f"no_evidence: {refused} of {unknown}")
    print(f"seconds: median {statistics.median(seconds):.2f}, slowest {max(seconds):.2f}")


main()
