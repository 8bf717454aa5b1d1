"""Waiting for a live delivery, for a person who looks on: until all is settled, or nothing moves any more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from otel_phi.clock import monotonic
from otel_phi.delivery.exporters.exporter import Accepted, Exporter, ExportResult, Misconfigured, Refused
from otel_phi.delivery.options import MISCONFIGURED_GIVE_UP_AFTER_S

if TYPE_CHECKING:
    from otel_phi.config import Config
    from otel_phi.hook.live import LiveDelivery

GLANCE_S = 0.2  # between looks
CLOSING_S = 2.0  # for a request under way: acknowledged, its spans need not be sent again
CLOSING_IN_TROUBLE_S = 0.5  # nothing is under way but, perhaps, a probe


class Watched:
    """A watched exporter remembers what its destination last said.

    Args:
        exporter: the exporter.

    Attributes:
        wrong: the last answer asks for a person.
        rejection: what it last said of spans it rejected, "" if nothing.
    """

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self.max_in_flight = exporter.max_in_flight
        self.wrong = False
        self.rejection = ""

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        """Sends, and remembers the answer."""
        result = self._exporter.send(body, timeout_s)
        self.wrong = isinstance(result, Misconfigured | Refused)
        if isinstance(result, Accepted) and (result.rejected or result.message):
            self.rejection = result.message or "no reason given"
        return result

    def close(self, *, whole: bool = True) -> None:
        """Closes it."""
        self._exporter.close(whole=whole)


class Progress:
    """Progress is measured as the time without any.

    Args:
        limit_s: how long that may be.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._mark: object = None
        self._since = monotonic()

    def waited_s(self, mark: object) -> float:
        """Returns the seconds for which the mark has been this one."""
        if mark != self._mark:
            self._mark, self._since = mark, monotonic()
        return monotonic() - self._since


def settle(delivery: LiveDelivery, watched: tuple[Watched, ...], config: Config, at_most_s: float = math.inf) -> str:
    """Waits until all is settled, for `config.give_up_after_s` without progress and `at_most_s` at all.

    Returns:
        Why it ended before, "" if it did not.
    """
    progress, until = Progress(config.give_up_after_s), monotonic() + at_most_s
    flush = delivery.begin_flush()
    while not flush.wait(min(GLANCE_S, max(until - monotonic(), 0.0))):
        stats = delivery.stats()
        waited_s = progress.waited_s((stats.accepted - stats.queued, delivery.waiting))
        wrong = any(one.wrong for one in watched) and stats.trouble is not None
        limit_s = min(progress.limit_s, MISCONFIGURED_GIVE_UP_AFTER_S) if wrong else progress.limit_s
        # An attempt under way is no failure yet: it has its own bound.
        if waited_s >= limit_s and (stats.trouble or waited_s >= limit_s + config.timeout_s):
            return stats.trouble or f"no progress in {waited_s:.0f} s"
        if monotonic() >= until:
            return stats.trouble or "the collector is slow"
    return ""


def close(delivery: LiveDelivery) -> None:
    """Closes a delivery; what is not settled stays in the outbox."""
    delivery.close(CLOSING_IN_TROUBLE_S if delivery.stats().trouble else CLOSING_S)
