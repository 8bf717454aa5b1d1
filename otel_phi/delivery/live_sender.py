"""The live sender: before it sends again what has waited, it looks whether that is still wanted.

Rule 1: what a person purged while the destination was away does not leave. A request under way is not called back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from otel_phi.delivery.exporters.exporter import Exporter
from otel_phi.delivery.sending.batch import Batch, Settled
from otel_phi.delivery.sending.callbacks import call
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.shelves import PURGED


class LiveSender(Sender):
    """Is a sender whose spans others may purge where they wait.

    Args:
        transport: the destination.
        missing: returns those of some keys whose spans are gone.
        **options: of `Sender`.
    """

    def __init__(
        self, transport: Exporter, *, missing: Callable[[Iterable[bytes]], set[bytes]], **options: Any
    ) -> None:
        super().__init__(transport, **options)
        self._missing = missing

    def _next(self) -> Batch | None:
        while (batch := super()._next()) is not None:
            wanted = self._wanted(batch) if self.progress().trouble is not None else batch
            if wanted is not None:
                return wanted
        return None

    def _wanted(self, batch: Batch) -> Batch | None:
        wanted, gone = batch.without(self._missing(batch.keys))
        if gone is not None:
            with self._changed:
                self._counts.drop(PURGED, gone.count, queued=-gone.count)
                if wanted is None:  # nothing is sent
                    self._in_flight -= 1
                    self._counts.add(posts=-1)
                call(self._on_settled, Settled(gone, discarded=PURGED))
                self._changed.notify_all()
        return wanted
