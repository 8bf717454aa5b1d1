"""Events made anew from a saved loop without any (phi-core 0.14 and newer): the same ids, coarser times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from otel_phi.wire.decode import decode_event
from otel_phi.wire.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    MessageEnd,
    ToolExecutionEnd,
    TurnEnd,
    TurnRequest,
    TurnStart,
)
from otel_phi.wire.messages import NO_USAGE, AssistantMessage, Message, ToolResultMessage, UserMessage, first_text
from otel_phi.wire.parts import RequestPayload, ToolResult
from otel_phi.wire.saved import SavedChild, SavedLoop, SavedTurn

# phi-core's default answer for a tool call that a hook refused: no execution, though a result.
_VETOED = "Tool execution skipped by before_tool_execution hook."
_STOPPED = "[Agent stopped:"
_payloads = msgspec.json.Decoder(RequestPayload)


def remade_start(loop: SavedLoop) -> AgentStart:
    """Returns the AgentStart of a saved loop."""
    return AgentStart(
        session_id=loop.session_id,
        loop_id=loop.loop_id,
        timestamp=loop.started_at,
        agent_id=loop.agent_id or "",
        parent_loop_id=loop.parent_loop_id,
        continuation_kind=loop.continuation_kind,
        metadata=loop.metadata,
        config_snapshot=loop.config,
    )


def remade_events(loop: SavedLoop, turns: Iterable[SavedTurn], final: msgspec.Raw | None) -> Iterator[AgentEvent]:
    """Yields the events that a saved loop's turns and messages prove.

    Args:
        loop: without its turns and messages.
        turns: its turns, as they are read.
        final: the last of its messages, None where it has none.
    """
    yield remade_start(loop)
    children = list(loop.child_loop_refs or ())
    for turn in turns:
        yield from _turn(loop.loop_id, turn, children)
    last = None if final is None else _message(final)
    if isinstance(last, UserMessage) and first_text(last.content, len(_STOPPED)) == _STOPPED:
        yield MessageEnd(loop_id=loop.loop_id, message=last)
    if loop.ended_at is not None:
        yield AgentEnd(
            loop_id=loop.loop_id, usage=loop.usage or NO_USAGE, timestamp=loop.ended_at, rejection=loop.rejection
        )


def _turn(loop_id: str, turn: SavedTurn, children: list[SavedChild]) -> Iterator[AgentEvent]:
    index = turn.turn_id.turn_index
    inputs = [message for raw in turn.input_messages or () if (message := _message(raw)) is not None]
    yield TurnStart(
        loop_id=loop_id, turn_index=index, timestamp=turn.started_at, triggered_by=turn.triggered_by or "User"
    )
    for message in inputs:
        if not isinstance(message, ToolResultMessage):
            yield MessageEnd(loop_id=loop_id, message=message)
    payload = _payload(turn)
    if payload is not None:
        yield TurnRequest(loop_id=loop_id, turn_index=index, payload=payload)
    output = _message(turn.output_message)
    if isinstance(output, AssistantMessage) and output.provider != "unknown":  # as phi-core's own failures have it
        yield MessageEnd(loop_id=loop_id, message=output)
    yield from _tools(loop_id, turn, inputs, children)
    listed = b"[" + b",".join(bytes(raw) for raw in turn.tool_results or ()) + b"]"
    yield TurnEnd(
        loop_id=loop_id,
        message=output,
        usage=turn.usage or NO_USAGE,
        timestamp=turn.ended_at,
        tool_results=msgspec.Raw(listed),
    )


def _tools(loop_id: str, turn: SavedTurn, inputs: list[Message], children: list[SavedChild]) -> Iterator[AgentEvent]:
    for raw in turn.tool_results or ():
        result = _message(raw)
        if isinstance(result, ToolResultMessage) and first_text(result.content, len(_VETOED) + 1) != _VETOED:
            yield ToolExecutionEnd(
                loop_id=loop_id,
                tool_call_id=result.tool_call_id,
                tool_name=result.tool_name,
                result=ToolResult(content=result.content),
                is_error=result.is_error,
                child_loop_id=_child(result, children),
            )
    for message in inputs:
        if isinstance(message, ToolResultMessage):
            yield MessageEnd(loop_id=loop_id, message=message)


def _child(result: ToolResultMessage, children: list[SavedChild]) -> str | None:
    """Takes the first child of that call not yet taken; call ids repeat from turn to turn, so the tool must fit too."""
    for number, child in enumerate(children):
        if child.tool_call_id == result.tool_call_id and child.tool_name == result.tool_name:
            return children.pop(number).child_loop_id
    return None


def _payload(turn: SavedTurn) -> RequestPayload | None:
    if turn.request_payload == msgspec.Raw(b"null"):
        return None
    try:
        return _payloads.decode(turn.request_payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return _payload_otherwise(turn.request_payload, error)


def _payload_otherwise(raw: msgspec.Raw, error: Exception) -> RequestPayload | None:
    """Reads a payload that a newer phi-core wrote, without the keys that this version does not know; None for what is none."""
    from otel_phi.wire.spellings import decode_respelled

    try:
        found: RequestPayload = decode_respelled(_payloads, raw, RequestPayload, error)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return found


def _message(raw: msgspec.Raw) -> Message | None:
    """Decodes a message with all the lenience that an event's message gets; None for what is none."""
    event = decode_event(b'{"type":"MessageEnd","loop_id":"","message":' + bytes(raw) + b"}")
    return event.message if isinstance(event, MessageEnd) else None
