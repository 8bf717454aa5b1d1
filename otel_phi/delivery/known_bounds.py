"""Bounds of the table that all processes share: its bytes, and the age of the roots that wait in it. The oldest go.

Rule 1: what is settled goes before any root that waits: loops and acknowledged roots are a convenience, forgetting them
        costs at most a root or a link that comes again.
Rule 2: a root that waits is given up by its own process, or by any if that one is dead: who lives counts its own.
Rule 3: rows are looked for where no agent waits, and deleted in slices: it waits for one at most.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from otel_phi.delivery.known import Known
from otel_phi.delivery.outbox import CLOCK_SET_NS
from otel_phi.delivery.statements import SLICE_ROWS

# Of the folder's bytes. In 32 MiB some 30,000 sessions are known, or wait; what a request holds is over that.
SHARE = 8
_ROW_BYTES = 1_024  # won by deleting one, about: settled ones still keep the page that they had when they waited
_SLACK = 16  # of the limit: freed beyond it, so that the next row does not begin anew
_BREATH_S = 0.0005  # as the shelves'

_T = TypeVar("_T")
_Found = tuple[int, str]  # row, owner


class KnownBounds:
    """Keeps one table within its bounds. Used by the courier's thread alone, with the shelves' gate held.

    Args:
        known: the table.
        may_go: tells whether an owner's roots are ours to give up.
    """

    def __init__(self, known: Known, may_go: Callable[[str], bool]) -> None:
        self._known = known
        self._may_go = may_go

    def expire(self, older_than_ns: int, under_way: Collection[int]) -> Counter[str]:
        """Gives up roots that waited too long; returns how many, by owner."""
        return self._give_up(self._known.waiting_between(CLOCK_SET_NS, older_than_ns), under_way)

    def shrink(self, limit_bytes: int, under_way: Collection[int]) -> Counter[str]:
        """Makes the table no larger than `limit_bytes`; returns how many roots that waited had to go, by owner."""
        gone: Counter[str] = Counter()
        if self._known.file_bytes() <= limit_bytes:
            return gone
        while (over := self._known.used_bytes() - limit_bytes) > 0:
            if not self._forget_settled((over + limit_bytes // _SLACK) // _ROW_BYTES + 1):
                break
        query = "SELECT rowid, owner FROM root WHERE entry IS NOT NULL ORDER BY added_ns"
        for some in _slices(self._known.look(query)):
            if self._known.used_bytes() <= limit_bytes:
                break
            gone += self._give_up(some, under_way)
        self._known.give_back()
        return gone

    def _forget_settled(self, rows: int) -> int:
        """Deletes the oldest rows that nobody waits for, loops and roots alike."""
        query = (
            "SELECT added_ns, 0, rowid FROM root WHERE entry IS NULL UNION ALL SELECT added_ns, 1, rowid FROM loop"
            " ORDER BY 1 LIMIT ?"
        )
        found = self._known.look(query, (rows,))
        gone = self._delete(
            "DELETE FROM root WHERE entry IS NULL AND", [number for _, loop, number in found if not loop]
        )
        return gone + self._delete("DELETE FROM loop WHERE", [number for _, loop, number in found if loop])

    def _give_up(self, found: Iterable[_Found], under_way: Collection[int]) -> Counter[str]:
        by_owner: dict[str, list[int]] = {}
        for number, owner in found:
            if number not in under_way:
                by_owner.setdefault(owner, []).append(number)
        gone: Counter[str] = Counter()
        for owner, numbers in by_owner.items():
            if self._may_go(owner):
                gone[owner] = self._delete("DELETE FROM root WHERE entry IS NOT NULL AND owner = ? AND", numbers, owner)
        return gone

    def _delete(self, statement: str, numbers: list[int], *values: object) -> int:
        gone = 0
        for some in _slices(numbers):
            marks = ",".join("?" * len(some))
            gone += self._known.delete(f"{statement} rowid IN ({marks})", (*values, *some))
            time.sleep(_BREATH_S)
        return gone


def _slices(found: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(found), SLICE_ROWS):
        yield found[start : start + SLICE_ROWS]
