"""The accounts of a live delivery: every span made is in exactly one count, at any moment."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from otel_phi.delivery.sending.batch import Settled
from otel_phi.delivery.sending.stats import Counts, LiveStats, Progress
from otel_phi.hook.complaints import Complaints


class Accounts:
    """Accounts count spans for the live thread; anybody may look at them.

    Args:
        complaints: gets faults of ours.

    Attributes:
        unreadable: lines of a journal that were whole and no fact.
    """

    def __init__(self, complaints: Complaints) -> None:
        self._counts = Counts(LiveStats())
        self._complaints = complaints
        self.unreadable = 0

    @property
    def now(self) -> LiveStats:
        """The counts as they stand."""
        return self._counts.now

    def made(self, count: int, *, adopted: bool) -> None:
        """Counts spans that are to be sent."""
        if count:
            self._counts.add(accepted=count, queued=count, adopted=count if adopted else 0)

    def drop(self, reason: str, count: int) -> None:
        """Counts spans that were never to be sent, `sampled_out` say."""
        self._counts.drop(reason, count, accepted=count)

    def settled(self, settled: Settled) -> None:
        """Takes what became of a batch or a part of one."""
        count = settled.batch.count
        if settled.discarded is not None:
            self._counts.drop(settled.discarded, count, queued=-count)
        elif settled.dead is not None:
            self._counts.add(dead=count, queued=-count)
        else:
            rejected = min(settled.rejected, count)
            self._counts.add(acknowledged=count - rejected, rejected=rejected, queued=-count)

    def fault(self, where: str, error: Exception) -> None:
        """Counts a fault of ours."""
        self._complaints.failed(where, error)

    def trouble(self, kind: str, text: str) -> None:
        """Counts what is to be said, once a kind."""
        self._complaints.add(kind, text)

    def with_progress(self, progress: Sequence[Progress], in_memory: str) -> LiveStats:
        """Returns the counts with what the senders say of themselves; of several, the first that is in trouble."""
        worst = next((one for one in progress if one.trouble), progress[0])
        return msgspec.structs.replace(
            self.now,
            posts=sum(one.stats.posts for one in progress),
            retries=sum(one.stats.retries for one in progress),
            in_memory=in_memory,
            trouble=worst.trouble,
            next_try_s=worst.next_try_s,
        )
