"""The outbox folder as a person sees it: what waits, what was refused, and what can be done about it.

All of it works beside processes that live: they are asked for milliseconds of their file, and find changes by themselves.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from otel_phi.delivery import outbox_schema
from otel_phi.delivery.adoption import by_age, unheld
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.known import FILE as KNOWN
from otel_phi.delivery.known import SETTLED
from otel_phi.delivery.known import VERSION as KNOWN_VERSION
from otel_phi.delivery.outbox import LOCK_SUFFIX
from otel_phi.delivery.outbox_schema import SET_ASIDE, SUFFIX, UnusableError
from otel_phi.delivery.store import FOLDER

_WAIT_S = 2.0  # for a process that is writing; a person waits
_LETTERS = 1_000  # dead letters shown of one file; the count goes on


class Letter(msgspec.Struct, frozen=True):
    """Is a dead letter on disk.

    Attributes:
        trace_id: 128 bits.
        span_id: 64 bits.
        session: the session's id, "" where the span names none.
        reason: the destination's words.
        added_ns: when it was written, or taken from memory.
    """

    trace_id: int
    span_id: int
    session: str
    reason: str
    added_ns: int


class DestinationStatus(msgspec.Struct, frozen=True):
    """Is what the folder holds for one destination.

    Attributes:
        name: tells it from others in file names.
        endpoint: in words, without secrets; "" where no file says.
        queued: spans that wait.
        open: loops, turns and groups that are open, of processes that live and of dead ones.
        roots: session roots that wait.
        bytes: of its files.
        oldest_ns: when the oldest span that waits was written, None if none waits.
        dead: how many dead letters there are.
        letters: the first of them.
        processes: ids of the processes that live.
        acknowledged: spans delivered, since the counters began.
        rejected: spans refused in partial successes.
        dropped: spans left out, whatever the reason.
        last_error: what last kept spans from getting through, None if nothing did.
        last_error_ns: when.
    """

    name: str
    endpoint: str = ""
    queued: int = 0
    open: int = 0
    roots: int = 0
    bytes: int = 0
    oldest_ns: int | None = None
    dead: int = 0
    letters: tuple[Letter, ...] = ()
    processes: tuple[int, ...] = ()
    acknowledged: int = 0
    rejected: int = 0
    dropped: int = 0
    last_error: str | None = None
    last_error_ns: int | None = None


class FolderStatus(msgspec.Struct, frozen=True):
    """Is what an outbox folder holds.

    Attributes:
        folder: its path.
        destinations: sorted by name.
        set_aside: names of files that were newer, older or damaged.
        unreadable: names and reasons of files that could not be read now.
    """

    folder: Path
    destinations: tuple[DestinationStatus, ...] = ()
    set_aside: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def queued(self) -> int:
        """Returns how many spans wait, roots included."""
        return sum(one.queued + one.roots for one in self.destinations)

    @property
    def dead(self) -> int:
        """Returns how many dead letters there are."""
        return sum(one.dead for one in self.destinations)

    @property
    def bytes(self) -> int:
        """Returns the bytes of all outboxes."""
        return sum(one.bytes for one in self.destinations)


def folder_status(state_dir: Path) -> FolderStatus:
    """Looks through the outbox folder; one that does not exist holds nothing."""
    folder = state_dir / FOLDER
    found: dict[str, DestinationStatus] = {}
    unreadable = []
    for path in _outboxes(folder):
        name, pid = path.name.split("-")[0], path.name.split("-")[1]
        one = found.get(name, DestinationStatus(name))
        alive = not filelock.is_free(path.with_suffix(LOCK_SUFFIX))
        processes = (*one.processes, int(pid)) if alive and pid.isdigit() else one.processes
        one = msgspec.structs.replace(one, bytes=one.bytes + outbox_schema.size_bytes(path), processes=processes)
        try:
            with _opened(path) as connection:
                one = _with_file(one, connection)
        except (OSError, sqlite3.Error, UnusableError) as error:
            if path.exists():
                unreadable.append((path.name, str(error)))
        found[name] = one
    with contextlib.suppress(OSError, sqlite3.Error, UnusableError):
        _with_known(found, folder / KNOWN)
    aside = tuple(path.name for path in by_age(folder, f"*{SET_ASIDE}"))
    return FolderStatus(folder, tuple(found[name] for name in sorted(found)), aside, tuple(unreadable))


def retry_dead(state_dir: Path, session: str | None = None) -> int:
    """Lets dead letters be sent again, and files that were set aside be read again if they now can be.

    Args:
        state_dir: the state folder.
        session: only this session's, None for all.

    Returns:
        How many dead letters.
    """
    folder = state_dir / FOLDER
    for path in by_age(folder, f"*{SUFFIX}{SET_ASIDE}"):
        with contextlib.suppress(OSError, sqlite3.Error, UnusableError):
            outbox_schema.connect(path).close()  # folds its log into the file
            path.rename(path.with_name(path.name.removesuffix(SET_ASIDE)))
    columns = "id, key, session, envelope, added_ns, entry"
    where, values = _of(session)
    count = 0
    for path in _outboxes(folder):
        with contextlib.suppress(OSError, sqlite3.Error, UnusableError), _opened(path) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            again = f"INSERT OR IGNORE INTO span ({columns}) SELECT {columns} FROM dead{where}"  # noqa: S608  # our own names
            count += connection.execute(again, values).rowcount
            connection.execute(f"DELETE FROM dead{where}", values)  # noqa: S608
    return count


def purge(state_dir: Path, session: str | None = None) -> int:
    """Deletes what waits, what was refused and what is open, and overwrites it on disk.

    Args:
        state_dir: the state folder.
        session: only this session's, None for all.

    Returns:
        How many spans, finished or open.
    """
    folder = state_dir / FOLDER
    where, values = _of(session)
    count = 0
    for path in _outboxes(folder):
        with contextlib.suppress(OSError, sqlite3.Error, UnusableError), _opened(path) as connection:
            _erase(connection, outbox_schema.CLOSED, ())  # their spans are counted
            for table in ("span", "dead", "open"):
                count += _erase(connection, f"DELETE FROM {table}{where}", values)  # noqa: S608  # our own names
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with (
        contextlib.suppress(OSError, sqlite3.Error, UnusableError),
        _opened(folder / KNOWN, KNOWN_VERSION) as connection,
    ):
        owed = " AND entry IS NOT NULL" if where else " WHERE entry IS NOT NULL"
        count += _erase(connection, f"UPDATE root SET {SETTLED}{where}{owed}", values)  # noqa: S608
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if session is None:
        for path in [*_outboxes(folder), *by_age(folder, f"*{SET_ASIDE}")]:
            unheld(path)
    return count


def _outboxes(folder: Path) -> list[Path]:
    return by_age(folder, f"*-*-*{SUFFIX}")


@contextlib.contextmanager
def _opened(path: Path, version: int = outbox_schema.VERSION) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise FileNotFoundError(path)  # SQLite would make it
    with contextlib.closing(outbox_schema.connect(path, version, _WAIT_S)) as connection:
        yield connection


def _of(session: str | None) -> tuple[str, tuple[bytes, ...]]:
    return ("", ()) if session is None else (" WHERE session = ?", (session.encode("utf-8", "surrogatepass"),))


def _erase(connection: sqlite3.Connection, statement: str, values: tuple[bytes, ...]) -> int:
    connection.execute("PRAGMA secure_delete=ON")
    return connection.execute(statement, values).rowcount


def _with_file(one: DestinationStatus, connection: sqlite3.Connection) -> DestinationStatus:
    def ask(query: str) -> Any:
        return connection.execute(query).fetchone()

    queued, oldest_ns = ask("SELECT count(*), min(added_ns) FROM span")
    endpoint = ask("SELECT value FROM about WHERE name = 'endpoint'")
    rows = connection.execute("SELECT key, session, reason, added_ns FROM dead ORDER BY id LIMIT ?", (_LETTERS,))
    letters = tuple(
        Letter(
            int.from_bytes(key[:16], "big"),
            int.from_bytes(key[16:], "big"),
            session.decode("utf-8", "replace"),
            reason,
            ns,
        )
        for key, session, reason, ns in rows
    )
    return msgspec.structs.replace(
        one, endpoint=endpoint[0] if endpoint else one.endpoint, queued=one.queued + queued,
        open=one.open + ask("SELECT count(*) FROM open WHERE key NOT IN (SELECT key FROM span)")[0], dead=one.dead + ask("SELECT count(*) FROM dead")[0],
        letters=one.letters + letters, oldest_ns=min((ns for ns in (one.oldest_ns, oldest_ns) if ns), default=None),
    )  # fmt: skip


def _with_known(found: dict[str, DestinationStatus], path: Path) -> None:
    with _opened(path, KNOWN_VERSION) as connection:
        owed = "SELECT destination, count(*) FROM root WHERE entry IS NOT NULL GROUP BY destination"
        for name, count in connection.execute(owed):
            found[name] = msgspec.structs.replace(found.get(name, DestinationStatus(name)), roots=count)
        counters = "SELECT name, endpoint, acknowledged, rejected, dropped, last_error, last_error_ns FROM destination"
        for name, endpoint, acknowledged, rejected, dropped, error, error_ns in connection.execute(counters):
            found[name] = msgspec.structs.replace(
                found.get(name, DestinationStatus(name)), endpoint=endpoint, acknowledged=acknowledged,
                rejected=rejected, dropped=dropped, last_error=error, last_error_ns=error_ns,
            )  # fmt: skip
