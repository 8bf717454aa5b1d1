"""What the hook tells of itself: every event it was given is in exactly one place, as is every span."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import msgspec

from otel_phi.delivery.sending.stats import LiveStats

STATS_FAILED = "stats_failed"


class Tally:
    """Counts without a lock: `next` on a count is one step of C, which no thread and no signal can divide."""

    __slots__ = ("_count", "_looks", "add")

    def __init__(self) -> None:
        self._count = itertools.count()
        self._looks = 0
        self.add: Callable[[], object] = self._count.__next__  # counts one more; asked for every event

    def read(self) -> int:
        """Returns how many were counted; one reader at a time."""
        found = next(self._count) - self._looks
        self._looks += 1
        return found


class HookStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts events, and in `delivery` spans.

    Attributes:
        events: given to the hook.
        recorded: taken into the recording.
        left_out: deltas, message starts, partial results, progress: no span shows them.
        undecodable: what was given and is no event.
        failed: events that a fault of ours, or an interrupt, cost.
        waiting: in the backlog; they follow, in order.
        lost: events that were not taken, by reason: `backlog_full`, `after_shutdown`.
        deferred: how many events ever went to the backlog; the count only grows.
        ignored: recorded events that said nothing a span could show, by reason.
        open_loops: loops that have not ended.
        troubles: what went wrong, by kind; the first of a kind was logged.
        off: why nothing is recorded, "" while all is well: `sdk_disabled`, or `not_started` after a fault at the start,
            `stats_failed` where these numbers are none.
        delivery: spans, by where they are.
    """

    events: int = 0
    recorded: int = 0
    left_out: int = 0
    undecodable: int = 0
    failed: int = 0
    waiting: int = 0
    lost: Mapping[str, int] = {}
    deferred: int = 0
    ignored: Mapping[str, int] = {}
    open_loops: int = 0
    troubles: Mapping[str, int] = {}
    off: str = ""
    delivery: LiveStats = LiveStats()

    def balanced(self) -> bool:
        """Tells whether all is accounted for; exact while no other thread is inside the hook. False would be a bug."""
        settled = self.recorded + self.left_out + self.undecodable + self.failed + sum(self.lost.values())
        if self.off == STATS_FAILED:
            return False
        return self.events == settled + self.waiting and self.delivery.balanced()
