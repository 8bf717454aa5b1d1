"""What a file is, told from its content, never from its name."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Literal

import msgspec

from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.converted import Converted
from otel_phi.sources.lines import chunks, open_lines
from otel_phi.sources.opencode_database import MAGIC, Database
from otel_phi.sources.opencode_folder import file_kind
from otel_phi.sources.reader import payload_of
from otel_phi.wire.decode import Undecodable, decode_event, decode_log_line
from otel_phi.wire.events import GenericEvent

Kind = Literal["events", "converted", "session", "agent", "inner", "json", "empty", "wrapped", "zstd", "other"]

# Enough for the first lines of any log; a longer first line is told from how it begins.
_HEAD_BYTES = 1 << 16
# Larger files are not read whole only to say better what they are.
_MAX_JSON_BYTES = 64 << 20
_HEAD_LINES = 20
_LINE_BEGINS = re.compile(rb'\{\s*(?:"ordinal"\s*:\s*\d+\s*,\s*"event"\s*:\s*\{\s*)?"type"\s*:\s*"[A-Z]')
_ZSTD = b"\x28\xb5\x2f\xfd"
_WRAPPED = re.compile(rb'[^{\[]{1,256}\{"(?:type|timestamp|ordinal|parentUuid|sessionId)"\s*:')
_SESSION_BEGINS = re.compile(rb'\{\s*"session_id"\s*:')


def kind_of(path: Path) -> Kind:
    """Tells what a file is.

    Returns:
        `events` for lines of AgentEvents (JSONL, event log, server-sent), `converted` for events that are read only whole
        (UTF-16, a JSON array), `session` for a saved session, `agent` for another agent's session, `inner` for a file that belongs
        to one and is read with it, `json` for other JSON, `empty`, or `other`; `wrapped` (log lines around JSON) and `zstd` for what only has to be written otherwise.

    Raises:
        OSError: it cannot be read.
    """
    head = _read(path, _HEAD_BYTES)
    if head.startswith(MAGIC):
        return "agent" if Database(path).is_opencodes() else "other"
    kept = file_kind(path, head)
    if kept is not None:
        return "agent" if kept == "session" else "inner"
    if not head.strip():
        return "empty" if head or _is_whole(path) else "other"  # a damaged gzip file gives nothing
    if any(is_event(line) for line in head[:_HEAD_BYTES].split(b"\n")[:_HEAD_LINES]):
        return "converted" if _is_converted(path) else "events"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _SESSION_BEGINS.match(start) and b'"agent_id"' in head and b'"ATIF-v' not in head:
        return "session"
    if adapter_of(start, str(path)) is not None:
        return "agent"
    return _json_kind(path) if start[:1] in b"{[" else _other_kind(head)


def _other_kind(head: bytes) -> Kind:
    if head.startswith(_ZSTD):
        return "zstd"
    lines = head[:_HEAD_BYTES].split(b"\n")[:_HEAD_LINES]
    return "wrapped" if any(_WRAPPED.match(line) for line in lines) else "other"


def _is_converted(path: Path) -> bool:
    with open_lines(path) as stream:
        return isinstance(stream, Converted)


def _read(path: Path, at_least: int) -> bytes:
    """Returns the first bytes of a file, all of it where it is shorter."""
    found: list[bytes] = []
    with open_lines(path) as stream:
        for chunk in chunks(stream):
            found.append(chunk)
            at_least -= len(chunk)
            if at_least <= 0:
                break
    return b"".join(found)


def _is_whole(path: Path) -> bool:
    try:
        with open_lines(path) as stream:
            stream.read(1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True


def is_event(line: bytes) -> bool:
    """Says whether a line is an event; one of a type we do not know must name its loop, as other tools' lines do not."""
    payload = payload_of(line)
    if not payload.startswith(b"{"):
        return False
    if len(line) >= _HEAD_BYTES - 1:
        return _LINE_BEGINS.match(payload) is not None  # too long to be read whole here
    found = decode_log_line(payload)[1] if b'"ordinal"' in payload else decode_event(payload)
    if isinstance(found, Undecodable):
        found = decode_event(payload)
    return not isinstance(found, Undecodable) and (not isinstance(found, GenericEvent) or found.loop_id is not None)


def _json_kind(path: Path) -> Kind:
    """Tells a saved session, its keys in any order, from other JSON, and both from what is none."""
    if path.stat().st_size > _MAX_JSON_BYTES:
        return "other"
    try:
        found = msgspec.json.decode(_read(path, 1 << 62), type=_Outline | list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "other"
    is_session = isinstance(found, _Outline) and bytes(found.session_id) != b"" != bytes(found.loops)
    return "session" if is_session else "json"


class _Outline(msgspec.Struct):
    session_id: msgspec.Raw = msgspec.Raw(b"")
    loops: msgspec.Raw = msgspec.Raw(b"")
