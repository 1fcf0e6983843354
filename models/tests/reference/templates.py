"""Renders conversations with Python's jinja2, set up as transformers sets it up.

    python3 templates.py FOLDER < conversations.json > renderings.json

For each `*.jinja` in FOLDER and each conversation: {"template", "conversation", "prompt"}, where
the prompt is null if jinja2 raises.
"""

import datetime
import json
import pathlib
import sys

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """Blocks that mark what the model wrote: rendered as what is in them."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_inside")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _inside(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime.now(
        datetime.timezone.utc
    ).strftime(form)
    return made


def main():
    conversations = json.load(sys.stdin)
    renderings = []
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
        for index, conversation in enumerate(conversations):
            try:
                template = environment().from_string(path.read_text(encoding="utf-8"))
                prompt = template.render(
                    messages=conversation["messages"],
                    tools=conversation.get("tools") or None,
                    documents=None,
                    add_generation_prompt=conversation.get("add_generation_prompt", True),
                    bos_token="<s>",
                    eos_token="</s>",
                )
                error = None
            except Exception as raised:
                prompt = None
                error = f"{type(raised).__name__}: {raised}"
            renderings.append(
                {
                    "template": path.name,
                    "conversation": index,
                    "prompt": prompt,
                    "error": error,
                }
            )
    json.dump(renderings, sys.stdout)


main()
