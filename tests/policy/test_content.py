"""`without_content`: idempotent, the very same object where there is nothing to take out, strict about hand-made values."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import pytest
from hypothesis import given

from otel_phi.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    AssistantMessage,
    CompactionEnded,
    CompactionStarted,
    ConfigSnapshot,
    GenericEvent,
    Instant,
    MessageEnd,
    ParallelLoopEnd,
    ParallelLoopStart,
    PrunApplied,
    RequestPayload,
    ResponseFormat,
    RevertApplied,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    ToolResultMessage,
    TurnEnd,
    TurnId,
    TurnRequest,
    TurnStart,
    Undecodable,
    Usage,
)
from otel_phi.policy.content import admit, without_content
from otel_phi.session.canonical_parts import ForeignMessage, SchemaFormat
from tests import golden
from tests.streams import LOOP, SESSION, SMALL_CASES, at, text, wild_streams

STREAMS = {**golden.small_streams(), **SMALL_CASES}
ANSWER = AssistantMessage(model="m", provider="p", stop_reason="toolUse", usage=Usage(1, 2), timestamp=5)
NOTHING_TO_TAKE_OUT: list[AgentEvent] = [
    AgentStart(
        session_id=SESSION, loop_id=LOOP, timestamp=at(0), config_snapshot=ConfigSnapshot(model="m", provider="p")
    ),
    TurnStart(loop_id=LOOP, turn_index=0, timestamp=at(1), triggered_by="User"),
    TurnRequest(loop_id=LOOP, turn_index=0, payload=RequestPayload(model_id="m", max_tokens=5), timestamp=at(2)),
    MessageEnd(loop_id=LOOP, message=ANSWER),
    ToolExecutionStart(loop_id=LOOP, tool_call_id="c", tool_name="bash"),
    ToolExecutionEnd(loop_id=LOOP, tool_call_id="c", tool_name="bash"),
    MessageEnd(loop_id=LOOP, message=ToolResultMessage(tool_call_id="c", tool_name="bash", timestamp=6)),
    TurnEnd(loop_id=LOOP, message=ANSWER, usage=Usage(1, 2), timestamp=at(3)),
    CompactionStarted(loop_id=LOOP, timestamp=at(4)),
    CompactionEnded(loop_id=LOOP, timestamp=at(4)),
    PrunApplied(loop_id=LOOP, timestamp=at(4)),
    RevertApplied(loop_id=LOOP, category="failure", timestamp=at(4)),
    ParallelLoopStart(session_id=SESSION, loop_ids=(LOOP,), timestamp=at(4)),
    ParallelLoopEnd(session_id=SESSION, selected_loop_id=LOOP, timestamp=at(4)),
    GenericEvent(type="Newer", loop_id=LOOP),
    AgentEnd(loop_id=LOOP, timestamp=at(5)),
]


@pytest.mark.parametrize("event", NOTHING_TO_TAKE_OUT, ids=lambda event: type(event).__name__)
def test_an_event_with_nothing_to_take_out_is_the_very_same_object(event: AgentEvent) -> None:
    without_content(event)  # its words are known from here on
    assert without_content(event) is event


@pytest.mark.parametrize("name", STREAMS)
def test_applied_twice_it_changes_nothing(name: str) -> None:
    for event in STREAMS[name]:
        once = without_content(event)
        assert without_content(once) is once
        assert type(once) is type(event)


@given(events=wild_streams)
def test_applied_twice_it_changes_nothing_of_any_event(events: list[AgentEvent]) -> None:
    for event in events:
        once = without_content(event)
        assert without_content(once) == once


# --- words that a source gave are kept ------------------------------------------------------------------------------------------


def test_a_word_that_is_there_is_never_overwritten() -> None:
    message = AssistantMessage(stop_reason="error", error_message="API error: x", error_type="quota")
    failed = ToolExecutionEnd(loop_id=LOOP, is_error=True, result=ToolResult(content=text("Cancelled")), error_type="e")
    said = without_content(MessageEnd(loop_id=LOOP, message=message)).message
    assert isinstance(said, AssistantMessage)
    assert (said.error_type, said.error_message) == ("quota", None)
    assert without_content(failed).error_type == "e"


@pytest.mark.parametrize("text_", ["", "two words", "x" * 65, "\u2028"])
def test_an_error_type_that_is_no_word_is_other(text_: str) -> None:
    assert without_content(AgentEnd(loop_id=LOOP, error_type=text_)).error_type == "_OTHER"
    assert without_content(ToolExecutionEnd(loop_id=LOOP, error_type=text_)).error_type == "_OTHER"


def test_an_outcome_is_one_of_three() -> None:
    for word in ("ok", "cancelled", "error"):
        assert without_content(AgentEnd(loop_id=LOOP, outcome=word)).outcome == word
    assert without_content(AgentEnd(loop_id=LOOP, outcome="splendid")).outcome == "_other"
    assert without_content(AgentEnd(loop_id=LOOP, outcome="")).outcome is msgspec.UNSET


# --- what is more than the wire's own --------------------------------------------------------------------------------------------


def test_classes_made_elsewhere_come_back_as_the_wires_own() -> None:
    form = SchemaFormat(kind="json-schema", schema=text("secret"), name="secret", strict=True)
    request = TurnRequest(loop_id=LOOP, payload=RequestPayload(model_id="m", response_format=form))
    payload = without_content(request).payload
    assert payload is not None
    assert payload.response_format == ResponseFormat("json-schema")
    foreign = MessageEnd(loop_id=LOOP, message=ForeignMessage(kind="k", data=text("secret"), app_role="a secret"))
    assert "secret" not in repr(without_content(foreign))


wrong: Any = "a text that tells something"
WRONG: list[AgentEvent] = [
    AgentStart(session_id=SESSION, loop_id=LOOP, timestamp=wrong),
    AgentStart(session_id=5, loop_id=LOOP, timestamp=at(0)),  # type: ignore[arg-type]
    AgentStart(session_id=SESSION, loop_id=LOOP, timestamp=at(0), config_snapshot=wrong),
    AgentStart(session_id=SESSION, loop_id=LOOP, timestamp=at(0), config_snapshot=ConfigSnapshot(max_tokens=wrong)),
    AgentStart(session_id=SESSION, loop_id=LOOP, timestamp=at(0), config_snapshot=ConfigSnapshot(reasoning=wrong)),
    AgentStart(session_id=SESSION, loop_id=LOOP, timestamp=at(0), config_snapshot=ConfigSnapshot(temperature=wrong)),
    AgentEnd(loop_id=LOOP, usage=wrong),
    AgentEnd(loop_id=LOOP, usage=Usage(reasoning=wrong)),
    AgentEnd(loop_id=LOOP, usage=Usage(input=True)),
    TurnStart(loop_id=LOOP, turn_index=wrong),
    TurnRequest(loop_id=LOOP, payload=wrong),
    TurnRequest(loop_id=LOOP, payload=RequestPayload(max_tokens=wrong)),
    MessageEnd(loop_id=LOOP, message=wrong),
    MessageEnd(loop_id=LOOP, message=AssistantMessage(timestamp=wrong)),
    MessageEnd(loop_id=LOOP, message=AssistantMessage(node_id=wrong)),
    MessageEnd(loop_id=LOOP, message=AssistantMessage(turn_id=TurnId(LOOP, wrong))),
    MessageEnd(loop_id=LOOP, message=ToolResultMessage(is_error=wrong)),
    ToolExecutionEnd(loop_id=LOOP, is_error=wrong),
    ToolExecutionEnd(loop_id=LOOP, result=wrong),
    TurnEnd(loop_id=LOOP, usage=wrong),
    ParallelLoopStart(session_id=SESSION, loop_ids=wrong),
    ParallelLoopStart(session_id=SESSION, loop_ids=(5,)),  # type: ignore[arg-type]
    ParallelLoopEnd(session_id=SESSION, selected_config_index=wrong),
    CompactionStarted(loop_id=LOOP, message_count=wrong),
    CompactionEnded(loop_id=LOOP, loops_compacted=wrong),
    PrunApplied(loop_id=LOOP, pruned_timestamps=(wrong,)),
    RevertApplied(loop_id=LOOP, abandoned_node_ids=(wrong,)),
    RevertApplied(loop_id=LOOP, applied=wrong),
    GenericEvent(type="Newer", timestamp=wrong),
]


@pytest.mark.parametrize("event", WRONG, ids=lambda event: type(event).__name__)
def test_a_value_of_another_class_is_noticed_and_told_of_without_the_value(event: AgentEvent) -> None:
    with pytest.raises(TypeError) as raised:
        without_content(event)
    assert wrong not in str(raised.value)
    said = admit(event)  # what phi-core drops where it is malformed (a node's id, a turn's) is dropped here too
    assert isinstance(said, Undecodable) or wrong not in repr(said)


class Provider(str, enum.Enum):
    OPENAI = "openai"


def test_what_only_looks_different_goes_by_way_of_json() -> None:
    begun: Any = {"session_id": Provider.OPENAI, "loop_id": LOOP, "timestamp": Instant(at(0))}
    assert admit(AgentStart(**begun)) == AgentStart(session_id="openai", loop_id=LOOP, timestamp=at(0))
    spoken: Any = AssistantMessage(content="a text", timestamp=5)  # type: ignore[arg-type]
    assert admit(MessageEnd(loop_id=LOOP, message=spoken)) == MessageEnd(
        loop_id=LOOP, message=AssistantMessage(timestamp=5)
    )
    stopped: Any = ToolResult(content="Cancelled")  # type: ignore[arg-type]
    ended = admit(ToolExecutionEnd(loop_id=LOOP, is_error=True, result=stopped))
    assert ended == ToolExecutionEnd(loop_id=LOOP, is_error=True, error_type="cancelled")


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(TypeError):
        without_content(ANSWER)  # type: ignore[type-var]
