"""A journal without files: the same to its users, and gone with the process."""

from __future__ import annotations

import os
from pathlib import Path

from otel_phi.delivery.journal.append import Appender, releasing_write
from otel_phi.delivery.journal.counting import CLOSED, MEMORY_FULL, JournalStats, counts_as_event
from otel_phi.delivery.journal.facts import Entry, Fact, Head, Position, Purged, decode_fact, encode_fact
from otel_phi.delivery.journal.journal import READ_BYTES, Journal


class MemoryJournal(Journal):
    """Keeps lines in memory until they are read. Nothing is ever due, and no snapshot is asked for.

    Args:
        head: as of any journal.
        reason: why there are no files.
        memory_bytes: bound of the lines that were not read yet; what comes when it is full is lost, and counted.
    """

    def __init__(self, head: Head, reason: str, memory_bytes: int) -> None:
        super().__init__(head, f"{head.destination.name}/{os.getpid()}-memory")
        self._reason = reason
        self._appender = Appender(None, releasing_write, memory_bytes)
        self._publish(self._appender.append)

    @property
    def folder(self) -> Path | None:
        """Returns None."""
        return None

    def read(self, max_bytes: int = READ_BYTES) -> list[Entry]:
        """Returns the next entries in order."""
        self._check_owner()
        entries: list[Entry] = []
        until = self._appender.taken + max_bytes
        while self._appender.memory and self._appender.taken < until:
            body = self._appender.memory.popleft()
            self._appender.taken += len(body)
            self.position = Position(1, self.position.offset + 1)
            fact = decode_fact(body)
            self._losses.read += counts_as_event(fact)
            if not isinstance(fact, Purged):
                entries.append(Entry(self.position, fact))
        return entries

    @property
    def lags(self) -> bool:
        """Returns False: what is in memory is read."""
        return False

    def write(self, fact: Fact) -> bool:
        """Appends a fact of the sender's own."""
        return self._is_open and self._appender.append_fact(encode_fact(fact))

    def due(self) -> bool:
        """Returns False."""
        return False

    def roll(self) -> bool:
        """Returns False."""
        return False

    def acknowledge(self, position: Position, exporter: int = 0) -> None:
        """Does nothing: what is read is gone from here."""

    def sync(self) -> None:
        """Does nothing."""

    def close(self, *, delete: bool) -> None:  # noqa: ARG002  # there is nothing to delete
        """Takes no more lines."""
        if self._is_open and os.getpid() == self._pid:
            self._is_open = False
            self._publish(self._closed.append)

    def stats(self) -> JournalStats:
        """Returns what it holds now."""
        one, read = self._appender, self._losses.read
        reasons = ((MEMORY_FULL, one.lost.count), (CLOSED, self._closed.lost.count))
        return JournalStats(
            lines=max(one.given.count - one.facts.count, read),
            read=read,
            refused=len(one.memory),
            lost=tuple(reason for reason in reasons if reason[1]),
            in_memory=self._reason,
        )
