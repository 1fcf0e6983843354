"""Compares the fixtures of models/tests/fixtures/dialects with SGLang's tool parsers.

    pip download --no-deps sglang && unzip -q sglang-*.whl 'sglang/srt/*' -d REFERENCE
    pip install orjson partial-json-parser pydantic
    python benches/accuracy/dialects.py REFERENCE

Only the parsers are loaded, with stand-ins for the server around them. For every row that they
know, the calls that they find in a case's output are compared with those that the case expects.
Where they differ for a known reason, the reason is printed; any other difference fails.
"""

import importlib
import json
import pathlib
import sys
import types

FIXTURES = pathlib.Path(__file__).parents[2] / "models/tests/fixtures/dialects"

PARSERS = {
    "hermes": ("hermes_detector", "HermesDetector"),
    "granite4": ("hermes_detector", "HermesDetector"),
    "smollm3": ("hermes_detector", "HermesDetector"),
    "qwen3-coder": ("qwen3_coder_detector", "Qwen3CoderDetector"),
    "llama3": ("llama32_detector", "Llama32Detector"),
    "mistral": ("mistral_detector", "MistralDetector"),
    "mistral-list": ("mistral_detector", "MistralDetector"),
    "lfm2": ("lfm2_detector", "Lfm2Detector"),
    "gemma4": ("gemma4_detector", "Gemma4Detector"),
    "deepseek": ("deepseekv3_detector", "DeepSeekV3Detector"),
    "deepseek-v3.1": ("deepseekv31_detector", "DeepSeekV31Detector"),
    "gpt-oss": ("gpt_oss_detector", "GptOssDetector"),
}

CLOSES = ["</think>", "[/THINK]", "<channel|>"]


class Anything:
    """Stands in for settings and types that parsing does not use."""

    def __getattr__(self, name):
        return Anything()

    def __call__(self, *arguments, **named):
        return Anything()

    def get(self, *_):
        # Calls of unknown tools are calls.
        return True


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    module.__getattr__ = lambda _: Anything()
    sys.modules[name] = module


def load(folder):
    sys.path.insert(0, str(folder))
    for name in ["sglang", "sglang.srt", "sglang.srt.function_call", "sglang.srt.parser"]:
        package = types.ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    stand_in("sglang.srt.environ", envs=Anything())
    stand_in("sglang.srt.entrypoints.openai.protocol", Tool=object, ToolChoice=object)
    stand_in("xgrammar")
    found = {}
    for row, (module, name) in PARSERS.items():
        module = importlib.import_module(f"sglang.srt.function_call.{module}")
        found[row] = getattr(module, name)
    return found


def tool(spec):
    function = types.SimpleNamespace(**spec, strict=False)
    return types.SimpleNamespace(type="function", function=function)


def calls_of(parser, output, tools):
    for close in CLOSES:
        if close in output and output.startswith(("<think>", "[THINK]", "<|channel>")):
            output = output.split(close, 1)[1]
    result = parser().detect_and_parse(output.lstrip(), tools)
    return [
        {"name": call.name, "arguments": json.loads(call.parameters or "{}")}
        for call in result.calls
    ]


# What the parsers need to see that a case's output lacks, or writes otherwise.
MENDED = {
    # The prompt's last words.
    "gpt-oss": lambda output: "<|start|>assistant" + output,
    # The older models' tokenizer puts a blank there.
    "mistral-list": lambda output: output.replace("[TOOL_CALLS][", "[TOOL_CALLS] ["),
}

QUOTED = "strings are read as JSON has them, marks in them too"
STRICT = "what is cut or broken is no call"
LENIENT = "the template's other forms are read too"

# Where the reference reads otherwise, and why Corbie's reading stands.
REASONS = {
    "after broken JSON a good call is a call": "one broken call does not spoil the next",
    "no name is no call": STRICT,
    "arguments that are a list are no arguments": STRICT,
    "one that is no call spoils the list": STRICT,
    "arguments written as a string": "arguments are an object",
    "marks inside a string": QUOTED,
    "a mark inside a string": QUOTED,
    "marks inside a value": QUOTED,
    ("qwen3-coder", "cut after 129 characters"): STRICT,
    ("qwen3-coder", "cut after 257 characters"): STRICT,
    "the outer mark is missing": LENIENT,
    "neither outer mark": LENIENT,
    "stray words are no parameters": STRICT,
    "a built-in tool": LENIENT,
    ("llama3", "JSON that is an answer"): "a call has both a name and arguments",
    ("mistral", "with an id"): "the template writes [CALL_ID]; llama.cpp's tests read it so",
    "the second mark is missing": LENIENT,
    "no line break before the fence": LENIENT,
    "the outer marks are missing": LENIENT,
    "the second call is broken": "one broken call does not spoil the others",
    "the recipient stands before the channel": LENIENT,
    "the recipient comes first": LENIENT,
    "in the analysis channel": LENIENT,
}


def main():
    parsers = load(pathlib.Path(sys.argv[1]))
    failed = False
    for row, parser in parsers.items():
        fixture = json.loads((FIXTURES / f"{row}.json").read_text())
        tools = [tool(spec) for spec in fixture["tools"]]
        agreed, compared, lines = 0, 0, []
        for case in fixture["cases"]:
            if case.get("opening"):
                continue
            compared += 1
            expected = [
                {"name": call["name"], "arguments": call["arguments"]}
                for call in case["tool_calls"]
            ]
            try:
                output = MENDED.get(row, str)(case["output"])
                found = calls_of(parser, output, tools)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found == expected:
                agreed += 1
                continue
            reason = REASONS.get((row, case["name"])) or REASONS.get(case["name"])
            failed |= reason is None
            lines.append(f"  {case['name']}: {reason or 'DIFFERS'}\n    reference: {found}")
        print(f"{row}: {agreed} of {compared} alike")
        for line in lines:
            print(line)
    sys.exit(failed)


main()
