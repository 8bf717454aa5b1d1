"""Counts of spans: changed in one assignment, so that they balance whenever someone looks."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

import msgspec

from otel_phi.delivery.sending.stats import LiveStats, Stats

_S = TypeVar("_S", Stats, LiveStats)


class Counts(Generic[_S]):
    """Keeps counts. Safe for use by several threads.

    Args:
        first: the counts to begin with.

    Attributes:
        now: the counts as they stand.
    """

    def __init__(self, first: _S) -> None:
        self.lock = threading.RLock()
        self.now: _S = first

    def add(self, **changes: int) -> bool:
        """Adds to counts, all at once; True, for whoever may be interrupted and must know that it was done."""
        with self.lock:
            counts = {name: getattr(self.now, name) + change for name, change in changes.items()}
            self.now = msgspec.structs.replace(self.now, **counts)
        return True

    def drop(self, reason: str, count: int, **changes: int) -> None:
        """Counts spans as dropped, and adds to other counts in the same moment."""
        if not count:
            return
        with self.lock:
            dropped = dict(self.now.dropped)
            dropped[reason] = dropped.get(reason, 0) + count
            counts = {name: getattr(self.now, name) + change for name, change in changes.items()}
            self.now = msgspec.structs.replace(self.now, dropped=tuple(dropped.items()), **counts)
