"""The index on disk: keys and values in one SQLite file of the cache folder, for this user alone.

    row:   key 16 bytes │ value = hash of the rest, 8 bytes │ msgpack │ day on which it was last of use

Rule 1: a value that does not hash to what stands before it is none; a file that is damaged, or somebody else's, is thrown away.
Rule 2: nothing here is ever an error: where the index cannot be read or written, files are read.
Rule 3: what nobody has asked for in a month is deleted; a file that grows over its bound begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal.private import FolderError, check_file, make_file, make_folders

_OURS = 0x07E1F1DE  # application_id
_FORMAT = 1
_BUSY_S = 2.0  # another `ls` commits in less; else this one keeps nothing
_HASH_BYTES = 8
_DAY_NS = 86_400 * 1_000_000_000
KEPT_DAYS = 30
MAX_BYTES = 1 << 30  # a million sessions' rows, more or less
_AT_ONCE = 1_000  # rows written in one step
_SCHEMA = f"""
CREATE TABLE row (key BLOB PRIMARY KEY, value BLOB NOT NULL, day INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_OURS};
PRAGMA user_version = {_FORMAT};
"""


class Store:
    """A store keeps values by keys; a context manager.

    Args:
        folder: the cache folder, None for a store that keeps nothing.
        today: days since 1970; None for the clock's.

    Attributes:
        hits: how many values were found.
        misses: how many were not.
    """

    def __init__(self, folder: Path | None, today: int | None = None) -> None:
        self._today = wall_ns() // _DAY_NS if today is None else today
        self._path = None if folder is None else folder / "sessions.index"
        self._connection = None if self._path is None else _opened(self._path)
        self._new: dict[bytes, bytes] = {}
        self._used: list[bytes] = []
        self.hits = self.misses = 0

    def get(self, key: bytes) -> bytes | None:
        """Returns the value of a key, None where there is none, or none to be trusted."""
        found = self._new.get(key) or self._read(key)
        if (
            found is None
            or hashlib.blake2b(found[_HASH_BYTES:], digest_size=_HASH_BYTES).digest() != found[:_HASH_BYTES]
        ):
            self.misses += 1
            return None
        self.hits += 1
        return found[_HASH_BYTES:]

    def put(self, key: bytes, value: bytes) -> None:
        """Keeps a value."""
        if self._connection is not None:
            self._new[key] = hashlib.blake2b(value, digest_size=_HASH_BYTES).digest() + value
            if len(self._new) >= _AT_ONCE:
                self._write()

    def close(self) -> None:
        """Writes what is new and closes the file. Repeatable."""
        self._write()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def _read(self, key: bytes) -> bytes | None:
        if self._connection is None:
            return None
        try:
            row = self._connection.execute("SELECT value, day FROM row WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        if row is None or not isinstance(row[0], bytes):
            return None
        if isinstance(row[1], int) and row[1] < self._today - KEPT_DAYS // 4:
            self._used.append(key)
        return row[0]

    def _write(self) -> None:
        """Writes what is new, marks what was of use, and deletes what has not been for long."""
        new, self._new = self._new, {}
        used, self._used = self._used, []
        if self._connection is None or not (new or used):
            return
        try:
            with self._connection:
                rows = ((key, value, self._today) for key, value in new.items())
                self._connection.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?)", rows)
                self._connection.executemany(
                    "UPDATE row SET day = ? WHERE key = ?", ((self._today, key) for key in used)
                )
                self._connection.execute("DELETE FROM row WHERE day < ?", (self._today - KEPT_DAYS,))
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Goes on without the file; one that is damaged is thrown away for the next time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._path is not None and _is_damage(error):
            _throw_away(self._path)


def _opened(path: Path) -> sqlite3.Connection | None:
    """Opens the index, made anew where it is none of ours; None where that cannot be."""
    for _ in range(2):
        try:
            make_folders(path.parent)
            with contextlib.suppress(FileExistsError):
                make_file(path)
            check_file(path)
            if path.stat().st_size <= MAX_BYTES:
                return _connected(path)
        except sqlite3.Error as error:
            if not _is_damage(error):
                return None
        except (OSError, FolderError):
            return None
        _throw_away(path)
    return None


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # what a power cut takes is read again
        known = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if path.stat().st_size and known != [_OURS, _FORMAT]:
            raise sqlite3.DatabaseError("not an index of this version")
        if not path.stat().st_size:
            connection.executescript(_SCHEMA)
        connection.execute("SELECT key, value, day FROM row LIMIT 1").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.Error) -> bool:
    """Tells whether an error speaks of the file's content; a full disk or a busy file is another OperationalError."""
    return not isinstance(error, sqlite3.OperationalError) or str(error).startswith(("no such table", "no such column"))


def _throw_away(path: Path) -> None:
    for name in (path.name, f"{path.name}-journal", f"{path.name}-wal", f"{path.name}-shm"):
        with contextlib.suppress(OSError):
            path.with_name(name).unlink()
