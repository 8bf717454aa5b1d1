"""Memory for spans the outbox could not take in time, or where there is none: bounded, oldest out and counted.

What opens and closes meanwhile is kept by its last state: order among different loops, turns and groups means nothing.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque

from otel_phi.delivery.encoder import Envelope
from otel_phi.delivery.rows import Change, Item, OpenRow, Row

# As the pump's buffer: some 80,000 spans without content.
MAX_BYTES = 64 << 20
# The recorder holds at most so many loops open, each with a turn.
MAX_OPEN = 20_000


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
        self._numbers = itertools.count(1)
        self._next = 1
        self._waiting: deque[tuple[int, Row]] = deque()
        self._moving: list[tuple[int, Row]] = []
        self._under_way: dict[int, Row] = {}
        self._bytes = 0
        self._opened: dict[bytes, OpenRow] = {}
        self._extended: dict[bytes, int] = {}
        self._closed: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        """Tells whether something waits to go to the outbox."""
        return bool(self._waiting or self._moving or self._opened or self._closed or self._extended)

    def add(self, change: Change) -> int:
        """Takes a change and returns how many rows had to go for it, the oldest first."""
        with self.lock:
            for row in change.rows:
                self._waiting.append((next(self._numbers), row))
                self._next += 1
                self._bytes += len(row.entry)
            self._keep_open(change)
            gone = 0
            while self._bytes > self._max_bytes and self._waiting:
                _, oldest = self._waiting.popleft()
                self._bytes -= len(oldest.entry)
                gone += 1
            return gone

    def begin_move(self, rows: int) -> Change:
        """Returns the first rows, with what is open before any of its children, and with the last what is closed.

        `end_move` must follow.
        """
        with self.lock:
            self._moving = [self._waiting.popleft() for _ in range(min(rows, len(self._waiting)))]
            first = [row for _, row in self._moving]
            if self._waiting:
                return Change(first, list(self._opened.values()))
            return Change(first, list(self._opened.values()), list(self._extended.items()), list(self._closed))

    def take_back(self) -> None:
        """Makes rows that were under way wait again: nobody sends them any more."""
        with self.lock:
            self._waiting.extendleft(sorted(self._under_way.items(), reverse=True))
            self._under_way.clear()

    def end_move(self, change: Change, *, moved: bool) -> None:
        """Forgets what `begin_move` gave, or takes it back."""
        with self.lock:
            moving, self._moving = self._moving, []
            if not moved:
                self._waiting.extendleft(reversed(moving))
                return
            self._bytes -= sum(len(row.entry) for _, row in moving)
            for opened in change.opened:
                if self._opened.get(opened.key) is opened:
                    del self._opened[opened.key]
            for key, ended_ns in change.extended:
                if self._extended.get(key) == ended_ns:
                    del self._extended[key]
            for key in change.closed:
                self._closed.pop(key, None)

    @property
    def waiting(self) -> bool:
        """Tells whether rows wait that are neither under way nor being moved."""
        return bool(self._waiting)

    def load(self, rows: int) -> list[Item]:
        """Returns the first rows to be sent from here; they count as under way until `settle`."""
        with self.lock:
            found = [self._waiting.popleft() for _ in range(min(rows, len(self._waiting)))]
            self._under_way.update(found)
            return [Item(number, self._envelope, row.entry) for number, row in found]

    def settle(self, number: int) -> Row | None:
        """Forgets a row that was sent, and returns it."""
        with self.lock:
            row = self._under_way.pop(number, None)
            if row is not None:
                self._bytes -= len(row.entry)
            return row

    def first(self) -> int:
        """Returns the number of the oldest row held, one past the last if none is."""
        with self.lock:
            numbers = [*self._under_way, *(number for number, _ in self._moving)]
            numbers += [number for number, _ in itertools.islice(self._waiting, 1)]
            return min(numbers, default=self._next)

    @property
    def next_number(self) -> int:
        """Returns the number the next row will get."""
        return self._next

    def _keep_open(self, change: Change) -> None:
        for opened in change.opened:
            if len(self._opened) < MAX_OPEN:
                self._opened[opened.key] = opened
                self._closed.pop(opened.key, None)
        for key, ended_ns in change.extended:
            if len(self._extended) < MAX_OPEN:
                self._extended[key] = max(ended_ns, self._extended.get(key, 0))
        for key in change.closed:
            self._opened.pop(key, None)
            self._extended.pop(key, None)
            if len(self._closed) < MAX_OPEN:
                self._closed[key] = None
