"""A server that streams what its agent says: each request is a loop of its session, and a reader that hangs up cancels it.

uvicorn --app-dir examples/frameworks fastapi_stream:app
"""

from collections.abc import AsyncIterator
from typing import Any

import fastapi
import openai
from fastapi.responses import StreamingResponse

import otel_phi

otel_phi.install(service_name="fastapi-stream")
app, client = fastapi.FastAPI(), openai.AsyncOpenAI()


@otel_phi.agent(model="gpt-5", provider="openai", session_from="session")
async def words(session: str, question: str) -> AsyncIterator[str]:
    asked: Any = [{"role": "user", "content": question}]
    async with otel_phi.model_call() as call:
        options: Any = {"user": session, "stream": True, "stream_options": {"include_usage": True}}
        async for chunk in await client.chat.completions.create(model="gpt-5", messages=asked, **options):
            call.response(chunk)
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


@app.get("/chat/{session}")
async def chat(session: str, question: str = "Hi") -> StreamingResponse:
    return StreamingResponse(words(session, question), media_type="text/plain")
