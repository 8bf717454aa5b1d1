"""What agents print while they work: a span tree from the lines alone, with the time at which each came."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.sources.agent_stream import AgentStream
from otel_phi.sources.lines import Block
from otel_phi.sources.reader import BadLine
from tests.laws import role

SESSION = "8f9c1d2e-0000-4000-8000-000000000001"
USED = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100}


def read(agent: str, *lines: dict[str, Any] | bytes) -> tuple[list[Span], list[BadLine]]:
    bad: list[BadLine] = []
    data = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    blocks = [Block(number, number, [line]) for number, line in enumerate(data, 1)]
    return list(spans(AgentStream(agent, count(10**18, 10**9).__next__, bad.append).read(blocks))), bad


def claude(kind: str, content: list[dict[str, Any]], name: str, call: str | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": f"m{name}", "model": "claude-x", "stop_reason": "end_turn", "usage": USED}
    return {"type": kind, "message": message, "session_id": SESSION, "parent_tool_use_id": call, "uuid": name}


INIT = {"type": "system", "subtype": "init", "cwd": "/w", "session_id": SESSION, "claude_code_version": "2.1.300"}
TASK = {"type": "tool_use", "id": "t1", "name": "Agent", "input": {"prompt": "look"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True}
TEXT = {"type": "text", "text": "done"}


def tokens(found: list[Span]) -> list[tuple[object, object]]:
    return [(span.get(s.USAGE_INPUT), span.get(s.USAGE_OUTPUT)) for span in found if role(span) == "chat"]


def test_claude_codes_stream_is_a_loop_that_its_result_ends() -> None:
    found, bad = read(
        "claude",
        INIT,
        claude("assistant", [TASK], "a1"),
        claude("user", [RESULT], "a2"),
        claude("assistant", [TEXT], "a3"),
        {"type": "result", "subtype": "success", "session_id": SESSION},
    )
    assert bad == []
    assert tokens(found) == [(110, 5), (110, 5)]
    (loop,) = (span for span in found if role(span) == "loop")
    assert (loop.get(s.LOOP_STATUS), loop.get(s.SESSION_ID)) == ("completed", SESSION)
    assert dict(loop.resource) == {"service.name": "claude-code", "service.version": "2.1.300"}
    assert [span.get(s.ERROR_TYPE) for span in found if role(span) == "tool"] == ["tool_error"]


def test_a_sub_agent_in_claude_codes_stream_stands_under_the_tool_that_ran_it() -> None:
    found, _ = read(
        "claude",
        INIT,
        claude("assistant", [TASK], "a1"),
        claude("user", [{"type": "text", "text": "look"}], "b1", "t1"),
        claude("assistant", [TEXT], "b2", "t1"),
        claude("user", [RESULT], "a2"),
        claude("assistant", [TEXT], "a3"),
        {"type": "result", "session_id": SESSION},
    )
    tools = {span.span_id for span in found if role(span) == "tool"}
    assert [span.parent_span_id in tools for span in found if role(span) == "loop"].count(True) == 1
    assert tokens(found) == [(110, 5)] * 3


def test_codex_exec_is_a_loop_a_turn_and_its_usage_is_counted_once() -> None:
    ran = {"id": "item_1", "type": "command_execution", "command": "ls"}
    found, bad = read(
        "codex",
        {"type": "thread.started", "thread_id": SESSION},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "item_0", "type": "reasoning", "text": "hm"}},
        {"type": "item.started", "item": ran},
        {"type": "item.completed", "item": {**ran, "aggregated_output": "x", "exit_code": 1, "status": "failed"}},
        {"type": "item.completed", "item": {"id": "item_2", "type": "agent_message", "text": "done"}},
        {"type": "turn.completed", "usage": {"input_tokens": 240, "cached_input_tokens": 200, "output_tokens": 12}},
        {"type": "turn.started"},
        {"type": "turn.failed", "error": {"message": "no"}},
    )
    assert bad == []
    assert [pair for pair in tokens(found) if pair != (None, None)] == [(240, 12)]
    assert [(span.name, span.get(s.ERROR_TYPE)) for span in found if role(span) == "tool"] == [
        ("execute_tool shell", "tool_error")
    ]
    first = next(span for span in found if role(span) == "loop")
    assert (first.get(s.LOOP_STATUS), first.get(s.SESSION_ID)) == ("completed", SESSION)


def test_what_is_no_record_is_named_and_costs_nothing_else() -> None:
    found, bad = read("codex", b"npm warn", {"type": "thread.started", "thread_id": SESSION}, b"")
    assert [(line.line, line.reason) for line in bad] == [(1, "not a JSON object")]
    assert found == []
