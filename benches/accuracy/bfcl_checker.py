"""Compares Corbie's verdicts on function calls with those of BFCL's own checker.

    pip install --no-deps bfcl-eval==2026.3.23
    cargo build -p corbie-agents --example bfcl_verdicts
    python benches/accuracy/bfcl_checker.py target/debug/examples/bfcl_verdicts $CORBIE_DATA/bfcl/dev_ids.txt [FOLDER]

FOLDER holds the package `bfcl_eval`, where it is unpacked and not installed. Every case is asked
with its gold answer and with answers that differ from it in one place: a value of another type, an
argument more, one less, another text, other letters' case and punctuation, another function, a call
more, one less, calls in another order, whole numbers for real ones, dicts and lists with a wrong
item. Verdicts must agree on all of them, and the gold answers must be right.

BFCL's checker is pure Python, but its module imports all its model handlers: a stand-in for that
table and for the converters of Java and JavaScript is all that it needs.
"""

import copy
import importlib
import json
import subprocess
import sys
import types


def bfcl_checker(folder):
    """BFCL's `ast_checker` and its languages, without the packages of its model handlers."""
    if folder:
        sys.path.insert(0, folder)
    stand_in = types.ModuleType("bfcl_eval.constants.model_config")
    # Dots in functions' names become underlines, as for models that want names without dots.
    stand_in.MODEL_CONFIG_MAPPING = {"corbie": types.SimpleNamespace(underscore_to_dot=True)}
    sys.modules[stand_in.__name__] = stand_in
    for language in ("java", "js"):
        name = f"bfcl_eval.eval_checker.ast_eval.type_convertor.{language}_type_converter"
        converter = types.ModuleType(name)
        setattr(converter, f"{language}_type_converter", None)
        sys.modules[name] = converter
    module = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
    package = importlib.import_module("bfcl_eval").__path__[0]
    return module.ast_checker, module.Language.PYTHON, f"{package}/data"


def other_values(value):
    """Values that differ from this one in one place."""
    if isinstance(value, bool):
        return [not value, int(value), str(value)]
    if isinstance(value, int):
        return [value + 1, float(value), value + 0.5, str(value), value == 1]
    if isinstance(value, float):
        return [value + 1.5, int(value), str(value), None]
    if isinstance(value, str):
        return [value + " x", value.upper(), f" {value}.", value.replace(" ", "-"), "", 7, [value]]
    if isinstance(value, list):
        changed = [[], value + value[:1], value[::-1], "text"]
        for item in value[:1]:
            changed += [[other] + value[1:] for other in other_values(item)]
        return changed
    if isinstance(value, dict):
        changed = [{}, {**value, "unexpected": 1}, "text"]
        for key in value:
            changed.append({other: it for other, it in value.items() if other != key})
            changed += [{**value, key: other} for other in other_values(value[key])]
        return changed
    return ["text", 0]


def answers(gold, functions):
    """The gold answer and those that differ from it."""
    yield gold
    yield []
    yield gold[::-1]
    yield gold + gold[:1]
    yield gold[1:]
    for index, call in enumerate(gold):
        def with_call(name, arguments):
            return gold[:index] + [{"name": name, "arguments": arguments}] + gold[index + 1:]

        name, arguments = call["name"], call["arguments"]
        yield with_call(f"{name}_", arguments)
        yield with_call(name.replace("_", "."), arguments)
        for function in functions:
            yield with_call(function["name"].replace(".", "_"), arguments)
            # Arguments of the function that the answer leaves out.
            for key, schema in function["parameters"]["properties"].items():
                if key not in arguments:
                    yield with_call(name, {**arguments, key: schema.get("default", "text")})
        yield with_call(name, {**arguments, "unexpected": "text"})
        for key, value in arguments.items():
            yield with_call(name, {other: it for other, it in arguments.items() if other != key})
            for other in other_values(value):
                yield with_call(name, {**arguments, key: other})


def rows(path):
    with open(path, encoding="utf-8") as file:
        return {row["id"]: row for row in map(json.loads, file)}


def main():
    program, ids, *folder = sys.argv[1:]
    checker, python, data = bfcl_checker(folder[0] if folder else None)

    def ours(lines):
        run = subprocess.run([program, data, ids], input=lines, capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    asked, wanted = [], []
    crashed = 0
    broken = []
    for case in ours(""):
        category = case["id"].rsplit("_", 1)[0]
        if case["breaks_schema"]:
            broken.append(case["id"])
        questions = rows(f"{data}/BFCL_v4_{category}.json") if category not in CACHE else CACHE[category][0]
        if category not in CACHE:
            answered = {} if category.endswith("irrelevance") else rows(
                f"{data}/possible_answer/BFCL_v4_{category}.json")
            CACHE[category] = (questions, answered)
        functions = questions[case["id"]]["function"]
        for index, calls in enumerate(answers(case["calls"], functions)):
            if category.endswith("irrelevance"):
                verdict = not calls
            else:
                output = [{call["name"]: copy.deepcopy(call["arguments"])} for call in calls]
                truth = CACHE[category][1][case["id"]]["ground_truth"]
                try:
                    verdict = checker(functions, output, truth, python, category, "corbie")["valid"]
                except Exception:  # The checker itself fails on some answers: they are not judged.
                    crashed += 1
                    continue
            asked.append({"id": case["id"], "calls": calls})
            wanted.append((verdict, index == 0))
    verdicts = ours("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in asked))
    differing, gold_wrong, right = [], [], 0
    for answer, verdict, (expected, is_gold) in zip(asked, verdicts, wanted, strict=True):
        is_right = verdict["fault"] is None
        right += is_right
        if is_right != expected:
            differing.append((answer, verdict["fault"], expected))
        if is_gold and not (is_right and expected):
            gold_wrong.append(answer["id"])
    print(json.dumps({
        "cases": len({answer["id"] for answer in asked}), "answers": len(asked), "right": right,
        "differing": len(differing), "not_judged_by_bfcl": crashed,
        "gold_breaks_schema": broken, "gold_wrong": gold_wrong,
    }))
    for answer, fault, expected in differing[:20]:
        print(f"BFCL says {'right' if expected else 'wrong'}, Corbie {fault!r}: {json.dumps(answer)}")
    sys.exit(1 if differing or set(gold_wrong) - set(broken) else 0)


CACHE = {}

if __name__ == "__main__":
    main()
