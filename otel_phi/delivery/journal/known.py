"""What the processes of this machine know together: which sessions have their root, and when which loop started.

Rule 1: a promise for roots and a convenience for links; where the table cannot be used the answers come from this
        process's memory, nothing raises, and it is said once. What could not be told is told when the table can be used again.
Rule 2: whoever waited for it in vain asks again only after nine times as long: a table that another process holds for hours
        costs the sender's thread a tenth of its time.
Rule 3: no write-ahead log, no wait for the disk: an idle connection then holds no lock, so what a forked child remembers
        of it is harmless, also where C code forked; of one that is at work see `sqlite_use`. After a power failure a damaged
        file is set aside and begun anew.
Rule 4: bounded by pages and by age; forgetting costs at most a root or a link that comes again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from otel_phi import sqlite_use
from otel_phi.clock import monotonic, wall_ns
from otel_phi.delivery.journal.facts import Destination
from otel_phi.delivery.journal.private import check_file, make_file
from otel_phi.sqlite_use import in_sqlite, is_damage

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
_PAUSE = 9  # times as long as was waited in vain, until it is asked again
_MEMORY = 10_000  # sessions, and loops, that this process remembers itself: the recorder's bound
_LATE = 1_000  # rows that wait for the table; past it the oldest are not told: a root or a link that comes again
_LATE_AT_ONCE = 100  # of them: some ten milliseconds
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
_REMEMBER = "INSERT OR REPLACE INTO loop VALUES (?, ?, ?, ?)"
_CLAIM = "INSERT OR IGNORE INTO root VALUES (?, ?, ?, ?)"
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
        self._file: tuple[int, int] | None = None  # device and inode of what was opened last
        self._pid = os.getpid()
        self._said = False
        self._again_at = 0.0
        self._late: OrderedDict[tuple[str, ...], tuple[str, tuple[object, ...]]] = OrderedDict()
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
            row = (destination, _blob(session_key), owner, wall_ns())
            first = self._run(functools.partial(_claimed, row))
            if first is None:
                _keep(self._late, ("root", *key), (_CLAIM, row), _LATE)
            _keep(self._roots, key, first or owner)
        return self._roots[key] == owner

    def loop(self, loop_id: str) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop, None where nobody knows it."""
        return self._run(functools.partial(_loop, _blob(loop_id))) or self._loops.get(loop_id)

    def remember(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Remembers a loop; of several that share an id, the latest."""
        _keep(self._loops, loop_id, (session_id, started_ns))
        row = (_blob(loop_id), _blob(session_id), max(min(started_ns, _INT64), -_INT64), wall_ns())
        if self._run(functools.partial(_changed, _REMEMBER, row)) is None:
            _keep(self._late, ("loop", loop_id), (_REMEMBER, row), _LATE)

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
        """Closes the file and keeps everybody from opening it, until `after_fork`; not where somebody is at it for too long."""
        self._leave_parent_s()
        if sqlite_use.hold(_WAIT_S):
            self._close()

    def after_fork(self) -> None:
        """Lets it be used again; in the parent. A child notices by itself."""
        sqlite_use.let_go()

    def close(self) -> None:
        """Closes the file, after a last try to tell what could not be told; the next use opens it again. Repeatable."""
        self._leave_parent_s()
        self._again_at = 0.0
        while self._late and self._run(lambda table: table.total_changes) is not None:
            pass
        with in_sqlite():
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
                sqlite_use.keep_for_ever(self._connection)
                _inherited.append(self._connection)
            self._connection, self._pid, self._again_at = None, os.getpid(), 0.0
            self._late.clear()  # its parent tells it

    def _run(self, ask: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Asks the table; None where it cannot be used now."""
        self._leave_parent_s()
        asked_at = monotonic()
        if asked_at < self._again_at:
            return None
        with in_sqlite():
            try:
                found = self._ask(ask)
            except Exception as error:  # noqa: BLE001  # rule 1; SQLite has no sums of its content: a row may hold anything
                self._close()
                self._again_at = monotonic() + _PAUSE * (monotonic() - asked_at)
                self.broken = str(error) or type(error).__name__
                self._say(f"{self._path} cannot be used: {self.broken}; session roots may be sent by several processes")
                return None
            self.broken = ""
            return found

    def _ask(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return self._asked(ask)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._set_aside(error)
            elif "full" in str(error):
                self._make_room()
            else:
                raise
        return self._asked(ask)

    def _asked(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        """Tells the table first what it was not told before."""
        table = self._opened()
        for _ in range(min(len(self._late), _LATE_AT_ONCE)):
            key, (statement, row) = self._late.popitem(last=False)
            try:
                table.execute(statement, row)
            except sqlite3.OperationalError:  # any other is about the row or the file: without it
                self._late[key] = statement, row
                raise
        return ask(table)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._file == _identity(self._path):
            return self._connection
        self._close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            make_file(self._path)
        check_file(self._path)
        sqlite_use.check_usable(self._path, _WAIT_S)
        self._file = _identity(self._path)
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
        if self._file != _identity(self._path):
            return  # another process was faster: what lies there now is the new one
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


def _claimed(row: tuple[str, bytes, str, int], table: sqlite3.Connection) -> str:
    """Returns the owner of a session's root: this one, unless another was first."""
    destination, session, owner, _ = row
    if table.execute(_CLAIM, row).rowcount:
        return owner
    query = "SELECT owner FROM root WHERE destination = ? AND session = ?"
    found = table.execute(query, (destination, session)).fetchone()
    return owner if found is None else str(found[0])


def _loop(loop_id: bytes, table: sqlite3.Connection) -> tuple[str, int] | None:
    """Returns session and start of a loop; None where nobody knows it, or the row holds something else."""
    match table.execute("SELECT session, started_ns FROM loop WHERE loop_id = ?", (loop_id,)).fetchone():
        case (bytes(session), int(started_ns)):
            with contextlib.suppress(UnicodeDecodeError):
                return session.decode("utf-8", "surrogatepass"), started_ns
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns device and inode of a file, None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _keep(memory: OrderedDict[_K, _T], key: _K, value: _T, bound: int | None = None) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > (_MEMORY if bound is None else bound):
        memory.popitem(last=False)


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
