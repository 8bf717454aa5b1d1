"""Lean events: the quick way of a turn's events gives what the whole way gives, or leaves it to that."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi import events as e
from otel_phi.delivery.journal.facts import decode_fact, encode_event
from otel_phi.policy import lean
from otel_phi.policy.content import decode_without_content
from otel_phi.policy.lean import LeanEvent, convert_lean, decode_lean
from otel_phi.wire.parts import RequestPayload, ToolResult
from tests import golden
from tests.benchmarks.streams import session_lines
from tests.streams import OWN_CASES, SMALL_CASES, wild_streams

STREAMS = {**golden.small_streams(), **SMALL_CASES, **OWN_CASES}
_encode = msgspec.json.Encoder(enc_hook=int).encode


def ways(line: bytes) -> Iterator[tuple[LeanEvent | None, bytes]]:
    """Yields what each quick way makes of a line given as bytes, as text and as a mapping, and the line that it stands for."""
    yield decode_lean(line), line
    yield decode_lean(line.decode(errors="replace")), line
    try:
        given_ = json.loads(line)
    except ValueError:
        return  # no JSON, and so no mapping either
    if isinstance(given_, dict):
        yield convert_lean(given_), msgspec.json.encode(given_)


def assert_the_same(lines: Iterable[bytes]) -> int:
    """Asserts that each quick way says what the whole way says; returns how often there was one."""
    count = 0
    for found, stood_for in (way for line in lines for way in ways(line)):
        if found is not None:
            whole = decode_without_content(stood_for)
            assert not isinstance(whole, e.Undecodable)
            assert decode_fact(_encode(found)) == whole
            assert b"null" in _encode(found) or _encode(found) == encode_event(whole)
            count += 1
    return count


def written(events: Iterable[e.AgentEvent]) -> Iterator[bytes]:
    for event in events:
        with contextlib.suppress(ValueError):  # a time beyond the year 9999, a lone surrogate
            yield e.encode_event(event)


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_says_the_same_by_the_quick_way(name: str) -> None:
    assert_the_same(written(STREAMS[name]))


@golden.needed
@pytest.mark.parametrize("name", ["recorder_cases", "recorder_wild"])
def test_random_streams_say_the_same_by_the_quick_way(name: str) -> None:
    assert sum(assert_the_same(written(events)) for _, events in golden.random_streams(name)) > 1_000


@given(events=wild_streams)
def test_any_stream_says_the_same_by_the_quick_way(events: list[e.AgentEvent]) -> None:
    assert_the_same(written(events))


_PIECES = (b'"turnId":{"loopId":"a"}', b'"nodeId":"x"', b'"timestamp":7', b'"timestamp":null', b'"usage":{"cached":"x y"}',
           b'"stop_reason":"a b"', b'"toolCallId":""', b'"isError":true', b'"error_type":"a b"', b'"tool_results":[{}]',
           b'"tool_results":[{"role":"toolResult","toolName":"a b","content":[{"text":"secret"}]}]', b'"model":"a b"',
           b'"temperature":1e999', b'"turn_index":1.0', b'"child_loop_id":"x"', b'"triggered_by":"a b"')  # fmt: skip


@given(
    line=st.sampled_from(list(session_lines(1, 1))),
    piece=st.sampled_from(_PIECES),
    at=st.integers(0, 8),
)
def test_a_line_with_something_unusual_in_it_says_the_same_by_the_quick_way(line: bytes, piece: bytes, at: int) -> None:
    objects = [place for place, byte in enumerate(line) if byte == ord("{")]
    place = objects[at % len(objects)] + 1
    joint = b"" if line[place : place + 1] == b"}" else b","
    assert_the_same([line[:place] + piece + joint + line[place:], line[:-1] + b"," + piece + b"}"])


def test_what_phi_core_writes_in_a_turn_goes_the_quick_way() -> None:
    quick = {"TurnStart", "TurnRequest", "MessageEnd", "ToolExecutionStart", "ToolExecutionEnd", "TurnEnd"}
    lines = [line for line in session_lines(2, 0) if json.loads(line)["type"] in quick]
    assert len(lines) == 14
    assert assert_the_same(lines) == 3 * len(lines)


@pytest.mark.parametrize(
    "given_",
    [
        {"type": "TurnStart"},
        {"type": "TurnStart", "loop_id": 7},
        {"type": ["TurnStart"], "loop_id": "a"},
        {"type": "TurnStart", "loop_id": "a", "timestamp": 1_779_786_842_000_000_000},
        {"type": "TurnStart", "loop_id": "a", "timestamp": "yesterday"},
        {"type": "MessageEnd", "loop_id": "a", "message": {"role": "user", "content": "secret"}},
        {"type": "MessageEnd", "loop_id": "a", "message": {"role": "assistant", "stopReason": "error"}},
        {"type": "MessageStart", "loop_id": "a"},
        {},
    ],
)
def test_what_takes_a_closer_look_is_left_to_the_whole_way(given_: dict[str, Any]) -> None:
    line = json.dumps(given_)
    assert convert_lean(given_) is decode_lean(line) is decode_lean(line.encode()) is None


@pytest.mark.parametrize(
    ("whole", "twin"),
    [
        (e.TurnStart, lean._TurnStart),
        (e.TurnRequest, lean.LeanTurnRequest),
        (e.TurnEnd, lean.LeanTurnEnd),
        (e.MessageEnd, lean._MessageEnd),
        (e.ToolExecutionStart, lean._ToolStart),
        (e.ToolExecutionEnd, lean._ToolEnd),
        (e.AssistantMessage, lean._Assistant),
        (e.ToolResultMessage, lean._ToolResult),
        (RequestPayload, lean._Request),
        (ToolResult, lean._Result),
    ],
)
def test_a_lean_type_has_every_field_in_the_same_order(whole: type[msgspec.Struct], twin: type[msgspec.Struct]) -> None:
    assert twin.__struct_encode_fields__ == whole.__struct_encode_fields__
    assert twin.__struct_config__.forbid_unknown_fields
    assert twin.__struct_config__.tag == whole.__struct_config__.tag
