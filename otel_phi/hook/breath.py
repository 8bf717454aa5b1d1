"""The breath: how the live thread lets the agent's threads have the interpreter while it works."""

from __future__ import annotations

import time

from otel_phi.clock import monotonic

BREATH_S = 50e-6  # long enough for another thread to take the interpreter; 0 gives it back before one wakes
BREATHE_EVERY_S = 80e-6  # about half a turn's mapping; half of that again, and 20,000 spans take twice as long to leave


class Breath:
    """A breath is taken by one thread, wherever its work can be left for a moment."""

    __slots__ = ("_last_at",)

    def __init__(self) -> None:
        self._last_at = 0.0

    def __call__(self) -> None:
        """Lets other threads have the interpreter, at most after each turn's worth of work."""
        if monotonic() - self._last_at > BREATHE_EVERY_S:
            time.sleep(BREATH_S)
            self._last_at = monotonic()
