"""Outboxes of the format before the journal: SQLite files of finished spans, read once, sent and deleted.

    outbox/{destination}-{pid}-{nonce}.sqlite3   span: waits; dead: was refused; open: what leaves as aborted; envelope; about
    outbox/known.sqlite3                         root: session roots with their bytes, until they were settled

Rule 1: `destination` is a keyed hash of endpoint, protocol and headers: whose name is the same has made the file.
Rule 2: a file that an older version's process still holds is that one's.
Rule 3: a file that cannot be read is set aside under a name of its own, said once, and named by `status`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from otel_phi.config import Config
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.destination import Sealed
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.outbox import make_process_folder
from otel_phi.delivery.journal.private import FolderError, check_file, destination_name
from otel_phi.hook.old_open_rows import abort_open
from otel_phi.hook.ready_spans import ReadySpan
from otel_phi.sqlite_use import check_usable, in_sqlite, is_damage

SUFFIX, LOCK_SUFFIX, SET_ASIDE = ".sqlite3", ".lock", ".set-aside"
KNOWN = "known.sqlite3"
VERSION = 2  # of the files; that of `known` was 1
_SLICE = 200  # rows read at once
_WAIT_S = 1.0
_PARTS = "resource, scope, scope_tail, tail"
_SPANS = f"""
SELECT s.id, s.entry, {_PARTS} FROM span s LEFT JOIN envelope e ON e.id = abs(s.envelope)
WHERE s.id > ? ORDER BY s.id LIMIT {_SLICE}
"""  # noqa: S608  # our own names
_DEAD = f"SELECT d.key, d.session, d.added_ns, d.reason, d.entry, {_PARTS} FROM dead d LEFT JOIN envelope e ON e.id = d.envelope"  # noqa: S608
_ROOTS = (
    f"SELECT rowid, entry, {_PARTS} FROM root WHERE entry IS NOT NULL AND rowid > ? AND destination = ? ORDER BY rowid"  # noqa: S608
)
_SETTLED = "UPDATE root SET entry = NULL, resource = NULL, scope = NULL, scope_tail = NULL, tail = NULL WHERE rowid = ?"


class UnusableError(Exception):
    """Says why a file cannot be used: another schema, or damaged."""


def old_files(folder: Path) -> list[Path]:
    """Returns the files of the old format in an outbox folder."""
    return sorted(folder.glob(f"*-*-*{SUFFIX}"))


def set_aside_files(folder: Path) -> list[Path]:
    """Returns those that were set aside."""
    return sorted(folder.glob(f"*{SUFFIX}{SET_ASIDE}"))


def old_name(config: Config, state_dir: Path) -> str:
    """Returns a configuration's destination as the old format named it."""
    headers, exporter = config.fixed_headers, config.exporter_name
    facts = ["live", config.protocol, exporter, config.file or "", "asked" if callable(config.headers) else ""]
    if config.tls.client_certificate:
        facts.append(config.tls.client_certificate)
    objects = [one for one in config.exporters if not isinstance(one, str)]
    if callable(config.headers) or objects:
        facts += [*(type(one).__module__ for one in objects or [""]), config.service_name or ""]
    return destination_name(state_dir, config.endpoint, headers, *facts)


def connected(path: Path) -> sqlite3.Connection:
    """Opens a file of spans.

    Raises:
        UnusableError: its schema is another, or it is damaged.
        sqlite3.Error: it cannot be opened now.
    """
    try:
        check_file(path)
    except FolderError as error:
        raise UnusableError(str(error)) from None
    except OSError as error:
        raise sqlite3.OperationalError(str(error)) from None
    check_usable(path, _WAIT_S)
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != VERSION:
            raise UnusableError(f"written by another version of otel-phi (schema {found}, this one reads {VERSION})")
    except (sqlite3.Error, UnusableError) as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise UnusableError(f"damaged: {error}") from None
        raise
    return connection


def endpoint_of(connection: sqlite3.Connection) -> str:
    """Returns where a file's spans go, in words; "" where it does not say."""
    with contextlib.suppress(sqlite3.Error):
        found = connection.execute("SELECT value FROM about WHERE name = 'endpoint'").fetchone()
        return str(found[0]) if found else ""
    return ""


class Letters:
    """The dead letters of spans that came from no journal, in a process folder of their own, made when it is needed.

    Args:
        parent: the destination's folder.
        shown: the destination in words.
        sealed: whose they are.
    """

    def __init__(self, parent: Path, shown: str, sealed: Sealed) -> None:
        self._parent, self._shown, self._sealed = parent, shown, sealed
        self._made: tuple[Path, FileLock] | None = None

    def keep(self, key: bytes, session: bytes, span: tuple[bytes, tuple[bytes, ...]], reason: str, at_ns: int) -> bool:
        """Keeps a span; False where there is no room for it."""
        letter = DeadLetter(
            entry=span[0], envelope=span[1], trace_id=key[:16], span_id=key[16:], reason=reason, at_ns=at_ns,
            session_id=session.decode("utf-8", "replace"), shown=self._shown, salt=self._sealed.salt,
            credentials=self._sealed.credentials,
        )  # fmt: skip
        try:
            if self._made is None:
                self._parent.mkdir(mode=0o700, exist_ok=True)
                self._made = make_process_folder(self._parent)
        except OSError:
            return False
        return DeadLetters(self._made[0]).append(letter)

    def close(self) -> None:
        """Lets the folder's lock go; the letters stay."""
        if self._made is not None:
            self._made[1].release(remove=True)


class _Rows:
    """Rows of a table as ready spans: a query of number, entry and envelope, that begins behind a number."""

    def __init__(self, connection: sqlite3.Connection, query: str, *values: str) -> None:
        self._connection, self._query, self._values = connection, query, values
        self._at = 0
        self.broken = False  # damaged in the middle: what was read is sent

    @in_sqlite()
    def read(self, max_bytes: int) -> list[ReadySpan]:  # noqa: ARG002  # a slice of rows is about as much
        """Returns the next rows."""
        try:
            rows = self._connection.execute(self._query, (self._at, *self._values)).fetchmany(_SLICE)
        except sqlite3.Error:
            self.broken = True
            return []
        found = [
            ReadySpan(number, bytes(entry), tuple(part or b"" for part in parts)) for number, entry, *parts in rows
        ]
        self._at = found[-1].number if found else self._at
        return found


class OldOutbox(_Rows):
    """An old outbox is one file of a dead process, claimed by this one: a source of ready spans.

    Args:
        path: the file.
        lock: ours, on it.
        connection: of the file.
        letters: where spans go that were refused, then and now.
    """

    def __init__(self, path: Path, lock: FileLock, connection: sqlite3.Connection, letters: Letters) -> None:
        super().__init__(connection, _SPANS)
        self._path, self._lock, self._letters = path, lock, letters
        abort_open(connection)
        for key, session, added_ns, reason, entry, *parts in connection.execute(_DEAD).fetchall():
            letters.keep(key, session, (entry, tuple(parts)), reason, added_ns)
        connection.execute("DELETE FROM dead")

    @in_sqlite()
    def forget(self, numbers: Sequence[int]) -> None:
        """Deletes rows that are settled."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.executemany("DELETE FROM span WHERE id = ?", [(number,) for number in numbers])

    @in_sqlite()
    def refused(self, number: int, reason: str) -> bool:
        """Makes a dead letter of a row."""
        query = f"SELECT s.key, s.session, s.added_ns, s.entry, {_PARTS} FROM span s LEFT JOIN envelope e ON e.id = abs(s.envelope) WHERE s.id = ?"  # noqa: S608
        return _refused(self._connection, query, number, self._letters, reason)

    @in_sqlite()
    def is_gone(self, number: int) -> bool:
        """Tells whether a row was deleted meanwhile."""
        with contextlib.suppress(sqlite3.Error):
            return self._connection.execute("SELECT 1 FROM span WHERE id = ?", (number,)).fetchone() is None
        return False

    @in_sqlite()
    def close(self, *, delete: bool) -> None:
        """Lets the file go."""
        self._connection.close()
        self._letters.close()
        if delete and self.broken:
            set_aside(self._path)
        elif delete:
            remove(self._path)
        self._lock.release(remove=delete)


class OldRoots(_Rows):
    """Old roots are the session roots that an older version's table owes to one destination: a source of ready spans.

    Args:
        lock: the claim.
        connection: of the table.
        name: the destination, as the old format named it.
        letters: where those go that are refused.
    """

    def __init__(self, lock: FileLock, connection: sqlite3.Connection, name: str, letters: Letters) -> None:
        super().__init__(connection, _ROOTS, name)
        self._lock, self._letters = lock, letters

    @in_sqlite()
    def forget(self, numbers: Sequence[int]) -> None:
        """Forgets the bytes of roots that are settled."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.executemany(_SETTLED, [(number,) for number in numbers])

    @in_sqlite()
    def refused(self, number: int, reason: str) -> bool:
        """Makes a dead letter of a root."""
        query = f"SELECT key, session, added_ns, entry, {_PARTS} FROM root WHERE rowid = ?"  # noqa: S608
        return _refused(self._connection, query, number, self._letters, reason)

    @in_sqlite()
    def is_gone(self, number: int) -> bool:
        """Tells whether a root was purged meanwhile."""
        query = "SELECT 1 FROM root WHERE rowid = ? AND entry IS NOT NULL"
        with contextlib.suppress(sqlite3.Error):
            return self._connection.execute(query, (number,)).fetchone() is None
        return False

    @in_sqlite()
    def close(self, *, delete: bool) -> None:  # noqa: ARG002  # the table is every destination's
        """Lets the claim go."""
        self._connection.close()
        self._letters.close()
        self._lock.release(remove=True)


def _refused(connection: sqlite3.Connection, query: str, number: int, letters: Letters, reason: str) -> bool:
    with contextlib.suppress(sqlite3.Error):
        row = connection.execute(query, (number,)).fetchone()
        if row is not None:
            key, session, added_ns, entry, *parts = row
            return letters.keep(key, session, (entry, tuple(part or b"" for part in parts)), reason, added_ns)
    return False


@in_sqlite()
def claim(
    path: Path, name: str, endpoint: str | None, letters: Letters, say: Callable[[str], None]
) -> OldOutbox | None:
    """Claims a file; None where it is another destination's, a process that lives has it, or it cannot be used now.

    Args:
        path: the file.
        name: from `old_name`.
        endpoint: take it also where it says this endpoint, whatever its headers were; None for no such thing.
        letters: where refused spans go.
        say: gets what is to be said.
    """
    ours = path.name.startswith(f"{name}-")
    if not ours and endpoint is None:
        return None
    lock = _acquired(path.with_suffix(LOCK_SUFFIX))
    if lock is None:
        return None
    try:
        connection = connected(path)
        if ours or endpoint_of(connection) == endpoint:
            return OldOutbox(path, lock, connection, letters)
        connection.close()
    except UnusableError as error:
        say(f"{path} is set aside as {set_aside(path).name}: {error}")
    except sqlite3.Error as error:
        if is_damage(error):
            say(f"{path} is set aside as {set_aside(path).name}: damaged: {error}")
    except Exception as error:  # noqa: BLE001  # SQLite has no sums of its content: what is in a row may be anything
        say(f"{path} is set aside as {set_aside(path).name}: damaged: {type(error).__name__}")
    lock.release()
    return None


@in_sqlite()
def claim_roots(folder: Path, name: str, letters: Letters) -> OldRoots | None:
    """Claims the roots that the old table owes to a destination; None where there are none, or another process has them."""
    path = folder / KNOWN
    if not path.exists():
        return None
    lock = _acquired(folder / f"{name}-roots{LOCK_SUFFIX}")
    if lock is None:
        return None
    with contextlib.suppress(sqlite3.Error):
        check_usable(path, _WAIT_S)
        connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        if connection.execute(_ROOTS, (0, name)).fetchone() is not None:
            return OldRoots(lock, connection, name, letters)
        connection.close()
    lock.release(remove=True)
    return None


def _acquired(path: Path) -> FileLock | None:
    try:
        return filelock.acquire(path)
    except OSError:
        return None


def set_aside(path: Path) -> Path:
    """Renames a file that cannot be used, so that no one trips over it again, and returns its new name."""
    target = path.with_name(path.name + SET_ASIDE)
    for suffix in ("-wal", ""):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).replace(target.with_name(target.name + suffix))
    with contextlib.suppress(OSError):
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return target


def remove(path: Path) -> None:
    """Removes a file and what SQLite keeps beside it."""
    for suffix in ("-shm", "-wal", ""):  # the database last: without it the others are nothing
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
