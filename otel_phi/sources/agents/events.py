"""Facts to events, in phi's order within a turn; what comes when is the LoopBuilder's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec import UNSET, Raw, UnsetType

from otel_phi.sources.agents.facts import LoopFacts, ToolFacts, TurnFacts
from otel_phi.wire import events as e
from otel_phi.wire.messages import MILLISECOND_NS, AssistantMessage, ToolResultMessage
from otel_phi.wire.parts import ConfigSnapshot, RequestPayload, Source, ToolResult
from otel_phi.wire.times import Instant

_WORD = re.compile(r"[A-Za-z0-9_.:/@+-]{1,64}")
NOT_EXECUTED = "not_executed"  # the `error_type` of a tool that was called and never run; it stands in no event


def start_event(facts: LoopFacts, session_id: str) -> e.AgentStart:
    """Returns a loop's AgentStart."""
    config = ConfigSnapshot(
        model=facts.model, provider=facts.provider, thinking_level=_word(facts.thinking_level) or None
    )
    return e.AgentStart(
        session_id=session_id,
        loop_id=facts.loop_id,
        timestamp=Instant(facts.started_ns),
        parent_loop_id=facts.parent_loop_id,
        continuation_kind=facts.kind,
        config_snapshot=config if facts.model or facts.provider else None,
        parent_tool_call_id=facts.parent_tool_call_id or UNSET,
        parent_session_id=facts.parent_session_id or UNSET,
        agent_name=_word(facts.agent_name) or (facts.source.agent if facts.source else UNSET),
        source=UNSET if facts.source is None else _in_words(facts.source),
    )


def is_word(text: str) -> bool:
    """Says whether a text is a word; a name with a blank in it is somebody's text."""
    return _WORD.fullmatch(text) is not None


def _word(text: str | UnsetType) -> str | UnsetType:
    """Returns a text that is a word as such."""
    return text if isinstance(text, str) and is_word(text) else UNSET


def _in_words(source: Source) -> Source:
    """Returns a source whose version and entrypoint are words, or not there."""
    return msgspec.structs.replace(source, version=_word(source.version), entrypoint=_word(source.entrypoint))


def turn_events(
    turn: TurnFacts, loop_id: str, index: int, trigger: str, *, untimed: bool = False
) -> Iterator[e.AgentEvent]:
    """Yields the events of a turn; without TurnEnd where a tool has no result."""
    started_ns = None if untimed else Instant(turn.started_ns)
    yield e.TurnStart(loop_id=loop_id, turn_index=index, timestamp=started_ns, triggered_by=trigger)
    if not turn.no_call:
        level = _word(turn.thinking_level) or None
        payload = RequestPayload(model_id=turn.asked_model or turn.model, thinking_level=level)
        request_ns = Instant(turn.request_ns) if turn.request_ns else None
        yield e.TurnRequest(loop_id=loop_id, turn_index=index, payload=payload, timestamp=request_ns)
        yield e.MessageEnd(loop_id=loop_id, message=_answer(turn))
    for tool in turn.tools.values():
        if tool.error_type != NOT_EXECUTED:
            yield e.ToolExecutionStart(
                loop_id=loop_id,
                tool_call_id=tool.call_id,
                tool_name=tool.name,
                args=tool.args,
                timestamp=Instant(tool.started_ns) if tool.timed else UNSET,
            )
    for call_id in turn.results:
        yield from _result(turn.tools[call_id], loop_id)
    yield from turn.others
    if not turn.unanswered:
        yield e.TurnEnd(loop_id=loop_id, timestamp=Instant(turn.ended_ns))


def _answer(turn: TurnFacts) -> AssistantMessage:
    return AssistantMessage(
        content=joined(turn.blocks),
        timestamp=(turn.answered_ns or turn.at_ns) // MILLISECOND_NS,
        stop_reason=turn.stop_reason or ("toolUse" if turn.tools else "stop"),
        model=turn.model,
        provider=turn.provider,
        usage=turn.usage,
        error_message=turn.error_message,
        error_type=turn.error_type or UNSET,
        cost_usd=UNSET if turn.cost_usd is None else turn.cost_usd,
        first_token_ms=UNSET if turn.first_token_ms is None else turn.first_token_ms,
    )


def _result(tool: ToolFacts, loop_id: str) -> Iterator[e.AgentEvent]:
    executed = tool.error_type != NOT_EXECUTED
    error_type = (tool.error_type if executed else "") or UNSET
    if tool.detached:
        yield e.ToolExecutionEnd(
            loop_id=loop_id,
            tool_call_id=tool.call_id,
            tool_name=tool.name,
            outcome="detached",
            timestamp=Instant(tool.ended_ns),
        )
        return
    if executed:
        yield e.ToolExecutionEnd(
            loop_id=loop_id,
            tool_call_id=tool.call_id,
            tool_name=tool.name,
            result=ToolResult(content=tool.content),
            is_error=tool.is_error,
            child_loop_id=tool.child_loop_id,
            error_type=error_type,
            timestamp=Instant(tool.ended_ns),
        )
    message = ToolResultMessage(
        content=tool.content,
        timestamp=tool.ended_ns // MILLISECOND_NS,
        tool_call_id=tool.call_id,
        tool_name=tool.name,
        is_error=tool.is_error or not executed,
        error_type=error_type,
    )
    yield e.MessageEnd(loop_id=loop_id, message=message)


def joined(blocks: list[bytes]) -> Raw:
    """Returns content blocks as a JSON list."""
    return Raw(b"[" + b",".join(blocks) + b"]")
