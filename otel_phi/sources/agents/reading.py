"""Lenient reading of other agents' JSON: what has not the type it should have counts as not there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from otel_phi.sources.agents.events import joined
from otel_phi.wire.messages import NULL, Usage
from otel_phi.wire.times import NANOSECONDS, parse_time

T = TypeVar("T")

BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
# Enough to tell a kind of error by its first words; policy looks at as many.
MAX_ERROR_TEXT = 256
MAX_ID = 128  # a UUID has 36 characters; a state holds a dozen ids in 4 kB
HEAD_LINES = 50  # before a session's first message come its header, settings, hooks
_list = msgspec.json.Decoder(list[Raw])
_any = msgspec.json.Decoder()
_encode = msgspec.json.encode


def head_records(head: bytes) -> list[bytes]:
    """Returns the first lines of a file's beginning: enough to tell whose it is."""
    return head.removeprefix(b"\xef\xbb\xbf").split(b"\n", HEAD_LINES)[:HEAD_LINES]


def decoded(decoder: msgspec.json.Decoder[T], data: bytes | Raw) -> T | None:
    """Decodes a record or a part of one; None where it is not what the decoder expects."""
    try:
        return decoder.decode(data)
    except BROKEN:
        return None


def every(decoder: msgspec.json.Decoder[T], parts: Iterable[bytes | Raw]) -> list[T]:
    """Decodes records, or parts of one; those that are not what the decoder expects are left out."""
    return [found for part in parts if (found := decoded(decoder, part)) is not None]


def anything(data: bytes | Raw) -> Any:
    """Decodes any JSON; None for what is none."""
    return decoded(_any, data)


def text(value: Any) -> str:
    """Returns a text as it is, "" for anything else."""
    return value if isinstance(value, str) else ""


def ident(value: Any) -> str:
    """Returns an id, cut to a length that a state can keep; "" for anything but text."""
    return value[:MAX_ID] if isinstance(value, str) else ""


def number(value: Any) -> int:
    """Returns a count: a whole number as it is, a fraction rounded down, 0 for anything else or below it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return 0
    return int(value)


def members(value: Any) -> dict[str, Any]:
    """Returns an object's members, none for anything else."""
    return value if isinstance(value, dict) else {}


def instant(value: Any) -> int:
    """Returns a time in nanoseconds since the epoch: RFC 3339 text, or milliseconds as a number; 0 for anything else."""
    if isinstance(value, str):
        try:
            return max(int(parse_time(value)), 0)
        except ValueError:
            return 0
    return number(value) * 1_000_000


def seconds(value: Any) -> int:
    """Returns seconds as nanoseconds."""
    return int(value * NANOSECONDS) if isinstance(value, int | float) and 0 <= value < 2**33 else 0


def version_of(value: Any) -> tuple[int, ...]:
    """Returns a version's leading numbers, () for none."""
    found: list[int] = []
    for part in text(value).split("."):
        if not part.isdecimal():
            break
        found.append(int(part))
    return tuple(found)


def used(usage: Usage) -> Usage:
    """Returns a usage, the one without marks where nothing was used."""
    return usage if any((usage.input, usage.output, usage.cache_read, usage.cache_write)) else Usage()


def pieces(raw: bytes | Raw) -> list[Raw]:
    """Returns the members of a JSON list, none for anything else."""
    return decoded(_list, raw) or []


def is_text(raw: Raw) -> bool:
    """Says whether JSON is a string."""
    return bytes(memoryview(raw)[:1]) == b'"'


def text_block(words: str) -> bytes:
    """Returns a text as a content block in phi's form."""
    return _encode({"type": "text", "text": words})


def as_content(raw: Raw) -> Raw:
    """Returns content in phi's form: a string as one text block, null and objects as none, a list as it is."""
    if is_text(raw):
        return Raw(b'[{"type":"text","text":' + bytes(raw) + b"}]")
    return raw if bytes(memoryview(raw)[:1]) == b"[" else NULL


def compact(raw: Raw) -> Raw:
    """Returns JSON on one line, as lines have it: a document is often written for people to read."""
    content = bytes(raw)
    return Raw(msgspec.json.format(content, indent=-1)) if b"\n" in content else raw


def said(words: str) -> Raw:
    """Returns a text as content in phi's form."""
    return joined([text_block(words)])
