"""What the wire gained: fields that phi-core does not write. Where nobody gives them, every byte is as it was before them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given

from otel_phi.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    AssistantMessage,
    GenericEvent,
    Instant,
    KnownEvent,
    MessageEnd,
    SideCall,
    Source,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResultMessage,
    Undecodable,
    Usage,
    UserMessage,
    Vcs,
    decode_event,
    encode_event,
    format_time,
)
from otel_phi.session.recorder import SessionRecorder
from tests import golden
from tests.streams import LOOP, SESSION, SMALL_CASES, answer, end, start, turn, turn_end, wild_streams

FIELDS: dict[type[msgspec.Struct], set[str]] = {
    AgentStart: {
        "parent_session_id",
        "parent_tool_call_id",
        "agent_name",
        "attributes",
        "source",
        "session_attributes",
        "captured",
    },
    AgentEnd: {"outcome", "error_type"},
    ToolExecutionStart: {"timestamp"},
    ToolExecutionEnd: {"error_type", "child_session_id", "outcome", "timestamp"},
    AssistantMessage: {"error_type", "first_token_ms", "streamed", "cost_usd"},
    ToolResultMessage: {"error_type"},
    UserMessage: {"stop_limit"},
    Usage: {"cached", "partial"},
}
WITH_THEM: list[AgentEvent] = [
    AgentStart(
        session_id="s",
        loop_id="l",
        timestamp=Instant(1),
        parent_session_id="chat-1",
        parent_tool_call_id="c",
        agent_name="planner",
        attributes={"tenant": "t", "weight": 0.5, "vip": True, "number": 7},
        source=Source(agent="codex", version="0.1", cwd="/w", title="t", vcs=Vcs(branch="main")),
        session_attributes={"user.id": "ada", "weight": 0.5, "vip": True, "number": 7},
        captured=True,
    ),
    AgentEnd(loop_id="l", outcome="error", error_type="timeout"),
    ToolExecutionStart(loop_id="l", timestamp=Instant(1)),
    ToolExecutionEnd(
        loop_id="l", error_type="timeout", child_session_id="chat-2", outcome="detached", timestamp=Instant(2)
    ),
    MessageEnd(
        loop_id="l", message=AssistantMessage(error_type="api_error", first_token_ms=3, streamed=False, cost_usd=0.5)
    ),
    MessageEnd(loop_id="l", message=AssistantMessage(usage=Usage(1, 2, cached="out", partial=True))),
    MessageEnd(loop_id="l", message=ToolResultMessage(error_type="tool_error")),
    MessageEnd(loop_id="l", message=UserMessage(stop_limit="turns")),
]


def digest(events: Iterable[AgentEvent]) -> str:
    lines = b"".join(encode_event(event) + b"\n" for event in events)
    return hashlib.blake2b(lines, digest_size=16).hexdigest()


# The digests are of the bytes that were written before these fields and before structs left their defaults out.


def test_the_demo_and_small_streams_are_written_in_the_bytes_they_always_were() -> None:
    events = [event for stream in (golden.demo(), *SMALL_CASES.values()) for event in stream]
    assert digest(events) == "b5dee12fabfe5cd3f64eca6f076351bc"


@golden.needed
def test_golden_streams_are_written_in_the_bytes_they_always_were() -> None:
    small = digest(event for stream in golden.small_streams().values() for event in stream)
    names = ("recorder_cases", "recorder_wild")
    random = digest(event for name in names for _, stream in golden.random_streams(name) for event in stream)
    assert (small, random) == ("c25f61385fec3cc4f9e0224c5f2f2ec3", "68401225f5e19fef05e8123f6d48ea42")


@functools.cache
def _twin(kind: type[msgspec.Struct], absent: frozenset[str]) -> type[msgspec.Struct]:
    """Returns a class with the same JSON that leaves no default out and has none of the new fields that are not given."""
    config = kind.__struct_config__
    kept = [one for one in msgspec.structs.fields(kind) if one.name not in absent]
    return msgspec.defstruct(
        kind.__name__,
        [(one.name, Any) for one in kept],
        tag=config.tag,
        tag_field=config.tag_field,
        rename={one.name: one.encode_name for one in kept},
    )


def _as_twin(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        absent = {name for name in value.__struct_fields__ if getattr(value, name) is msgspec.UNSET}
        twin = _twin(type(value), frozenset(absent))
        return twin(*(_as_twin(getattr(value, name)) for name in twin.__struct_fields__))
    if isinstance(value, dict):
        return {key: _as_twin(inner) for key, inner in value.items()}
    return value


_encoder = msgspec.json.Encoder(enc_hook=lambda value: format_time(value) if isinstance(value, Instant) else None)


@given(events=wild_streams)
def test_any_event_is_written_as_an_encoder_that_leaves_no_default_out_writes_it(events: list[AgentEvent]) -> None:
    for event in events:
        if not isinstance(event, GenericEvent):
            try:
                before = _encoder.encode(_as_twin(event))
            except ValueError:  # a time beyond the year 9999
                with pytest.raises(ValueError, match="years"):
                    encode_event(event)
            else:
                assert encode_event(event) == before


def _given(event: AgentEvent) -> set[str]:
    """Returns the JSON keys of the new fields that an event has, in itself or its message and usage."""
    line = json.loads(encode_event(event))
    inner = line.get("message") or {}
    names = {name for fields in FIELDS.values() for name in fields} - {"timestamp"}
    return {key for holder in (line, inner, inner.get("usage") or {}) for key in holder if key in names}


@pytest.mark.parametrize("event", WITH_THEM, ids=lambda event: type(event).__name__)
def test_what_is_given_is_written_in_snake_case_and_read_again(event: AgentEvent) -> None:
    assert _given(event) or isinstance(event, ToolExecutionStart)
    assert decode_event(encode_event(event)) == event


def test_the_list_of_new_fields_is_whole() -> None:
    kinds: set[Any] = {Usage, UserMessage, AssistantMessage, ToolResultMessage, *KnownEvent.__args__} - {SideCall}
    found = {kind: {one.name for one in msgspec.structs.fields(kind) if one.default is msgspec.UNSET} for kind in kinds}
    assert {kind: names for kind, names in found.items() if names} == FIELDS


@pytest.mark.parametrize("event", WITH_THEM, ids=lambda event: type(event).__name__)
def test_null_stands_for_not_given(event: AgentEvent) -> None:
    line = json.loads(encode_event(event))
    inner = line.get("message") or {}
    for holder in (line, inner, inner.get("usage") or {}):
        for key in holder:
            if (any(key in fields for fields in FIELDS.values()) and holder is not inner and key != "timestamp") or (
                holder is inner and key in FIELDS[AssistantMessage] | FIELDS[UserMessage]
            ):
                holder[key] = None
    found = decode_event(json.dumps(line))
    assert not isinstance(found, Undecodable)
    assert _given(found) == set()


def test_phi_cores_own_json_never_has_them() -> None:
    recorder = SessionRecorder()
    story = [
        start(0),
        turn(1),
        turn_end(5, message=answer(4, 0, error_type="api_error"), usage=Usage(1, 2, partial=True)),
        *WITH_THEM[1:],
    ]
    side = SideCall(id="side", session_id=SESSION, start=Instant(1), loop_id=LOOP)
    for event in [*story, side, end(9, outcome="error", error_type="api_error")]:
        recorder.on_event(msgspec.structs.replace(event, loop_id=LOOP))
    recorder.flush()
    (session,) = recorder.sessions()
    printed = json.dumps(session.to_dict(events=True))
    assert '"role": "assistant"' in printed
    names = {name for fields in FIELDS.values() for name in fields} - {"timestamp"}
    assert not [name for name in names if f'"{name}"' in printed]
    assert "SideCall" not in printed
    held = [stored.event for loop in session.loops for stored in loop.events]
    assert not [event for event in held for name in names if getattr(event, name, msgspec.UNSET) is not msgspec.UNSET]
