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
    MessageEnd,
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
from tests.streams import LOOP, SMALL_CASES, answer, end, start, turn, turn_end, wild_streams

FIELDS: dict[type[msgspec.Struct], set[str]] = {
    AgentStart: {"parent_tool_call_id", "parent_session_id", "agent_name", "source"},
    AgentEnd: {"outcome", "error_type"},
    ToolExecutionStart: {"timestamp"},
    ToolExecutionEnd: {"error_type", "timestamp"},
    AssistantMessage: {"error_type", "cost_usd", "first_token_ms"},
    ToolResultMessage: {"error_type"},
    UserMessage: {"stop_limit"},
    Usage: {"cached", "partial"},
}
USED = Usage(input=1, cached="out", partial=True)
SOURCE = Source(agent="codex", version="0.1", cwd="/w", title="t", vcs=Vcs(branch="main"))
NAMES = set().union(*FIELDS.values())
WITH_THEM: list[AgentEvent] = [
    AgentStart(
        session_id="s", loop_id="l", timestamp=Instant(1), parent_tool_call_id="c", agent_name="a", source=SOURCE
    ),
    AgentStart(session_id="s", loop_id="l", timestamp=Instant(1), parent_session_id="p"),
    AgentEnd(loop_id="l", usage=USED),
    ToolExecutionStart(loop_id="l", timestamp=Instant(1)),
    ToolExecutionEnd(loop_id="l", timestamp=Instant(1)),
    MessageEnd(loop_id="l", message=AssistantMessage(cost_usd=0.5, first_token_ms=20.0, usage=USED)),
    AgentEnd(loop_id="l", outcome="error", error_type="timeout"),
    ToolExecutionEnd(loop_id="l", error_type="timeout"),
    MessageEnd(loop_id="l", message=AssistantMessage(error_type="api_error")),
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
def _twin(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Returns a class with the same JSON that leaves no default out and has none of the new fields."""
    config = kind.__struct_config__
    kept = [one for one in msgspec.structs.fields(kind) if one.name not in FIELDS.get(kind, ())]
    return msgspec.defstruct(
        kind.__name__,
        [(one.name, Any) for one in kept],
        tag=config.tag,
        tag_field=config.tag_field,
        rename={one.name: one.encode_name for one in kept},
    )


def _as_twin(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        twin = _twin(type(value))
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


@pytest.mark.parametrize("event", WITH_THEM, ids=repr)
def test_what_is_given_is_written_in_snake_case_and_read_again(event: AgentEvent) -> None:
    written = json.loads(encode_event(event))
    inner = written.get("message", written)
    assert NAMES & (inner.keys() | inner.get("usage", {}).keys())
    assert decode_event(encode_event(event)) == event


def test_the_list_of_new_fields_is_whole() -> None:
    kinds: set[Any] = {type(event) for event in WITH_THEM} | {
        type(event.message) for event in WITH_THEM if isinstance(event, MessageEnd)
    }
    kinds.add(Usage)
    found = {kind: {one.name for one in msgspec.structs.fields(kind) if one.default is msgspec.UNSET} for kind in kinds}
    assert {kind: names for kind, names in found.items() if names} == FIELDS


@pytest.mark.parametrize("event", WITH_THEM, ids=repr)
def test_null_stands_for_not_given(event: AgentEvent) -> None:
    line = json.loads(encode_event(event))
    holder = line.get("message", line)
    held = event.message if isinstance(event, MessageEnd) else event
    assert held is not None
    given = FIELDS[type(held)] & holder.keys()
    for key in given:
        holder[key] = None
    found = decode_event(json.dumps(line))
    assert not isinstance(found, Undecodable)
    again = json.loads(encode_event(found))
    assert again.get("message", again).keys() == holder.keys() - given


def test_phi_cores_own_json_never_has_them() -> None:
    recorder = SessionRecorder()
    story = [start(0), turn(1), turn_end(5, message=answer(4, 0, error_type="api_error")), *WITH_THEM]
    for event in [*story, end(9, outcome="error", error_type="api_error")]:
        if not isinstance(event, AgentStart) or event is story[0]:
            recorder.on_event(msgspec.structs.replace(event, loop_id=LOOP))
    recorder.flush()
    (session,) = recorder.sessions()
    printed = json.dumps(session.to_dict(events=True))
    assert '"role": "assistant"' in printed
    names = NAMES - {"timestamp"}  # which other events have of phi-core
    assert not [name for name in names if f'"{name}"' in printed]
    held = [stored.event for loop in session.loops for stored in loop.events]
    assert not [event for event in held for name in names if getattr(event, name, msgspec.UNSET) is not msgspec.UNSET]
