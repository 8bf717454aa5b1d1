"""What a live delivery tells whoever looks on from outside: its counts, in the table all processes share, for `status`."""

from __future__ import annotations

from collections.abc import Callable

from otel_phi.clock import monotonic, wall_ns
from otel_phi.delivery.journal.facts import Destination
from otel_phi.delivery.journal.known import Known, SoFar
from otel_phi.delivery.sending.stats import LiveStats

WRITE_S = 1.0  # a person who looks on waits no longer for a number that changed


class SharedCounts:
    """Shared counts add what this process did to its destination's row, at most once a second and only what changed.

    They are informational: where the table cannot be used nothing else is touched, and the numbers follow later.

    Args:
        known: the table.
        destination: whose row.
    """

    def __init__(self, known: Known, destination: Destination) -> None:
        self._known, self._destination = known, destination
        self._written = LiveStats()
        self._due = 0.0

    def write(self, counts: Callable[[], LiveStats], *, now: bool = False) -> None:
        """Writes what changed, if it is time to.

        Args:
            counts: returns this process's.
            now: do not wait for the second to be over.
        """
        if monotonic() < self._due and not now:
            return
        self._due = monotonic() + WRITE_S
        stats = counts()
        before, dropped = self._written, _dropped(stats)
        more = SoFar(
            acknowledged=stats.acknowledged - before.acknowledged,
            rejected=stats.rejected - before.rejected,
            dropped=dropped - _dropped(before),
            last_error=stats.trouble if stats.retries != before.retries else None,
            last_error_ns=wall_ns() if stats.trouble and stats.retries != before.retries else None,
        )
        if more == SoFar():
            return
        if self._known.add_counts(self._destination, more):
            self._written = stats


def _dropped(stats: LiveStats) -> int:
    return sum(count for _, count in stats.dropped)
