"""What a file holds open, and what of it is still to be written.

That a turn ended, and how far that reaches into its loop, can be read off the rows of its spans: while they wait, nothing
else is written of it, and the agent pays for one statement. Before rows leave, what they say is written (`owed`); where a
process was lost, `outbox_recovery` reads it off them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from otel_phi.delivery.rows import Change, OpenRow

Statement = tuple[str, tuple[object, ...]]
_INSERT = "INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EXTEND = "UPDATE open SET ended_ns = max(ended_ns, ?) WHERE id = ?"
_DELETE = "DELETE FROM open WHERE id = ?"


class OpenRows:
    """Knows the open rows of one file by their numbers: a search for a key would cost an index, and the agent its upkeep.

    Args:
        connection: of the file; read once.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._numbers: dict[bytes, int] = {}
        self._ends: dict[bytes, int] = {}
        self._next = 1
        for number, key, ended_ns in connection.execute("SELECT id, key, ended_ns FROM open"):
            self._numbers[key], self._ends[key] = number, ended_ns
            self._next = max(self._next, number + 1)
        self._extended: dict[int, int] = {}
        self._closed: list[int] = []

    def inserts(self, opened: Sequence[OpenRow], envelope: int, added_ns: int) -> Iterator[Statement]:
        """Yields what writes open rows, to be followed by `took` if it was done."""
        for number, o in enumerate(opened, self._next):
            held = self._numbers.get(o.key, number)
            yield _INSERT, (held, o.key, o.parent, o.session, envelope, added_ns, o.ended_ns, o.entry)

    def effects(self, change: Change) -> Iterator[Statement]:
        """Yields what a change extends and closes, for one whose rows do not tell it."""
        new = {o.key: number for number, o in enumerate(change.opened, self._next)}
        for key, ended_ns in change.extended:
            number = self._numbers.get(key) or new.get(key)
            if number is not None:
                yield _EXTEND, (ended_ns, number)
        for key in change.closed:
            number = self._numbers.get(key) or new.get(key)
            if number is not None:
                yield _DELETE, (number,)

    def owed(self) -> Iterator[Statement]:
        """Yields what must be written before rows leave, to be followed by `paid` if it was done."""
        for number, ended_ns in self._extended.items():
            yield _EXTEND, (ended_ns, number)
        for number in self._closed:
            yield _DELETE, (number,)

    def paid(self) -> None:
        """Notes that nothing is owed."""
        self._extended.clear()
        self._closed.clear()

    def took(self, change: Change) -> None:
        """Notes a change that was written."""
        for o in change.opened:
            self._numbers.setdefault(o.key, self._next)
            self._ends[o.key] = o.ended_ns
            self._next += 1
        for key, ended_ns in change.extended:
            if self._ends.get(key, ended_ns) < ended_ns:
                self._ends[key] = ended_ns
                if change.told:
                    self._extended[self._numbers[key]] = ended_ns
        for key in change.closed:
            number = self._numbers.pop(key, None)
            if number is not None:
                del self._ends[key]
                self._extended.pop(number, None)
                if change.told:
                    self._closed.append(number)
