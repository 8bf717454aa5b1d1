"""The clocks: the one place that asks what time it is.

A test tool that freezes `time.time` and `time.monotonic` (freezegun, time-machine's kin) stops the world for the code under
test; it must not stop a deadline of ours. `clock_gettime` is what such tools leave alone.
"""

from __future__ import annotations

import time

if hasattr(time, "clock_gettime"):

    def monotonic() -> float:
        """Returns seconds of a clock that nobody can set, for waits and deadlines."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def wall_ns() -> int:
        """Returns nanoseconds since the Unix epoch, for the age of what lies on a disk."""
        return time.clock_gettime_ns(time.CLOCK_REALTIME)

else:  # Windows

    def monotonic() -> float:
        """Returns seconds of a clock that nobody can set, for waits and deadlines."""
        return time.monotonic()

    def wall_ns() -> int:
        """Returns nanoseconds since the Unix epoch, for the age of what lies on a disk."""
        return time.time_ns()
