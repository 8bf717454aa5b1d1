"""The outflow: spans to the senders, one an exporter, and the word of what is settled back to the tokens they belong to.

    span ─ batcher ─▶ batch ─▶ each sender ─▶ what became of it ─▶ settled once every exporter has settled it ─▶ token, cursor

Rule 1: there is no buffer. What the destination does not take is not read: the files are the buffer.
Rule 2: a span is settled once it was accepted, rejected, or refused for good, by every exporter; only then its cursor may pass
        it. The counts are the first exporter's.
"""

from __future__ import annotations

import math
import queue
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_phi.clock import monotonic
from otel_phi.delivery.exporters.exporter import Exporter
from otel_phi.delivery.exporters.open import open_exporters
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Batch, Batcher, Settled, span_key
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.sending.stats import DeadLetter, Progress, Stats
from otel_phi.watch.outgoing import Outgoing, Token

if TYPE_CHECKING:
    from otel_phi.config import Config

_GLANCE_S = 0.1  # between looks at whether to stop, while the destination takes nothing


class Stopped(Exception):  # noqa: N818
    """Says that the watch was asked to stop while it read, or while the destination took nothing."""


class Outflow:
    """Sends spans and keeps account of them. For one thread.

    Args:
        config: where and how.
        resource: who produces the spans.
        patient: whether to wait for the destination for ever.
        stopping: asked while it waits; true ends the waiting.
        on_progress: called by the sender's threads with the state of the delivery.
        exporter: a destination of your own instead of the configured ones.

    Attributes:
        senders: one an exporter.
    """

    def __init__(
        self,
        config: Config,
        resource: Resource,
        *,
        patient: bool,
        stopping: Callable[[], bool],
        on_progress: Callable[[Progress], None] | None = None,
        exporter: Exporter | None = None,
    ) -> None:
        self._stopping = stopping
        self._settled: queue.SimpleQueue[tuple[int, Settled]] = queue.SimpleQueue()
        self._under_way: dict[bytes, list[Outgoing]] = {}
        self._counts: Counter[str] = Counter()
        self._not_sent: Counter[str] = Counter()
        self.touched: set[Token] = set()
        self.roots: list[str] = []
        once_s = config.give_up_after_s if config.file is None else 0.0  # a full disk does not heal while one waits
        give_up_after_s = math.inf if patient else once_s
        self._unsettled: Counter[bytes] = Counter()  # how many exporters have not settled a span, by its key

        def sender(number: int, one: Exporter) -> Sender:
            return Sender(
                one,
                timeout_s=config.timeout_s,
                give_up_after_s=give_up_after_s,
                misconfigured_give_up_after_s=give_up_after_s,
                on_settled=lambda settled: self._settled.put((number, settled)),
                on_progress=on_progress,
            )

        exporters = open_exporters(config) if exporter is None else (exporter,)
        self.senders = tuple(sender(number, one) for number, one in enumerate(exporters))
        self._batcher = Batcher(Encoder(resource), config.max_request_bytes)

    def put(self, out: Outgoing) -> None:
        """Takes a span; waits while the destination takes nothing.

        Raises:
            Stopped: it was asked to stop meanwhile; the span is not lost, its file has it.
            DeliveryError: the destination was given up.
        """
        key = span_key(out.span)
        out.token.unsettled += 1
        if key in self._under_way:
            self._under_way[key].append(out)  # its file is read anew: sent once, and both are settled with it
            return
        self._counts["accepted"] += 1
        self._under_way[key] = [out]
        full = self._batcher.add(out.span)
        if full is not None:
            self._submit(full)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Counts spans that are not sent on purpose."""
        self._counts["accepted"] += count
        self._not_sent[reason] += count

    def push(self) -> None:
        """Sends what was gathered, without waiting for more.

        Raises:
            Stopped: as for `put`.
            DeliveryError: as for `put`.
        """
        batch = self._batcher.cut()
        if batch is not None:
            self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        self._unsettled.update(dict.fromkeys(batch.keys, len(self.senders)))
        for sender in self.senders:
            while not sender.offer(batch):
                sender.check()
                if self._stopping():
                    raise Stopped
                self.settle(_GLANCE_S)

    def settle(self, wait_s: float = 0.0) -> bool:
        """Takes in what the sender settled; waits for the first word so long. True if there was any."""
        found = False
        while True:
            try:
                word = self._settled.get(timeout=0.0 if found else wait_s) if wait_s else self._settled.get_nowait()
            except queue.Empty:
                return found
            found = True
            self._count(*word)
            for key in word[1].batch.keys:
                self._unsettled[key] -= 1
                if not self._unsettled[key]:
                    del self._unsettled[key]
                    self._take_in(key)

    def _count(self, exporter: int, settled: Settled) -> None:
        if exporter:
            return
        self._counts["dead"] += settled.dead is not None
        self._counts["rejected"] += settled.rejected
        if settled.discarded:
            self._not_sent[settled.discarded] += settled.batch.count
        elif settled.dead is None:
            self._counts["acknowledged"] += settled.batch.count - settled.rejected

    def _take_in(self, key: bytes) -> None:
        for out in self._under_way.pop(key):
            out.token.unsettled -= 1
            out.token.settled.append(key)
            self.touched.add(out.token)
            if out.root_of:
                self.roots.append(out.root_of)

    def look_up(self) -> None:
        """Looks whether it is to stop; between two pieces of a long file.

        Raises:
            Stopped: it is.
        """
        if self._stopping():
            raise Stopped

    @property
    def under_way(self) -> int:
        """How many spans are not settled."""
        return len(self._under_way)

    def drain(self, timeout_s: float) -> bool:
        """Waits until all is settled; False if it is not in time.

        Raises:
            DeliveryError: the destination was given up.
        """
        until = monotonic() + timeout_s
        while self._under_way:
            self.settle(_GLANCE_S)
            if self.rest():
                self.settle()
                return not self._under_way
            for sender in self.senders:
                sender.check()
            if monotonic() > until:
                return False
        return True

    def last(self, until: float) -> None:
        """Sends what was gathered, if there is room for it until then (a monotonic time), and waits for its answer.

        Raises:
            Stopped: there is no room.
        """
        batch = self._batcher.cut()
        if batch is not None:
            self._unsettled.update(dict.fromkeys(batch.keys, len(self.senders)))
        for sender in self.senders:
            while batch is not None and not sender.offer(batch):
                if monotonic() > until:
                    raise Stopped
                self.settle(_GLANCE_S)
        while self._under_way and monotonic() < until and self.progress().trouble is None:
            self.settle(_GLANCE_S)

    def rest(self) -> bool:
        """Settles lone refusals where nothing else is left to send; tells whether the senders have nothing to do."""
        return all([sender.rest() for sender in self.senders])  # noqa: C419  # each of them is asked

    def progress(self) -> Progress:
        """Returns the state of the sender that is in trouble, else the first one's."""
        found = [sender.progress() for sender in self.senders]
        return next((one for one in found if one.trouble is not None), found[0])

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The spans that an exporter would not take, the latest thousand of each."""
        return tuple(letter for sender in self.senders for letter in sender.dead_letters)

    def close(self, grace_s: float) -> None:
        """Ends the senders; what they settled until then counts."""
        for sender in self.senders:
            sender.close(grace_s=grace_s)
        self.settle()

    def stats(self) -> Stats:
        """Returns the counts; what is gathered and not sent yet is queued."""
        sent = self.senders[0].stats()
        return Stats(
            **{name: self._counts[name] for name in ("accepted", "acknowledged", "rejected", "dead")},
            queued=len(self._under_way),
            dropped=tuple(sorted(self._not_sent.items())),
            posts=sent.posts,
            retries=sent.retries,
        )
