"""Synthetic agent sessions in phi-core's JSON, of any length, made line by line.

The shape follows RELIABILITY section 2: about ten events a turn without deltas, 163 with, 1.8 kB an event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

SESSION = "0f8b7c1e-2d4a-4c59-9e1b-6a7d3f2c8b10"
_START_MS = 1_779_786_842_000
_TURN_MS = 4_000
_PROSE = "The parser keeps one token of lookahead and hands every statement to the resolver before it is typed. " * 12


def stamp(ms: int) -> str:
    """Writes milliseconds since the epoch as RFC 3339 with nanoseconds."""
    seconds, rest = divmod(ms, 1000)
    minutes, second = divmod(seconds - _START_MS // 1000 + 14 * 60, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours + 9, 24)
    months, day = divmod(days, 28)
    return (
        f"{2026 + months // 12:04}-{months % 12 + 1:02}-{day + 1:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}000001Z"
    )


def _line(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _usage(index: int) -> dict[str, int]:
    """Returns counts that differ from turn to turn, as real ones do."""
    read = 9_000 + index * 1_301 % 90_000
    return {"input": 900 + index * 37 % 4_001, "output": 80 + index * 53 % 1_907, "reasoning": 0, "cache_read": read,
            "cache_write": index * 97 % 2_503, "total_tokens": 0}  # fmt: skip


def _assistant(ms: int, index: int, calls: list[str]) -> dict[str, object]:
    content: list[dict[str, object]] = [{"text": _PROSE, "type": "text"}]
    content += [
        {"arguments": {"path": "src/main.rs"}, "id": call, "name": "read_file", "type": "toolCall"} for call in calls
    ]
    return {"content": content, "model": "claude-sonnet-4-5", "provider": "anthropic", "role": "assistant",
            "stopReason": "toolUse", "timestamp": ms, "usage": _usage(index)}  # fmt: skip


def _tool_result(call: str, ms: int) -> dict[str, object]:
    return {"content": [{"text": _PROSE, "type": "text"}], "isError": False, "role": "toolResult", "timestamp": ms,
            "toolCallId": call, "toolName": "read_file"}  # fmt: skip


def turn_lines(loop: str, index: int, deltas: int) -> Iterator[bytes]:
    """Yields the events of one turn: a request, an answer, one tool."""
    ms = _START_MS + index * _TURN_MS
    call = f"toolu_{index}"
    answered = ms + 1_200 + index * 137 % 900  # no two calls, and no two tools, take the same time
    done = answered + 40 + index * 211 % 700
    answer = _assistant(answered, index, [call])
    yield _line(type="TurnStart", loop_id=loop, turn_index=index, timestamp=stamp(ms), triggered_by="User")
    yield _line(type="TurnRequest", loop_id=loop, turn_index=index, timestamp=stamp(ms + 1), payload={
        "system_prompt": "You are a coding agent.", "messages": [], "provenance": [], "tools": [],
        "model_id": "claude-sonnet-4-5", "thinking_level": "off", "max_tokens": 8192, "temperature": 0.7,
        "response_format": {"kind": "text"}})  # fmt: skip
    yield _line(type="MessageStart", loop_id=loop, message={**answer, "content": []})
    for _ in range(deltas):
        yield _line(
            type="MessageUpdate", loop_id=loop, message={**answer, "content": []}, delta={"Text": {"delta": "The "}}
        )
    yield _line(type="MessageEnd", loop_id=loop, message=answer)
    yield _line(
        type="ToolExecutionStart", loop_id=loop, tool_call_id=call, tool_name="read_file", args={"path": "a.rs"}
    )
    yield _line(type="ToolExecutionEnd", loop_id=loop, tool_call_id=call, tool_name="read_file", is_error=False,
                result={"content": [{"type": "text", "text": _PROSE}], "details": None}, child_loop_id=None)  # fmt: skip
    yield _line(type="MessageStart", loop_id=loop, message=_tool_result(call, done))
    yield _line(type="MessageEnd", loop_id=loop, message=_tool_result(call, done))
    yield _line(
        type="TurnEnd", loop_id=loop, message=answer, usage=_usage(index), timestamp=stamp(ms + 3_100), tool_results=[]
    )


def session_lines(turns: int, deltas: int = 0) -> Iterator[bytes]:
    """Yields a session of one loop."""
    loop = f"{SESSION}.anthropic.claude-sonnet-4-5.1"
    config = {"model": "claude-sonnet-4-5", "provider": "anthropic", "config_id": "anthropic.claude-sonnet-4-5",
              "api": "anthropic_messages", "base_url": "https://api.anthropic.com", "max_tokens": 8192}  # fmt: skip
    yield _line(type="AgentStart", agent_id="a", session_id=SESSION, loop_id=loop, parent_loop_id=None,
                continuation_kind="Initial", timestamp=stamp(_START_MS), metadata=None, config_snapshot=config)  # fmt: skip
    for index in range(turns):
        yield from turn_lines(loop, index, deltas)
    yield _line(
        type="AgentEnd", loop_id=loop, messages=[], usage=_usage(turns), timestamp=stamp(_START_MS + turns * _TURN_MS)
    )
