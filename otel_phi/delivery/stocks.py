"""What the courier takes spans from, each in the same way: load some, and say later what became of them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from typing import Protocol

from otel_phi.delivery.claims import Claims
from otel_phi.delivery.outbox import Outbox
from otel_phi.delivery.rows import Item
from otel_phi.delivery.statements import SLICE_ROWS
from otel_phi.delivery.store import Store


class Stock(Protocol):
    """Holds spans that are to be sent. Used by the courier's thread alone."""

    def buckets(self, numbers: list[int]) -> Counter[str]:
        """Returns how many of its spans stand in which count: `queued` or `deferred`."""

    def load(self) -> list[Item]:
        """Returns the next spans; they are under way until settled."""

    def present(self, numbers: list[int]) -> set[int]:
        """Returns those of its spans that nobody has purged. Called by the sender's thread too."""

    def delete(self, numbers: list[int]) -> bool:
        """Forgets spans that need no sending any more; False if that must be tried again."""

    def bury(self, number: int, reason: str) -> bool:
        """Keeps a span as a dead letter; False if that must be tried again."""


class OutboxStock:
    """Takes rows from a file.

    Args:
        outbox: ours, or one adopted.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def buckets(self, numbers: list[int]) -> Counter[str]:
        """Returns that they are queued."""
        return Counter(queued=len(numbers))

    def load(self) -> list[Item]:
        """Reads the next slice; a file that cannot be read gives nothing, and says so in `damaged`."""
        try:
            return self.outbox.load()
        except sqlite3.Error as error:
            self.outbox.failed(error)
            return []

    def present(self, numbers: list[int]) -> set[int]:
        """Looks which rows are still there; a file that cannot be read was not purged."""
        try:
            return self.outbox.present(numbers)
        except sqlite3.Error:
            return set(numbers)

    def delete(self, numbers: list[int]) -> bool:
        """Deletes rows."""
        return self.outbox.delete(numbers)

    def bury(self, number: int, reason: str) -> bool:
        """Moves a row to the dead letters."""
        return self.outbox.bury(number, reason)


class RootStock:
    """Takes the session roots we owe from the table of all processes.

    Args:
        store: says who we are.

    Attributes:
        under_way: numbers of the roots that were loaded and are not settled.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.under_way: set[int] = set()

    def buckets(self, numbers: list[int]) -> Counter[str]:
        """Returns that they are queued."""
        return Counter(queued=len(numbers))

    def load(self) -> list[Item]:
        """Reads roots that wait."""
        store = self._store
        if not store.owes_roots or store.known is None or store.outbox is None:
            return []
        store.owes_roots = False
        found = store.known.load(store.outbox.name, self.under_way)
        self.under_way.update(item.number for item in found)
        store.owes_roots = store.owes_roots or bool(found)  # there may be more
        return found

    def present(self, numbers: list[int]) -> set[int]:
        """Looks which roots are still owed."""
        known = self._store.known
        return set(numbers) if known is None else known.present(numbers)

    def delete(self, numbers: list[int]) -> bool:
        """Forgets the roots' bytes; that their sessions have one stays known."""
        for number in numbers:
            self.under_way.discard(number)
            if self._store.known is not None:
                self._store.known.settle(number)
        self._store.owe(-len(numbers))
        return True

    def bury(self, number: int, reason: str) -> bool:
        """Moves a root to the dead letters of our outbox."""
        self.under_way.discard(number)
        store = self._store
        row = store.known.settle(number) if store.known is not None else None
        store.owe(-1)
        return row is None or store.outbox is None or store.outbox.bury_foreign(row, reason)


class SpillStock:
    """Takes rows from memory, where there is no outbox or it cannot write. What it can write later is settled there.

    Args:
        store: holds the memory.
        claims: settles the roots among the rows.
    """

    def __init__(self, store: Store, claims: Claims) -> None:
        self._store = store
        self._claims = claims

    def buckets(self, numbers: list[int]) -> Counter[str]:
        """Returns `deferred` where there is an outbox that has not got them yet."""
        saved = sum(map(len, self._store.spill.saved(numbers).values()))
        memory = "queued" if self._store.outbox is None else "deferred"
        return Counter(queued=saved) + Counter({memory: len(numbers) - saved})

    def load(self) -> list[Item]:
        """Takes rows if the outbox cannot."""
        outbox = self._store.outbox
        if outbox is not None and not outbox.error:
            return []
        with outbox.lock if outbox is not None else contextlib.nullcontext():  # nothing is being moved meanwhile
            found = self._store.spill.load(SLICE_ROWS)
        return self._claims.from_memory(found)

    def present(self, numbers: list[int]) -> set[int]:
        """Leaves out rows that went to an outbox and were purged there: into memory no other process can look."""
        gone = set()
        for number in numbers:
            for outbox, rows in self._store.spill.saved([number]).items():
                gone |= set() if OutboxStock(outbox).present(rows) else {number}
        return set(numbers) - gone

    def delete(self, numbers: list[int]) -> bool:
        """Forgets rows, and deletes those that have gone to an outbox."""
        for outbox, rows in self._store.spill.saved(numbers).items():
            if not outbox.delete(rows):
                return False
            outbox.held.difference_update(rows)
        for number in numbers:
            self._store.spill.settle(number)
        return True

    def bury(self, number: int, reason: str) -> bool:
        """Keeps a dead letter in the outbox if there is one; without, the count is all there is."""
        saved = self._store.spill.saved([number])
        for outbox, rows in saved.items():
            if not outbox.bury(rows[0], reason):
                return False
            outbox.held.difference_update(rows)
        row, own = self._store.spill.settle(number), self._store.outbox
        return bool(saved) or row is None or own is None or own.bury_foreign(row, reason) or True
