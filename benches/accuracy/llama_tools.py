"""Asks llama.cpp's tool calling BFCL's questions, for comparison with `corbie eval tools`.

    pip install llama-cpp-python==0.3.36
    python benches/accuracy/llama_tools.py MODEL.gguf BFCL_DATA IDS [--categories A,B] [--limit N] > ANSWERS
    corbie eval tools BFCL_DATA --ids IDS --answers ANSWERS

Greedily, `tool_choice="auto"`, the chat format `chatml-function-calling`, the only one of its
formats for tools that serves models without a tool template of their own. BFCL_DATA is the folder
`bfcl_eval/data`. Cases are those that `corbie eval tools` takes for the same options: with
`--limit` spread evenly over the file. Each line of the output is one answer: its calls, and its
text where there are none. Some of its grammars slow it down to seconds a token: a case that takes
longer than `--seconds` counts as malformed, and its text says so.
"""

import argparse
import json
import re
import signal
import sys
import time

import llama_cpp

TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


def standard(schema):
    """JSON Schema from BFCL's names of types."""
    out = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            value = TYPES.get(value, value)
        elif key == "properties":
            value = {name: standard(it) for name, it in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            value = standard(value)
        out[key] = value
    return out


def too_long(*_):
    raise TimeoutError("no answer in time")


def main():
    signal.signal(signal.SIGALRM, too_long)
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("ids")
    parser.add_argument("--categories")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with open(options.ids, encoding="utf-8") as file:
        ids = file.read().split()
    if options.categories:
        wanted = options.categories.split(",")
        ids = [it for it in ids if it.rsplit("_", 1)[0] in wanted]
    if options.limit and options.limit < len(ids):
        ids = [ids[index * len(ids) // options.limit] for index in range(options.limit)]
    model = llama_cpp.Llama(options.model, n_ctx=4096, verbose=False,
                            chat_format="chatml-function-calling")
    known = {}
    for number, name in enumerate(ids):
        category = name.rsplit("_", 1)[0]
        if category not in known:
            with open(f"{options.data}/BFCL_v4_{category}.json", encoding="utf-8") as file:
                known[category] = {row["id"]: row for row in map(json.loads, file)}
        case = known[category][name]
        tools = [{"type": "function", "function": {
            "name": function["name"].replace(".", "_"),
            "description": function["description"],
            "parameters": standard(function["parameters"]),
        }} for function in case["function"]]
        begun = time.time()
        signal.alarm(options.seconds)
        answer = {"id": name, "calls": [], "text": ""}
        try:
            reply = model.create_chat_completion(
                case["question"][0], tools=tools, tool_choice="auto", temperature=0.0,
                max_tokens=256)
            message = reply["choices"][0]["message"]
            answer["text"] = message.get("content") or ""
            for call in message.get("tool_calls") or []:
                called = re.sub(r"\W*$", "", call["function"]["name"].strip())
                arguments = json.loads(call["function"]["arguments"])
                answer["calls"].append({"name": called, "arguments": arguments})
        except Exception as error:  # A call that is none, or a grammar that cannot be made.
            answer |= {"calls": [], "malformed": True, "text": str(error)[:200]}
        signal.alarm(0)
        answer["seconds"] = round(time.time() - begun, 2)
        print(json.dumps(answer, ensure_ascii=False), flush=True)
        print(f"{number + 1}/{len(ids)}", file=sys.stderr, end="\r")


if __name__ == "__main__":
    main()
