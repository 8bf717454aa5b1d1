"""The demo's spans, also with what was said in it, as the convention's attributes hold it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from tests import golden

PROMPT = "The test retries_in_time fails.\nPlease fix it."
ANSWER = "I'll read the code and run the test."
LONG = "fn backoff(n: u32) -> u64 { 500 * 2u64.pow(n) }\n" * 60


def demo_spans(*, content: bool) -> Iterator[Span]:
    """Yields the demo's spans."""
    for span in spans(golden.demo(), MappingOptions()):
        yield msgspec.structs.replace(span, attributes=(*span.attributes, *_said(span))) if content else span


def _said(span: Span) -> list[tuple[str, str]]:
    match span.get(s.OPERATION):
        case "chat":
            return [
                ("gen_ai.system_instructions", json.dumps([{"type": "text", "content": "You are a coding agent."}])),
                ("gen_ai.input.messages", json.dumps(_given(span))),
                ("gen_ai.output.messages", json.dumps(_made())),
            ]
        case "execute_tool":
            return [
                ("gen_ai.tool.call.arguments", json.dumps({"path": "src/upload.rs"})),
                ("gen_ai.tool.call.result", LONG),
            ]
        case _:
            return []


def _given(span: Span) -> list[dict[str, Any]]:
    if span.get(s.TURN_INDEX) == 0:
        return [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
    return [{"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": LONG}]}]


def _made() -> list[dict[str, Any]]:
    parts = [
        {"type": "reasoning", "content": "The delays add up."},
        {"type": "text", "content": ANSWER},
        {"type": "tool_call", "id": "c1", "name": "read_file", "arguments": {"path": "src/upload.rs"}},
    ]
    return [{"role": "assistant", "parts": parts, "finish_reason": "tool_call"}]
