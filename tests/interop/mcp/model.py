"""A model for `corbie agent`: calls one tool, then says what it was told.

`model.py PORT TOOL ARGUMENTS`: an OpenAI-compatible service on this machine, for one conversation.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

port, tool, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = request["messages"][-1]
        if last["role"] == "tool":
            delta, finish = {"content": f"It says: {last['content']}"}, "stop"
        else:
            function = {"name": tool, "arguments": arguments}
            call = {"index": 0, "id": "call_1", "type": "function", "function": function}
            delta, finish = {"tool_calls": [call]}, "tool_calls"
        chunks = [
            {"choices": [{"index": 0, "delta": {"role": "assistant"} | delta}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}],
             "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
        ]
        shared = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
        body = "".join(f"data: {json.dumps(shared | chunk)}\n\n" for chunk in chunks)
        body = (body + "data: [DONE]\n\n").encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", port), Model).serve_forever()
