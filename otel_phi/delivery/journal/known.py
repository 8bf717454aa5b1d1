"""What the processes of this machine know together: which sessions have their root, and when which loop started.

Rule 1: a promise for roots and a convenience for links; where the table cannot be used the answers come from this
        process's memory, nothing raises, and it is said once.
Rule 2: no write-ahead log, no wait for the disk: an idle connection then holds no lock, so what a forked child remembers
        of it is harmless, also where C code forked. After a power failure a damaged file is set aside and begun anew.
Rule 3: bounded by pages and by age; forgetting costs at most a root or a link that comes again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal.facts import Destination
from otel_phi.delivery.journal.private import check_file, make_file

logger = logging.getLogger("otel_phi")
_K = TypeVar("_K")
_T = TypeVar("_T")

FILE = "known.sqlite3"
KEPT_DAYS = 30
# An eighth of the outbox's bound. Some 200,000 sessions or loops fit.
MAX_BYTES = 32 << 20
_PAGE_BYTES = 4096
_SHARE = 8  # so much of the rows goes where the table is full, the oldest
_WAIT_S = 1.0  # others hold the table for less than a millisecond; nobody waits for this thread
_MEMORY = 10_000  # sessions, and loops, that this process remembers itself: the recorder's bound
_INT64 = (1 << 63) - 1
_VERSION = 3  # 1 was in the outbox folder, and held the roots' bytes; 2 had no destinations
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS root (destination TEXT, session BLOB, owner TEXT, added_ns INTEGER,
                                 PRIMARY KEY (destination, session));
CREATE TABLE IF NOT EXISTS loop (loop_id BLOB PRIMARY KEY, session BLOB, started_ns INTEGER, added_ns INTEGER);
CREATE TABLE IF NOT EXISTS destination (name TEXT PRIMARY KEY, shown TEXT, acknowledged INTEGER DEFAULT 0,
                                        rejected INTEGER DEFAULT 0, dropped INTEGER DEFAULT 0, last_error TEXT,
                                        last_error_ns INTEGER, added_ns INTEGER);
PRAGMA user_version=%d;
COMMIT;
"""
_ADD_COUNTS = """
INSERT INTO destination (name, shown, acknowledged, rejected, dropped, last_error, last_error_ns, added_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
    shown = excluded.shown, acknowledged = acknowledged + excluded.acknowledged, rejected = rejected + excluded.rejected,
    dropped = dropped + excluded.dropped, last_error = ifnull(excluded.last_error, last_error),
    last_error_ns = ifnull(excluded.last_error_ns, last_error_ns), added_ns = excluded.added_ns
"""
_COUNTS = "SELECT name, shown, acknowledged, rejected, dropped, last_error, last_error_ns FROM destination"
# Connections of a parent: finalising one here would touch what the parent still uses.
_inherited: list[sqlite3.Connection] = []


class SoFar(msgspec.Struct, frozen=True, kw_only=True):
    """Says what became of one destination's spans so far, in all processes of this machine: for people, not for accounts.

    Attributes:
        shown: endpoint and protocol in words, without secrets.
        acknowledged: spans the destination took.
        rejected: spans it refused in partial successes.
        dropped: spans that were left out, whatever the reason.
        last_error: what last kept spans from getting through, None if nothing did.
        last_error_ns: when.
    """

    shown: str = ""
    acknowledged: int = 0
    rejected: int = 0
    dropped: int = 0
    last_error: str | None = None
    last_error_ns: int | None = None


class Known:
    """What is known is a table, one SQLite file in the state folder. Used by the sender's thread, and by whoever forks.

    Args:
        state_dir: the state folder.
        max_bytes: bound of the file.

    Attributes:
        broken: why it was not used the last time, "" while it works.
    """

    def __init__(self, state_dir: Path, max_bytes: int = MAX_BYTES) -> None:
        self.broken = ""
        self._path = state_dir / FILE
        self._pages = max(max_bytes // _PAGE_BYTES, 16)  # less than that has no room for the tables
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._said = self._forking = False
        self._roots: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._loops: OrderedDict[str, tuple[str, int]] = OrderedDict()

    @classmethod
    def in_memory(cls) -> Known:
        """Makes one that remembers in this process's memory alone, for where no state folder can be."""
        known = cls(Path(os.devnull))  # no folder: every use falls back to memory, and it was said already why
        known._said = True  # a constructor
        return known

    def claim_root(self, destination: str, session_key: str, owner: str) -> bool:
        """Claims a session's root; True for the first owner, and for the same owner again.

        Args:
            destination: the destination's name; another one has a root of its own.
            session_key: the session.
            owner: `Journal.owner`.
        """
        key = (destination, session_key)
        if key not in self._roots:
            first = self._run(lambda table: _claimed(table, destination, _blob(session_key), owner))
            _keep(self._roots, key, first or owner)
        return self._roots[key] == owner

    def loop(self, loop_id: str) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop, None where nobody knows it."""
        query = "SELECT session, started_ns FROM loop WHERE loop_id = ?"
        found = self._run(lambda table: table.execute(query, (_blob(loop_id),)).fetchone())
        if found is None:
            return self._loops.get(loop_id)
        return found[0].decode("utf-8", "surrogatepass"), found[1]

    def remember(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Remembers a loop; of several that share an id, the latest."""
        _keep(self._loops, loop_id, (session_id, started_ns))
        values = (_blob(loop_id), _blob(session_id), max(min(started_ns, _INT64), -_INT64), wall_ns())
        self._run(functools.partial(_changed, "INSERT OR REPLACE INTO loop VALUES (?, ?, ?, ?)", values))

    def add_counts(self, destination: Destination, more: SoFar) -> bool:
        """Adds to what is known of a destination; False where the table cannot be used now."""
        values = (destination.name, destination.shown, more.acknowledged, more.rejected, more.dropped,
                  more.last_error, more.last_error_ns, wall_ns())  # fmt: skip
        return self._run(functools.partial(_changed, _ADD_COUNTS, values)) is not None

    def sweep(self) -> None:
        """Forgets what is older than a month. To be called about once an hour."""
        oldest = (wall_ns() - KEPT_DAYS * 86_400 * 10**9,)
        for name in ("root", "loop", "destination"):
            self._run(functools.partial(_changed, f"DELETE FROM {name} WHERE added_ns < ?", oldest))  # noqa: S608  # our own names

    def before_fork(self) -> None:
        """Closes the file and keeps everybody from opening it, until `after_fork`."""
        self._leave_parent_s()
        if self._lock.acquire(timeout=_WAIT_S):
            self._close()
            self._forking = True

    def after_fork(self) -> None:
        """Lets it be used again; in the parent. A child notices by itself."""
        if self._forking and self._pid == os.getpid():
            self._forking = False
            self._lock.release()

    def close(self) -> None:
        """Closes the file; the next use opens it again. Repeatable."""
        self._leave_parent_s()
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _leave_parent_s(self) -> None:
        """Begins anew in a forked child, whoever forked it."""
        if self._pid != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._connection, self._lock, self._pid = None, threading.Lock(), os.getpid()
            self._forking = False

    def _run(self, ask: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Asks the table; None where it cannot be used now."""
        self._leave_parent_s()
        with self._lock:
            try:
                found = self._ask(ask)
            except (sqlite3.Error, OSError) as error:
                self._close()
                self.broken = str(error)
                self._say(f"{self._path} cannot be used: {error}; session roots may be sent by several processes")
                return None
            self.broken = ""
            return found

    def _ask(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return ask(self._opened())
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise
            self._make_room()
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
        return ask(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._path.exists():
            return self._connection
        self._close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            make_file(self._path)
        check_file(self._path)
        connection = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=PERSIST")
        connection.execute(f"PRAGMA max_page_count={self._pages}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.OperationalError(f"written by a newer otel-phi (schema {version}, this one has {_VERSION})")
        if version < _VERSION:
            connection.executescript(_TABLES % _VERSION)

    def _make_room(self) -> None:
        """Forgets the oldest rows; a loop that was remembered again is young again."""
        table = self._opened()
        for name in ("root", "loop"):
            oldest = f"SELECT rowid FROM {name} ORDER BY rowid LIMIT (SELECT count(*) / {_SHARE} + 1 FROM {name})"  # noqa: S608  # our own names
            table.execute(f"DELETE FROM {name} WHERE rowid IN ({oldest})")  # noqa: S608  # our own names

    def _set_aside(self, error: sqlite3.Error) -> None:
        self._close()
        aside = self._path.with_name(f"{FILE}.damaged")
        self._path.replace(aside)
        with contextlib.suppress(OSError):
            self._path.with_name(f"{FILE}-journal").unlink(missing_ok=True)
        self._say(
            f"{self._path} is damaged ({error}) and was set aside as {aside.name}; some session roots may be sent again"
        )

    def _say(self, text: str) -> None:
        if not self._said:
            self._said = True
            logger.warning("%s", text)


def counts_so_far(state_dir: Path) -> dict[str, SoFar]:
    """Returns what became of each destination's spans so far, by its name; nothing where the table cannot be read.

    Reads alone: no file is made, and on a read-only volume none can be.
    """
    uri = f"{(state_dir / FILE).absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S)) as connection:
            rows = connection.execute(_COUNTS).fetchall()
    except sqlite3.Error:
        return {}
    names = ("shown", "acknowledged", "rejected", "dropped", "last_error", "last_error_ns")
    return {str(row[0]): SoFar(**dict(zip(names, row[1:], strict=True))) for row in rows}


def _changed(statement: str, values: tuple[object, ...], table: sqlite3.Connection) -> int:
    return table.execute(statement, values).rowcount


def _claimed(table: sqlite3.Connection, destination: str, session: bytes, owner: str) -> str:
    """Returns the owner of a session's root: this one, unless another was first."""
    values = (destination, session, owner, wall_ns())
    if table.execute("INSERT OR IGNORE INTO root VALUES (?, ?, ?, ?)", values).rowcount:
        return owner
    found = table.execute("SELECT owner FROM root WHERE destination = ? AND session = ?", values[:2]).fetchone()
    return owner if found is None else str(found[0])


def _keep(memory: OrderedDict[_K, _T], key: _K, value: _T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MEMORY:
        memory.popitem(last=False)


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
