"""PyPI's `mcp` client against the program: `program_client.py COMMAND…` (stdio) or a URL.

The program serves the collection `handbook` and the calculator.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from client import field, http_client


async def main(place, *arguments):
    if place.startswith("http"):
        streams = http_client(place)
    else:
        streams = stdio_client(StdioServerParameters(command=place, args=list(arguments), env=None))
    async with streams as pair:
        async with ClientSession(pair[0], pair[1]) as session:
            await session.initialize()
            names = {tool.name for tool in (await session.list_tools()).tools}
            assert names == {"search", "ask", "list_collections", "calculator"}, names
            result = await session.call_tool("calculator", {"expression": "17 * 23"})
            assert "391" in result.content[0].text, result
            result = await session.call_tool("list_collections", {})
            assert "handbook" in result.content[0].text, result
            result = await session.call_tool("search", {"query": "paid leave", "limit": 3})
            assert "leave-and-expenses.txt" in result.content[0].text, result
            result = await session.call_tool("search", {"query": "带薪休假"})
            assert not field(result, "is_error", "isError"), result
            result = await session.call_tool("search", {"query": "x", "collection": "其他"})
            assert field(result, "is_error", "isError"), result
            question = "How many days of paid leave do staff get?"
            result = await session.call_tool("ask", {"question": question})
            answer = json.loads(result.content[0].text)
            assert answer["verdict"] == "answered" and answer["citations"], answer
            listed = (await session.list_resources()).resources
            leave = next(it for it in listed if str(it.uri).endswith("leave-and-expenses.txt"))
            read = await session.read_resource(leave.uri)
            assert "leave" in read.contents[0].text, read
            prompt = await session.get_prompt("ask_documents", {"question": question})
            assert question in prompt.messages[0].content.text, prompt
    print("all calls work:", place)


asyncio.run(main(*sys.argv[1:]))
