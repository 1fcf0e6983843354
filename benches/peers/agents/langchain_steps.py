"""What a step of LangChain's agent loop costs, on a model that answers at once.

    python benches/peers/agents/langchain_steps.py [STEPS] [ROUNDS]

The same loop as `agents/examples/steps.rs`: every answer calls one tool, the last one is text.
Prints microseconds a step, the median over the rounds, one run at a time in one thread.

Needs: pip install langchain
"""

import statistics
import sys
import time

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool


class Caller(BaseChatModel):
    """Calls a tool so often, then answers."""

    left: int = 0

    @property
    def _llm_type(self):
        return "caller"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.left -= 1
        if self.left > 0:
            call = {"name": "count", "args": {"n": self.left}, "id": f"call_{self.left}"}
            message = AIMessage(content="", tool_calls=[call])
        else:
            message = AIMessage(content="done")
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def count(n: int) -> str:
    """Counts."""
    return f'{{"counted": {n}}}'


def main():
    steps, rounds = (int(value) for value in (sys.argv[1:] + ["50", "9"][len(sys.argv) - 1:])[:2])
    taken = []
    for _ in range(rounds + 1):
        model = Caller()
        model.left = steps
        agent = create_agent(model, [count])
        begun = time.perf_counter()
        answer = agent.invoke(
            {"messages": [("user", "Count.")]}, {"recursion_limit": 4 * steps + 10}
        )
        taken.append((time.perf_counter() - begun) / steps * 1e6)
        assert answer["messages"][-1].content == "done"
        assert len(answer["messages"]) == 2 * steps
    # The first round warms up.
    print(f"langchain: {statistics.median(taken[1:]):.1f} µs a step")


main()
