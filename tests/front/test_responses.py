"""What `call.response` makes of answers given as dicts; tests/front/test_packages.py gives objects of the real packages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_phi
from otel_phi.events import AssistantMessage, Usage
from otel_phi.front.responses import Reading
from tests.front import answers as a
from tests.front.told import Told

OPENAI = Usage(100, 20, 12, 64, 0, 120, cached="in")
RESPONSES = Usage(100, 20, 12, 64, 8, 120, cached="in")
ANTHROPIC = Usage(36, 20, 12, 64, 8, 0, cached="out")
GOOGLE = Usage(130, 20, 12, 64, 0, 150, cached="in")
WHOLE: dict[str, tuple[a.Json, Usage, str, str]] = {
    "openai chat": (a.CHAT, OPENAI, "toolUse", "gpt-5-2026-08-07"),
    "openai responses": (a.RESPONSE, RESPONSES, "stop", "gpt-5-2026-08-07"),
    "anthropic": (a.MESSAGE, ANTHROPIC, "stop", "claude-test"),
    "google": (a.GEMINI, GOOGLE, "stop", "gemini-3-pro"),
}
STREAMS: dict[str, tuple[list[a.Json], Usage, str, str]] = {
    "openai chat": (a.CHUNKS, OPENAI, "stop", "gpt-5-2026-08-07"),
    "openai responses": (a.EVENTS, RESPONSES, "stop", "gpt-5-2026-08-07"),
    "anthropic": (a.STREAMED, ANTHROPIC, "stop", "claude-test"),
    "google": (a.GEMINI_STREAM, GOOGLE, "stop", "gemini-3-pro"),
}


def said(told: Told, pieces: Iterable[Any], provider: str = "") -> AssistantMessage:
    """Returns the message that a call makes of an answer's pieces."""
    told.clear()
    with otel_phi.loop(session="s", provider=provider) as loop, loop.model_call() as call:
        for piece in pieces:
            call.response(piece)
    assert told.broken() == []
    found = told.answers[0]
    assert isinstance(found, AssistantMessage)
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer(name: str, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    given, usage, stop_reason, model = WHOLE[name]
    found = said(told, [given])
    assert (found.usage, found.stop_reason, found.model) == (usage, stop_reason, model)
    assert (found.streamed, found.first_token_ms) == (False, msgspec.UNSET)
    assert caplog.records == []


@pytest.mark.parametrize("name", STREAMS)
def test_a_streamed_answer(name: str, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    pieces, usage, stop_reason, model = STREAMS[name]
    found = said(told, pieces)
    assert (found.usage, found.stop_reason, found.model) == (usage, stop_reason, model)
    assert found.streamed is True
    assert isinstance(found.first_token_ms, int)
    assert caplog.records == []


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_tokens_reach_the_span_whatever_the_provider(name: str, told: Told) -> None:
    said(told, STREAMS[name][0])
    (chat,) = [span for span in told.spans if span.name.startswith("chat")]
    expected = 108 if name == "anthropic" else 130 if name == "google" else 100
    assert chat.get("gen_ai.usage.input_tokens") == expected
    assert chat.get("gen_ai.usage.output_tokens") == 20
    assert chat.get("gen_ai.usage.cache_read.input_tokens") == 64
    assert chat.get("gen_ai.usage.reasoning.output_tokens") == 12
    assert chat.get("gen_ai.response.time_to_first_chunk") is not None
    assert chat.get("gen_ai.request.stream") is True


@pytest.mark.parametrize("provider", ["anthropic", "openai", "google", "bedrock"])
@pytest.mark.parametrize("name", WHOLE)
def test_the_answers_shape_says_what_its_input_means_not_the_providers_name(
    name: str, provider: str, told: Told
) -> None:
    said(told, [WHOLE[name][0]], provider=provider)
    (chat,) = [span for span in told.spans if span.name.startswith("chat")]
    expected = {"anthropic": 108, "google": 130}.get(name, 100)
    assert chat.get("gen_ai.usage.input_tokens") == expected


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_left_early_is_partial(name: str, told: Told) -> None:
    pieces, usage, _, model = STREAMS[name]
    ends = {"openai chat": 3, "openai responses": 5, "anthropic": 4, "google": 1}[name]
    found = said(told, pieces[:ends])
    assert found.usage.partial is True
    assert found.usage.output < usage.output or name == "openai chat"
    assert found.model in (model, "")
    (chat,) = [span for span in told.spans if span.name.startswith("chat")]
    assert chat.get("phi.usage.partial") is True


def test_counts_are_replaced_never_added(told: Told) -> None:
    delta = a.STREAMED[5]
    twice = [*a.STREAMED[:5], {**delta, "usage": {"output_tokens": 11}}, delta, a.STREAMED[6]]
    assert said(told, twice).usage == ANTHROPIC
    assert said(told, [*a.GEMINI_STREAM, a.GEMINI_STREAM[-1]]).usage == GOOGLE
    assert said(told, [a.CHUNKS[-1], *a.CHUNKS]).usage == OPENAI


def test_a_count_that_is_null_does_not_undo_one_that_was_said(told: Told) -> None:
    usage = {"output_tokens": 20, "input_tokens": None, "cache_read_input_tokens": None}
    pieces = [*a.STREAMED[:5], {**a.STREAMED[5], "usage": usage}, a.STREAMED[6]]
    assert said(told, pieces).usage == msgspec.structs.replace(ANTHROPIC, reasoning=0)


def test_helper_events_are_told_by_type(told: Told) -> None:
    chat = [
        {"type": "chunk", "chunk": a.CHUNKS[1], "snapshot": a.CHAT},
        {"type": "content.delta", "delta": "Hel", "snapshot": "Hel", "parsed": None},
        *[{"type": "chunk", "chunk": chunk, "snapshot": a.CHAT} for chunk in a.CHUNKS[2:]],
        {"type": "content.done", "content": "Hello", "parsed": None},
    ]
    assert said(told, chat).usage == OPENAI
    anthropic = [
        a.STREAMED[0],
        {"type": "text", "text": "Hel", "snapshot": "Hel"},
        {"type": "message_stop", "message": a.MESSAGE},
    ]
    found = said(told, anthropic)
    assert (found.usage, found.stop_reason) == (ANTHROPIC, "stop")


@pytest.mark.parametrize(
    ("changed", "stop_reason", "word"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", None),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "guardRail", None),
        ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "no"}}, "error", "rate_limit_exceeded"),
        ({"status": "failed", "error": None}, "error", "_OTHER"),
        ({"status": "cancelled"}, "aborted", None),
        ({"output": [{"type": "function_call", "call_id": "c"}]}, "toolUse", None),
        ({"output": [{"type": "web_search_call"}, a.RESPONSE["output"][0]]}, "stop", None),
    ],
)  # fmt: skip
def test_how_a_response_ended(changed: a.Json, stop_reason: str, word: str | None, told: Told) -> None:
    whole = {**a.RESPONSE, **changed}
    kind = {"failed": "response.failed", "incomplete": "response.incomplete"}.get(whole["status"], "response.completed")
    for pieces in ([whole], [*a.EVENTS[:5], {"type": kind, "response": whole}]):
        found = said(told, pieces)
        assert (found.stop_reason, found.error_type or None) == (stop_reason, word)
        assert found.usage.partial is msgspec.UNSET


@pytest.mark.parametrize(
    ("given", "stop_reason"),
    [
        *[({"choices": [{"message": {}, "finish_reason": reason}]}, word) for reason, word in
          [("stop", "stop"), ("length", "length"), ("function_call", "toolUse"), ("content_filter", "guardRail"), ("eos", "eos")]],
        *[({**a.MESSAGE, "stop_reason": reason}, word) for reason, word in
          [("max_tokens", "length"), ("stop_sequence", "stop"), ("tool_use", "toolUse"), ("refusal", "guardRail"), ("pause_turn", "paused")]],
        *[(a.gemini("x", reason, 0, 1), word) for reason, word in
          [("MAX_TOKENS", "length"), ("SAFETY", "guardRail"), ("FINISH_REASON_UNSPECIFIED", "stop"), ("MALFORMED_FUNCTION_CALL", "error")]],
        ({"candidates": [{"finishReason": "STOP", "content": {"parts": [{"functionCall": {"name": "f"}}]}}]}, "toolUse"),
    ],
)  # fmt: skip
def test_finish_reasons_in_phi_cores_words(given: a.Json, stop_reason: str, told: Told) -> None:
    assert said(told, [given]).stop_reason == stop_reason


def test_a_chat_stream_without_usage_is_one_hint(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        found = said(told, a.CHUNKS[:-1])
        assert found.usage == Usage()
    (record,) = caplog.records
    assert "stream_options={'include_usage': True}" in record.getMessage()


def test_deepseeks_and_gatewayss_spellings(told: Told) -> None:
    given = {
        "choices": [{"message": {"content": "x"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4},
    }
    assert said(told, [given]).usage == Usage(9, 2, cache_read=4, cached="in")


class Nasty:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise OSError(name)


@pytest.mark.parametrize(
    "make",
    [lambda: None, lambda: 7, lambda: "text", list, dict, object, Nasty, MagicMock, lambda: {"type": "newer"}, lambda: {"choices": 7}],
)  # fmt: skip
def test_what_is_no_answer_changes_nothing_and_is_a_hint(
    make: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    found = said(told, [make(), make()])
    assert (found.usage, found.stop_reason, found.model) == (Usage(), "stop", "")
    assert len(caplog.records) == 1


_leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
_words = st.sampled_from(
    ["type", "choices", "delta", "usage", "message", "response", "candidates", "content", "parts", "usage_metadata", "object",
     "chunk", "response.completed", "message_start", "message_delta", "message_stop", "prompt_tokens", "output", "status",
     "finish_reason", "failed", "error", "code", "incomplete_details", "prompt_feedback"]
)  # fmt: skip
wild = st.recursive(
    st.one_of(_leaves, _words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=5)),
    max_leaves=12,
)


@given(pieces=st.lists(wild, max_size=6))
def test_any_pieces_are_read_without_an_exception_and_give_sound_values(pieces: list[Any]) -> None:
    reading = Reading()
    for piece in pieces:
        reading.take(piece)
    usage = reading.usage()
    assert all(
        type(getattr(usage, name)) is int for name in ("input", "output", "reasoning", "cache_read", "total_tokens")
    )
    assert {type(reading.model), type(reading.stop_reason)} == {str}


def test_a_piece_of_a_stream_costs_little(told: Told) -> None:
    """A stream has hundreds of pieces: none may make events, or keep what was said before."""
    with otel_phi.loop(session="s") as loop, loop.model_call() as call:
        before = len(told)
        for _ in range(1_000):
            call.response(a.CHUNKS[1])
        assert len(told) == before
