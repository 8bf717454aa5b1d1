"""The backlog: events whose turn has not come because another thread was recording, in order, within a bound."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.wire.events import AgentEvent

# RELIABILITY 5.1: seconds of a very busy agent. Past either, events are not taken, and counted.
MAX_EVENTS = 8_192
MAX_BYTES = 16 << 20
_CROWDED = 8  # from this part of either on
_BASE_BYTES = 512  # of an event without its texts


class Item(msgspec.Struct, frozen=True):
    """Is an event on its way, with the caller's trace context as it was when the event was given."""

    event: AgentEvent
    caller: str | None


class Backlog:
    """Is a bounded queue. Its lock may be taken again by a signal handler that interrupts its owner.

    Attributes:
        items: what waits, with its weight; for others to look whether there is something.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.items: deque[tuple[Item, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.items)

    @property
    def crowded(self) -> bool:
        """Tells whether so much waits that whoever adds to it should help."""
        return len(self.items) > MAX_EVENTS // _CROWDED or self._bytes > MAX_BYTES // _CROWDED

    def put(self, item: Item) -> bool:
        """Appends; False if it is full."""
        size = _BASE_BYTES + weight(item.event)
        with self._lock:
            if len(self.items) >= MAX_EVENTS or self._bytes + size > MAX_BYTES:
                return False
            self.items.append((item, size))
            self._bytes += size
            return True

    def pop(self) -> Item | None:
        """Removes the oldest, None if there is none."""
        with self._lock:
            if not self.items:
                return None
            item, size = self.items.popleft()
            self._bytes -= size
            return item


def weight(value: Any, depth: int = 4) -> int:
    """Returns about how many bytes of text an event holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Raw):
        return len(bytes(value))
    if not depth or not isinstance(value, msgspec.Struct):
        return 0
    return sum(weight(getattr(value, name), depth - 1) for name in value.__struct_fields__)
