"""Streams of any length and shape, made up: for what phi-core's own do not hold."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable
from typing import Any

SESSION = "550e8400-e29b-41d4-a716-446655440000"
_BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
Event = dict[str, Any]


def at(seconds: float) -> str:
    """Returns a moment of the session as phi-core writes it."""
    return (_BEGIN + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def lines_of(events: Iterable[Event]) -> bytes:
    """Returns events as JSONL."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def a_session(
    *,
    turns: int = 1,
    failing: Collection[int] = (),
    session_id: str = SESSION,
    tool: str = "bash",
    model: str = "m-1",
    ended: bool = True,
    first_s: float = 0.0,
) -> list[Event]:
    """Returns a session of one loop: each turn takes three seconds, a model call and a tool."""
    loop = {"loop_id": f"{session_id}.a.1"}
    events: list[Event] = [
        {"type": "AgentStart", "agent_id": "agent", "session_id": session_id, **loop, "timestamp": at(first_s)}
    ]
    for index in range(turns):
        events += [{**event, **loop} for event in _turn(index, first_s + 3 * index, tool, model, index in failing)]
    if ended:
        events.append({"type": "AgentEnd", **loop, "messages": [], "usage": {}, "timestamp": at(first_s + 3 * turns)})
    return events


def _turn(index: int, start: float, tool: str, model: str, failing: bool) -> list[Event]:
    usage = {"input": 100 + index, "output": 20, "reasoning": 0, "cache_read": 0, "cache_write": 0, "total_tokens": 0}
    call = f"call_{index}"
    answer = {
        "role": "assistant",
        "content": [{"type": "toolCall", "id": call, "name": tool, "arguments": {}}],
        "model": model,
        "provider": "mock",
        "stopReason": "stop",
        "usage": usage,
        "timestamp": _milliseconds(start + 1.5),
    }
    result = {
        "role": "toolResult",
        "toolCallId": call,
        "toolName": tool,
        "content": [],
        "isError": failing,
        "timestamp": _milliseconds(start + 2.5),
    }
    outcome = {"content": [{"type": "text", "text": "exit status 1"}], "details": None}
    return [
        {"type": "TurnStart", "turn_index": index, "timestamp": at(start), "triggered_by": "User"},
        {"type": "MessageEnd", "message": answer},
        {"type": "ToolExecutionStart", "tool_call_id": call, "tool_name": tool, "args": {}},
        {"type": "ToolExecutionEnd", "tool_call_id": call, "tool_name": tool, "result": outcome, "is_error": failing},
        {"type": "MessageEnd", "message": result},
        {"type": "TurnEnd", "message": answer, "usage": usage, "timestamp": at(start + 2.9), "tool_results": []},
    ]


def _milliseconds(seconds: float) -> int:
    return round((_BEGIN.timestamp() + seconds) * 1000)
