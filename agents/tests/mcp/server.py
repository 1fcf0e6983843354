"""An MCP server of few lines that does what the files in its folder say. Standard library only.

server.py FOLDER [WORD...]: `tools.json` in the folder is the list of its tools, read each time it is
asked for; without it the tools below are. It speaks the protocol of 2025.
"""

import json
import os
import sys
import time

folder = sys.argv[1]


def path(name):
    return os.path.join(folder, name)


def send(message):
    sys.stdout.write(json.dumps(message, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def receive():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def text(value, failed=False):
    return {"content": [{"type": "text", "text": value}], "isError": failed}


TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NONE = {"type": "object", "properties": {}}
TOOLS = [
    {"name": "echo", "description": "Says it again. 重复。", "inputSchema": TEXT,
     "annotations": {"readOnlyHint": True, "openWorldHint": False}},
    {"name": "environment", "description": "Tells its variables", "inputSchema": NONE},
    {"name": "arguments", "description": "Tells its arguments", "inputSchema": NONE},
    {"name": "wait", "description": "Waits to be cancelled", "inputSchema": NONE},
    {"name": "steps", "description": "Tells how it gets on", "inputSchema": NONE},
    {"name": "ask", "description": "Asks the person", "inputSchema": NONE},
    {"name": "fail", "description": "Fails", "inputSchema": NONE},
    {"name": "leave", "description": "Ends the server", "inputSchema": NONE},
    {"name": "change", "description": "Says that the tools changed", "inputSchema": NONE},
]


def call(message):
    params = message["params"]
    name, arguments = params["name"], params.get("arguments") or {}
    if name == "echo":
        return text(arguments["text"])
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "arguments":
        return text(json.dumps(sys.argv[2:]))
    if name == "wait":
        open(path("waiting"), "w").close()
        while True:
            heard = receive()
            if heard.get("method") == "notifications/cancelled":
                if heard["params"]["requestId"] == message["id"]:
                    open(path("cancelled"), "w").close()
                    return None
    if name == "steps":
        token = params["_meta"]["progressToken"]
        send({"jsonrpc": "2.0", "method": "notifications/progress",
              "params": {"progressToken": token, "progress": 1, "total": 2, "message": "half"}})
        # Until the client has heard it.
        while not os.path.exists(path("heard")):
            time.sleep(0.01)
        return text("all")
    if name == "ask":
        send({"jsonrpc": "2.0", "id": "question", "method": "elicitation/create", "params": {
            "message": "Which city?\u200b", "requestedSchema": {
                "type": "object", "properties": {"city": {"type": "string"}},
                "required": ["city"]}}})
        while True:
            heard = receive()
            if heard.get("id") == "question":
                return text(json.dumps(heard["result"], ensure_ascii=False))
    if name == "fail":
        return text("there is no such thing", failed=True)
    if name == "leave":
        sys.exit(3)
    if name == "change":
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text("changed")
    return text("no such tool", failed=True)


def answer(message):
    method = message.get("method")
    if method == "initialize":
        return {"protocolVersion": "2025-06-18", "serverInfo": {"name": "fixture", "version": "1"},
                "capabilities": {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}}
    if method == "tools/list":
        if os.path.exists(path("tools.json")):
            with open(path("tools.json"), encoding="utf-8") as file:
                return {"tools": file.read()}
        return {"tools": TOOLS}
    if method == "tools/call":
        return call(message)
    if method == "resources/list":
        return {"resources": [{"uri": "note://1", "name": "first", "description": "一"}]}
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "note://{n}", "name": "any"}]}
    if method == "resources/read":
        return {"contents": [{"uri": message["params"]["uri"], "text": "乌鸦藏食物。"}]}
    if method == "prompts/list":
        return {"prompts": [{"name": "greet", "arguments": [{"name": "who", "required": True}]}]}
    if method == "prompts/get":
        who = message["params"]["arguments"]["who"]
        return {"messages": [{"role": "user", "content": {"type": "text", "text": "Hello " + who}}]}
    return NotImplemented


open(path("started"), "w").close()
while True:
    message = receive()
    if "id" not in message or "method" not in message:
        continue
    try:
        result = answer(message)
    except (KeyError, TypeError) as missing:
        error = {"code": -32602, "message": f"invalid parameters: {missing!r}"}
        send({"jsonrpc": "2.0", "id": message["id"], "error": error})
        continue
    if result is NotImplemented:
        error = {"code": -32601, "message": "unknown method"}
        send({"jsonrpc": "2.0", "id": message["id"], "error": error})
    elif result is not None and isinstance(result.get("tools"), str):
        # As it stands in the file: more than this program could read may be in it.
        head = json.dumps({"jsonrpc": "2.0", "id": message["id"]})[:-1]
        sys.stdout.write(head + ', "result": {"tools": ' + result["tools"] + "}}\n")
        sys.stdout.flush()
    elif result is not None:
        send({"jsonrpc": "2.0", "id": message["id"], "result": result})
