"""PyPI's `mcp` client against our server: `client.py PROGRAM` (stdio) or `client.py URL`."""

import asyncio
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

try:
    from mcp.client.streamable_http import streamable_http_client as http_client
except ImportError:
    from mcp.client.streamable_http import streamablehttp_client as http_client


def field(value, *names):
    for name in names:
        if hasattr(value, name):
            return getattr(value, name)
    raise AttributeError(names)


async def main(place):
    if place.startswith("http"):
        streams = http_client(place)
    else:
        streams = stdio_client(StdioServerParameters(command=place, args=["serve"]))
    async with streams as pair:
        async with ClientSession(pair[0], pair[1]) as session:
            begun = await session.initialize()
            print("protocol", field(begun, "protocol_version", "protocolVersion"))
            tools = (await session.list_tools()).tools
            assert [tool.name for tool in tools] == ["calculator"], tools
            result = await session.call_tool("calculator", {"expression": "2 + 3"})
            assert "5" in result.content[0].text, result
            result = await session.call_tool("calculator", {"expression": "2 +"})
            assert field(result, "is_error", "isError"), result
            listed = (await session.list_resources()).resources
            assert str(listed[0].uri) == "note://ravens", listed
            read = await session.read_resource(listed[0].uri)
            assert "乌鸦" in read.contents[0].text, read
            prompts = (await session.list_prompts()).prompts
            assert prompts[0].name == "compute", prompts
            prompt = await session.get_prompt("compute", {"what": "2 + 3"})
            assert "2 + 3" in prompt.messages[0].content.text, prompt
            await session.send_ping()
    print("all calls work:", place)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
