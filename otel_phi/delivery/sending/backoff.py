"""Backoff: how long to wait before the next attempt, when to give up, and what it means that spans are refused on their own.

It knows clocks only as numbers.

No library decides this for us: stamina and tenacity repeat one call in one thread, while here several threads share one
destination, a wait holds them all, and the destination may name its length.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from otel_phi.delivery.options import GIVE_UP_AFTER_S, MISCONFIGURED_GIVE_UP_AFTER_S
from otel_phi.delivery.sending.batch import Batch

# The Collector's exporters wait 5 s, then 1.5 times as long up to 30 s. A person waits for an offline export, so the
# first retry comes at once and the waits double: a hiccup costs nothing (21,000 spans at 30 % failures: a few seconds),
# and the same 30 s bound the load on a destination that is down.
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 30.0

# A misconfiguration does not heal by itself, but a token may be renewed and a collector restarted.
FIRST_PROBE_S = 1.0

_JITTER = 0.2  # a fifth up or down, so that many exporters do not come back at once


class Backoff:
    """Keeps track of one destination's trouble, in seconds of a monotonic clock.

    Args:
        give_up_after_s: without progress, not counting waits the destination asked for; `math.inf` for never.
        misconfigured_give_up_after_s: the same where only a person can help.
        chance: gives numbers from 0 to 1.

    Attributes:
        trouble: why nothing gets through, None while all is well.
        not_before: no attempt starts earlier.
    """

    def __init__(
        self,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        misconfigured_give_up_after_s: float = MISCONFIGURED_GIVE_UP_AFTER_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._limits = {False: give_up_after_s, True: min(misconfigured_give_up_after_s, give_up_after_s)}
        self._chance = chance
        self.trouble: str | None = None
        self.not_before = 0.0
        self._since = 0.0
        self._last = 0.0
        self._failures = 0
        self._misconfigured = False

    def succeeded(self, started: float, now: float) -> None:
        """Notes that the destination answers as it should.

        Args:
            started: when the attempt began; the trouble is over if it began after the last failure.
            now: when it succeeded.
        """
        self._since = max(self._since, now)  # a wait the destination asked for may reach into the future
        if started >= self._last:
            self.trouble = None
            self._failures = 0

    def failed(
        self, started: float, now: float, reason: str, *, retry_after_s: float | None, misconfigured: bool
    ) -> None:
        """Notes a failure and decides when to try again.

        Args:
            started: when the attempt began.
            now: when it failed.
            reason: why.
            retry_after_s: the wait the destination asked for, 15 minutes at most, None if it did not.
            misconfigured: only a person can help.
        """
        if self.trouble is None:
            self._since = self._last = started
        # Attempts that were under way when the first one failed tell nothing new: they must not double the wait.
        if started >= self._last or not self._failures:
            self._failures += 1
        self._last = now
        self._misconfigured = misconfigured
        self.trouble = reason
        if retry_after_s is None:
            # The last attempt comes when the time to give up has come, not after.
            until = now + min(self._own_wait(), max(self._since + self._limit - now, 0.0))
        else:
            until = now + max(retry_after_s, FIRST_WAIT_S)  # one that asks for no wait would be asked without end
            self._since += max(now + retry_after_s - max(self.not_before, now), 0.0)
        self.not_before = max(self.not_before, until)

    def exhausted(self, now: float) -> bool:
        """Tells whether there was no progress for too long."""
        return self.trouble is not None and now - self._since >= self._limit

    @property
    def _limit(self) -> float:
        return self._limits[self._misconfigured]

    def _own_wait(self) -> float:
        first = FIRST_PROBE_S if self._misconfigured else FIRST_WAIT_S
        wait = min(first * 2.0 ** min(self._failures - 1, 16), LONGEST_WAIT_S)
        return wait * (1 + _JITTER * (2 * self._chance() - 1))


LONE_REFUSALS = 3  # without a success between: a missing header, not bad spans


class Refusals:
    """Keeps spans that were refused on their own until it is known what that means.

    Attributes:
        all_refused: so many in a row were refused that the destination's settings must be wrong.
    """

    def __init__(self) -> None:
        self.all_refused = False
        self._found: list[tuple[Batch, str]] = []

    def add(self, batch: Batch, reason: str) -> list[Batch]:
        """Takes a refused span; returns all of them, to be sent again, once there are too many to be culprits."""
        self._found.append((batch, reason))
        if len(self._found) < LONE_REFUSALS:
            return []
        self.all_refused = True
        return [refused for refused, _ in self.clear()]

    def clear(self) -> list[tuple[Batch, str]]:
        """Returns the refused spans with what was said of them, and forgets them."""
        found, self._found = self._found, []
        return found


def wrong_settings(reason: str) -> str:
    """Says what it means that all is refused."""
    return f"{LONE_REFUSALS} spans in a row were refused, which points to the destination's settings: {reason}"
