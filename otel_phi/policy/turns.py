"""Turns, messages and tools as they may be said: most of all events, so each begins with what is to be let through at once."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from otel_phi.policy import parts
from otel_phi.policy.fresh import tool_results
from otel_phi.policy.messages import message, tool_word
from otel_phi.policy.parts import old_if_equal, usage
from otel_phi.policy.words import (
    GIVEN_IDENTIFIERS,
    GIVEN_TIMES,
    IDENTIFIERS,
    LEVELS,
    NUMBERS,
    TIMES,
    TOOL_OUTCOMES,
    TRIGGERS,
    checked,
    given_of,
    known_names,
    name,
    one_of,
)
from otel_phi.wire import events as e
from otel_phi.wire.messages import NULL
from otel_phi.wire.parts import RequestPayload


def turn_start(event: e.TurnStart) -> e.TurnStart:
    """Leaves a TurnStart as it is, its trigger one of those known."""
    if (
        event.loop_id.__class__ is str
        and event.turn_index.__class__ is int
        and event.timestamp.__class__ in TIMES
        and event.triggered_by in TRIGGERS
    ):
        return event
    checked({str}, event.loop_id)
    checked({int}, event.turn_index)
    checked(TIMES, event.timestamp)
    return e.TurnStart(
        loop_id=event.loop_id,
        turn_index=event.turn_index,
        timestamp=event.timestamp,
        triggered_by=one_of(TRIGGERS, event.triggered_by),
    )


def turn_request(event: e.TurnRequest) -> e.TurnRequest:
    """Leaves of a TurnRequest its settings."""
    if (
        event.loop_id.__class__ is str
        and event.turn_index.__class__ is int
        and event.timestamp.__class__ in TIMES
        and (event.payload is None or _is_bare(event.payload))
    ):
        return event
    checked({str}, event.loop_id)
    checked({int}, event.turn_index)
    checked(TIMES, event.timestamp)
    return old_if_equal(
        e.TurnRequest(
            loop_id=event.loop_id,
            turn_index=event.turn_index,
            payload=parts.request(event.payload),
            timestamp=event.timestamp,
        ),
        event,
    )


def _is_bare(payload: RequestPayload) -> bool:
    """Says, as cheaply as can be, whether a request holds nothing to take out; False where it must be looked at closer."""
    return (
        payload.__class__ is RequestPayload
        and payload.system_prompt is NULL
        and payload.messages is NULL
        and payload.provenance is NULL
        and payload.tools is NULL
        and payload.model_id in known_names
        and payload.thinking_level in LEVELS
        and payload.max_tokens.__class__ in NUMBERS
        and payload.temperature is None
        and payload.response_format is None
        and payload.tool_names is UNSET
        and payload.input_mode is payload.message_count is payload.first_message is UNSET
    )


def turn_end(event: e.TurnEnd) -> e.TurnEnd:
    """Leaves of a TurnEnd its usage, how the call went, and whose results there were."""
    said = message(event.message)
    used = usage(event.usage)
    if (
        said is event.message
        and used is event.usage
        and event.tool_results is NULL
        and event.loop_id.__class__ is str
        and event.timestamp.__class__ in TIMES
    ):
        return event
    checked({str}, event.loop_id)
    checked(TIMES, event.timestamp)
    return old_if_equal(
        e.TurnEnd(
            loop_id=event.loop_id,
            message=said,
            usage=used,
            timestamp=event.timestamp,
            tool_results=tool_results(event.tool_results),
        ),
        event,
    )


def message_start(event: e.MessageStart) -> e.MessageStart:
    """Leaves of a MessageStart who speaks."""
    checked({str}, event.loop_id)
    said = message(event.message)
    return event if said is event.message else e.MessageStart(loop_id=event.loop_id, message=said)


def message_update(event: e.MessageUpdate) -> e.MessageUpdate:
    """Leaves of a MessageUpdate nothing but its loop."""
    checked({str}, event.loop_id)
    return old_if_equal(e.MessageUpdate(loop_id=event.loop_id), event)


def message_end(event: e.MessageEnd) -> e.MessageEnd:
    """Leaves of a MessageEnd who spoke, when, and how it went."""
    said = message(event.message)
    if said is event.message and event.loop_id.__class__ is str:
        return event
    checked({str}, event.loop_id)
    return e.MessageEnd(loop_id=event.loop_id, message=said)


def tool_start(event: e.ToolExecutionStart) -> e.ToolExecutionStart:
    """Leaves of a ToolExecutionStart which call of which tool it is."""
    if (
        event.args is NULL
        and event.timestamp.__class__ in GIVEN_TIMES
        and event.tool_name in known_names
        and event.loop_id.__class__ is event.tool_call_id.__class__ is str
    ):
        return event
    checked(GIVEN_TIMES, event.timestamp)
    return old_if_equal(e.ToolExecutionStart(**_of_a_tool(event), timestamp=event.timestamp), event)


def tool_update(event: e.ToolExecutionUpdate) -> e.ToolExecutionUpdate:
    """Leaves of a ToolExecutionUpdate which call of which tool it is."""
    return old_if_equal(e.ToolExecutionUpdate(**_of_a_tool(event)), event)


def tool_end(event: e.ToolExecutionEnd) -> e.ToolExecutionEnd:
    """Leaves of a ToolExecutionEnd how it went, and the loop it ran."""
    if (
        event.result is None
        and event.is_error is False
        and event.error_type is UNSET
        and event.child_loop_id is None
        and event.child_session_id is UNSET
        and event.outcome is UNSET
        and event.timestamp.__class__ in GIVEN_TIMES
        and event.tool_name in known_names
        and event.loop_id.__class__ is event.tool_call_id.__class__ is str
    ):
        return event
    checked({bool}, event.is_error)
    checked(IDENTIFIERS, event.child_loop_id)
    checked(GIVEN_IDENTIFIERS, event.child_session_id)
    checked(GIVEN_TIMES, event.timestamp)
    return old_if_equal(
        e.ToolExecutionEnd(
            **_of_a_tool(event),
            result=parts.result(event.result),
            is_error=event.is_error,
            child_loop_id=event.child_loop_id,
            error_type=tool_word(event, NULL if event.result is None else event.result.content),
            child_session_id=event.child_session_id,
            outcome=given_of(TOOL_OUTCOMES, event.outcome),
            timestamp=event.timestamp,
        ),
        event,
    )


def progress(event: e.ProgressMessage) -> e.ProgressMessage:
    """Leaves of a ProgressMessage which call of which tool it is."""
    return old_if_equal(e.ProgressMessage(**_of_a_tool(event)), event)


def _of_a_tool(event: Any) -> dict[str, Any]:
    checked({str}, event.loop_id, event.tool_call_id)
    return {"loop_id": event.loop_id, "tool_call_id": event.tool_call_id, "tool_name": name(event.tool_name)}
