"""What is asked of opencode's database, within one transaction: versions have other tables and columns, and some have both.

    session    ──< message ──< part      opencode 1, from 1.2 on
    session_v2 ──< session_message       opencode 2; a database that it took over keeps the others as they were, and has their messages twice

Rule: a message that is in both is read from the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from otel_phi.sources.agents.opencode_v2 import record_of_row
from otel_phi.sources.agents.reading import number
from otel_phi.sources.opencode_rows import Place, SessionRow, message_record, session_row, session_rows_sql

if TYPE_CHECKING:
    import sqlite3

BATCH_MESSAGES = 64
# A batch ends with the message that makes it longer than that: tools' outputs have 50 kB, images more.
BATCH_BYTES = 4 << 20
_FIRST, _SECOND = 1, 2  # what a place is of
START: Place = (_FIRST, -1, b"")
_OF_FIRST, _OF_SECOND = {"session", "message", "part"}, {"session_v2", "session_message"}
_WRITTEN = (("session", "id"), ("message", "session_id"), ("session_v2", "id"), ("session_message", "session_id"))


def tables(connection: sqlite3.Connection) -> set[str]:
    """Returns the names of the tables."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return {bytes(name).decode("utf-8", "replace") for (name,) in rows}


def is_opencodes(connection: sqlite3.Connection) -> bool:
    """Says whether the tables are opencode's."""
    found = tables(connection)
    return found >= _OF_FIRST or found >= _OF_SECOND


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, bool]:
    """Returns the columns of a table, and of each whether it has a value in every row; none where there is no such table."""
    return {bytes(row[1]).decode(): bool(row[3]) for row in connection.execute(f"PRAGMA table_info({table})")}


def sessions(connection: sqlite3.Connection) -> list[SessionRow]:
    """Returns all sessions, those too of which only messages are there."""
    by_id: dict[bytes, SessionRow] = {}
    for table in ("session", "session_v2"):
        columns = _columns(connection, table)
        for row in connection.execute(session_rows_sql(table, columns)) if columns else ():
            found = session_row(row)
            if found.id:
                by_id[found.id] = _written(found, by_id.get(found.id, found).written_ms)
    for session_id, written_ms in _written_messages(connection):
        by_id[session_id] = _written(by_id.get(session_id, SessionRow(id=session_id)), written_ms)
    return list(by_id.values())


def _written(row: SessionRow, written_ms: object) -> SessionRow:
    return msgspec.structs.replace(row, written_ms=max(row.written_ms, number(written_ms)))


def _written_messages(connection: sqlite3.Connection) -> Iterator[tuple[bytes, object]]:
    """Yields sessions with the times at which their messages were written; of an answer at work those of its parts."""
    there = tables(connection)
    for table in ("message", "session_message"):
        if table in there and (table == "message" or "session_v2" in there):
            written = "max(time_updated)" if "time_updated" in _columns(connection, table) else "0"
            yield from _pairs(connection, f"SELECT session_id, {written} FROM {table} GROUP BY session_id")  # noqa: S608
    if "message" in there and {"session_id", "time_updated"} <= _columns(connection, "part").keys():
        growing = "SELECT session_id FROM message WHERE data LIKE '%assistant%' AND data NOT LIKE '%\"completed\"%'"
        sql = f"SELECT session_id, max(time_updated) FROM part WHERE session_id IN ({growing}) GROUP BY session_id"  # noqa: S608
        yield from _pairs(connection, sql)


def _pairs(connection: sqlite3.Connection, sql: str) -> Iterator[tuple[bytes, object]]:
    return ((session_id, ms) for session_id, ms in connection.execute(sql) if isinstance(session_id, bytes))


def batch(connection: sqlite3.Connection, session_id: bytes, after: Place) -> list[tuple[Place, int, bytes]]:
    """Returns some of a session's messages behind a place: the place of each, when it was created in milliseconds, and its record."""
    there = tables(connection)
    if after[0] == _FIRST and there >= _OF_FIRST:
        found = _bounded(_first(connection, session_id, after))
        if found:
            return found
    if there >= _OF_SECOND:
        after = after if after[0] == _SECOND else (_SECOND, -1, b"")
        return _bounded(_second(connection, session_id, after, doubled="message" in there))
    return []


def _bounded(rows: Iterator[tuple[Place, int, bytes]]) -> list[tuple[Place, int, bytes]]:
    found, size = [], 0
    for row in rows:
        found.append(row)
        size += len(row[-1])
        if size > BATCH_BYTES:
            break
    return found


def _first(connection: sqlite3.Connection, session_id: bytes, after: Place) -> Iterator[tuple[Place, int, bytes]]:
    columns = _columns(connection, "message")
    time = "time_created" if columns.get("time_created") else "ifnull(time_created, 0)"
    time = time if "time_created" in columns else "ifnull(NULL, 0)"  # a bare 0 would order by no column
    wanted = f"SELECT {time}, id, data FROM message WHERE session_id = ?"  # noqa: S608  (our own words, as the next)
    sql = f"{wanted} AND ({time}, id) > (?, ?) ORDER BY {time}, id LIMIT {BATCH_MESSAGES}"
    parts = "SELECT data FROM part WHERE message_id = ? ORDER BY id"
    for created, given, data in connection.execute(sql, (_text(session_id), after[1], _text(after[2]))):
        message_id = given if isinstance(given, bytes) else str(given).encode()
        rows = (inner for (inner,) in connection.execute(parts, (_text(message_id),)))
        place = (_FIRST, number(created), message_id)
        yield place, number(created), message_record(session_id, message_id, data, rows)


def _second(
    connection: sqlite3.Connection, session_id: bytes, after: Place, *, doubled: bool
) -> Iterator[tuple[Place, int, bytes]]:
    own = _text(session_id)
    sql = "SELECT seq, id, type, time_created, data FROM session_message WHERE session_id = ? AND seq > ?"
    if doubled:
        sql += " AND id NOT IN (SELECT id FROM message WHERE message.session_id = session_message.session_id)"
    for seq, message_id, kind, created, data in connection.execute(
        f"{sql} ORDER BY seq LIMIT {BATCH_MESSAGES}", (own, after[1])
    ):
        kind, message_id, data = (value if isinstance(value, bytes) else b"" for value in (kind, message_id, data))  # noqa: PLW2901
        record = record_of_row(_text(kind), _text(message_id), own, data)
        yield (_SECOND, number(seq), b""), number(created), record


def changed(connection: sqlite3.Connection, mark_ms: int) -> tuple[set[str], int]:
    """Returns the sessions that were written to since a mark, and the next mark, see `Database.changed_since`."""
    found, mark = set[str](), mark_ms
    for table, column in _WRITTEN:
        if "time_updated" not in _columns(connection, table):
            continue
        wanted = f"SELECT {column}, max(time_updated) FROM {table}"  # noqa: S608  (our own words)
        for session_id, updated_ms in connection.execute(
            f"{wanted} WHERE time_updated >= ? GROUP BY {column}", (mark_ms,)
        ):
            if isinstance(session_id, bytes):
                found.add(_text(session_id))
                mark = max(mark, number(updated_ms))
    return found, mark


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
