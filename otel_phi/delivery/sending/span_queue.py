"""The span queue: spans of a live stream go in without waiting, a thread of its own takes them to the sender.

    Span ─ put ─▶ batcher ─▶ full batches ─ thread ─▶ Sender ─▶ exporter

Rule 1: the stream never waits for the destination. What finds the queue full is dropped, and counted.
Rule 2: whatever is there leaves at once; while a request is under way the next batch gathers.
"""

from __future__ import annotations

import threading
from collections import deque

from otel_phi import clock
from otel_phi.delivery.sending.batch import Batch, Batcher
from otel_phi.delivery.sending.sender import Sender
from otel_phi.errors import DeliveryError
from otel_phi.mapping.span import Span

# Some 100,000 spans without content: hours of an agent's work while its collector is away.
MAX_QUEUE_BYTES = 64 << 20


class SpanQueue:
    """Takes spans from a live stream to a sender, in a thread of its own.

    Args:
        sender: one that never gives up by itself; `flush` sets the time limit. It is closed with the queue.
        batcher: gathers and encodes.
        max_bytes: encoded bytes that may wait; past them spans are dropped.
    """

    def __init__(self, sender: Sender, batcher: Batcher, max_bytes: int = MAX_QUEUE_BYTES) -> None:
        self.sender = sender
        self._batcher = batcher
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._full: deque[Batch] = deque()
        self._waiting = 0
        self._full_bytes = 0
        self._dropped = 0
        self._drains = 0
        self._drained = 0
        self._closing = False
        self._failed: str | None = None
        # A daemon: a request that hangs must not hold the interpreter at exit; `flush` waits as long as it is asked to.
        self._thread = threading.Thread(target=self._work, name="otel-phi-queue", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Takes a span; never waits for the destination."""
        with self._changed:
            if self._full_bytes > self._max_bytes:
                self._dropped += 1
                return
            self._waiting += 1
            full = self._batcher.add(span)
            if full is not None:
                self._full.append(full)
                self._full_bytes += full.size_bytes
            self._changed.notify_all()

    @property
    def dropped(self) -> int:
        """How many spans found the queue full."""
        return self._dropped

    def flush(self, timeout_s: float) -> None:
        """Waits until every span put so far is settled.

        Raises:
            DeliveryError: they are not within `timeout_s`; they stay queued.
        """
        with self._changed:
            self._drains += 1
            wanted = self._drains
            self._changed.notify_all()
            until = clock.monotonic() + timeout_s
            while not self._is_drained(wanted) and (rest_s := until - clock.monotonic()) > 0:
                self._changed.wait(min(rest_s, threading.TIMEOUT_MAX))
            done, waiting = self._is_drained(wanted), self._waiting
        if not done or self._failed is not None:
            trouble = self._failed or self.sender.progress().trouble or "the collector is slow"
            unsent = waiting + self.sender.stats().queued
            raise DeliveryError(f"gave up after {timeout_s:g} s: {trouble} ({unsent} spans not sent)")

    def close(self, *, whole: bool) -> None:
        """Ends the thread and closes the sender; what still waits is not sent. Repeatable.

        Args:
            whole: false if spans are missing; half an output file is then discarded.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.sender.close(whole=whole)

    def _is_drained(self, wanted: int) -> bool:
        return self._drained >= wanted or self._failed is not None or self._closing

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._has_work():
                    self._changed.wait()
                if self._closing:
                    return
                batch = self._take()
                drains = self._drains
            try:
                self._pass_on(batch, drains)
            except DeliveryError as error:
                self._fail(str(error))
                return

    def _has_work(self) -> bool:
        return self._closing or self._waiting > 0 or self._drains > self._drained

    def _take(self) -> Batch | None:
        batch = self._full.popleft() if self._full else self._batcher.cut()
        if batch is not None and self._full_bytes:
            self._full_bytes = sum(full.size_bytes for full in self._full)
        return batch

    def _pass_on(self, batch: Batch | None, drains: int) -> None:
        if batch is not None:
            self.sender.submit(batch)
            with self._changed:
                self._waiting -= batch.count
            return
        self.sender.drain()
        with self._changed:
            self._drained = drains
            self._changed.notify_all()

    def _fail(self, reason: str) -> None:
        with self._changed:
            self._failed = reason
            self._changed.notify_all()
