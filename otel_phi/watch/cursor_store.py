"""What holds the cursors: a SQLite file while that works, memory from the moment it does not.

Rule 1: a step is on disk whole or not at all. One that the disk does not take is done in memory, and so is all after it.
Rule 2: a damaged file is set aside under a name of its own, said, and begun anew.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from otel_phi.delivery.journal.private import make_folder
from otel_phi.sqlite_use import is_damage
from otel_phi.watch.cursor_schema import connected, in_memory, set_aside

logger = logging.getLogger("otel_phi")

Statement = tuple[str, Sequence[tuple[Any, ...]]]
_INT64 = 1 << 63


class CursorStore:
    """Runs statements. For one thread.

    Args:
        path: the file; its folder is made.

    Attributes:
        broken: why nothing outlives this process, "" while it does.
    """

    def __init__(self, path: Path) -> None:
        self.broken = ""
        self._path = path
        self._highest = 0
        self._connection = self._opened()

    def close(self) -> None:
        """Closes the file. Repeatable."""
        self._connection.close()

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Returns what a query finds."""
        try:
            return _execute(self._connection, query, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._fall_back(error)
            return _execute(self._connection, query, values).fetchall()

    def run(self, statements: Iterable[Statement]) -> int:
        """Runs statements as one step; returns the number given to the last row."""
        ready = list(statements)
        try:
            found = self._step(ready)
        except sqlite3.DatabaseError as error:
            self._fall_back(error)
            found = self._step(ready)
        self._highest = max(self._highest, found)
        return found

    def _step(self, statements: Sequence[Statement]) -> int:
        connection, last = self._connection, 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            for text, rows in statements:
                for row in rows:
                    last = _execute(connection, text, row).lastrowid or last
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have ended it already
                connection.execute("ROLLBACK")
            raise
        return last

    def _opened(self) -> sqlite3.Connection:
        try:
            make_folder(self._path.parent)
            try:
                return connected(self._path)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                return self._anew(error)
        except (OSError, sqlite3.Error) as error:
            self._say(error, "a restarted watch will begin anew")
            return in_memory()

    def _anew(self, error: sqlite3.Error) -> sqlite3.Connection:
        """Begins again on disk, the damaged file set aside."""
        aside = set_aside(self._path)
        logger.warning(
            "%s is damaged (%s) and was set aside as %s; what is followed may be sent again",
            self._path,
            error,
            aside.name,
        )
        connection = connected(self._path)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('file', ?)", (self._highest,))
        return connection

    def _fall_back(self, error: sqlite3.DatabaseError) -> None:
        """Goes on without the file: with a new one where it is damaged, else in memory, with all that is known."""
        if self.broken or not (is_damage(error) or isinstance(error, sqlite3.OperationalError)):
            raise error  # memory has no such trouble: the statement is wrong
        before = self._connection
        if is_damage(error):
            before.close()
            try:
                self._connection = self._anew(error)
            except (OSError, sqlite3.Error) as worse:
                self._say(worse, "a restarted watch will begin anew")
                self._connection = in_memory()
            return
        self._say(error, "a restarted watch will send again what leaves from now on")
        self._connection = in_memory()
        with contextlib.suppress(sqlite3.Error):
            before.backup(self._connection)
        before.close()

    def _say(self, error: Exception, consequence: str) -> None:
        self.broken = str(error)
        logger.warning("%s: %s; %s", self._path.parent, error, consequence)


def _execute(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
    try:
        return connection.execute(statement, values)
    except OverflowError:  # integers beyond 64 bits: the year 9999, or 1600
        return connection.execute(statement, [_as_text(value) for value in values])


def _as_text(value: Any) -> Any:
    return str(int(value)) if isinstance(value, int) and not -_INT64 <= value < _INT64 else value
