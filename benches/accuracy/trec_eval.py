"""Compares the measures of `corbie eval retrieval` with those of trec_eval, query by query.

    corbie eval retrieval FOLDER --split SPLIT --per-query a.jsonl --trec a.trec
    python benches/accuracy/trec_eval.py FOLDER/qrels/SPLIT.tsv a.trec a.jsonl

Fails when a measure of a query differs by more than 0.000001.

Needs: pip install pytrec_eval-terrier
"""

import json
import sys
from collections import defaultdict

import pytrec_eval

BOUND = 1e-6

# Ours and theirs. Their reciprocal rank knows no depth: from rank 11 on it is below 1/10.
MEASURES = {
    "ndcg@10": lambda theirs: theirs["ndcg_cut_10"],
    "recall@10": lambda theirs: theirs["recall_10"],
    "recall@100": lambda theirs: theirs["recall_100"],
    "mrr@10": lambda theirs: theirs["recip_rank"] if theirs["recip_rank"] > 0.0999 else 0.0,
    "map@100": lambda theirs: theirs["map_cut_100"],
}


def rows(path):
    with open(path, encoding="utf-8") as lines:
        yield from (line.split() for line in lines if line.strip())


def main(grades_path, run_path, ours_path):
    grades, run = defaultdict(dict), defaultdict(dict)
    for query, entry, grade in rows(grades_path):
        if query != "query-id":
            grades[query][entry] = int(grade)
    for query, _, entry, _, score, _ in rows(run_path):
        run[query][entry] = float(score)
    wanted = {"ndcg_cut.10", "recall.10,100", "recip_rank", "map_cut.100"}
    theirs = pytrec_eval.RelevanceEvaluator(dict(grades), wanted).evaluate(dict(run))
    worst = dict.fromkeys(MEASURES, 0.0)
    queries = 0
    with open(ours_path, encoding="utf-8") as lines:
        for ours in map(json.loads, lines):
            queries += 1
            # A query that finds nothing is in no run, and counts 0.
            found = theirs.get(ours["query"])
            for name, read in MEASURES.items():
                difference = abs(ours[name] - (read(found) if found else 0.0))
                worst[name] = max(worst[name], difference)
    for name, difference in worst.items():
        print(f"{name:<12} differs by at most {difference:.1e}")
    print(f"{'queries':<12} {queries}")
    return 0 if queries and max(worst.values()) <= BOUND else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
