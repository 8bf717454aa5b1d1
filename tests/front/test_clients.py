"""The real clients of OpenAI, Anthropic and Google against a provider on the loopback: whole, streamed, helped, refused, left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import otel_phi
from otel_phi.events import AssistantMessage
from tests.front.stub import Stub, stub
from tests.front.test_packages import real
from tests.front.test_responses import ANTHROPIC, GOOGLE, OPENAI, RESPONSES
from tests.front.told import Told

ASKED: list[Any] = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def provider() -> Iterator[Stub]:
    with stub() as found:
        yield found


@pytest.fixture
def openai(provider: Stub) -> Iterator[Any]:
    with real("openai").OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(provider: Stub) -> Iterator[Any]:
    with real("anthropic").Anthropic(base_url=provider.url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def google(provider: Stub) -> Any:
    return real("google.genai").Client(api_key="k", http_options={"base_url": provider.url})


def only_answer(told: Told) -> AssistantMessage:
    assert told.broken() == []
    (found,) = told.answers
    assert isinstance(found, AssistantMessage)
    return found


def test_openai_chat(openai: Any, told: Told) -> None:
    with otel_phi.loop(session="s", model="gpt-5", provider="openai") as loop, loop.model_call() as call:
        call.response(openai.chat.completions.create(model="gpt-5", messages=ASKED))
    assert only_answer(told).usage == OPENAI


def test_openai_chat_streamed_and_helped(openai: Any, told: Told) -> None:
    options: Any = {"model": "gpt-5", "messages": ASKED, "stream_options": {"include_usage": True}}
    with otel_phi.model_call("gpt-5") as call:
        for chunk in openai.chat.completions.create(**options, stream=True):
            call.response(chunk)
    assert (only_answer(told).usage, told.answers[0].stop_reason) == (OPENAI, "stop")
    told.clear()
    with otel_phi.model_call("gpt-5") as call, openai.chat.completions.stream(**options) as stream:
        for event in stream:
            call.response(event)
    assert (only_answer(told).usage, told.answers[0].streamed) == (OPENAI, True)


def test_openai_chat_streamed_without_usage_is_a_hint(
    openai: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    with otel_phi.model_call("gpt-5") as call:
        for chunk in openai.chat.completions.create(model="gpt-5", messages=ASKED, stream=True):
            call.response(chunk)
    assert "stream_options" in caplog.text
    assert only_answer(told).usage.output == 0


def test_openai_responses_whole_streamed_and_helped(openai: Any, told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with loop.model_call() as call:
            call.response(openai.responses.create(model="gpt-5", input="Hi"))
        with loop.model_call() as call:
            for event in openai.responses.create(model="gpt-5", input="Hi", stream=True):
                call.response(event)
        with loop.model_call() as call, openai.responses.stream(model="gpt-5", input="Hi") as stream:
            for event in stream:
                call.response(event)
    assert [answer.usage for answer in told.answers] == [RESPONSES] * 3
    assert [answer.streamed for answer in told.answers] == [False, True, True]


def test_anthropic_whole_streamed_and_helped(anthropic: Any, told: Told) -> None:
    options: Any = {"model": "claude-test", "messages": ASKED, "max_tokens": 99}
    with otel_phi.loop(session="s", provider="anthropic") as loop:
        with loop.model_call() as call:
            call.response(anthropic.messages.create(**options))
        with loop.model_call() as call:
            for event in anthropic.messages.create(**options, stream=True):
                call.response(event)
        with loop.model_call() as call, anthropic.messages.stream(**options) as stream:
            for event in stream:
                call.response(event)
        with loop.model_call() as call, anthropic.messages.stream(**options) as stream:
            call.response(stream.get_final_message())
    assert [answer.usage for answer in told.answers] == [ANTHROPIC] * 4
    assert [answer.streamed for answer in told.answers] == [False, True, True, False]


def test_google_whole_and_streamed(google: Any, told: Told) -> None:
    with otel_phi.loop(session="s", provider="google") as loop:
        with loop.model_call() as call:
            call.response(google.models.generate_content(model="gemini-3-pro", contents="Hi"))
        with loop.model_call() as call:
            for piece in google.models.generate_content_stream(model="gemini-3-pro", contents="Hi"):
                call.response(piece)
    assert [answer.usage for answer in told.answers] == [GOOGLE] * 2
    assert told.broken() == []


def test_a_refusal_of_the_provider_is_its_class(openai: Any, anthropic: Any, provider: Stub, told: Told) -> None:
    provider.refuse = 429
    with pytest.raises(real("openai").RateLimitError), otel_phi.model_call("gpt-5"):
        openai.chat.completions.create(model="gpt-5", messages=ASKED)
    assert set(told.errors().values()) == {"RateLimitError"}
    provider.refuse = 401
    with pytest.raises(real("anthropic").AuthenticationError), otel_phi.model_call("claude"):
        anthropic.messages.create(model="claude", messages=ASKED, max_tokens=9)
    assert told.answers[-1].error_type == "AuthenticationError"


def test_a_stream_that_is_left_is_partial(anthropic: Any, told: Told) -> None:
    with otel_phi.model_call("claude") as call:
        for event in anthropic.messages.create(model="claude", messages=ASKED, max_tokens=9, stream=True):
            call.response(event)
            if event.type == "content_block_delta":
                break
    assert (only_answer(told).usage.partial, only_answer(told).usage.input) == (True, 36)


def test_the_asynchronous_client(provider: Stub, told: Told) -> None:
    async def main() -> None:
        options: Any = {"model": "m", "messages": ASKED, "stream": True, "stream_options": {"include_usage": True}}
        client = real("openai").AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k")
        async with client, otel_phi.loop(session="s") as loop, loop.model_call() as call:
            async for chunk in await client.chat.completions.create(**options):
                call.response(chunk)

    asyncio.run(main())
    assert only_answer(told).usage == OPENAI
