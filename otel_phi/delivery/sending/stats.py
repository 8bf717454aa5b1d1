"""Honest accounting: every span handed over is in exactly one place, at any moment."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """Counts spans, not requests.

    Attributes:
        accepted: handed to the sender.
        acknowledged: taken by the destination.
        rejected: refused by the destination in a partial success.
        queued: waiting or under way.
        dead: dead letters, refused or too large on their own.
        dropped: pairs of reason and count, not sent on purpose (`sampled_out`, say).
        posts: requests sent, retries included.
        retries: requests that have to be sent again.
    """

    accepted: int = 0
    acknowledged: int = 0
    rejected: int = 0
    queued: int = 0
    dead: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    posts: int = 0
    retries: int = 0

    def balanced(self) -> bool:
        """Tells whether every span handed over is accounted for; false would be a bug of ours."""
        dropped = sum(count for _, count in self.dropped)
        return self.accepted == self.acknowledged + self.rejected + self.queued + self.dead + dropped


class LiveStats(msgspec.Struct, frozen=True):
    """Counts the spans of one process's live delivery.

    Attributes:
        accepted: taken by this process: its own, and those it adopted from dead ones.
        acknowledged: taken by the destination.
        rejected: refused by the destination in a partial success.
        queued: in the outbox, or in memory where there is none.
        deferred: in memory because the outbox could not take them in time; they follow.
        dead: dead letters, refused or too large on their own.
        dropped: pairs of reason and count, not sent on purpose or over a bound.
        adopted: of `accepted`, how many came from the outbox of a dead process.
        deferrals: how many spans were ever deferred; the count only grows.
        posts: requests sent, retries included.
        retries: requests that had to be sent again.
        in_memory: why there is no outbox on disk, "" where there is one.
        trouble: why nothing gets through now, None while all is well; one line without secrets.
        next_try_s: seconds until the next attempt, 0.0 while all is well.
    """

    accepted: int = 0
    acknowledged: int = 0
    rejected: int = 0
    queued: int = 0
    deferred: int = 0
    dead: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    adopted: int = 0
    deferrals: int = 0
    posts: int = 0
    retries: int = 0
    in_memory: str = ""
    trouble: str | None = None
    next_try_s: float = 0.0

    def balanced(self) -> bool:
        """Tells whether every span accepted is accounted for; false would be a bug of ours."""
        dropped = sum(count for _, count in self.dropped)
        settled = self.acknowledged + self.rejected + self.dead + dropped
        return self.accepted == settled + self.queued + self.deferred


class Progress(msgspec.Struct, frozen=True):
    """The state of a delivery at one moment, for whoever shows it.

    Attributes:
        stats: the counts.
        trouble: why nothing gets through now, None while all is well; one line without secrets.
        next_try_s: seconds until the next attempt, 0.0 while all is well.
        rejection: what the destination last said of spans it rejected, "" if nothing.
    """

    stats: Stats
    trouble: str | None = None
    next_try_s: float = 0.0
    rejection: str = ""


class DeadLetter(msgspec.Struct, frozen=True):
    """A dead letter is a span that its destination will not take.

    Attributes:
        trace_id: 128 bits.
        span_id: 64 bits.
        name: the span's name.
        reason: the destination's words, one line without secrets.
    """

    trace_id: int
    span_id: int
    name: str
    reason: str


_S = TypeVar("_S", Stats, LiveStats)


class Counts(Generic[_S]):
    """Keeps counts. Safe for use by several threads.

    Args:
        first: the counts to begin with.

    Attributes:
        now: the counts as they stand.
    """

    def __init__(self, first: _S) -> None:
        self.lock = threading.RLock()
        self.now: _S = first

    def add(self, **changes: int) -> bool:
        """Adds to counts, all at once; True, for whoever may be interrupted and must know that it was done."""
        with self.lock:
            counts = {name: getattr(self.now, name) + change for name, change in changes.items()}
            self.now = msgspec.structs.replace(self.now, **counts)
        return True

    def drop(self, reason: str, count: int, **changes: int) -> None:
        """Counts spans as dropped, and adds to other counts in the same moment."""
        if not count:
            return
        with self.lock:
            dropped = dict(self.now.dropped)
            dropped[reason] = dropped.get(reason, 0) + count
            counts = {name: getattr(self.now, name) + change for name, change in changes.items()}
            self.now = msgspec.structs.replace(self.now, dropped=tuple(dropped.items()), **counts)
