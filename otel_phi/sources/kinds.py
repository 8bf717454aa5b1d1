"""What a file is, told from its content, never from its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from otel_phi.sources.lines import open_lines
from otel_phi.wire.decode import Undecodable, decode_event, decode_log_line

Kind = Literal["events", "session", "json", "empty", "other"]

# Enough for the first lines of any log; a longer first line is told from how it begins.
_HEAD_BYTES = 1 << 16
_HEAD_LINES = 20
_LINE_BEGINS = re.compile(rb'(?:data:)?\s*\{\s*(?:"ordinal"\s*:\s*\d+\s*,\s*"event"\s*:\s*\{\s*)?"type"\s*:\s*"[A-Z]')
_SESSION_BEGINS = re.compile(rb'\{\s*"session_id"\s*:')


def kind_of(path: Path) -> Kind:
    """Tells what a file is.

    Returns:
        `events` for lines of AgentEvents (JSONL, event log, server-sent), `session` for a saved session, `json` for other
        JSON, `empty`, or `other`.

    Raises:
        OSError: it cannot be read.
    """
    with open_lines(path) as stream:
        head = stream.read(_HEAD_BYTES)
    if not head.strip():
        return "empty"
    if any(_is_event(line) for line in head.split(b"\n")[:_HEAD_LINES]):
        return "events"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _SESSION_BEGINS.match(start) and b'"agent_id"' in head:
        return "session"
    return "json" if start[:1] in b"{[" and _is_json(path, head) else "other"


def _is_event(line: bytes) -> bool:
    if _LINE_BEGINS.match(line) is None:
        return False
    if len(line) >= _HEAD_BYTES - 1:
        return True  # too long to be read whole here
    payload = line.removeprefix(b"data:").strip()
    found = decode_log_line(payload)[1] if b'"ordinal"' in payload[:64] else decode_event(payload)
    return not isinstance(found, Undecodable)


def _is_json(path: Path, head: bytes) -> bool:
    if len(head) == _HEAD_BYTES:
        with open_lines(path) as stream:
            head = stream.read()
    try:
        msgspec.json.decode(head)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True
