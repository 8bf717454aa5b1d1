"""The ledger: what an interrupted export already delivered, so that the next run sends only the rest.

One SQLite file an export, named after what makes two runs the same: destination, mapping and input paths. A finished
export forgets its file. It is a convenience, not a promise: where SQLite cannot live the export goes on without, and
what is sent twice is byte-identical.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from otel_phi.delivery.journal.private import destination_name, make_file, make_folder

logger = logging.getLogger("otel_phi")

FOLDER = "exports"
# An interrupted export nobody resumed for so long will not be; its file is removed when another export begins.
KEPT_DAYS = 30
_CHUNK = 500  # keys a query; SQLite's oldest limit on variables is 999


def ledger_name(state_dir: Path, destination: str, headers: Iterable[tuple[str, str]], *facts: str) -> str:
    """Returns the name of an export's ledger.

    Args:
        state_dir: the state folder.
        destination: the endpoint.
        headers: static headers; another tenant is another export.
        *facts: what else makes an export itself: mapping options, input paths.
    """
    return destination_name(state_dir, destination, headers, *facts)


class Ledger:
    """Remembers the keys of acknowledged spans. Safe for use by several threads.

    Args:
        state_dir: the state folder; made if need be.
        name: from `ledger_name`.

    Attributes:
        broken: why nothing is remembered, None while it works.
        resumes: an interrupted run left something behind.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        self._path = state_dir / FOLDER / f"{name}.sqlite3"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self.broken: str | None = None
        try:
            make_folder(self._path.parent)
            _sweep(self._path)
            self._connection = _connected(self._path)
        except (OSError, sqlite3.Error) as error:
            self._break(error)
        self.resumes = len(self) > 0

    def __bool__(self) -> bool:
        """Tells that it is a ledger, empty or not: `if ledger` must not mean "if something was acknowledged"."""
        return True

    def __len__(self) -> int:
        """Returns how many spans an earlier run, or this one, acknowledged."""
        rows = self._ask("SELECT count(*) FROM acknowledged", ())
        return rows[0] if rows else 0

    def seen(self, keys: Sequence[bytes]) -> set[bytes]:
        """Returns those of the keys that were acknowledged.

        Args:
            keys: `span_key` of each span.
        """
        found: set[bytes] = set()
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            found.update(self._ask(f"SELECT key FROM acknowledged WHERE key IN ({marks})", chunk))  # noqa: S608  # marks only
        return found

    def acknowledge(self, keys: Iterable[bytes]) -> None:
        """Remembers keys, in one transaction."""
        with self._lock:
            if self._connection is None:
                return
            try:
                with self._connection:
                    self._connection.executemany("INSERT OR IGNORE INTO acknowledged VALUES (?)", ((k,) for k in keys))
            except sqlite3.Error as error:
                self._break(error)

    def finish(self) -> None:
        """Forgets everything: the export is complete, and the next one starts anew."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file and keeps it for a later run. Repeatable."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _ask(self, query: str, values: Sequence[bytes]) -> list[Any]:
        with self._lock:
            if self._connection is None:
                return []
            try:
                return [row[0] for row in self._connection.execute(query, values)]
            except sqlite3.Error as error:
                self._break(error)
                return []

    def _break(self, error: Exception) -> None:
        """Goes on without memory, and says so once."""
        self.broken = str(error)
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        logger.warning("%s: %s; an interrupted export will start over", self._path.parent, error)


def _connected(path: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        make_file(path)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        with connection:
            connection.execute("CREATE TABLE IF NOT EXISTS acknowledged (key BLOB PRIMARY KEY) WITHOUT ROWID")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _sweep(current: Path) -> None:
    """Removes what interrupted exports left long ago."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in current.parent.glob("*.sqlite3*"):
        with contextlib.suppress(OSError):
            if not path.name.startswith(current.name) and path.stat().st_mtime < oldest:
                path.unlink()
