"""Records of Gemini CLI's sessions, decoded leniently, and what of them means what."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.sources.agents.events import joined
from otel_phi.sources.agents.facts import ToolFacts
from otel_phi.sources.agents.reading import (
    anything,
    as_content,
    compact,
    decoded,
    every,
    ident,
    instant,
    is_text,
    members,
    number,
    pieces,
    said,
    text,
    text_block,
    used,
)
from otel_phi.wire.messages import NULL, Usage

ENDED = ("success", "error", "cancelled")  # other states are of tools at work, or waiting for the user


class Record(msgspec.Struct):
    """A record is a line: the session's header, a message as it stands, a change of either; or a whole session of older versions."""

    type: Any = None
    id: Any = None
    timestamp: Any = None
    content: Raw = NULL
    model: Any = None
    tokens: Any = None
    thoughts: Any = None
    toolCalls: Raw = NULL  # noqa: N815  (their names)
    sessionId: Any = None  # noqa: N815
    projectHash: Any = None  # noqa: N815
    startTime: Any = None  # noqa: N815
    kind: Any = None
    summary: Any = None
    messages: Raw = NULL
    set_: Raw = msgspec.field(name="$set", default=NULL)
    rewind_to: Any = msgspec.field(name="$rewindTo", default=None)


class Call(msgspec.Struct):
    """A call is a tool call, and its result once it has one."""

    id: Any = None
    name: Any = None
    args: Raw = NULL
    result: Raw = NULL
    status: Any = None
    timestamp: Any = None
    agentId: Any = None  # noqa: N815


class _Response(msgspec.Struct):
    response: Any = None


class _Part(msgspec.Struct):
    text: Any = None
    thought: Any = None
    functionResponse: _Response | None = None  # noqa: N815


records = msgspec.json.Decoder(Record)
_calls = msgspec.json.Decoder(Call)
_parts = msgspec.json.Decoder(_Part)


def is_header(record: Record) -> bool:
    """Says whether a record begins a session, or is a whole one."""
    return isinstance(record.sessionId, str) and (isinstance(record.projectHash, str) or is_list(record.messages))


def is_list(raw: Raw) -> bool:
    """Says whether JSON is a list."""
    return bytes(memoryview(raw)[:1]) == b"["


def calls_of(record: Record) -> list[Call]:
    """Returns the tool calls of a message."""
    return every(_calls, pieces(record.toolCalls))


def is_made(record: Record) -> bool:
    """Says whether an answer is one that no model gave: what Gemini CLI writes into a history that it has made shorter."""
    return not (members(record.tokens) or text(record.model) or calls_of(record))


def is_response(record: Record) -> bool:
    """Says whether a user's message is tools' results alone."""
    parts = pieces(record.content)
    found = [decoded(_parts, raw) for raw in parts]
    return bool(parts) and all(part is not None and part.functionResponse is not None for part in found)


def is_command(record: Record) -> bool:
    """Says whether a user's message is a command to Gemini CLI itself."""
    return words_of(record.content).lstrip().startswith(("/", "?"))


def words_of(content: Raw) -> str:
    """Returns the texts of content: a text, a part or a list of either."""
    if is_text(content):
        return text(anything(content))
    return "".join(map(_word_of, pieces(content) if is_list(content) else [content]))


def _word_of(raw: Raw) -> str:
    if is_text(raw):
        return text(anything(raw))
    part = decoded(_parts, raw) or _Part()
    return "" if part.thought is True else text(part.text)


def content_of(record: Record) -> Raw:
    """Returns what was said in phi's form: texts as such, anything else as it is."""
    if is_list(record.content) and not words_of(record.content):
        return compact(record.content)
    return said(words_of(record.content))


def usage_of(record: Record) -> Usage:
    """Returns the tokens of a message: input includes cached ones, thoughts stand beside the output."""
    found = members(record.tokens)
    thoughts = number(found.get("thoughts"))
    return used(
        Usage(
            input=number(found.get("input")),
            output=number(found.get("output")) + thoughts,
            reasoning=thoughts,
            cache_read=number(found.get("cached")),
            cached="in",
        )
    )


def answer_blocks(record: Record) -> list[bytes]:
    """Returns what an answer says, without its tool calls, as content blocks in phi's form."""
    thoughts = record.thoughts if isinstance(record.thoughts, list) else []
    found = []
    for thought in map(members, thoughts):
        words = ": ".join(part for key in ("subject", "description") if (part := text(thought.get(key))))
        found.append(msgspec.json.encode({"type": "thinking", "thinking": words}))
    words = words_of(record.content)
    return [*found, text_block(words)] if words else found


def tool_of(call: Call, call_id: str, at_ns: int) -> ToolFacts:
    """Returns a tool call; when it began nobody says."""
    tool = ToolFacts(call_id=call_id, name=text(call.name), started_ns=at_ns, args=compact(call.args), timed=False)
    tool.is_error = call.status == "error"
    tool.content = result_of(call.result)
    return tool


def call_id_of(call: Call, message_id: str, index: int) -> str:
    """Returns the id of a tool call; older files have none."""
    return ident(call.id) or f"{message_id}#{index}"


def ended_ns(call: Call, at_ns: int) -> int:
    """Returns when a tool had ended."""
    return instant(call.timestamp) or at_ns


def result_of(result: Raw) -> Raw:
    """Returns a tool's result in phi's form: the output or error of its responses, else what it is."""
    found: list[bytes] = []
    for raw in pieces(result):
        part = decoded(_parts, raw) or _Part()
        response = members(part.functionResponse.response) if part.functionResponse is not None else {}
        words = text(response.get("output")) or text(response.get("error")) or text(part.text)
        found.append(text_block(words) if words else bytes(compact(raw)))
    return joined(found) if found else as_content(compact(result))


def call_block(tool: ToolFacts) -> bytes:
    """Returns a tool call in phi's form."""
    return msgspec.json.encode({"type": "toolCall", "id": tool.call_id, "name": tool.name, "arguments": tool.args})
