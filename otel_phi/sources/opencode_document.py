"""A document of `opencode export` as records, one line each: message after message, in the memory of the largest.

    {"info": {session}, "messages": [ {"info": {message}, "parts": [...]}, ... ]}

Rule 1: the session's record comes first, wherever the document has it.
Rule 2: a document that breaks off gives what came before, and half a line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from otel_phi.sources.agents.opencode_lines import header
from otel_phi.sources.pieces import Unreadable, Window, skip_any

# How it begins: by its keys, or as opencode's plugins are given a session that ends.
_BEGINS = re.compile(
    rb'\s*\{\s*"(?:info"\s*:\s*\{|messages"\s*:\s*\[\s*(?:\]|\{\s*"(?:info|parts)"\s*:)|(?:type"\s*:\s*"[a-z]{1,32}"\s*,\s*")?sessionID"\s*:)'
)
_raw = msgspec.json.Decoder(msgspec.Raw)
_HALF = b'{"info":'


def begins_document(head: bytes) -> bool:
    """Says whether a file that begins so may be a document."""
    return _BEGINS.match(head.removeprefix(codecs.BOM_UTF8)) is not None


def document_lines(stream: BinaryIO) -> Iterator[bytes] | None:
    """Returns a document's records; None, and the stream anywhere, where it is none."""
    try:
        session, has_messages = _session(_window(stream))
    except Unreadable:
        return None
    return _lines(stream, session) if has_messages else None


def _window(stream: BinaryIO) -> Window:
    start = len(codecs.BOM_UTF8) if _begins_with_mark(stream) else 0
    stream.seek(start)
    return Window(stream.read, start)


def _begins_with_mark(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def _session(window: Window) -> tuple[bytes, bool]:
    """Returns the session's record, b"" for none, and whether the document has messages; reads no further than it must.

    Raises:
        Unreadable: it is no document, or breaks off before it says.
    """
    session, has_messages = b"", False
    for name in window.members("$"):
        if name == "info" and window.next() == b"{":
            session = header(window.value(_raw, "$.info"))
        elif name == "messages" and window.next() == b"[":
            has_messages = True
            if session:
                break
            try:
                if not _is_message(window):
                    return b"", False
            except Unreadable:
                break  # it breaks off among the messages
        else:
            skip_any(window, "$")
    return session, has_messages


def _is_message(window: Window) -> bool:
    """Passes the messages; says whether the first of them is one of opencode's."""
    for number, _ in enumerate(window.elements()):
        first = window.value(_raw, "$.messages[...]")
        if number == 0 and b'"info"' not in bytes(first):
            return False
    return True


def _lines(stream: BinaryIO, session: bytes) -> Iterator[bytes]:
    if session:
        yield session + b"\n"
    window = _window(stream)
    try:
        for name in window.members("$"):
            if name == "messages" and window.next() == b"[":
                for _ in window.elements():
                    yield msgspec.json.format(bytes(window.value(_raw, "$.messages[...]")), indent=-1) + b"\n"
            else:
                skip_any(window, "$")
    except (Unreadable, msgspec.MsgspecError):
        yield _HALF
