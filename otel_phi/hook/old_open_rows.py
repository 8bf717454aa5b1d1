"""What a process of the old format left open leaves as aborted, ended at its latest child. A group's children are its branches.

It works on encoded spans: the old format kept those of what was open, as they were to leave.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Container, Iterable, Iterator

from otel_phi.delivery.otlp.fields import (
    LINK_SPAN_ID,
    LINK_TRACE_ID,
    SPAN_END_TIME_UNIX_NANO,
    SPAN_LINKS,
    SPAN_PARENT_SPAN_ID,
)
from otel_phi.mapping import semconv

CLOSED = "DELETE FROM open WHERE key IN (SELECT key FROM span)"  # what has closed, and whose rows still wait
_LAST_NUMBER = "SELECT max(ifnull((SELECT max(id) FROM span), 0), ifnull((SELECT max(id) FROM dead), 0))"
_LATEST_NS = 2**63 - 1  # SQLite's integers
_TIME = struct.Struct("<Q")
_DAMAGE = (IndexError, KeyError, TypeError, struct.error)  # what reading bytes that are no span leads to
_LENGTH_DELIMITED = 2
_IDS_BYTES = 28  # trace and span id, with their tags and lengths: every span begins with them
_FIXED = {1: 8, 5: 4}  # wire type to bytes
# In a link's attributes, after their key: a value of type string. Protobuf's own bytes, no text can hold them by chance.
_TO_BRANCH = semconv.LINK_KIND.encode() + b"\x12\x0a\x0a\x08parallel"


def abort_open(connection: sqlite3.Connection) -> None:
    """Makes finished spans of all open rows, in one transaction: whoever looks finds all of them, or none.

    Raises:
        sqlite3.Error: it could not be done; nothing changed.
    """
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(CLOSED)
        query = "SELECT key, parent, session, envelope, added_ns, ended_ns, entry FROM open"
        rows = connection.execute(query).fetchall()
        latest = _latest_children(connection, {row[0] for row in rows}) if rows else {}
        ends = _ends({key: (parent, max(ended_ns, latest.get(key, 0))) for key, parent, _, _, _, ended_ns, _ in rows})
        for key, *_, entry in rows:
            with contextlib.suppress(*_DAMAGE):
                ends[key] = max([ends[key], *(ends[branch] for branch in _branches(entry) if branch in ends)])
        number = connection.execute(_LAST_NUMBER).fetchone()[0]
        for key, _, session, envelope, added_ns, _, entry in rows:
            number += 1
            values = (number, key, session, envelope, added_ns)
            try:
                connection.execute("INSERT INTO span VALUES (?, ?, ?, ?, ?, ?)", (*values, _with_end(entry, ends[key])))
            except _DAMAGE:  # it costs no neighbour
                connection.execute("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?, 'damaged')", (*values, entry))
        connection.execute("DELETE FROM open")


def _latest_children(connection: sqlite3.Connection, opened: Container[bytes]) -> dict[bytes, int]:
    """Returns the latest end of the rows that wait, by the keys of their parents among those that are open."""
    latest: dict[bytes, int] = {}
    query = (
        "SELECT substr(key, 1, 16), entry FROM span WHERE substr(key, 1, 16) IN (SELECT substr(key, 1, 16) FROM open)"
    )
    for trace, entry in connection.execute(query):
        at = _inside(entry) + _IDS_BYTES  # where the encoder writes a parent, if there is one
        key = trace + entry[at + 2 : at + 10]
        if entry[at] == SPAN_PARENT_SPAN_ID and key in opened:
            end = _value_of(entry, SPAN_END_TIME_UNIX_NANO)
            if end is not None:
                latest[key] = max(latest.get(key, 0), min(_TIME.unpack_from(entry, end)[0], _LATEST_NS))
    return latest


def _ends(found: dict[bytes, tuple[bytes, int]]) -> dict[bytes, int]:
    """Returns when each ended: a parent no earlier than what was open below it."""
    ends = {key: ended_ns for key, (_, ended_ns) in found.items()}
    for start in found:
        key, seen = start, {start}
        while (parent := found[key][0]) in found and parent not in seen and ends[parent] < ends[key]:
            ends[parent] = ends[key]
            seen.add(parent)
            key = parent
    return ends


def _with_end(entry: bytes, end_ns: int) -> bytes:
    """Returns an encoded span with another end; as it was if it has none."""
    at = _value_of(entry, SPAN_END_TIME_UNIX_NANO)
    return entry if at is None else entry[:at] + _TIME.pack(end_ns) + entry[at + _TIME.size :]


def _branches(entry: bytes) -> Iterable[bytes]:
    """Yields the keys of the loops that an encoded span names as branches of the group it is; none for any other span."""
    if _TO_BRANCH not in entry:
        return
    for tag, at, end in _fields(entry, _inside(entry), len(entry)):
        if tag == SPAN_LINKS and _TO_BRANCH in entry[at:end]:
            found = {name: entry[first:last] for name, first, last in _fields(entry, at, end)}
            yield found[LINK_TRACE_ID] + found[LINK_SPAN_ID]


def _value_of(entry: bytes, wanted: int) -> int | None:
    """Returns where the value of a field of the span begins."""
    return next((at for tag, at, _ in _fields(entry, _inside(entry), len(entry)) if tag == wanted), None)


def _inside(entry: bytes) -> int:
    """Returns where the span begins: after the tag and length of the entry itself."""
    return _varint(entry, _varint(entry, 0)[1])[1]


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields tag, begin and end of each field's value."""
    while at < end:
        tag, at = _varint(content, at)
        kind = tag & 7
        length, after = _varint(content, at)
        begin = after if kind == _LENGTH_DELIMITED else at
        last = at + _FIXED[kind] if kind in _FIXED else after + (length if kind == _LENGTH_DELIMITED else 0)
        yield tag, begin, last
        at = last


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
