"""Entries of pi's session files and of its `--mode json`, decoded leniently, and what of them means what."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.sources.agents.reading import anything, as_content, decoded, is_text, members, number, pieces, text, used
from otel_phi.wire.messages import NULL, Usage


class Entry(msgspec.Struct):
    """An entry is a line: an entry of a file (`message`, `compaction`, ...), or an event of the stream (`message_end`, ...)."""

    type: Any = None
    id: Any = None
    parentId: Any = None  # noqa: N815  (their names)
    timestamp: Any = None
    version: Any = None
    cwd: Any = None
    parentSession: Any = None  # noqa: N815
    branchedFrom: Any = None  # noqa: N815
    provider: Any = None
    modelId: Any = None  # noqa: N815
    model: Any = None
    thinkingLevel: Any = None  # noqa: N815
    tokensBefore: Any = None  # noqa: N815
    usage: Any = None
    kind: Any = None
    name: Any = None
    customType: Any = None  # noqa: N815
    data: Any = None
    toolCallId: Any = None  # noqa: N815
    durationMs: Any = None  # noqa: N815
    willRetry: Any = None  # noqa: N815
    aborted: Any = None
    entry: Any = None
    message: Raw = NULL


class Message(msgspec.Struct):
    """A message is a message of any role."""

    role: Any = None
    timestamp: Any = None
    provider: Any = None
    model: Any = None
    responseModel: Any = None  # noqa: N815
    thinkingLevel: Any = None  # noqa: N815
    usage: Any = None
    stopReason: Any = None  # noqa: N815
    errorMessage: Any = None  # noqa: N815
    toolCallId: Any = None  # noqa: N815
    toolName: Any = None  # noqa: N815
    isError: Any = None  # noqa: N815
    details: Any = None
    content: Raw = NULL


class Block(msgspec.Struct):
    """A block is a block of a message's content."""

    type: Any = None
    id: Any = None
    name: Any = None
    arguments: Raw = NULL


_messages = msgspec.json.Decoder(Message)
_blocks = msgspec.json.Decoder(Block)


def message_of(entry: Entry) -> Message:
    """Returns an entry's message, an empty one where there is none."""
    return decoded(_messages, entry.message) or Message()


def content_of(content: Raw) -> Raw:
    """Returns content in phi's form, which is pi's but for a bare string."""
    return as_content(content)


def answer_blocks(content: Raw) -> list[tuple[bytes, Block]]:
    """Returns the blocks of an answer with their JSON."""
    if is_text(content):
        return [(msgspec.json.encode({"type": "text", "text": anything(content)}), Block(type="text"))]
    found = ((bytes(raw), decoded(_blocks, raw)) for raw in pieces(content))
    return [(_plain(raw, block), block) for raw, block in found if block is not None]


def _plain(raw: bytes, block: Block) -> bytes:
    """Leaves out of a tool call what pi keeps beside its arguments."""
    if block.type != "toolCall":
        return raw
    call = {"type": "toolCall", "id": text(block.id), "name": text(block.name), "arguments": block.arguments}
    return msgspec.json.encode(call)


def usage_of(given: Any) -> Usage:
    """Returns a usage; pi's input leaves cached tokens out, whatever the provider."""
    found = members(given)
    return used(
        Usage(
            input=number(found.get("input")),
            output=number(found.get("output")),
            reasoning=number(found.get("reasoning")),
            cache_read=number(found.get("cacheRead")),
            cache_write=number(found.get("cacheWrite")),
            cached="out",
        )
    )


def cost_of(given: Any) -> float | None:
    """Returns what a usage says it cost, None where it does not."""
    total = members(members(given).get("cost")).get("total")
    return float(total) if isinstance(total, int | float) and not isinstance(total, bool) and total >= 0 else None


def call_key(message: Message) -> str:
    """Returns what tells a model call from all others where no entry id does."""
    usage = usage_of(message.usage)
    numbers = f"{usage.input}:{usage.output}:{usage.cache_read}:{usage.cache_write}"
    return f"{message.timestamp}:{text(message.provider)}:{text(message.model)}:{numbers}"


def session_of_path(path: str) -> str:
    """Returns the session id in the path of a session file, `<time>_<id>.jsonl`; "" for another path."""
    stem = path.replace("\\", "/").rpartition("/")[2]
    return stem.removesuffix(".jsonl").partition("_")[2] if stem.endswith(".jsonl") else ""
