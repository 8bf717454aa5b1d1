"""Anthropic's client: its streaming helper, and tools until the model has no more to ask."""

import sys
from typing import Any

import anthropic

import otel_phi

MODEL = "claude-sonnet-5"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"name": "weather", "description": "How warm it is", "input_schema": CITY}]

otel_phi.install(service_name="anthropic-client")
client = anthropic.Anthropic()


def weather(city: str) -> str:
    return f"22 degrees in {city}"


def answer(question: str, session: str) -> str:
    messages: list[Any] = [{"role": "user", "content": question}]
    with otel_phi.loop(session=session, model=MODEL, provider="anthropic", agent="meteorologist") as loop:
        while True:
            with (
                loop.model_call() as call,
                client.messages.stream(model=MODEL, max_tokens=1_000, messages=messages, tools=TOOLS) as stream,
            ):
                for event in stream:
                    call.response(event)
                said = stream.get_final_message()
            messages.append({"role": "assistant", "content": said.content})
            asked = [block for block in said.content if block.type == "tool_use"]
            if not asked:
                return "".join(block.text for block in said.content if block.type == "text")
            results = []
            for block in asked:
                with loop.tool(block.name, block.id):
                    found = weather(**block.input)
                    results.append({"type": "tool_result", "tool_use_id": block.id, "content": found})
            messages.append({"role": "user", "content": results})


print(answer(" ".join(sys.argv[1:]) or "How warm is it in Lima?", "chat-1"))
