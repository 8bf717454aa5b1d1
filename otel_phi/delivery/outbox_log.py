"""An outbox's write-ahead log: kept short without making an agent wait."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

from otel_phi.delivery import outbox_schema


class OutboxLog:
    """Is the log of one open file.

    Args:
        path: the outbox.
        lock: guards the connection.
        connection: the one that writes.
    """

    def __init__(self, path: Path, lock: threading.Lock, connection: sqlite3.Connection) -> None:
        self._path, self._lock, self._connection = path, lock, connection
        self._side: sqlite3.Connection | None = None

    def shorten(self, over_bytes: int) -> None:
        """Moves the log into the file once it passes `over_bytes`.

        First on a connection of its own, which makes no writer wait; what came meanwhile, a little, under the lock.
        The log's new header is synchronised with the first write after: we write something, so that the agent need not.

        Raises:
            OSError, sqlite3.Error, UnusableError: it could not be done now.
        """
        if self._path.with_name(self._path.name + "-wal").stat().st_size <= over_bytes:
            return
        if self._side is None:
            self._side = outbox_schema.connect(self._path)
        self._side.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._connection.execute("INSERT OR REPLACE INTO about VALUES ('checkpointed_ns', ?)", (time.time_ns(),))
            self._connection.executescript(outbox_schema.GIVE_BACK)

    def close(self) -> None:
        """Closes the connection of its own."""
        if self._side is not None:
            with contextlib.suppress(sqlite3.Error):
                self._side.close()
