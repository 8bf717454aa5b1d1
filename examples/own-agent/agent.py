"""An agent behind FastAPI: it streams, its tools run at once, one of them fails, one is an agent itself."""

import asyncio
import json
from typing import Any

import fastapi
import openai

import otel_phi

otel_phi.install(service_name="own-agent")
app, client, usage = fastapi.FastAPI(), openai.AsyncOpenAI(), {"include_usage": True}


async def ask(*messages: Any, **more: Any) -> Any:
    options: Any = {"model": "gpt-5", "messages": messages, "stream_options": usage, **more}
    async with otel_phi.model_call() as call, client.chat.completions.stream(**options) as stream:
        async for event in stream:
            call.response(event)
        return (await stream.get_final_completion()).choices[0].message


async def weather(city: str) -> str:
    return f"22 degrees in {city}"


async def traffic(city: str) -> str:
    raise ConnectionError(f"no route to {city}")


@otel_phi.agent(model="gpt-5", provider="openai")
async def research(city: str) -> str:
    return str((await ask({"role": "user", "content": f"What is {city} known for?"})).content)


TOOLS = {tool.__name__: tool for tool in (weather, traffic, research)}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": 0}
OFFER = [{"type": "function", "function": {"name": name, "strict": True, "parameters": CITY}} for name in TOOLS]


async def use(call: Any) -> Any:
    with otel_phi.current_loop().tool(call.function.name, call.id):
        return await TOOLS[call.function.name](**json.loads(call.function.arguments))


@app.post("/chat/{session}")
async def chat(session: str, question: str) -> str:
    async with otel_phi.loop(session=session, model="gpt-5", provider="openai", agent="planner"):
        messages: list[Any] = [{"role": "user", "content": question}]
        while calls := (said := await ask(*messages, tools=OFFER)).tool_calls:
            results = zip(calls, await asyncio.gather(*map(use, calls), return_exceptions=True), strict=True)
            messages += [said, *({"role": "tool", "tool_call_id": c.id, "content": str(r)} for c, r in results)]
        return str(said.content)
