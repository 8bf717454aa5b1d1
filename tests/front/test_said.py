"""What a model said: the same blocks whole, in pieces, and by the helpers of a package; nothing with content off."""

from __future__ import annotations

import json
from typing import Any

import pytest

import otel_phi
from otel_phi.events import AssistantMessage, MessageEnd
from otel_phi.front.responses.said import MAX_CHARACTERS, Said
from tests.front import answers
from tests.front.told import Told


def blocks(*given: Any) -> list[dict[str, Any]]:
    said = Said()
    for one in given:
        said.take(one)
    content = said.content()
    return [] if content is None else list(json.loads(bytes(content)))


CALL = {"type": "toolCall", "id": "c1", "name": "weather", "arguments": {"city": "Bern"}}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([answers.CHAT], [{**CALL, "arguments": {}}]),
        (answers.CHUNKS, [{"type": "text", "text": "Hello"}]),
        (
            [
                answers.chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"ci'}}]}),
                answers.chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ty": "Bern"}'}}]}),
            ],
            [CALL],
        ),
        (
            [
                {"type": "response.output_text.delta", "output_index": 0, "delta": "half"},
                {
                    "type": "response.completed",
                    "response": {
                        "output": [
                            {"type": "reasoning", "summary": [{"text": "hm"}]},
                            {"type": "message", "content": [{"type": "output_text", "text": "whole"}]},
                            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Bern"}'},
                        ]
                    },
                },
            ],
            [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "whole"}, CALL],
        ),
        (
            [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
                {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": "weather", "input": {}}},
                {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"city": "Bern"}'}},
            ],
            [{"type": "thinking", "thinking": "hm"}, CALL],
        ),
        (
            [{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Bern"}}]}],
            [{"type": "text", "text": "Hi"}, CALL],
        ),
        (
            [
                {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "Hel"}]}}]},
                {"candidates": [{"content": {"parts": [{"text": "lo"}, {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Bern"}}}]}}]},
            ],
            [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}, CALL],
        ),
        ([None, 7, "x", {}, {"choices": []}, {"choices": [None]}, {"type": "content_block_delta"}], []),
    ],
)  # fmt: skip
def test_every_provider_s_answer_gives_phi_core_s_blocks(given: list[Any], wanted: list[Any]) -> None:
    assert blocks(*given) == wanted


def test_an_answer_never_grows_without_end() -> None:
    piece = {"candidates": [{"content": {"parts": [{"text": "x" * 100_000}]}}]}
    (block,) = blocks(*[piece] * 9)
    assert len(block["text"]) == MAX_CHARACTERS


def _call() -> None:
    with otel_phi.loop(session="s", model="m") as loop, loop.model_call() as call:
        for one in answers.CHUNKS:
            call.response(one)


def _contents(told: Told) -> list[bytes]:
    said = [event.message for event in told if isinstance(event, MessageEnd)]
    return [bytes(message.content) for message in said if isinstance(message, AssistantMessage)]


def test_with_content_on_the_answer_is_in_its_message(with_content: Told) -> None:
    _call()
    assert _contents(with_content) == [b'[{"type":"text","text":"Hello"}]']


def test_with_content_off_it_is_not(told: Told) -> None:
    _call()
    assert _contents(told) == [b"null"]
