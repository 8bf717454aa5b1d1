"""What the hook tells of itself: every event it was given is in exactly one place, as is every span."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from otel_phi.delivery.sending.stats import LiveStats

STATS_FAILED = "stats_failed"


class HookStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts events, and in `delivery` spans.

    Attributes:
        recorded: lines of the journal: events that are in the file, or in its memory where the disk took none.
        left_out: deltas, message starts, partial results, progress: no span shows them.
        undecodable: what was given and is no event.
        failed: events that a fault of ours cost.
        lost: events that were not taken, by reason: `after_shutdown`, `memory_full`.
        waiting: recorded events that were not read yet; they follow, in order.
        ignored: recorded events that said nothing a span could show, by reason.
        open_loops: loops that have not ended, in what was read.
        troubles: what went wrong, by kind; the first of a kind was logged.
        off: why nothing is recorded, "" while all is well: `sdk_disabled`, or `not_started` after a fault at the start,
            `stats_failed` where these numbers are none.
        delivery: spans, by where they are.
    """

    recorded: int = 0
    left_out: int = 0
    undecodable: int = 0
    failed: int = 0
    lost: Mapping[str, int] = {}
    waiting: int = 0
    ignored: Mapping[str, int] = {}
    open_loops: int = 0
    troubles: Mapping[str, int] = {}
    off: str = ""
    delivery: LiveStats = LiveStats()

    @property
    def events(self) -> int:
        """Returns how many events were given: each is in exactly one place, so that it is a sum and no counter of its own."""
        return self.recorded + self.left_out + self.undecodable + self.failed + sum(self.lost.values())

    def balanced(self) -> bool:
        """Tells whether all is accounted for; False would be a bug."""
        return self.off != STATS_FAILED and 0 <= self.waiting <= self.recorded and self.delivery.balanced()
