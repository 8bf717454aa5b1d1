"""The fan-out: every span to each of several exporters, and each is a delivery of its own.

                    ┌─▶ Output ─▶ Batcher ─▶ Sender ─▶ exporter    counts, waits and acknowledges for itself
    Span ─▶ FanOut ─┤
                    └─▶ Output ─▶ Batcher ─▶ Sender ─▶ exporter

Rule 1: an exporter that was given up does not keep spans from the others; only when none is at work does `put` raise.
Rule 2: `flush` waits for all and then says what the first one to fail said.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from otel_phi.delivery.sending.batch import Batcher
from otel_phi.delivery.sending.sender import Sender
from otel_phi.errors import DeliveryError
from otel_phi.mapping.span import Span


class Output(Protocol):
    """An output takes spans to one exporter."""

    sender: Sender

    @property
    def dropped(self) -> int:
        """Returns how many spans found no room."""

    def put(self, span: Span) -> None:
        """Takes a span.

        Raises:
            DeliveryError: the exporter was given up.
        """

    def flush(self, timeout_s: float) -> None:
        """Waits until every span put so far is settled.

        Raises:
            DeliveryError: they are not.
        """

    def close(self, *, whole: bool) -> None:
        """Closes the sender; half an output file is discarded unless it is `whole`."""


class BlockingOutput:
    """Takes spans to a sender and waits while that has no room: for sources that can wait.

    Args:
        sender: closed with the output.
        batcher: gathers and encodes.
    """

    dropped = 0

    def __init__(self, sender: Sender, batcher: Batcher) -> None:
        self.sender = sender
        self._batcher = batcher

    def put(self, span: Span) -> None:
        """Takes a span; waits while the sender has no room.

        Raises:
            DeliveryError: the sender gave up.
        """
        full = self._batcher.add(span)
        if full is not None:
            self.sender.submit(full)

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002  # the sender knows when to give up
        """Waits until every span put so far is settled.

        Raises:
            DeliveryError: the sender gave up.
        """
        last = self._batcher.cut()
        if last is not None:
            self.sender.submit(last)
        self.sender.drain()

    def close(self, *, whole: bool) -> None:
        """Closes the sender."""
        self.sender.close(whole=whole)


class FanOut:
    """Puts spans into several outputs.

    Args:
        outputs: one for each exporter, at least one.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.outputs = tuple(outputs)
        self._failed: dict[int, DeliveryError] = {}

    def put(self, span: Span, without: Collection[int] = ()) -> None:
        """Puts a span into each output.

        Args:
            span: what is put.
            without: numbers of the outputs that have it already.

        Raises:
            DeliveryError: every output has failed; the text is the latest one's.
        """
        for number, output in enumerate(self.outputs):
            if number in self._failed or number in without:
                continue
            try:
                output.put(span)
            except DeliveryError as error:
                self._failed[number] = error
        self._check()

    def flush(self, timeout_s: float) -> None:
        """Waits until every span put so far is settled, in every output.

        Raises:
            DeliveryError: one of them failed, now or before.
        """
        failed = list(self._failed.values())
        for number, output in enumerate(self.outputs):
            if number in self._failed:
                continue
            try:
                output.flush(timeout_s)
            except DeliveryError as error:  # a live one may recover: it is asked again
                failed.append(error)
        if failed:
            raise failed[0]

    def drop(self, reason: str, count: int) -> None:
        """Counts spans that are sent to nobody, on purpose."""
        for output in self.outputs:
            output.sender.drop(reason, count)

    def close(self, *, whole: bool) -> None:
        """Closes all outputs; one whose exporter cannot be closed does not keep the others open.

        Raises:
            DeliveryError: an exporter could not be closed well, a file not renamed, say.
        """
        failed = []
        for number, output in enumerate(self.outputs):
            try:
                output.close(whole=whole and number not in self._failed)
            except DeliveryError as error:  # noqa: PERF203  # there are one or two
                failed.append(error)
        if failed:
            raise failed[0]

    def _check(self) -> None:
        if len(self._failed) == len(self.outputs):
            raise next(reversed(self._failed.values()))
