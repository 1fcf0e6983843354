"""Kills an ingest of 200 real files again and again, and compares the end with a quiet run.

    CORBIE_DATA=… python3 benches/acceptance/kill_ingest.py target/release/corbie [KILLS]

Takes the first files of the loaders' data (PDF, Markdown, HTML) in a fixed order. Prints the
report of the uninterrupted run, what could not be read and why, and whether the killed and
repeated run ended with the same chunks.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

FILES = 200


def pick(data: pathlib.Path) -> list[pathlib.Path]:
    loaders = data / "loaders"
    kinds = [
        sorted(loaders.glob("pdf/**/*.pdf")),
        sorted(loaders.glob("**/*.md")),
        sorted(loaders.glob("**/*.html")) + sorted(loaders.glob("**/*.htm")),
    ]
    rng = random.Random(7)
    files = []
    for kind, share in zip(kinds, (120, 40, 40)):
        rng.shuffle(kind)
        files += kind[:share]
    return files[:FILES]


def main() -> None:
    program, kills = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        docs = work / "docs"
        docs.mkdir()
        for number, file in enumerate(pick(pathlib.Path(os.environ["CORBIE_DATA"]))):
            shutil.copy(file, docs / f"{number:03}-{file.name}")

        def command(data: str) -> list[str]:
            return [program, "ingest", str(docs), "--collection", "kill", "--output", "json",
                    "--quiet", "--data-dir", str(work / data)]

        def digest(data: str) -> dict:
            show = [program, "collections", "show", "kill", "--output", "json", "--data-dir", str(work / data)]
            return json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)

        started = time.monotonic()
        quiet = subprocess.run(command("quiet"), capture_output=True, text=True)
        length = time.monotonic() - started
        if quiet.returncode != 0:
            sys.exit(quiet.stderr)
        report = json.loads(quiet.stdout)
        for failure in report["failed"]:
            print(f"  {failure['source']}: {failure['reason']}")
        print({key: value for key, value in report.items() if key != "failed"},
              f"failed: {len(report['failed'])}, {length:.1f} s")

        rng = random.Random(11)
        for _ in range(kills):
            process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.uniform(0.05, length))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        last = subprocess.run(command("killed"), capture_output=True, text=True)
        if last.returncode != 0:
            sys.exit(last.stderr)
        expected, found = digest("quiet"), digest("killed")
        same = expected["digest"] == found["digest"] and expected["chunks"] == found["chunks"]
        print(f"{kills} kills, then one whole run: {found['chunks']} chunks, "
              f"{'the same as' if same else 'NOT the same as'} without kills")
        sys.exit(0 if same else 1)


main()
