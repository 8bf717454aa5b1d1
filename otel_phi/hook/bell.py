"""The bell: how an agent's thread wakes the live thread, and when it need not.

    events flow          the live thread looks every LOOK_S by itself; nobody is woken
      │ LINGER_S without any
      ▼
    asleep               whoever opens or closes something rings

Rule 1: while events flow nobody is woken. On a machine with busy cores the kernel gives the core to whom one wakes: every thousandth
        call of the hook took 2.7 ms in the midst of it, and 0.3 ms without.
Rule 2: no lock of Python's: an interrupt of whoever rings leaves nothing held.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable

from otel_phi.clock import monotonic

LOOK_S = 0.03  # a turn that ended waits so long at most; several leave in one request
LINGER_S = 0.5  # after the last event: to look all the time would cost 0.5 % of a core


class Bell:
    """A bell wakes one thread.

    Attributes:
        asleep: whether it has to be rung for that thread to see what was appended.
    """

    def __init__(self) -> None:
        self.asleep = True
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._last_at = -LINGER_S

    def ring(self) -> None:
        """Rings, from any thread."""
        self.asleep = False
        self._rings.put(None)

    def flowing(self) -> None:
        """Says that something was there to do."""
        self._last_at = monotonic()

    def sleep(self, seconds: float, look: Callable[[], bool]) -> None:
        """Waits until there may be something to do.

        Args:
            seconds: at most so long.
            look: tells whether something was appended before the bell had to be rung for it.
        """
        if monotonic() - self._last_at < LINGER_S:
            self.wait(min(seconds, LOOK_S))
            return
        self.asleep = True
        if not look():
            self.wait(seconds)
        self.asleep = False

    def wait(self, seconds: float) -> None:
        """Waits for a ring."""
        with contextlib.suppress(queue.Empty):
            self._rings.get(timeout=seconds)
