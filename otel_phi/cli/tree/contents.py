"""What was said, as notes below a model call and a tool: prompts, answers, arguments, results, as a trace would carry them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from otel_phi.cli.tree.rows import Row
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.tree import clean

# A folded note: three lines of a terminal of 80 columns, below a model call.
SHOWN_CHARACTERS = 200
_OF_A_TOOL = ((s.TOOL_ARGUMENTS, "arguments"), (s.TOOL_RESULT, "result"), (s.OUTPUT_VALUE, "says"))


def content_rows(span: Span) -> list[Row]:
    """Returns what was said in a model call or by a tool; none where the span carries no contents."""
    given = dict(span.attributes)
    found = [*_chat(given), *_tool(given)] if given.get(s.OPERATION) in ("chat", "execute_tool") else []
    return [_row(who, text, span) for who, text in found if text]


def shortened(row: Row) -> Row:
    """Returns a note of what was said with its beginning alone, and how much more there is."""
    left = len(row.text) - SHOWN_CHARACTERS
    if row.kind != "message" or left <= 40:
        return row
    return Row("message", f"{row.text[:SHOWN_CHARACTERS]} … [{left:,} more characters]", row.started_ns, row.ended_ns)


def _row(who: str, text: str, span: Span) -> Row:
    flat = " ".join(clean(line) for line in text.splitlines() if line.strip())
    return Row("message", f"{who}: {flat}", span.start_ns, span.start_ns)


def _chat(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for part in _list(given.get(s.SYSTEM)):
        yield "system", _text(part)
    for message in [*_list(given.get(s.INPUT_MESSAGES)), *_list(given.get(s.OUTPUT_MESSAGES))]:
        if isinstance(message, dict):
            for part in message.get("parts", ()):
                yield _who(str(message.get("role")), part), _text(part)


def _tool(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, who in _OF_A_TOOL:
        yield who, str(given.get(key, ""))


def _who(role: str, part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    return {"tool_call": "calls", "reasoning": "thinks", "tool_call_response": "tool"}.get(str(kind), role)


def _text(part: Any) -> str:
    match part:
        case {"type": "tool_call"}:
            return f"{part.get('name')} {_json(part.get('arguments'))}"
        case {"type": "tool_call_response"}:
            return _json(part.get("response"))
        case {"type": "blob"}:
            return f"[{part.get('mime_type')}]"
        case {"content": str(text)}:
            return text
        case _:
            return ""


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _list(value: object) -> list[Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else []
    except ValueError:
        return []
    return found if isinstance(found, list) else []
