"""The cursors: how far each followed file was read and sent, so that a restarted `watch` goes on where it was killed.

One SQLite file a destination. A file's offset is where reading must begin again to make every span anew that is not yet
settled: the start of its earliest open loop, say. Spans that are settled beyond it are remembered by their keys.

Rule 1: a loop is known by session, id and start, not by its file: a file that was moved, copied or restored sends nothing twice.
Rule 2: what is remembered of finished loops and sessions goes after 30 days.
Rule 3: where SQLite cannot live, it lives in memory: the watch goes on, and a restart begins anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from otel_phi.clock import monotonic, wall_ns
from otel_phi.recorder.identities import LoopIdentity
from otel_phi.watch.cursor_rows import Compacted, FileCursor, LoopRow, LostLoop
from otel_phi.watch.cursor_store import CursorStore, Statement

FOLDER = "watch"
KEPT_DAYS = 30
_DAY_S = 86_400
_FIELDS = FileCursor.__struct_fields__
_PATH = _FIELDS.index("path")


class Cursors:
    """Remembers, for one destination, what was read and sent. For one thread.

    Args:
        state_dir: the state folder.
        name: from `private.destination_name`.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        self._store = CursorStore(state_dir / FOLDER / f"{name}.sqlite3")
        self._gathered: list[Statement] | None = None
        self._now_s = wall_ns() // 10**9
        self._swept = 0.0
        self.sweep()

    @property
    def broken(self) -> str:
        """Why nothing outlives this process, "" while it does."""
        return self._store.broken

    def close(self) -> None:
        """Closes the file. Repeatable."""
        self._store.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is written within one step on disk, at its end: all of it or nothing."""
        self._now_s = wall_ns() // 10**9
        self._gathered = []
        try:
            yield
            gathered = self._gathered
        finally:
            self._gathered = None
        if gathered:
            self._store.run(gathered)

    def _write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
        if self._gathered is None:
            return self._store.run([(statement, list(rows))])
        self._gathered.append((statement, list(rows)))
        return 0

    # --- files -------------------------------------------------------------------------------------------------------

    def files(self) -> list[FileCursor]:
        """Returns the files that were there when last looked."""
        found = self._store.rows(f"SELECT {', '.join(_FIELDS)} FROM file WHERE gone = 0")  # noqa: S608
        return [_cursor(row) for row in found]

    def add_file(self, cursor: FileCursor) -> None:
        """Takes a file not seen before and gives it its number."""
        marks = ",".join("?" * len(_FIELDS))
        cursor.id = self._write(
            f"INSERT INTO file ({', '.join(_FIELDS[1:])}, seen_s) VALUES ({marks})",  # noqa: S608
            [(*_values(cursor)[1:], self._now_s)],
        )

    def move(self, cursors: Iterable[FileCursor]) -> None:
        """Writes how far files were read, and where they are; forgets the spans that a file's offset has passed."""
        moved = list(cursors)
        marks = ",".join("?" * (len(_FIELDS) + 1))
        updates = ", ".join(f"{name} = excluded.{name}" for name in (*_FIELDS[1:], "seen_s"))
        self._write(
            f"INSERT INTO file ({', '.join(_FIELDS)}, seen_s) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {updates}",  # noqa: S608
            [(*_values(cursor), self._now_s) for cursor in moved],
        )
        passed = [(cursor.id, cursor.offset) for cursor in moved if cursor.kind == "events"]
        self._write("DELETE FROM sent WHERE file = ? AND token < ?", passed)

    def heads(self) -> dict[int, tuple[int, bytes]]:
        """Returns how each file began, those too that are no more: how many bytes, and their hash."""
        return {row[0]: (row[1], row[2]) for row in self._store.rows("SELECT id, head_bytes, head FROM file")}

    def gone(self, file: int) -> None:
        """Says that a file is no more, or that its content was replaced."""
        self._write("UPDATE file SET gone = 1, seen_s = ? WHERE id = ?", [(self._now_s, file)])

    # --- loops and sessions --------------------------------------------------------------------------------------------

    def see_session(self, session: str, session_id: str, agent_id: str, opened_ns: int) -> None:
        """Takes a session's loop start; the earliest counts, until the root has left."""
        self._write(
            "INSERT INTO session VALUES (?,?,?,?,0,?) ON CONFLICT DO UPDATE SET seen_s = excluded.seen_s",
            [(session, session_id, agent_id, opened_ns, self._now_s)],
        )
        self._write(
            "UPDATE session SET session_id = ?, agent_id = ?, opened_ns = ? WHERE session = ? AND root = 0 AND opened_ns > ?",
            [(session_id, agent_id, opened_ns, session, opened_ns)],
        )

    def session(self, session: str) -> tuple[str, str, int, int] | None:
        """Returns a session's id as first spelled, its agent, its root's time (ns), and 1 if the root is claimed, 2 if settled."""
        query = "SELECT session_id, agent_id, opened_ns, root FROM session WHERE session = ?"
        for row in self._store.rows(query, session):
            return row[0], row[1], int(row[2]), row[3]
        return None

    def root(self, session: str, state: int) -> None:
        """Notes that a session's root was claimed (1): its time stands from now on; or settled (2)."""
        self._write(
            "UPDATE session SET root = max(root, ?), seen_s = ? WHERE session = ?", [(state, self._now_s, session)]
        )

    def see_loop(self, session: str, loop: LoopRow) -> None:
        """Takes a loop's start; the first file that shows it has it."""
        self._write(
            "INSERT INTO loop (loop_id, started_ns, session, session_id, caller, file, seen_s) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET seen_s = excluded.seen_s",
            [(loop.loop_id, loop.started_ns, session, loop.session_id, loop.caller, loop.file, self._now_s)],
        )

    def loop(self, session: str, loop_id: str, started_ns: int) -> LoopRow | None:
        """Returns one loop."""
        found = self._loops("loop_id = ? AND started_ns = ? AND session = ?", loop_id, started_ns, session)
        return found[0] if found else None

    def loops(self, loop_id: str) -> list[LoopRow]:
        """Returns all loops of an id, in order of start."""
        return sorted(self._loops("loop_id = ?", loop_id), key=lambda loop: loop.started_ns)

    def _loops(self, where: str, *values: Any) -> list[LoopRow]:
        query = (
            "SELECT session_id, loop_id, started_ns, caller, loop.file, done, coalesce(file.gone, 1) FROM loop"  # noqa: S608
            f" LEFT JOIN file ON file.id = loop.file WHERE {where}"
        )
        return [
            LoopRow(row[0], row[1], int(row[2]), row[3], row[4], done=bool(row[5]), gone=bool(row[6]))
            for row in self._store.rows(query, *values)
        ]

    def take_over(self, session: str, loop_id: str, started_ns: int, file: int) -> None:
        """Notes that a loop is read from another file from now on."""
        where = "WHERE loop_id = ? AND started_ns = ? AND session = ?"
        self._write(f"UPDATE loop SET file = ? {where}", [(file, loop_id, started_ns, session)])  # noqa: S608

    def see_compacted(self, found: Iterable[Compacted]) -> None:
        """Takes compactions; the first of a context in a file counts."""
        self._write(
            "INSERT OR IGNORE INTO compacted VALUES (?,?,?,?,?,?,?)",
            [
                (one.session_id, one.loop_id, one.started_ns, each.file, each.offset, each.at_ns, self._now_s)
                for each, one in ((each, each.context) for each in found)
            ],
        )

    def compacted(self, session: str) -> list[Compacted]:
        """Returns the contexts of a session that were compacted."""
        query = "SELECT name, started_ns, file, offset, at_ns FROM compacted WHERE session = ?"
        return [
            Compacted(LoopIdentity(session, name, int(started_ns)), file, offset, int(at_ns))
            for name, started_ns, file, offset, at_ns in self._store.rows(query, session)
        ]

    def note_open(self, session: str, loop_id: str, started_ns: int, opened: bytes, latest_ns: int) -> None:
        """Remembers what an open loop, some of which was sent, would leave if its file vanished."""
        self._write(
            "UPDATE loop SET opened = ?, latest_ns = max(latest_ns, ?), seen_s = ?"
            " WHERE loop_id = ? AND started_ns = ? AND session = ?",
            [(opened, latest_ns, self._now_s, loop_id, started_ns, session)],
        )

    def done(self, session: str, loop_id: str, started_ns: int) -> None:
        """Notes that a loop left whole."""
        self._write(
            "UPDATE loop SET done = 1, opened = NULL, seen_s = ? WHERE loop_id = ? AND started_ns = ? AND session = ?",
            [(self._now_s, loop_id, started_ns, session)],
        )

    def lost(self) -> list[LostLoop]:
        """Returns the loops that were open, some of them sent, in files that are no more."""
        query = (
            "SELECT session, loop_id, started_ns, opened, latest_ns FROM loop LEFT JOIN file ON file.id = loop.file"
            " WHERE done = 0 AND opened IS NOT NULL AND coalesce(file.gone, 1) = 1"
        )
        return [
            LostLoop(session, loop_id, int(started_ns), opened, int(latest_ns))
            for session, loop_id, started_ns, opened, latest_ns in self._store.rows(query)
        ]

    # --- spans -------------------------------------------------------------------------------------------------------

    def was_sent(self, key: bytes) -> bool:
        """Says whether a span beyond its file's offset is settled."""
        return bool(self._store.rows("SELECT 1 FROM sent WHERE key = ?", key))

    def sent(self, rows: Iterable[tuple[bytes, int, int]]) -> None:
        """Remembers settled spans: key, file and the offset that must be passed before they can be forgotten."""
        self._write("INSERT OR IGNORE INTO sent VALUES (?,?,?)", rows)

    def forget_sent(self, file: int, token: int) -> None:
        """Forgets the spans of what began at an offset of a file."""
        self._write("DELETE FROM sent WHERE file = ? AND token = ?", [(file, token)])

    def sweep(self) -> None:
        """Forgets what is older than 30 days, once a day: what ended, and what nothing on disk or in a backend needs."""
        if self._swept and monotonic() - self._swept < _DAY_S:
            return
        self._swept = monotonic()
        with self.transaction():
            before = [(self._now_s - KEPT_DAYS * _DAY_S,)]
            self._write(_ENDED, before)
            self._write("DELETE FROM session WHERE seen_s < ?", before)
            self._write("DELETE FROM compacted WHERE seen_s < ?", before)
            self._write("DELETE FROM file WHERE seen_s < ? AND gone = 1", before)
            self._write("DELETE FROM sent WHERE file NOT IN (SELECT id FROM file)", [()])


# A loop that left whole; or one of which nothing left, and whose file is no more.
_ENDED = (
    "DELETE FROM loop WHERE seen_s < ? AND (done = 1 OR"
    " (opened IS NULL AND coalesce((SELECT gone FROM file WHERE file.id = loop.file), 1) = 1))"
)


def _cursor(row: Sequence[Any]) -> FileCursor:
    found = FileCursor(*row)
    found.path = os.fsdecode(row[_PATH])  # a name need not be UTF-8
    return found


def _values(cursor: FileCursor) -> tuple[Any, ...]:
    found = [getattr(cursor, name) for name in _FIELDS]
    found[_PATH] = os.fsencode(cursor.path)
    return tuple(found)
