"""The live sender: before it sends again what has waited, it looks whether that is still wanted.

Rule 1: what a person purged while the destination was away does not leave, nor what had to go for the bounds of the folder. A
        request under way is not called back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_phi.delivery.exporters.exporter import Exporter
from otel_phi.delivery.sending.batch import Batch, Settled
from otel_phi.delivery.sending.sender import Sender, call


class LiveSender(Sender):
    """A live sender sends one request at a time, and drops what is not wanted any more.

    Args:
        exporter: the destination.
        unwanted: says of a key why its span is not to be sent, None where it is.
        **options: of `Sender`.
    """

    def __init__(self, exporter: Exporter, *, unwanted: Callable[[bytes], str | None], **options: Any) -> None:
        super().__init__(OneAtATime(exporter), **options)
        self._unwanted = unwanted

    def _next(self) -> Batch | None:
        while (batch := super()._next()) is not None:
            wanted = self._wanted(batch) if self.progress().trouble is not None else batch
            if wanted is not None:
                return wanted
        return None

    def _wanted(self, batch: Batch) -> Batch | None:
        reasons = {key: reason for key in batch.keys if (reason := self._unwanted(key)) is not None}
        wanted, gone = batch.without(reasons)
        if gone is not None:
            reason = reasons[gone.keys[0]]
            with self._changed:
                self._counts.drop(reason, gone.count, queued=-gone.count)
                if wanted is None:  # nothing is sent
                    self._in_flight -= 1
                    self._counts.add(posts=-1)
                call(self._on_settled, Settled(gone, discarded=reason))
                self._changed.notify_all()
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
