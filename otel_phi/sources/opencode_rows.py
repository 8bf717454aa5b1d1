"""Rows of opencode's database as records, see `agents.opencode_lines`. Pure: what was read is given.

Rule: a row that holds no JSON costs itself: a part becomes one that is none, a message a record that is none; both are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from otel_phi.sources.agents.opencode_lines import header
from otel_phi.sources.agents.reading import BROKEN, number

Place = tuple[int, int, bytes]  # where a message stands in its session: which tables, when or which number, its id
_COLUMNS = ("id", "parent_id", "title", "directory", "version", "fork_session_id", "time_created", "time_updated")
_raw = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.encode
_NO_PART = b"null"


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session row is a session, without its messages.

    Attributes:
        id: its own.
        parent: the session that ran it as a sub-agent, b"" for none.
        title: what it is called.
        directory: where it worked.
        version: of opencode.
        origin: the session that it was forked from, b"" where that is not told.
        created_ms: when it was created, milliseconds since the epoch, 0 for unknown.
        written_ms: when it or one of its messages was last written to, in the same way.
    """

    id: bytes
    parent: bytes = b""
    title: bytes = b""
    directory: bytes = b""
    version: bytes = b""
    origin: bytes = b""
    created_ms: int = 0
    written_ms: int = 0

    def header(self) -> bytes:
        """Returns its record."""
        info = {
            "id": _text(self.id),
            "parentID": _text(self.parent) or None,
            "title": _text(self.title),
            "directory": _text(self.directory),
            "version": _text(self.version),
            "forkedFrom": _text(self.origin) or None,
            "time": {"created": self.created_ms, "updated": self.written_ms},
        }
        return header(_encode(info))


def session_rows_sql(table: str, columns: Mapping[str, bool]) -> str:
    """Returns the query for sessions, with NULL for what a version has no column for."""
    wanted = ", ".join(name if name in columns else "NULL" for name in _COLUMNS)
    return f"SELECT {wanted} FROM {table}"  # noqa: S608  (our own words)


def session_row(row: tuple[object, ...]) -> SessionRow:
    """Returns a session of a row of that query."""
    own, parent, title, directory, version, origin = (value if isinstance(value, bytes) else b"" for value in row[:6])
    created, updated = map(number, row[6:])
    return SessionRow(
        id=own,
        parent=parent,
        title=title,
        directory=directory,
        version=version,
        origin=origin,
        created_ms=created,
        written_ms=updated or created,
    )


def message_record(session_id: bytes, message_id: bytes, data: object, parts: Iterable[object]) -> bytes:
    """Returns a message with its parts as a record.

    Args:
        session_id: its session's.
        message_id: its own.
        data: the JSON in its row, without the ids.
        parts: the JSON in its parts' rows.
    """
    ids = {"id": _text(message_id), "sessionID": _text(session_id)}
    info = _with(data, ids)
    if info is None:
        return data if isinstance(data, bytes) and data.strip() else b"no JSON"
    found = [_with(inner, {"messageID": ids["id"]}) or _NO_PART for inner in parts]
    return b'{"info":%s,"parts":[%s]}' % (info, b",".join(found))


def _with(data: object, more: Mapping[str, str]) -> bytes | None:
    """Returns an object with more members in front, on one line; None for what is no object."""
    if not isinstance(data, bytes):
        return None
    try:
        given = bytes(_raw.decode(data)).strip()
        given = msgspec.json.format(given, indent=-1) if b"\n" in given else given
    except BROKEN:
        return None
    if not given.startswith(b"{"):
        return None
    inner = given[1:-1].strip()
    front = _encode(more)[:-1]
    return front + (b"," + inner if inner else b"") + b"}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
