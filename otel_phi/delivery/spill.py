"""Memory for spans the outbox could not take in time, or where there is none: bounded, oldest out and counted.

Rule 1: changes go to the outbox in the order they came, each whole: killed in between, no child is there without its parent.
Rule 2: where rows leave otherwise, sent or lost, what opened and closed with them stays (`Left`), and is written first.
Rule 3: what is under way from here goes to the outbox as well, once that takes it: a request can wait for days.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator

import msgspec

from otel_phi.delivery.left import Left
from otel_phi.delivery.otlp.encoder import Envelope
from otel_phi.delivery.outbox import Outbox
from otel_phi.delivery.rows import Change, Item, Row

# As the pump's buffer: some 80,000 spans without content.
MAX_BYTES = 64 << 20
_CHUNK = 20  # rows: what closes thousands of loops at once goes to the outbox in several transactions
_BASE_BYTES = 200  # of a change without its bytes


class _Step(msgspec.Struct, frozen=True, gc=False):
    """Is a change that waits.

    Attributes:
        first: its first row's number; 0 for what `Left` gave.
        change: as it came.
        size: bytes it takes, about.
    """

    first: int
    change: Change
    size: int = 0


class Spill:
    """Holds rows in memory, in order. Safe for use by several threads.

    Args:
        envelope: what stands around the rows.
        max_bytes: encoded bytes that may wait.
    """

    def __init__(self, envelope: Envelope, max_bytes: int = MAX_BYTES) -> None:
        self.lock = threading.RLock()
        self._envelope = envelope
        self._max_bytes = max_bytes
        self._next = 1
        self._steps: deque[_Step] = deque()
        self._moving: list[_Step] = []
        self._left = Left()
        self._under_way: dict[int, Row] = {}
        self._saved: dict[int, tuple[Outbox, int]] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        """Tells whether something waits to go to the outbox."""
        return bool(self._steps or self._moving or self._left or len(self._under_way) > len(self._saved))

    def add(self, change: Change) -> int:
        """Takes a change and returns how many rows had to go for it, the oldest first."""
        with self.lock:
            for part in _parts(change):
                step = _Step(self._next, part, _size(part))
                self._steps.append(step)
                self._next += len(part.rows)
                self._bytes += step.size
            gone = 0
            while self._bytes > self._max_bytes and self._steps:
                oldest = self._steps.popleft()
                self._left.absorb(oldest.change, lost=True)
                self._bytes -= oldest.size
                gone += len(oldest.change.rows)
            return gone

    # --- to the outbox -----------------------------------------------------------------------------------------------

    def begin_move(self, rows: int) -> Change:
        """Returns the first changes, some `rows` of them; `end_move` must follow. The caller holds the outbox's lock."""
        with self.lock:
            if self._left:
                self._moving.append(_Step(0, self._left.slice(rows)))
            while self._steps and rows > 0 and not self._left:
                self._moving.append(self._steps.popleft())
                rows -= max(len(self._moving[-1].change.rows), 1)
            change = self._moving[0].change if self._moving else Change()
            for step in self._moving[1:]:
                change = change.then(step.change)
            return change

    def end_move(self, *, moved: bool) -> None:
        """Forgets what `begin_move` gave, or takes it back."""
        with self.lock:
            while self._moving:
                step = self._moving.pop()
                if moved and step.first:
                    self._bytes -= step.size
                elif moved:
                    self._left.forget(step.change)
                elif step.first:
                    self._steps.appendleft(step)

    @property
    def waiting(self) -> bool:
        """Tells whether there is more than what is being moved."""
        left = bool(self._left) and not any(not step.first for step in self._moving)
        return bool(self._steps or left or len(self._under_way) > len(self._saved))

    def unsaved(self, rows: int) -> list[tuple[int, Row]]:
        """Returns rows under way that are in memory alone, by number; none while their parents are still to be written."""
        with self.lock:
            if self._left.opened:
                return []
            found = ((number, row) for number, row in self._under_way.items() if number not in self._saved)
            return list(itertools.islice(found, rows))

    def save(self, found: list[tuple[int, Row]], outbox: Outbox, first: int) -> None:
        """Notes that rows under way are in an outbox now, numbered there from `first`."""
        with self.lock:
            self._saved.update((number, (outbox, there)) for there, (number, _) in enumerate(found, first))

    def saved(self, numbers: list[int]) -> dict[Outbox, list[int]]:
        """Returns those that are in an outbox, by their numbers there."""
        found: dict[Outbox, list[int]] = {}
        with self.lock:
            for outbox, there in (self._saved[number] for number in numbers if number in self._saved):
                found.setdefault(outbox, []).append(there)
        return found

    def unsave(self, lost: Outbox) -> int:
        """Notes that an outbox is lost, and returns how many rows under way are in memory alone again."""
        with self.lock:
            gone = [number for number, (outbox, _) in self._saved.items() if outbox is lost]
            for number in gone:
                del self._saved[number]
            return len(gone)

    # --- to the destination ------------------------------------------------------------------------------------------

    def load(self, rows: int) -> list[Item]:
        """Returns the first rows to be sent from here; they count as under way until `settle`."""
        with self.lock:
            found: list[Item] = []
            while self._steps and len(found) < rows:
                step = self._steps.popleft()
                self._left.absorb(step.change, lost=False)
                self._bytes -= step.size
                for number, row in enumerate(step.change.rows, step.first):
                    self._under_way[number] = row
                    self._bytes += len(row.entry)
                    found.append(Item(number, self._envelope, row.entry, row.unclaimed))
            return found

    def under_way(self, number: int) -> Row | None:
        """Returns a row that is to be sent from here, None if it is settled."""
        return self._under_way.get(number)

    def settle(self, number: int) -> Row | None:
        """Forgets a row that was sent, and returns it."""
        with self.lock:
            self._saved.pop(number, None)
            row = self._under_way.pop(number, None)
            if row is not None:
                self._bytes -= len(row.entry)
            return row

    def first(self) -> int:
        """Returns the number of the oldest row held, one past the last if none is."""
        with self.lock:
            steps = [*self._moving, *itertools.islice(self._steps, 1)]
            return min([*self._under_way, *(step.first for step in steps if step.first)], default=self._next)

    @property
    def next_number(self) -> int:
        """Returns the number the next row will get."""
        return self._next


def _size(change: Change) -> int:
    return _BASE_BYTES + sum(len(row.entry) for row in change.rows) + sum(len(o.entry) for o in change.opened)


def _parts(change: Change) -> Iterator[Change]:
    """Divides a change of many rows: what closes does so with its own row, what has none with the last."""
    if len(change.rows) <= _CHUNK:
        yield change
        return
    closed = dict.fromkeys(change.closed)
    for start in range(0, len(change.rows), _CHUNK):
        rows = change.rows[start : start + _CHUNK]
        begins, ends = start == 0, start + _CHUNK >= len(change.rows)
        here = [row.key for row in rows if row.key in closed]
        for key in here:
            del closed[key]
        yield Change(
            rows, change.opened if begins else (), change.extended if begins else (), [*here, *(closed if ends else ())]
        )
