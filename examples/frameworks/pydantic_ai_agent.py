"""pydantic-ai: its agent's run is a loop, each request of its model a model call, its tools are tools."""

import asyncio
import sys
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.wrapper import WrapperModel

import otel_phi

otel_phi.install(service_name="pydantic-ai-agent")


class Traced(WrapperModel):
    """Is any model of pydantic-ai, whose requests are model calls of the current loop."""

    async def request(self, *args: Any, **kwargs: Any) -> Any:
        """Asks the model."""
        async with otel_phi.model_call(self.model_name, self.system) as call:
            said = await super().request(*args, **kwargs)
            used = said.usage
            call.usage(
                input=used.input_tokens,
                output=used.output_tokens,
                cache_read=used.cache_read_tokens,
                cache_write=used.cache_write_tokens,
                model=said.model_name,
                stop_reason="toolUse" if said.tool_calls else "stop",
            )
            return said


@otel_phi.tool
async def weather(city: str) -> str:
    return f"22 degrees in {city}"


@otel_phi.agent(name="meteorologist")
async def answer(question: str, model: Any) -> str:
    return str((await Agent(Traced(model), tools=[weather]).run(question)).output)


if __name__ == "__main__":
    print(asyncio.run(answer("How warm is it in Lima?", sys.argv[1] if len(sys.argv) > 1 else "test")))
