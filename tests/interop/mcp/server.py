"""A server on PyPI's `mcp`, for our client. `server.py [PORT]`: over HTTP at a port, else stdio."""

import sys

try:
    from mcp.server.mcpserver import Context, MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import Context, FastMCP as Server

server = Server("pypi")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers. 加法。"""
    return a + b


@server.tool()
async def steps(ctx: Context) -> str:
    """Tells how it gets on."""
    await ctx.report_progress(1, 2)
    return "all"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("there is no such thing")


@server.resource("note://ravens")
def ravens() -> str:
    """Ravens."""
    return "乌鸦藏食物。"


@server.prompt()
def greet(who: str) -> str:
    """Greets."""
    return f"Hello {who}"


if len(sys.argv) > 1:
    port = int(sys.argv[1])
    try:
        server.run(transport="streamable-http", host="127.0.0.1", port=port)
    except TypeError:
        server.settings.port = port
        server.run(transport="streamable-http")
else:
    server.run()
