"""Waiting for a live delivery, for a person who looks on: until all is settled, or nothing moves any more."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from otel_phi.delivery.exporters.exporter import Accepted, Exporter, ExportResult, Misconfigured, Refused
from otel_phi.delivery.options import MISCONFIGURED_GIVE_UP_AFTER_S

if TYPE_CHECKING:
    from otel_phi.config import Config
    from otel_phi.delivery.live import LiveDelivery

GLANCE_S = 0.2  # between looks
CLOSING_S = 2.0  # for a request under way: acknowledged, its spans need not be sent again
CLOSING_IN_TROUBLE_S = 0.5  # nothing is under way but, perhaps, a probe


class Watched:
    """Is the destination's transport; remembers what it last said.

    Attributes:
        wrong: the last answer asks for a person.
        rejection: what it last said of spans it rejected, "" if nothing.
    """

    def __init__(self, transport: Exporter) -> None:
        self._transport = transport
        self.max_in_flight = transport.max_in_flight
        self.wrong = False
        self.rejection = ""

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        """Sends, and remembers the answer."""
        reply = self._transport.send(body, timeout_s)
        self.wrong = isinstance(reply, Misconfigured | Refused)
        if isinstance(reply, Accepted) and (reply.rejected or reply.message):
            self.rejection = reply.message or "no reason given"
        return reply

    def close(self, *, whole: bool = True) -> None:
        """Closes it."""
        self._transport.close(whole=whole)


class Clock:
    """Measures the time without progress.

    Args:
        limit_s: how long that may be.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._mark: object = None
        self._since = time.monotonic()

    def waited_s(self, mark: object) -> float:
        """Returns the seconds for which the mark has been this one."""
        if mark != self._mark:
            self._mark, self._since = mark, time.monotonic()
        return time.monotonic() - self._since


def settle(delivery: LiveDelivery, watched: Watched, config: Config, at_most_s: float = math.inf) -> str:
    """Waits until all is settled, for `config.give_up_after_s` without progress and `at_most_s` at all.

    Returns:
        Why it ended before, "" if it did not.
    """
    clock, until = Clock(config.give_up_after_s), time.monotonic() + at_most_s
    while not delivery.flush(min(GLANCE_S, max(until - time.monotonic(), 0.0))):
        stats = delivery.stats()
        waited_s = clock.waited_s(stats.accepted - stats.queued)
        wrong = watched.wrong and stats.trouble is not None
        limit_s = min(clock.limit_s, MISCONFIGURED_GIVE_UP_AFTER_S) if wrong else clock.limit_s
        # An attempt under way is no failure yet: it has its own bound.
        if waited_s >= limit_s and (stats.trouble or waited_s >= limit_s + config.timeout_s):
            return stats.trouble or f"no progress in {waited_s:.0f} s"
        if time.monotonic() >= until:
            return stats.trouble or "the collector is slow"
    return ""


def close(delivery: LiveDelivery) -> None:
    """Closes a delivery; what is not settled stays in the outbox."""
    delivery.shutdown(CLOSING_IN_TROUBLE_S if delivery.stats().trouble else CLOSING_S)
