"""What a file holds open, and what of it is still to be written.

That a turn ended, and how far that reaches into its loop, can be read off the rows of its spans: while they wait, nothing
else is written of it, and the agent pays for one statement. Before rows leave, what they say is written (`owed`); where a
process was lost, `outbox_recovery` reads it off them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from otel_phi.delivery.rows import Change, OpenRow
from otel_phi.delivery.statements import Statement, delete

_INSERT = "INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EXTEND = "UPDATE open SET ended_ns = max(ended_ns, ?) WHERE id = ?"


class OpenRows:
    """Knows the open rows of one file by their numbers: a search for a key would cost an index, and the agent its upkeep.

    Args:
        connection: of the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[bytes, int] = {}
        self._ends: dict[bytes, int] = {}
        self._next = 1
        for number, key, ended_ns in connection.execute("SELECT id, key, ended_ns FROM open"):
            self._numbers[key], self._ends[key] = number, ended_ns
            self._next = max(self._next, number + 1)
        self._closed: dict[int, int] = {}  # a row's number to that of the open row it closed
        self._extended: dict[int, tuple[int, int]] = {}  # a row's number to what it extended, and how far
        self._tellers: dict[int, int] = {}  # the way back: of those that extended one, the farthest is enough

    @property
    def next_number(self) -> int:
        """Returns the number the next new open row will get."""
        return self._next

    def rows(self) -> list[OpenRow]:
        """Reads what is open now, ended as late as its children so far."""
        query = "SELECT key, parent, session, ended_ns, entry FROM open"
        found = (OpenRow(*values) for values in self._connection.execute(query))
        return [
            msgspec.structs.replace(row, ended_ns=self._ends.get(row.key, row.ended_ns))
            for row in found
            if row.key in self._numbers
        ]

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
                yield delete("open", [number])

    def owed(self, rows: Sequence[int]) -> list[Statement]:
        """Returns what must be written before these rows leave, to be followed by `paid` if it was done."""
        closed = [self._closed[row] for row in rows if row in self._closed]
        extended = [self._extended[row] for row in rows if row in self._extended]
        return [(_EXTEND, (ended_ns, number)) for number, ended_ns in extended] + (
            [delete("open", closed)] if closed else []
        )

    def owing(self, count: int) -> list[int]:
        """Returns the numbers of the first rows of which something is owed."""
        return list(islice(self._closed, count)) or list(islice(self._extended, count))

    def paid(self, rows: Sequence[int]) -> None:
        """Notes that nothing is owed of these rows."""
        for row in rows:
            self._closed.pop(row, None)
            number, _ = self._extended.pop(row, (0, 0))
            self._tellers.pop(number, None)

    def took(self, change: Change, first: int, first_open: int) -> None:
        """Notes a change that was written, its rows and open rows numbered from there on; twice is as good as once."""
        for number, o in enumerate(change.opened, first_open):
            self._numbers.setdefault(o.key, number)
            self._ends[o.key] = o.ended_ns
        self._next = first_open + len(change.opened)
        for key, ended_ns in change.extended:
            if self._ends.get(key, ended_ns) < ended_ns:
                if change.told:
                    self._tell(self._numbers[key], first, ended_ns)
                self._ends[key] = ended_ns
        for key in change.closed:
            gone = self._numbers.get(key)
            if gone is not None:
                self._extended.pop(self._tellers.pop(gone, 0), None)
                if change.told:
                    self._closed[first] = gone
                self._ends.pop(key, None)
                del self._numbers[key]

    def _tell(self, number: int, row: int, ended_ns: int) -> None:
        self._extended.pop(self._tellers.get(number, 0), None)
        self._extended[row] = number, ended_ns
        self._tellers[number] = row
