"""Which turn indexes of a loop are closed, in flat memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Turns come in order; only a wild stream leaves gaps. Past this many the lowest gap is taken as closed.
MAX_GAPS = 1_024
# What an index set without gaps holds: one for all of them, never added to. Ten thousand loops may be open at once.
_NO_GAPS: set[int] = set()


class ClosedIndexes:
    """Closed indexes are a set of turn indexes that costs nothing while they come in order.

    `repeat(index)` numbers the turns whose index was closed before, so that each turn of a loop has an identity of its own.
    """

    __slots__ = ("_floor", "_repeats", "_sparse")

    def __init__(self) -> None:
        self._floor = 0  # all indexes below it are closed
        self._sparse = _NO_GAPS
        self._repeats = 0

    def __contains__(self, index: int) -> bool:
        return index < self._floor or index in self._sparse

    def close(self, index: int) -> None:
        """Adds an index; its turn has ended."""
        if index == self._floor:
            self._floor += 1
        elif index > self._floor:
            if self._sparse is _NO_GAPS:
                self._sparse = set()
            self._sparse.add(index)
            if len(self._sparse) > MAX_GAPS:
                self._floor = min(self._sparse)
        while self._sparse and self._floor in self._sparse:
            self._sparse.remove(self._floor)
            self._floor += 1

    def repeat(self, index: int) -> int:
        """Returns 0 for an index not closed before, else 1, 2, ... counting all repeats of this loop."""
        if index not in self:
            return 0
        self._repeats += 1
        return self._repeats

    def dump(self) -> dict[str, Any]:
        """Returns its state: `floor`, `repeats`, and `sparse` in order."""
        return {"floor": self._floor, "repeats": self._repeats, "sparse": tuple(sorted(self._sparse))}

    def load(self, floor: int, repeats: int, sparse: Iterable[int]) -> None:
        """Takes what `dump` returned."""
        self._floor, self._repeats, self._sparse = floor, repeats, set(sparse) or _NO_GAPS

    def next(self) -> int:
        """Returns the index after the highest closed one."""
        return max(self._sparse, default=self._floor - 1) + 1
