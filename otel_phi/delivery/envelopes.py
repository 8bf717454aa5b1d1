"""The envelopes of one outbox file: what stands around its rows, by number. The resource is fixed when a row is written."""

from __future__ import annotations

import sqlite3

from otel_phi.delivery.otlp.encoder import Envelope


class Envelopes:
    """Reads and writes the table. Used under the outbox's lock.

    Args:
        connection: of the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._found: dict[int, Envelope] = {}

    def add(self, envelope: Envelope) -> int:
        """Writes an envelope and returns its number."""
        number: int = self._connection.execute("SELECT ifnull(max(id), 0) + 1 FROM envelope").fetchone()[0]
        self._connection.execute("INSERT INTO envelope VALUES (?, ?, ?, ?, ?)", (number, *envelope.parts))
        self._found[number] = envelope
        return number

    def get(self, number: int) -> Envelope:
        """Returns an envelope; an empty one where the file has lost it."""
        found = self._found.get(number)
        if found is None:
            query = "SELECT resource, scope, scope_tail, tail FROM envelope WHERE id = ?"
            parts = self._connection.execute(query, (number,)).fetchone() or (b"", b"", b"", b"")
            found = self._found[number] = Envelope(parts)
        return found
