"""The rows of one file that are session roots nobody has claimed yet: the table of all processes was busy, or the disk slow.

Such a row bears its envelope's number below zero. It is not sent from here: the courier claims it (`claims`), and it leaves
from the table, or is another process's.
"""

from __future__ import annotations

import sqlite3

from otel_phi.delivery.envelopes import Envelopes
from otel_phi.delivery.rows import Change, Claim, Row
from otel_phi.delivery.statements import SLICE_ROWS, Statement

CLAIMED = " AND envelope >= 0"  # of rows that may be sent


class Unclaimed:
    """Knows their numbers. Used under the outbox's lock.

    Args:
        connection: of the file; read once.
        envelopes: of the file.

    Attributes:
        released: numbers of those that became rows like the others, and were not read since.
    """

    def __init__(self, connection: sqlite3.Connection, envelopes: Envelopes) -> None:
        self._connection, self._envelopes = connection, envelopes
        self.released: set[int] = set()
        self._numbers = {number for (number,) in connection.execute("SELECT id FROM span WHERE envelope < 0")}

    def took(self, change: Change, first: int) -> None:
        """Notes a change that was written, its rows numbered from there on."""
        for number, row in enumerate(change.rows, first):
            if row.unclaimed:
                self._numbers.add(number)

    def load(self, left_out: set[int]) -> list[Claim]:
        """Reads a slice of them; others may have deleted some.

        Args:
            left_out: numbers of rows that are under way from memory.
        """
        numbers = sorted(self._numbers - left_out)[:SLICE_ROWS]
        if not numbers:
            return []
        marks = ",".join("?" * len(numbers))
        query = f"SELECT id, envelope, key, session, entry FROM span WHERE id IN ({marks}) AND envelope < 0"  # noqa: S608
        found = self._connection.execute(query, numbers).fetchall()
        self._numbers -= set(numbers) - {row[0] for row in found}
        return [
            Claim(row[0], self._envelopes.get(-row[1]), Row(row[2], row[3], row[4], unclaimed=True)) for row in found
        ]

    def release(self, number: int) -> Statement:
        """Returns what makes one a row like the others, and notes that it is to be read, though its turn was before."""
        self.released.add(number)
        return "UPDATE span SET envelope = abs(envelope) WHERE id = ?", (number,)
