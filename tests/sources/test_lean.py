"""Events read without content give the same spans as whole ones, wherever their stream is cut."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from hypothesis import given

from otel_phi.events import AgentEvent, encode_event
from otel_phi.mapping.span import Span
from otel_phi.pipeline import Pipeline
from otel_phi.policy.content import admit
from otel_phi.recorder.core import RecorderCore
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import BadLine, EventReader
from otel_phi.wire import lean
from otel_phi.wire.decode import Undecodable, decode_event
from tests import golden
from tests.laws import as_bytes
from tests.policy.whole import OPTIONS
from tests.streams import OWN_CASES, SMALL_CASES, Mutilated, mutilated, wild_streams

STREAMS = {**golden.small_streams(), **SMALL_CASES, **OWN_CASES}


def lines(events: Iterable[AgentEvent]) -> list[bytes]:
    """Returns the events as lines; one with a time beyond the year 9999 has none."""
    return [line for event in events if (line := _line(event)) is not None]


def _line(event: AgentEvent) -> bytes | None:
    try:
        return encode_event(event)
    except ValueError:
        return None


def read(data: bytes, *, content: bool) -> tuple[list[AgentEvent], list[BadLine]]:
    bad: list[BadLine] = []
    reader = EventReader("x", for_spans=True, on_bad_line=bad.append, content=content)
    return list(reader.read(read_lines(io.BytesIO(data)))), bad


def made(events: Iterable[AgentEvent]) -> list[bytes]:
    found: list[bytes] = []
    for options in OPTIONS:
        road = Pipeline(options)
        spans: list[Span] = [span for event in events for span in road.feed(event)]
        found.append(as_bytes([*spans, *road.finish()]))
    return found


def assert_the_same(data: bytes) -> None:
    whole, bad = read(data, content=True)
    few, same_bad = read(data, content=False)
    assert made(few) == made(whole)
    assert same_bad == bad


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_gives_the_same_bytes(name: str) -> None:
    events = lines(STREAMS[name])
    assert_the_same(b"\n".join(events))
    assert_the_same(b"\n".join(b'{"ordinal":%d,"event":%s}' % (number, line) for number, line in enumerate(events, 1)))


@golden.needed
@pytest.mark.parametrize("name", ["recorder_cases", "recorder_wild"])
def test_random_streams_give_the_same_bytes(name: str) -> None:
    for _, events in golden.random_streams(name):
        assert_the_same(b"\n".join(lines(events)))


@given(events=wild_streams)
def test_any_stream_gives_the_same_bytes(events: list[AgentEvent]) -> None:
    assert_the_same(b"\n".join(lines(events)))


@given(recipe=mutilated(STREAMS))
def test_a_mutilated_stream_gives_the_same_bytes(recipe: Mutilated) -> None:
    assert_the_same(b"\n".join(lines(recipe.of(STREAMS))))


def test_what_a_span_needs_of_contents_is_read_of_them() -> None:
    failed = (
        b'{"role":"toolResult","toolCallId":"c","isError":true,"content":[{"type":"text","text":"Tool x not found"}]}'
    )
    for line in (
        b'{"type":"MessageEnd","loop_id":"l","message":%s}' % failed,
        b'{"type":"TurnEnd","loop_id":"l","tool_results":[%s]}' % failed,
        b'{"type":"ToolExecutionEnd","loop_id":"l","tool_call_id":"c","is_error":true,"result":{"content":[]}}',
        b'{"type":"MessageEnd","loop_id":"l","message":{"role":"toolResult","tool_call_id":"c"}}',
        b'{"type":"MessageEnd","loop_id":"l","message":{"role":"assistant","stop_reason":"error"}}',
        b'{"type":"MessageEnd","loopId":"l","message":{"role":"assistant"}}',
    ):
        assert lean.decode_lean(line) == decode_event(line)


def test_a_lean_event_has_no_field_for_content() -> None:
    for kind in (*lean.LEAN, lean.Assistant, lean.Result):
        assert {"content", "args", "details", "tags", "provenance_hint"}.isdisjoint(kind.__struct_fields__)
    events = [
        lean.decode_lean(line) for name in ("demo", *SMALL_CASES) for line in lines(STREAMS.get(name, golden.demo()))
    ]
    assert {event.__class__ for event in events} >= set(lean.LEAN)


def test_a_turn_that_was_read_without_content_survives_a_snapshot() -> None:
    events = [
        admit(found) for found in map(lean.decode_lean, lines(golden.demo())) if not isinstance(found, Undecodable)
    ]
    whole, cut = RecorderCore(), RecorderCore()
    for event in events:
        assert not isinstance(event, Undecodable)
        assert list(whole.on_event(event)) == list(cut.on_event(event))
        cut = RecorderCore.restore(cut.snapshot())
