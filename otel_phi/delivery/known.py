"""What the live processes of this machine know together: which sessions have their root, when which loop started.

One small SQLite file for all. The first process to insert a session's row wins; the root's bytes live in the row until
acknowledged, and whoever finds their owner dead sends them, so a crash in between loses nothing.

Rule 1: it is a convenience for readers and a promise for roots; where it cannot be used, roots take the outbox.
Rule 2: the connection is closed before a fork: SQLite's locks on a shared file must not be believed held by a child.
Rule 3: another process may be writing: whoever waits for it waits milliseconds, then goes without.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from otel_phi.delivery import outbox_schema, unsaid
from otel_phi.delivery.otlp.encoder import Envelope
from otel_phi.delivery.outbox import CLOCK_SET_NS
from otel_phi.delivery.rows import Item, Row
from otel_phi.delivery.statements import numbered

_T = TypeVar("_T")

FILE = "known.sqlite3"
KEPT_DAYS = 30
VERSION = 1
_WAIT_S = 0.005  # DESIGN section 6: the hook waits no longer
_MAX_LOOPS = 10_000  # in this process's own memory: the recorder's bound
_CHECKPOINT_BYTES = 1 << 20
_LOOPS_AT_ONCE = 200
_SLICE = 200  # roots read at once: far more than an agent has sessions, far less than its memory holds

_TABLES = """
CREATE TABLE root (destination TEXT, key BLOB, session BLOB, started_ns INTEGER, added_ns INTEGER, owner TEXT,
                   resource BLOB, scope BLOB, scope_tail BLOB, tail BLOB, entry BLOB, PRIMARY KEY (destination, key));
CREATE TABLE loop (loop_id BLOB PRIMARY KEY, session BLOB, started_ns INTEGER, added_ns INTEGER);
CREATE TABLE destination (name TEXT PRIMARY KEY, endpoint TEXT, acknowledged INTEGER, rejected INTEGER, dead INTEGER,
                          dropped INTEGER, last_error TEXT, last_error_ns INTEGER);
CREATE INDEX waiting ON root (owner) WHERE entry IS NOT NULL;
"""
_WRITE = f"PRAGMA user_version={VERSION}"  # the same again: a page in the log
# What a root leaves behind once it is settled: that the session has one.
SETTLED = "entry = NULL, resource = NULL, scope = NULL, scope_tail = NULL, tail = NULL"


class Known:
    """Is the table, as one destination's processes see it. Safe for use by several threads.

    Args:
        folder: the outbox folder, already checked.
        destination: the destination's name.
    """

    def __init__(self, folder: Path, destination: str) -> None:
        self.lock = threading.Lock()
        self._path = folder / FILE
        self._destination = destination
        self._connection: sqlite3.Connection | None = None
        self._keeper: sqlite3.Connection | None = None
        self._broken = False
        self._unwritten: deque[tuple[bytes, bytes, int, int]] = deque(maxlen=_MAX_LOOPS)

    @property
    def usable(self) -> bool:
        """Tells whether there is a table, or can be one; it may be busy."""
        return not self._broken

    def open(self) -> None:
        """Makes and opens the file, and writes to it, so that the first event need not.

        With the first write to a new log SQLite waits for the disk.
        """
        self._ask(_WRITE, (), 1.0)

    # --- roots ---------------------------------------------------------------------------------------------------

    def claim(
        self, row: Row, started_ns: int, envelope: Envelope, owner: str, *, wait_s: float = _WAIT_S
    ) -> bool | None:
        """Inserts a session's root; True if this call was the first, None if the table cannot be used in time."""
        key = (self._destination, row.key, row.session, started_ns, time.time_ns(), owner)
        values = (*key, *envelope.parts, row.entry)
        query = "INSERT OR IGNORE INTO root VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        count = self._change(query, values, wait_s)
        return None if count is None else count > 0

    def load(self, owner: str, under_way: Collection[int]) -> list[Item]:
        """Returns the next roots of an owner that are neither settled nor under way, a slice of them."""
        query = "SELECT rowid FROM root WHERE owner = ? AND entry IS NOT NULL ORDER BY rowid"
        numbers = [number for (number,) in self._ask(query, (owner,), 1.0) if number not in under_way][:_SLICE]
        marks = ",".join("?" * len(numbers))
        query = f"SELECT rowid, resource, scope, scope_tail, tail, entry FROM root WHERE rowid IN ({marks})"  # noqa: S608  # marks only
        found = self._ask(f"{query} AND entry IS NOT NULL ORDER BY rowid", tuple(numbers), 1.0)
        return [Item(number, Envelope((a, b, c, d)), entry) for number, a, b, c, d, entry in found]

    def settle(self, number: int) -> Row | None:
        """Forgets a root's bytes, now that it is settled; that the session has one stays known."""
        found = self._ask("SELECT key, session, entry FROM root WHERE rowid = ?", (number,), 1.0)
        self._change(f"UPDATE root SET {SETTLED} WHERE rowid = ?", (number,), 1.0)  # noqa: S608  # our own names
        return Row(*found[0]) if found and found[0][2] is not None else None

    def present(self, numbers: Collection[int]) -> set[int]:
        """Returns those of some roots that are not settled; all of them if the table cannot be read now."""
        query = f"SELECT rowid FROM root WHERE entry IS NOT NULL{numbered('AND rowid IN', numbers)}"  # noqa: S608  # numbers only
        found = self._run(lambda connection: connection.execute(query).fetchall(), 1.0)
        return set(numbers) if found is None else {number for (number,) in found}

    def waiting(self, owner: str) -> int | None:
        """Returns how many roots of an owner are not settled, None if the table cannot be read now."""
        found = self._ask("SELECT count(*) FROM root WHERE owner = ? AND entry IS NOT NULL", (owner,), 1.0)
        return int(found[0][0]) if found else None

    def take_over(self, owner: str, is_dead: Callable[[str], bool]) -> int:
        """Makes roots of dead owners ours and returns how many; of two that try, one gets each."""
        # With the plus SQLite goes through the roots that wait, not through all that this destination ever had.
        query = "SELECT DISTINCT owner FROM root WHERE +destination = ? AND entry IS NOT NULL AND owner != ?"
        taken = 0
        for (other,) in self._ask(query, (self._destination, owner), 1.0):
            if is_dead(other):
                update = "UPDATE root SET owner = ? WHERE owner = ? AND destination = ? AND entry IS NOT NULL"
                taken += self._change(update, (owner, other, self._destination), 1.0) or 0
        return taken

    # --- loops ---------------------------------------------------------------------------------------------------

    def loop(self, loop_id: str, *, wait_s: float = _WAIT_S) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop, None where it is unknown or cannot be looked up in time."""
        query = "SELECT session, started_ns FROM loop WHERE loop_id = ?"
        found = self._ask(query, (_blob(loop_id),), wait_s)
        if not found:
            return None
        session, started_ns = found[0]
        return session.decode("utf-8", "surrogatepass"), started_ns

    def remember(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Keeps a loop for `write_loops`: the agent waits for no table that others share."""
        self._unwritten.append((_blob(loop_id), _blob(session_id), min(started_ns, 2**63 - 1), time.time_ns()))

    def write_loops(self) -> None:
        """Writes what was remembered, some hundreds in a statement; what cannot be written now is tried again."""
        while self._unwritten:
            some = [self._unwritten.popleft() for _ in range(min(len(self._unwritten), _LOOPS_AT_ONCE))]
            marks = ",".join(["(?, ?, ?, ?)"] * len(some))
            query = f"INSERT OR REPLACE INTO loop VALUES {marks}"  # noqa: S608  # marks only
            if self._change(query, tuple(chain.from_iterable(some)), 1.0) is None:
                self._unwritten.extendleft(reversed(some))
                return

    # --- counters and upkeep ---------------------------------------------------------------------------------------

    def count(self, endpoint: str, added: tuple[int, int, int, int], error: str | None) -> None:
        """Adds to the destination's counters (acknowledged, rejected, dead, dropped) and notes its last error."""
        new = "INSERT OR IGNORE INTO destination VALUES (?, ?, 0, 0, 0, 0, NULL, NULL)"
        self._change(new, (self._destination, endpoint), 1.0)
        update = (
            "UPDATE destination SET acknowledged = acknowledged + ?, rejected = rejected + ?, dead = dead + ?,"
            " dropped = dropped + ? WHERE name = ?"
        )
        self._change(update, (*added, self._destination), 1.0)
        if error is not None:
            values = (error, time.time_ns(), self._destination)
            self._change("UPDATE destination SET last_error = ?, last_error_ns = ? WHERE name = ?", values, 1.0)

    def sweep(self) -> None:
        """Forgets what is older than a month; roots that wait go by another bound, and are counted."""
        between = (CLOCK_SET_NS, time.time_ns() - KEPT_DAYS * 86_400 * 10**9)
        self._change("DELETE FROM root WHERE added_ns >= ? AND added_ns < ? AND entry IS NULL", between, 1.0)
        self._change("DELETE FROM loop WHERE added_ns >= ? AND added_ns < ?", between, 1.0)

    def checkpoint(self, over_bytes: int = _CHECKPOINT_BYTES) -> None:
        """Keeps the write-ahead log small: first on a connection of its own, which makes no writer wait, then the rest.

        The caller holds what keeps a fork away.
        """
        with contextlib.suppress(OSError):
            if self._path.with_name(FILE + "-wal").stat().st_size > over_bytes:
                self.look("PRAGMA wal_checkpoint(PASSIVE)")
                self._ask("PRAGMA wal_checkpoint(TRUNCATE)", (), 1.0)
                self._ask(_WRITE, (), 1.0)

    # --- bounds: see known_bounds ------------------------------------------------------------------------------------

    def file_bytes(self) -> int:
        """Returns the table's size on disk, its log included; nothing is opened for it."""
        return outbox_schema.size_bytes(self._path)

    def used_bytes(self) -> int:
        """Returns the bytes of the pages that hold something; 0 if the table cannot be read now."""
        query = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        found = self._ask(query, (), 1.0)
        return int(found[0][0]) if found else 0

    def waiting_between(self, since_ns: int, until_ns: int) -> list[tuple[int, str]]:
        """Returns row and owner of the roots that wait and were added then."""
        query = "SELECT rowid, owner FROM root WHERE entry IS NOT NULL AND added_ns >= ? AND added_ns < ?"
        return self._ask(query, (since_ns, until_ns), 1.0)

    def look(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Asks on a connection of its own: however long it takes, no agent waits. The caller keeps forks away."""
        if not self._path.exists():  # SQLite would make it
            return []
        try:
            with contextlib.closing(outbox_schema.connect(self._path, VERSION)) as side:
                return side.execute(query, values).fetchall()
        except (OSError, sqlite3.Error, outbox_schema.UnusableError):
            return []  # the next round finds it mended, or set aside

    def delete(self, query: str, values: tuple[object, ...]) -> int:
        """Deletes rows by a statement and returns how many; 0 if it could not be done now."""
        return self._change(query, values, 1.0) or 0

    def give_back(self) -> None:
        """Returns free pages to the file system, a slice at a time."""
        while self._ask("SELECT 1 FROM pragma_freelist_count WHERE freelist_count > 0", (), 1.0):
            if self._run(lambda connection: connection.executescript(outbox_schema.GIVE_BACK), 1.0) is None:
                break
        self.checkpoint(0)

    def close(self) -> None:
        """Closes the file; the next use opens it again. The last of all processes to do so tidies its log."""
        with self.lock:
            self._close(self._keeper, self._connection)

    def close_for_fork(self) -> None:
        """Does the same for a caller that holds `lock`, without a wait for the disk: the log stays as it is."""
        self._close(self._connection, self._keeper)

    def _close(self, *connections: sqlite3.Connection | None) -> None:
        self._connection = self._keeper = None
        for connection in connections:
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _change(self, query: str, values: tuple[object, ...], wait_s: float) -> int | None:
        """Runs one statement and returns how many rows it changed, None if it could not."""
        return self._run(lambda connection: connection.execute(query, values).rowcount, wait_s)

    def _ask(self, query: str, values: tuple[object, ...], wait_s: float) -> list[Any]:
        return self._run(lambda connection: connection.execute(query, values).fetchall(), wait_s) or []

    def _run(self, ask: Callable[[sqlite3.Connection], _T], wait_s: float) -> _T | None:
        until = time.monotonic() + wait_s
        if self._broken or not self.lock.acquire(timeout=wait_s):
            return None
        try:
            connection = self._opened()
            left_ms = max(math.ceil((until - time.monotonic()) * 1000), 0)
            connection.execute(f"PRAGMA busy_timeout={left_ms}")
            return ask(connection)
        except sqlite3.Error as error:
            if outbox_schema.is_damage(error):
                self._set_aside(str(error))
            return None
        except (OSError, outbox_schema.UnusableError) as error:
            self._set_aside(str(error))
            return None
        finally:
            self.lock.release()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self._path.exists():
                outbox_schema.create_shared(self._path, _TABLES, VERSION)
            self._connection = outbox_schema.connect(self._path, VERSION, _WAIT_S)
            self._keeper = outbox_schema.keep(self._path)
        return self._connection

    def _set_aside(self, reason: str) -> None:
        self._close(self._keeper, self._connection)
        if self._path.exists():
            target = outbox_schema.set_aside(self._path)
            text = "%s is set aside as %s: %s; some session roots may be sent again"
            unsaid.warn(text, self._path, target.name, reason)
        else:
            self._broken = True


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
