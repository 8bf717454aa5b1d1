"""Answers as objects of the real packages of OpenAI, Anthropic and Google, as their models read them; tests/front/test_clients.py has them from their clients."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.front import answers as a
from tests.front.test_responses import STREAMS, WHOLE, said
from tests.front.told import Told


def real(module: str) -> Any:
    """Returns a module of a provider's package; without the package the test is skipped, and says so."""
    package = {"openai": "openai", "anthropic": "anthropic", "google": "google-genai"}[module.split(".", 1)[0]]
    try:
        return importlib.import_module(module)
    except ImportError:
        return pytest.skip(f"SKIPPED, NOT PASSED: pip install {package}, or the extra `frameworks`")


def of_openai_chat(given: a.Json) -> Any:
    types = real("openai.types.chat")
    streamed = given["object"] == "chat.completion.chunk"
    return (types.ChatCompletionChunk if streamed else types.ChatCompletion).model_validate(given)


def of_openai_responses(given: a.Json) -> Any:
    responses = real("openai.types.responses")
    if "object" in given:
        return responses.Response.model_validate(given)
    return real("openai._models").construct_type(value=given, type_=responses.ResponseStreamEvent)


def of_anthropic(given: a.Json) -> Any:
    types = real("anthropic.types")
    if given["type"] == "message":
        return types.Message.model_validate(given)
    return real("anthropic._models").construct_type(value=given, type_=types.RawMessageStreamEvent)


def of_google(given: a.Json) -> Any:
    return real("google.genai.types").GenerateContentResponse.model_validate(given)


MAKERS = {
    "openai chat": of_openai_chat,
    "openai responses": of_openai_responses,
    "anthropic": of_anthropic,
    "google": of_google,
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_as_an_object(name: str, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    given, usage, stop_reason, model = WHOLE[name]
    made = MAKERS[name](given)
    assert not isinstance(made, dict)
    found = said(told, [made])
    assert (found.usage, found.stop_reason, found.model, found.streamed) == (usage, stop_reason, model, False)
    assert caplog.records == []


@pytest.mark.parametrize("name", STREAMS)
def test_a_streamed_answer_as_objects(name: str, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    given, usage, stop_reason, model = STREAMS[name]
    made = [MAKERS[name](piece) for piece in given]
    assert not [piece for piece in made if isinstance(piece, dict)]
    found = said(told, made)
    assert (found.usage, found.stop_reason, found.model, found.streamed) == (usage, stop_reason, model, True)
    assert isinstance(found.first_token_ms, int)
    assert caplog.records == []


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_left_early_as_objects_is_partial(name: str, told: Told) -> None:
    ends = {"openai chat": 3, "openai responses": 5, "anthropic": 4, "google": 1}[name]
    found = said(told, [MAKERS[name](piece) for piece in STREAMS[name][0][:ends]])
    assert found.usage.partial is True
