"""An outbox file's schema, and the door through which such files are opened. Knows SQL and nothing of delivery.

Rule 1: write-ahead log, `synchronous=NORMAL`: what is committed survives the process, however it ends.
Rule 2: no automatic checkpoint. It would run inside an unlucky commit of the agent, for 12 to 31 ms (RELIABILITY 8).
Rule 3: a file of another schema, or a damaged one, is set aside under a name of its own and never opened again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from pathlib import Path

from otel_phi.delivery.journal.private import FolderError, check_file, make_file

VERSION = 2  # 2: open rows have numbers, and rows tell what they close
# A turn's three rows are some 2.5 kB. SQLite's own 4 KiB ask for a new page, and four changed ones, at almost every turn: a
# commit of 28 us; 8 KiB at every third (15 us), and with 16 KiB writing the page costs more than that saves (19 us).
PAGE_BYTES, _SHARED_PAGE_BYTES = 8_192, 4_096
SUFFIX = ".sqlite3"
SET_ASIDE = ".set-aside"
SIDE_FILES = ("", "-wal", "-shm")

# Each row carries the number of its envelope: the resource is fixed when a span is written, whoever sends it.
# `span` waits, `dead` was refused, `open` is what leaves as aborted should the process be lost. An open row whose key is that
# of a row in `span` has closed; it is deleted before that row is. No table has an index: the agent would pay for its upkeep.
_TABLES = """
CREATE TABLE envelope (id INTEGER PRIMARY KEY, resource BLOB, scope BLOB, scope_tail BLOB, tail BLOB);
CREATE TABLE span (id INTEGER PRIMARY KEY, key BLOB, session BLOB, envelope INTEGER, added_ns INTEGER, entry BLOB);
CREATE TABLE dead (id INTEGER PRIMARY KEY, key BLOB, session BLOB, envelope INTEGER, added_ns INTEGER, entry BLOB,
                   reason TEXT);
CREATE TABLE open (id INTEGER PRIMARY KEY, key BLOB, parent BLOB, session BLOB, envelope INTEGER, added_ns INTEGER,
                   ended_ns INTEGER, entry BLOB);
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT);
"""


CLOSED = "DELETE FROM open WHERE key IN (SELECT key FROM span)"  # what has closed, and whose rows still wait
# Frees a quarter of a MiB. By `executescript`: `execute` stops at the first page.
GIVE_BACK = "PRAGMA incremental_vacuum(64)"
LAST_NUMBER = "SELECT max(ifnull((SELECT max(id) FROM span), 0), ifnull((SELECT max(id) FROM dead), 0))"


class UnusableError(Exception):
    """Says why a file cannot be used as an outbox: newer or older, or damaged; nothing to say of one never finished."""


def is_damage(error: BaseException) -> bool:
    """Tells whether an error speaks of the file's content; a full disk or a busy file is an OperationalError."""
    return type(error) is sqlite3.DatabaseError or str(error).startswith(("no such table", "no such column"))


def create(
    path: Path, tables: str = _TABLES, version: int = VERSION, page_bytes: int = PAGE_BYTES
) -> sqlite3.Connection:
    """Makes a file and returns its connection.

    Raises:
        OSError, sqlite3.Error: it cannot be made.
    """
    make_file(path)
    connection = _connection(path)
    try:
        # Nothing to lose yet: without synchronisation a new file costs one millisecond instead of ten.
        connection.execute(f"PRAGMA page_size={page_bytes}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        _configure(connection, "OFF")
        connection.executescript(f"BEGIN;{tables}PRAGMA user_version={version};COMMIT;")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def create_shared(path: Path, tables: str, version: int) -> None:
    """Makes a file that several processes use, unless one made it before: nobody finds it half made.

    Raises:
        OSError, sqlite3.Error: it cannot be made.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        create(part, tables, version, _SHARED_PAGE_BYTES).close()
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        remove(part)


def connect(path: Path, version: int = VERSION, timeout_s: float = 0.0) -> sqlite3.Connection:
    """Opens a file that is there.

    Raises:
        UnusableError: its schema is not ours, or it is damaged.
        sqlite3.Error: it cannot be opened now.
    """
    try:
        check_file(path)
    except FolderError as error:
        raise UnusableError(str(error)) from None
    connection = _connection(path, timeout_s)
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > version:
            raise UnusableError(f"written by a newer otel-phi (schema {found}, this one reads {version})")
        if found < 1:
            raise UnusableError  # its process died while making it; it holds nothing
        if found < version:
            raise UnusableError(f"written by an older otel-phi (schema {found}, this one reads {version})")
        _configure(connection, "NORMAL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except UnusableError:
        connection.close()
        raise
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise UnusableError(f"damaged: {error}") from None
        raise
    return connection


def keep(path: Path) -> sqlite3.Connection:
    """Opens a file for reading alone: while it is open, or closed last, no closing moves the log into the file.

    That waits for the disk, three to forty milliseconds; whoever forks closes often.

    Raises:
        sqlite3.Error: it cannot be opened now.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


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
    for suffix in reversed(SIDE_FILES):  # the database last: without it the others are nothing
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def size_bytes(path: Path) -> int:
    """Returns what a file and its side files take on disk; they are not opened, which would free SQLite's locks."""
    total = 0
    for suffix in SIDE_FILES[:2]:
        with contextlib.suppress(OSError):
            total += path.with_name(path.name + suffix).stat().st_size
    return total


def _connection(path: Path, timeout_s: float = 0.0) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def _configure(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous={synchronous}")  # first: a new file's change of mode is synchronised
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise sqlite3.OperationalError(f"no write-ahead log here (journal mode {mode})")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA cache_size=-1024")  # KiB: an outbox is written and read once
