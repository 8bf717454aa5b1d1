"""The sender: takes batches, sends them with retries, and loses nothing it does not say. All doors have this one.

    submit, offer ─▶ pending ─▶ exporter ─▶ ExportResult
                      ▲   ▲                  ├─ Accepted ────────────────▶ acknowledged, rejected
                      │   └── after backoff ─┼─ Retry, Misconfigured
                      └──────── halves ──────┼─ Refused, TooLarge ─ alone ─▶ Refusals ─▶ dead letters, or pending again
                                             └─ Discarded ───────────────▶ dropped

Rules
1. A span counts as queued until the destination acknowledges, rejects or refuses it; the counts balance at any moment.
2. What failed for now holds all sending until its wait is over, then one request probes; success opens the window.
3. A wait the destination asks for (Retry-After) is kept, up to 15 minutes, and does not count as time without progress.
4. Refused and too large batches are halved until the culprit stands alone. A success proves that the culprits before
   it were culprits: they become dead letters. Three in a row without one are a misconfiguration: all are kept.
5. Without progress for long enough it gives up; what is queued stays unacknowledged, for a later run to send.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from otel_phi import clock
from otel_phi.delivery.exporters.exporter import (
    Accepted,
    Discarded,
    Exporter,
    ExportResult,
    Misconfigured,
    Refused,
    Retry,
    TooLarge,
)
from otel_phi.delivery.options import GIVE_UP_AFTER_S, MISCONFIGURED_GIVE_UP_AFTER_S
from otel_phi.delivery.sending.backoff import Backoff, Refusals, wrong_settings
from otel_phi.delivery.sending.batch import Batch, Settled, dead_letter
from otel_phi.delivery.sending.stats import Counts, DeadLetter, Progress, Stats
from otel_phi.errors import DeliveryError

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from 3.11 on


DEAD_LETTERS_KEPT = 1000  # names and reasons to show; the count goes on
CLOSING_GRACE_S = 2.0  # for requests under way at an interruption: acknowledged, they need not be sent again
_GLANCE_S = 0.5  # between looks at the world, so that Ctrl-C is seen on every platform


class Sender:
    """Delivers batches through one exporter, with as many requests at once as that allows.

    The callbacks are called by the sender's threads, one at a time; they must be quick and may call `stats`.

    Args:
        exporter: the destination; closed with the sender.
        timeout_s: bound of one attempt.
        give_up_after_s: seconds without progress; `math.inf` for never.
        misconfigured_give_up_after_s: the same for 401, 403, 404, redirects and the like.
        on_acknowledged: gets each batch that must never be sent again.
        on_settled: gets each batch with what became of it, once it needs no sending any more.
        on_dead: gets each dead letter.
        on_progress: gets the state after each change worth showing.
    """

    def __init__(
        self,
        exporter: Exporter,
        *,
        timeout_s: float = 10.0,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        misconfigured_give_up_after_s: float = MISCONFIGURED_GIVE_UP_AFTER_S,
        on_acknowledged: Callable[[Batch], None] | None = None,
        on_settled: Callable[[Settled], None] | None = None,
        on_dead: Callable[[DeadLetter], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._exporter = exporter
        self._timeout_s = timeout_s
        self._on_acknowledged, self._on_settled = on_acknowledged, on_settled
        self._on_dead, self._on_progress = on_dead, on_progress
        self._backoff = Backoff(give_up_after_s, misconfigured_give_up_after_s)
        self._changed = threading.Condition()
        self._pending: deque[Batch] = deque()
        self._refusals = Refusals()
        self._in_flight = 0
        self._counts = Counts(Stats())
        self._rejection = ""
        self._gave_up: str | None = None
        self._closing = self._closed = False
        self._threads: list[threading.Thread] = []
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_KEPT)

    def submit(self, batch: Batch) -> None:
        """Takes a batch; blocks while as many requests as the exporter allows wait or are under way.

        Raises:
            DeliveryError: the sender gave up, now or before; the batch was not taken.
        """
        with self._changed:
            while self._gave_up is None and not self.has_room():
                self._changed.wait(_GLANCE_S)
            self._take(batch)

    def offer(self, batch: Batch) -> bool:
        """Takes a batch if there is room, without waiting."""
        with self._changed:
            if self._closing or not self.has_room():
                return False
            self._take(batch)
            return True

    def rest(self) -> bool:
        """Settles lone refusals where nothing else is to be sent; tells whether the sender has nothing to do."""
        with self._changed:
            if self._pending or self._in_flight:
                return False
            self._make_dead_letters()
            return True

    def start(self) -> None:
        """Starts the threads, which the first batch does otherwise: at interpreter exit that is too late."""
        with self._changed:
            self._start()

    def drain(self) -> Stats:
        """Waits until every span taken is settled.

        Raises:
            DeliveryError: the sender gave up; the queued spans are not acknowledged.
        """
        with self._changed:
            while self._gave_up is None and (self._pending or self._in_flight):
                self._changed.wait(_GLANCE_S)
            self.check()
            self._make_dead_letters()
            return self._counts.now

    def run(self, batches: Iterable[Batch]) -> Stats:
        """Delivers all batches and waits for the last.

        Raises:
            DeliveryError: the sender gave up.
        """
        for batch in batches:
            self.submit(batch)
        return self.drain()

    def drop(self, reason: str, count: int) -> None:
        """Counts spans that are not sent on purpose and never became a batch."""
        with self._changed:
            self._counts.drop(reason, count, accepted=count)

    def stats(self) -> Stats:
        """Returns the counts as they stand."""
        return self._counts.now

    def progress(self) -> Progress:
        """Returns the state as it stands."""
        with self._changed:
            trouble = self._backoff.trouble
            wait_s = max(self._backoff.not_before - clock.monotonic(), 0.0) if trouble else 0.0
            return Progress(self._counts.now, trouble, wait_s, self._rejection)

    def close(self, *, whole: bool = True, grace_s: float = CLOSING_GRACE_S) -> None:
        """Ends the threads and closes the exporter; what is still queued stays unacknowledged. Repeatable.

        Args:
            whole: false if spans are missing that never came here; half an output file is then discarded.
            grace_s: for requests under way: acknowledged, they need not be sent again.
        """
        with self._changed:
            if self._closed:
                return
            self._closing = True
            self._changed.notify_all()
            until = clock.monotonic() + grace_s
            while self._in_flight and (rest_s := until - clock.monotonic()) > 0:
                self._changed.wait(rest_s)
            self._closed = True
        self._exporter.close(whole=whole and not self._counts.now.queued)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.close(whole=kind is None)

    def has_room(self) -> bool:
        """Tells whether `offer` would take a batch."""
        return len(self._pending) + self._in_flight < self._exporter.max_in_flight

    def _take(self, batch: Batch) -> None:
        self.check()
        self._start()
        self._pending.append(batch)
        self._counts.add(accepted=batch.count, queued=batch.count)
        self._changed.notify_all()

    def check(self) -> None:
        """Raises `DeliveryError` if it gave up, or is closed."""
        if self._gave_up is not None:
            raise DeliveryError(self._gave_up)
        if self._closing:
            raise DeliveryError("the sender is closed")

    def _start(self) -> None:
        if self._threads or self._closing:
            return
        for number in range(self._exporter.max_in_flight):
            # Daemons: a request that hangs must not hold the interpreter at exit.
            thread = threading.Thread(target=self._work, name=f"otel-phi-sender-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            started = clock.monotonic()
            result = self._post(batch)
            with self._changed:
                self._in_flight -= 1
                if not self._closed:
                    self._settle(batch, result, started)
                self._changed.notify_all()

    def _next(self) -> Batch | None:
        """Waits for a batch that may be sent now; None when this thread has nothing more to do."""
        with self._changed:
            while not self._closing and self._gave_up is None:
                in_trouble = self._backoff.trouble is not None
                free = self._in_flight < (1 if in_trouble else self._exporter.max_in_flight)
                wait_s = self._backoff.not_before - clock.monotonic() if in_trouble else 0.0
                if self._pending and free and wait_s <= 0:
                    self._in_flight += 1
                    self._counts.add(posts=1)
                    return self._pending.popleft()
                # An hour of Retry-After is longer than some platforms' longest wait: look again each minute.
                self._changed.wait(min(wait_s, 60.0) if wait_s > 0 else None)
            return None

    def _post(self, batch: Batch) -> ExportResult:
        try:
            return self._exporter.send(batch.body(), self._timeout_s)
        except BaseException as error:  # noqa: BLE001  # an exporter of others: whatever it throws, the spans are kept
            return Retry(f"{type(error).__name__} in {type(self._exporter).__name__}")

    def _settle(self, batch: Batch, result: ExportResult, started: float) -> None:
        match result:
            case Accepted():
                self._acknowledge(batch, result, started)
            case Retry(reason, after_s):
                self._keep(batch, started, reason, retry_after_s=after_s)
            case Misconfigured(reason):
                self._keep(batch, started, reason, misconfigured=True)
            case TooLarge(reason) | Refused(reason):
                self._isolate(batch, started, reason)
            case Discarded(reason):
                self._counts.drop(reason, batch.count, queued=-batch.count)
                call(self._on_settled, Settled(batch, discarded=reason))
        call(self._on_progress, self.progress())

    def _acknowledge(self, batch: Batch, result: Accepted, started: float) -> None:
        self._backoff.succeeded(started, clock.monotonic())
        self._refusals.all_refused = False
        self._make_dead_letters()
        rejected = min(result.rejected, batch.count)
        self._counts.add(acknowledged=batch.count - rejected, rejected=rejected, queued=-batch.count)
        if rejected or result.message:
            self._rejection = result.message or "no reason given"
        call(self._on_acknowledged, batch)
        call(self._on_settled, Settled(batch, rejected=rejected))

    def _keep(
        self,
        batch: Batch,
        started: float,
        reason: str,
        *,
        retry_after_s: float | None = None,
        misconfigured: bool = False,
    ) -> None:
        """Puts a batch back and waits; gives up if that has been going on for too long."""
        if self._refusals.all_refused:
            self._pending.append(batch)  # another one probes next: perhaps it is not refused
        else:
            self._pending.appendleft(batch)
        self._counts.add(retries=1)
        self._wait(started, reason, retry_after_s=retry_after_s, misconfigured=misconfigured)

    def _wait(self, started: float, reason: str, *, retry_after_s: float | None, misconfigured: bool) -> None:
        now = clock.monotonic()
        self._backoff.failed(started, now, reason, retry_after_s=retry_after_s, misconfigured=misconfigured)
        if self._backoff.exhausted(now):
            self._gave_up = f"gave up: {reason} ({self._counts.now.queued} spans not sent)"

    def _isolate(self, batch: Batch, started: float, reason: str) -> None:
        """Halves a batch that was refused; alone, it is a lone refusal."""
        if self._refusals.all_refused:
            self._keep(batch, started, wrong_settings(reason), misconfigured=True)
            return
        self._backoff.succeeded(started, clock.monotonic())  # it answers
        if batch.count > 1:
            self._pending.extendleft(reversed(batch.halves()))
            return
        if again := self._refusals.add(batch, reason):
            self._pending.extend(again)
            self._wait(started, wrong_settings(reason), retry_after_s=None, misconfigured=True)

    def _make_dead_letters(self) -> None:
        """Makes dead letters of the lone refusals."""
        for batch, reason in self._refusals.clear():
            letter = dead_letter(batch, reason)
            self.dead_letters.append(letter)
            self._counts.add(dead=1, queued=-1)
            call(self._on_dead, letter)
            call(self._on_settled, Settled(batch, dead=reason))


_T = TypeVar("_T")
logger = logging.getLogger("otel_phi")


def call(callback: Callable[[_T], None] | None, value: _T) -> None:
    """Calls a callback, if there is one; an exception of its is logged."""
    if callback is None:
        return
    try:
        callback(value)
    except Exception:
        logger.exception("a callback of the sender failed; delivery goes on")
