"""The cursors: how far each followed file was read and sent, so that a restarted `watch` goes on where it was killed.

One SQLite file a destination. A file's offset is where reading must begin again to make every span anew that is not yet
settled: the start of its earliest open loop, say. Spans that are settled beyond it are remembered by their keys.

Rule 1: a loop is known by session, id and start, not by its file: a file that was moved, copied or restored sends nothing twice.
Rule 2: what is remembered of finished loops and sessions goes after 30 days.
Rule 3: where SQLite cannot live, it lives in memory: the watch goes on, and a restart begins anew.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from otel_phi.delivery.cursor_rows import FileCursor, LoopRow, LostLoop
from otel_phi.delivery.cursor_schema import SCHEMA, connected
from otel_phi.delivery.private import make_folder

logger = logging.getLogger("otel_phi")

FOLDER = "watch"
KEPT_DAYS = 30
_MOVING = ("identity", "head", "head_bytes", "path", "offset", "line", "read_bytes", "size", "mtime_ns")


class Cursors:
    """Remembers, for one destination, what was read and sent. For one thread.

    Args:
        state_dir: the state folder.
        name: from `private.destination_name`.

    Attributes:
        broken: why nothing outlives this process, "" while it does.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        self.broken = ""
        try:
            make_folder(state_dir / FOLDER)
            self._connection = connected(state_dir / FOLDER / f"{name}.sqlite3")
        except (OSError, sqlite3.Error) as error:
            self.broken = str(error)
            logger.warning("%s: %s; a restarted watch will begin anew", state_dir / FOLDER, error)
            self._connection = sqlite3.connect(":memory:", isolation_level=None)
            self._connection.executescript(SCHEMA)
        self._now_s = int(time.time())
        self._sweep()

    def close(self) -> None:
        """Closes the file. Repeatable."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is written within one step on disk: all of it or nothing."""
        self._now_s = int(time.time())
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # --- files -------------------------------------------------------------------------------------------------------

    def files(self) -> list[FileCursor]:
        """Returns the files that were there when last looked."""
        fields = ", ".join(FileCursor.__struct_fields__)
        return [FileCursor(*row) for row in self._connection.execute(f"SELECT {fields} FROM file WHERE gone = 0")]  # noqa: S608

    def add_file(self, cursor: FileCursor) -> None:
        """Takes a file not seen before and gives it its number."""
        row = self._connection.execute(
            "INSERT INTO file (kind, identity, head, head_bytes, path, offset, line, read_bytes, size, mtime_ns, follows, seen_s)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (*_values(cursor)[1:], self._now_s),
        )
        cursor.id = row.lastrowid or 0

    def move(self, cursors: Iterable[FileCursor]) -> None:
        """Writes how far files were read, and where they are."""
        self._connection.executemany(
            f"UPDATE file SET {', '.join(f'{name} = ?' for name in _MOVING)}, seen_s = ? WHERE id = ?",  # noqa: S608
            [(*(getattr(cursor, name) for name in _MOVING), self._now_s, cursor.id) for cursor in cursors],
        )

    def gone(self, file: int) -> None:
        """Says that a file is no more, or that its content was replaced."""
        self._connection.execute("UPDATE file SET gone = 1, seen_s = ? WHERE id = ?", (self._now_s, file))

    # --- loops and sessions --------------------------------------------------------------------------------------------

    def see_session(self, session: str, session_id: str, agent_id: str, opened_ns: int) -> None:
        """Takes a session's loop start; the earliest counts, until the root has left."""
        self._connection.execute(
            "INSERT INTO session VALUES (?,?,?,?,0,?) ON CONFLICT DO UPDATE SET session_id=excluded.session_id,"
            " agent_id=excluded.agent_id, opened_ns=excluded.opened_ns WHERE root = 0 AND excluded.opened_ns < opened_ns",
            (session, session_id, agent_id, opened_ns, self._now_s),
        )

    def session(self, session: str) -> tuple[str, str, int, int] | None:
        """Returns a session's id as first spelled, its agent, its root's time (ns), and 1 if the root is claimed, 2 if settled."""
        query = "SELECT session_id, agent_id, opened_ns, root FROM session WHERE session = ?"
        row: tuple[str, str, int, int] | None = self._connection.execute(query, (session,)).fetchone()
        return row

    def root(self, session: str, state: int) -> None:
        """Notes that a session's root was claimed (1): its time stands from now on; or settled (2)."""
        self._connection.execute(
            "UPDATE session SET root = max(root, ?), seen_s = ? WHERE session = ?", (state, self._now_s, session)
        )

    def see_loop(self, session: str, loop: LoopRow) -> None:
        """Takes a loop's start; the first file that shows it has it."""
        self._connection.execute(
            "INSERT INTO loop (loop_id, started_ns, session, session_id, caller, file, seen_s) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            (loop.loop_id, loop.started_ns, session, loop.session_id, loop.caller, loop.file, self._now_s),
        )

    def loop(self, session: str, loop_id: str, started_ns: int) -> LoopRow | None:
        """Returns one loop."""
        found = self._loops("loop_id = ? AND started_ns = ? AND session = ?", (loop_id, started_ns, session))
        return found[0] if found else None

    def loops(self, loop_id: str) -> list[LoopRow]:
        """Returns all loops of an id, in order of start."""
        return self._loops("loop_id = ? ORDER BY started_ns", (loop_id,))

    def _loops(self, where: str, values: tuple[Any, ...]) -> list[LoopRow]:
        query = (
            "SELECT session_id, loop_id, started_ns, caller, loop.file, done, coalesce(file.gone, 1) FROM loop"  # noqa: S608
            f" LEFT JOIN file ON file.id = loop.file WHERE {where}"
        )
        return [
            LoopRow(row[0], row[1], row[2], row[3], row[4], done=bool(row[5]), gone=bool(row[6]))
            for row in self._connection.execute(query, values)
        ]

    def take_over(self, session: str, loop_id: str, started_ns: int, file: int) -> None:
        """Notes that a loop is read from another file from now on."""
        where = "WHERE loop_id = ? AND started_ns = ? AND session = ?"
        self._connection.execute(f"UPDATE loop SET file = ? {where}", (file, loop_id, started_ns, session))  # noqa: S608

    def note_open(self, session: str, loop_id: str, started_ns: int, opened: bytes, latest_ns: int) -> None:
        """Remembers what an open loop, some of which was sent, would leave if its file vanished."""
        self._connection.execute(
            "UPDATE loop SET opened = ?, latest_ns = max(latest_ns, ?), seen_s = ?"
            " WHERE loop_id = ? AND started_ns = ? AND session = ?",
            (opened, latest_ns, self._now_s, loop_id, started_ns, session),
        )

    def done(self, session: str, loop_id: str, started_ns: int) -> None:
        """Notes that a loop left whole."""
        self._connection.execute(
            "UPDATE loop SET done = 1, opened = NULL, seen_s = ? WHERE loop_id = ? AND started_ns = ? AND session = ?",
            (self._now_s, loop_id, started_ns, session),
        )

    def lost(self) -> list[LostLoop]:
        """Returns the loops that were open, some of them sent, in files that are no more."""
        query = (
            "SELECT session, loop_id, started_ns, opened, latest_ns FROM loop LEFT JOIN file ON file.id = loop.file"
            " WHERE done = 0 AND opened IS NOT NULL AND coalesce(file.gone, 1) = 1"
        )
        return [LostLoop(*row) for row in self._connection.execute(query)]

    # --- spans -------------------------------------------------------------------------------------------------------

    def was_sent(self, key: bytes) -> bool:
        """Says whether a span beyond its file's offset is settled."""
        return self._connection.execute("SELECT 1 FROM sent WHERE key = ?", (key,)).fetchone() is not None

    def sent(self, rows: Iterable[tuple[bytes, int, int]]) -> None:
        """Remembers settled spans: key, file and the offset that must be passed before they can be forgotten."""
        self._connection.executemany("INSERT OR IGNORE INTO sent VALUES (?,?,?)", rows)

    def forget_sent(self, file: int, token: int) -> None:
        """Forgets the spans of what began at an offset of a file."""
        self._connection.execute("DELETE FROM sent WHERE file = ? AND token = ?", (file, token))

    def _sweep(self) -> None:
        before = self._now_s - KEPT_DAYS * 86_400
        with self.transaction():
            self._connection.execute("DELETE FROM loop WHERE seen_s < ? AND done = 1", (before,))
            self._connection.execute("DELETE FROM session WHERE seen_s < ?", (before,))
            self._connection.execute("DELETE FROM file WHERE seen_s < ? AND gone = 1", (before,))
            self._connection.execute("DELETE FROM sent WHERE file NOT IN (SELECT id FROM file)")


def _values(cursor: FileCursor) -> tuple[Any, ...]:
    return tuple(getattr(cursor, name) for name in FileCursor.__struct_fields__)
