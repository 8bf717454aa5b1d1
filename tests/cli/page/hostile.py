"""Sessions whose every text wants to be more than text."""

from __future__ import annotations

import json

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import AttributeValue, Span, SpanEvent, SpanKind, SpanLink, StatusCode

TEXTS = (
    "</script><script>attacked()</script>",
    '"><img src=x onerror=attacked()>',
    "<!--<script>",
    "javascript:attacked()",
    "{data}{title}{scripts}",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "bell\x07 esc\x1b[31m nul\x00 del\x7f",
    "tag\U000e0041\U000e0042 zero\u200bwidth \ufeff",
    "lone \ud800 surrogate",
    "line\u2028and\u2029paragraph\r\n",
    "__proto__",
    "${attacked()}",
)
SESSION = TEXTS[0]
_TRACE = 0xABC


def hostile_spans() -> list[Span]:
    """Returns a session of a loop, a turn, a model call and a tool for each text, each made of it throughout."""
    found = [_span(1, 0, "invoke_agent", TEXTS[0])]
    for number, text in enumerate(TEXTS):
        turn = 10 * number + 10
        found += [
            _span(turn, 1, "agent_step", text),
            _span(turn + 1, turn, "chat", text),
            _span(turn + 2, turn, "execute_tool", text),
        ]
    return found


def _span(number: int, parent: int, operation: str, text: str) -> Span:
    part = {"type": text, "content": text, "name": text, "arguments": {text: text}}
    parts = [part, {**part, "type": "text"}, {**part, "type": "tool_call"}, {**part, "type": "blob", "mime_type": text}]
    messages = json.dumps([{"role": text, "parts": parts, "finish_reason": text}, {"role": "user", "parts": text}, text, None])  # fmt: skip
    attributes: dict[str, AttributeValue] = {
        s.OPERATION: operation,
        s.SESSION_ID: SESSION,
        s.AGENT_NAME: text,
        s.ERROR_TYPE: text,
        s.LOOP_ID: text,
        s.LOOP_TAG: text,
        s.TURN_TRIGGER: text,
        s.REQUEST_MODEL: text,
        s.FINISH_REASONS: (text, text),
        s.TOOL_NAME: text,
        s.TOOL_CALL_ID: text,
        s.SPAWN_SESSION: text,
        s.USAGE_INPUT: 2**63,
        s.COST_USD: float("nan"),
        text: text,
        "gen_ai.system_instructions": messages,
        "gen_ai.tool.definitions": text,
        "gen_ai.input.messages": messages,
        "gen_ai.output.messages": text,
        "gen_ai.tool.call.arguments": text,
        "gen_ai.tool.call.result": messages,
    }
    at = 1_780_000_000_000_000_000 + number * 1_000_000
    event = SpanEvent(s.EVENT_TOOL, at, ((s.TOOL_NAME, text), (s.ERROR_TYPE, text), (s.TOOL_DURATION_MS, 1.5)))
    other = SpanEvent(text, at, ((text, text),))
    return Span(
        text,
        _TRACE,
        number,
        parent,
        SpanKind.INTERNAL,
        at,
        at + 900_000,
        tuple(attributes.items()),
        (event, other),
        (SpanLink(1, 2, ((s.LINK_KIND, text), (s.LINK_SESSION, text))),),
        StatusCode.ERROR,
        text,
    )
