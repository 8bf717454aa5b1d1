"""The live sender: before it sends again what has waited, it looks whether that is still wanted.

Rule 1: what a person purged while the destination was away does not leave, nor what had to go for the bounds of the folder. A
        request under way is not called back.
Rule 2: it goes at once, not when its turn comes: an hour of Retry-After must not keep a segment from being deleted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from otel_phi.delivery.exporters.exporter import Exporter
from otel_phi.delivery.sending.batch import Batch, Settled
from otel_phi.delivery.sending.sender import Sender, call


class LiveSender(Sender):
    """A live sender sends one request at a time, never gives up, and drops what is not wanted any more.

    Args:
        exporter: the destination.
        unwanted: says of a key why its span is not to be sent, None where it is.
        **options: of `Sender`.
    """

    def __init__(self, exporter: Exporter, *, unwanted: Callable[[bytes], str | None], **options: Any) -> None:
        never = math.inf
        super().__init__(OneAtATime(exporter), give_up_after_s=never, misconfigured_give_up_after_s=never, **options)
        self._unwanted = unwanted

    def let_go(self) -> None:
        """Drops what waits here and is not wanted any more."""
        with self._changed:
            for batch in [self._pending.popleft() for _ in range(len(self._pending))]:
                if (wanted := self._wanted(batch)) is not None:
                    self._pending.append(wanted)
            self._changed.notify_all()

    def _keep(self, batch: Batch, *given: Any, **named: Any) -> None:
        super()._keep(batch, *given, **named)
        self.let_go()  # it was given up while it was under way

    def _wanted(self, batch: Batch) -> Batch | None:
        reasons = {key: reason for key in batch.keys if (reason := self._unwanted(key)) is not None}
        wanted, gone = batch.without(reasons)
        if gone is not None:
            reason = reasons[gone.keys[0]]
            self._counts.drop(reason, gone.count, queued=-gone.count)
            call(self._on_settled, Settled(gone, discarded=reason))
        return wanted


class OneAtATime:
    """An exporter of one request at once.

    An agent's spans come a few a second: more connections would hide a latency nobody waits for.

    Args:
        exporter: the destination; closed by whoever opened it.
    """

    max_in_flight = 1

    def __init__(self, exporter: Exporter) -> None:
        self.send = exporter.send

    def close(self, *, whole: bool = True) -> None:
        """Does nothing."""
