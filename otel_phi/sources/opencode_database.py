"""opencode's database, read beside a living opencode: `opencode.db`, SQLite in WAL mode.

    session ──< message ──< part        each message with its parts is one record, see `agents.opencode_lines`

Rule 1: nothing is written, beside it neither. With `-wal` and `-shm` there it is opened read-only and sees what was committed a moment
        ago; with neither nobody has it open, and it is read as a file that does not change. If it has changed by the time a batch was
        read, the batch is read again. A `-wal` alone, as in a copy of the folder, would need a `-shm`: both are copied first.
Rule 2: nobody waits for us: it is open for a batch of messages and closed again, whatever becomes of them then.
Rule 3: a batch is one transaction: a message is never half of two states. What is written later comes with a later batch, or a later run.
Rule 4: memory is bounded by a batch, whatever the session's length.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from otel_phi.sources.agents.reading import number
from otel_phi.sources.opencode_rows import Place, SessionRow, message_record, session_row, session_rows_sql

T = TypeVar("T")
MAGIC = b"SQLite format 3\x00"
BATCH_MESSAGES = 64
# A batch ends with the message that makes it longer than that: tools' outputs have 50 kB, images more.
BATCH_BYTES = 4 << 20
# A writer without WAL holds the file for milliseconds; opencode itself waits as long.
_BUSY_S = 5.0
_TRIES = 5  # so often a batch is read again because somebody began to write
_HEADER_BYTES = 100
_WRITE_VERSION = 18  # byte of the header: 2 in WAL mode
_START: Place = (-1, b"")


class Look(msgspec.Struct, frozen=True):
    """A look says what lay there at a moment: length and time of the database, and whether the files of a living one were beside."""

    size_bytes: int
    changed_ns: int
    has_wal: bool
    has_shm: bool

    @property
    def is_open(self) -> bool:
        """Whether somebody has it open in WAL mode, or had until he was killed."""
        return self.has_wal and self.has_shm


class Database:
    """A database is opencode's, at a path.

    Args:
        path: the main file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copied: tuple[Look, Path] | None = None

    def read(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """Asks something in one transaction.

        Raises:
            OSError: it cannot be read, or is damaged.
        """
        try:
            return self._read(ask)
        except sqlite3.Error as error:
            raise OSError(f"the database cannot be read: {error}") from None

    def _read(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        for attempt in range(_TRIES):
            before = self._look()
            fixed = not before.is_open and self._is_in_wal_mode()
            try:
                with closing(self._connection(before, fixed=fixed)) as connection:
                    connection.execute("BEGIN")
                    found = ask(connection)
            except sqlite3.Error:
                if not fixed or self._look() == before or attempt == _TRIES - 1:
                    raise
                continue
            if not fixed or self._look() == before:
                return found
        raise OSError("the database changed each time it was read: try again")

    def _look(self) -> Look:
        facts = self.path.stat()
        wal, shm = Path(f"{self.path}-wal"), Path(f"{self.path}-shm")
        has_wal = wal.exists() and (shm.exists() or wal.stat().st_size > 0)
        return Look(facts.st_size, facts.st_mtime_ns, has_wal, shm.exists())

    def _is_in_wal_mode(self) -> bool:
        with self.path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
        return len(head) > _WRITE_VERSION and head[_WRITE_VERSION] == 2

    def _connection(self, look: Look, *, fixed: bool) -> sqlite3.Connection:
        path = self._copy(look) if fixed and look.has_wal else self.path
        options = "mode=ro" if not fixed or look.has_wal else "mode=ro&immutable=1"
        address = f"file:{quote(str(path.absolute()))}?{options}"
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        connection.text_factory = bytes  # what is no UTF-8 costs what it stands in
        return connection

    def _copy(self, look: Look) -> Path:
        if self._copied is None or self._copied[0] != look:
            folder = Path(tempfile.mkdtemp(prefix="otel-phi-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            for name in (self.path.name, f"{self.path.name}-wal"):
                shutil.copyfile(self.path.with_name(name), folder / name)
            self._copied = (look, folder)
        return self._copied[1] / self.path.name

    # --- what is in it -----------------------------------------------------------------------------------------------------

    def is_opencodes(self) -> bool:
        """Says whether it has opencode's tables.

        Raises:
            OSError: it cannot be read.
        """
        return {"session", "message", "part"} <= self.read(_tables)

    def sessions(self) -> list[SessionRow]:
        """Returns all sessions.

        Raises:
            OSError: it cannot be read.
        """
        return self.read(_sessions)

    def records(self, session: SessionRow, after: Place = _START) -> Iterator[tuple[int, bytes]]:
        """Yields a session's records with their positions, which grow with the messages' times.

        Args:
            session: the session.
            after: leave out the messages up to that one: milliseconds since the epoch, and its id.

        Raises:
            OSError: it cannot be read.
        """
        yield 0, session.header()
        position = 0
        while True:
            batch = self.read(lambda connection, after=after: _batch(connection, session.id, after))  # type: ignore[misc]
            for place, record in batch:
                position = max(position + 1, place[0])
                yield position, record
            if not batch:
                return
            after = batch[-1][0]

    def changed_since(self, mark_ms: int) -> tuple[set[str], int]:
        """Returns the ids of the sessions that were written to since a mark, and the next mark.

        A session counts as written to with its own row and with its messages': a message's row is written when it begins and when it
        is complete. What was written in the mark's own millisecond is named again.

        Args:
            mark_ms: as it was returned before, 0 for all.

        Raises:
            OSError: it cannot be read.
        """
        return self.read(lambda connection: _changed(connection, mark_ms))


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    return {bytes(name).decode("utf-8", "replace") for (name,) in rows}


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, bool]:
    """Returns the columns of a table, and of each whether it has a value in every row."""
    return {bytes(row[1]).decode(): bool(row[3]) for row in connection.execute(f"PRAGMA table_info({table})")}


def _sessions(connection: sqlite3.Connection) -> list[SessionRow]:
    columns, messages = _columns(connection, "session"), _columns(connection, "message")
    found = [session_row(row) for row in connection.execute(session_rows_sql(columns))]
    by_id = {row.id: row for row in found if row.id}
    written = "max(time_updated)" if "time_updated" in messages else "0"
    sql = f"SELECT session_id, {written} FROM message GROUP BY session_id"  # noqa: S608  (our own words)
    for session_id, updated_ms in connection.execute(sql):
        row = by_id.setdefault(session_id, SessionRow(id=session_id)) if isinstance(session_id, bytes) else None
        if row is not None:
            by_id[row.id] = _written(row, updated_ms)
    for session_id in _at_work(connection):
        sql = "SELECT max(time_updated) FROM part WHERE session_id = ?"
        (updated_ms,) = connection.execute(sql, (session_id.decode("utf-8", "replace"),)).fetchone()
        by_id[session_id] = _written(by_id[session_id], updated_ms)
    return list(by_id.values())


def _written(row: SessionRow, updated_ms: object) -> SessionRow:
    return msgspec.structs.replace(row, written_ms=max(row.written_ms, number(updated_ms)))


def _at_work(connection: sqlite3.Connection) -> list[bytes]:
    """Returns the sessions with an answer that is not complete: the last sign of life is one of its parts'."""
    if not {"session_id", "time_updated"} <= _columns(connection, "part").keys():
        return []
    sql = "SELECT DISTINCT session_id FROM message WHERE data LIKE '%assistant%' AND data NOT LIKE '%\"completed\"%'"
    return [session_id for (session_id,) in connection.execute(sql) if isinstance(session_id, bytes)]


def _batch(connection: sqlite3.Connection, session_id: bytes, after: Place) -> list[tuple[Place, bytes]]:
    columns = _columns(connection, "message")
    time = "time_created" if columns.get("time_created") else "ifnull(time_created, 0)"
    time = time if "time_created" in columns else "ifnull(NULL, 0)"  # a bare 0 would order by no column
    wanted = f"SELECT {time}, id, data FROM message WHERE session_id = ?"  # noqa: S608  (our own words, as the next)
    sql = f"{wanted} AND ({time}, id) > (?, ?) ORDER BY {time}, id LIMIT {BATCH_MESSAGES}"
    parts = "SELECT id, data FROM part WHERE message_id = ? ORDER BY id"
    own, (after_ms, after_id) = session_id.decode("utf-8", "replace"), after
    found: list[tuple[Place, bytes]] = []
    size = 0
    for created, message_id, data in connection.execute(sql, (own, after_ms, after_id.decode("utf-8", "replace"))):
        name = message_id if isinstance(message_id, bytes) else str(message_id).encode()
        rows = connection.execute(parts, (name.decode("utf-8", "replace"),))
        record = message_record(session_id, name, data, rows)
        found.append(((number(created), name), record))
        size += len(record)
        if size > BATCH_BYTES:
            break
    return found


def _changed(connection: sqlite3.Connection, mark_ms: int) -> tuple[set[str], int]:
    found, mark = set[str](), mark_ms
    for table, column in (("session", "id"), ("message", "session_id")):
        wanted = f"SELECT {column}, max(time_updated) FROM {table}"  # noqa: S608  (our own words)
        sql = f"{wanted} WHERE time_updated >= ? GROUP BY {column}"
        for session_id, updated_ms in connection.execute(sql, (mark_ms,)):
            if isinstance(session_id, bytes):
                found.add(session_id.decode("utf-8", "replace"))
                mark = max(mark, updated_ms)
    return found, mark
