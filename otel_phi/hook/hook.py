"""The hook itself: takes events from any thread, in order, and never raises, waits or prints.

Rule 1: whoever holds the lock records. Others wait 5 ms at most, then leave their event in the backlog and go.
Rule 2: while something is in the backlog, everything goes behind it: the order in which events were given is kept.
        Once much is there, whoever leaves an event waits for the lock once more and helps: a burst slows its threads down
        by milliseconds, and loses nothing.
Rule 3: who leaves an event there looks for the lock once more, and who lets the lock go looks into the backlog: nothing stays.
Rule 4: an Exception ends here, counted and logged once a kind; a BaseException passes, with the lock free.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from otel_phi.config import Config
from otel_phi.delivery.live import LiveDelivery
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.hook.backlog import Backlog, Item
from otel_phi.hook.caller import caller_of
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.intake import NOWHERE, event_of, shown_nowhere
from otel_phi.hook.recording import Recording
from otel_phi.hook.stats import STATS_FAILED, HookStats, Tally
from otel_phi.hook.tap import tapped, tapped_async
from otel_phi.mapping.options import MappingOptions
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, AgentStart

Event = AgentEvent | Mapping[str, Any] | str | bytes
T = TypeVar("T")

LOCK_WAIT_S = 0.005  # DESIGN 6: the agent waits no longer for another thread
CATCH_UP_S = 0.005  # nor records longer what others left; the next event goes on with it
_TALLIES = ("given", "recorded", "left_out", "undecodable", "failed", "backlog_full", "after_shutdown", "deferred")


class Hook:
    """Takes an agent's events and turns them into spans, which leave as they close. Made by `otel_phi.install`.

    Args:
        config: how to map and sample.
        mapping: how notices become spans, with the service's name.
        delivery: where spans go, None where nothing is to be recorded.
        off: why nothing is, "" otherwise.

    Attributes:
        config: as given.
        off: as given.
        closed: whether it was shut down; events are then counted as lost.
        ending: called with each of those where a signal is about to kill the process: an agent that goes on would take the
            interpreter from what is to be finished.
    """

    def __init__(self, config: Config, mapping: MappingOptions, delivery: LiveDelivery | None, off: str = "") -> None:
        self.config = config
        self._mapping = mapping
        self._delivery = delivery
        self.off = off
        self.closed = False
        self.ending: Callable[[], object] | None = None
        self._delivered = False  # all of it, at a shutdown
        self._complaints = Complaints()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._backlog = Backlog()
        self._tallies = {name: Tally() for name in _TALLIES}
        # What is asked for every event, at hand.
        self._waiting = self._backlog.items
        self._given, self._left_out = self._tallies["given"].add, self._tallies["left_out"].add
        self._recorded, self._failed = self._tallies["recorded"].add, self._tallies["failed"].add
        self._recording: Recording | None = None
        if self._delivery is not None:
            self._recording = Recording(self._mapping, self.config.sample_ratio, self._delivery, self._complaints)

    def after_fork(self) -> None:
        """Begins anew in a forked child: a loop belongs to the process that saw it begin."""
        self._begin()

    # --- events ----------------------------------------------------------------------------------------------------------

    def __call__(self, event: Event, *, traceparent: str | None = None) -> None:
        """Records one event; never raises. What it completes is on its way when this returns.

        Args:
            event: an `AgentEvent`, or its JSON as mapping, text or bytes.
            traceparent: W3C trace context of whoever called the agent, for an AgentStart; without it the one in its
                metadata counts, else the current OpenTelemetry span.
        """
        try:
            if event.__class__ in NOWHERE or self._recording is None or shown_nowhere(event):
                self._left_out()  # most of a streamed turn ends here: nothing is called on the way
                return
            self._given()
            self._take(event, traceparent)
        except Exception as error:  # noqa: BLE001  # the one boundary: nothing is raised into the agent
            self._complaints.failed("taking an event", error)
        if self._complaints.unsaid:
            self._complaints.speak()

    @overload
    def tap(self, events: Iterable[T]) -> Iterator[T]: ...
    @overload
    def tap(self, events: AsyncIterable[T]) -> AsyncIterator[T]: ...
    def tap(self, events: Iterable[T] | AsyncIterable[T]) -> Iterator[T] | AsyncIterator[T]:
        """Returns an iterator that passes everything through unchanged, and records it on its way.

        Args:
            events: what an agent yields; what is no event is passed through, and counted.
        """
        return tapped_async(events, self) if isinstance(events, AsyncIterable) else tapped(events, self)

    def _take(self, given: Event, traceparent: str | None) -> None:
        """Takes an event's way to its end; one that is not finished, by a fault or an interrupt, is counted."""
        try:
            event = event_of(given)
            if isinstance(event, Undecodable):
                self._complain(event)
                return
            caller = caller_of(event, traceparent) if isinstance(event, AgentStart) else None
            held = not self._waiting and (self._lock.acquire(False) or self._lock.acquire(timeout=LOCK_WAIT_S))
        except BaseException:
            self._failed()
            raise
        if held:
            try:
                if self._waiting:  # left there while this thread waited
                    self._defer(event, caller)
                else:
                    self._record(event, caller)
            finally:
                self._lock.release()
        else:
            self._defer(event, caller)
        if self._waiting:
            self._catch_up(CATCH_UP_S, wait_s=LOCK_WAIT_S if self._backlog.crowded else 0.0)

    def _complain(self, found: Undecodable) -> None:
        self._tallies["undecodable"].add()
        self._complaints.add("undecodable", f"what was given is no event: {found.reason}")

    def _defer(self, event: AgentEvent, caller: str | None) -> None:
        if self._backlog.put(Item(event, caller)):
            self._tallies["deferred"].add()
        else:
            self._tallies["backlog_full"].add()
            self._complaints.add("backlog_full", "the backlog is full: an event was not taken")

    def _catch_up(self, budget_s: float, *, wait_s: float = 0.0) -> bool:
        """Records what is in the backlog, for so long; True if it is empty then."""
        until = time.monotonic() + budget_s
        while self._waiting:
            if not (self._lock.acquire(timeout=wait_s) if wait_s else self._lock.acquire(blocking=False)):
                return False
            try:
                while (item := self._backlog.pop()) is not None:
                    self._record(item.event, item.caller)
                    if time.monotonic() > until:
                        return not self._waiting
            finally:
                self._lock.release()
        return True

    def _record(self, event: AgentEvent, caller: str | None) -> None:
        if self.closed or self._recording is None:
            self._tallies["after_shutdown"].add()
            if self.ending is not None:
                self.ending()
            return
        try:
            self._recording.take(event, caller)
            self._recorded()
        except Exception as error:  # noqa: BLE001  # a backlog may be behind it: one event's fault costs itself
            self._failed()
            self._complaints.failed(type(event).__name__, error)
        except BaseException:
            self._failed()
            raise

    # --- the end ---------------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until every span completed so far is settled; False if it is not within `timeout_s`. Never raises."""
        try:
            until = time.monotonic() + timeout_s
            done = self._catch_up(timeout_s, wait_s=timeout_s)
            return self._delivery is None or (self._delivery.flush(max(until - time.monotonic(), 0.0)) and done)
        except Exception as error:  # noqa: BLE001  # as in __call__
            self._complaints.failed("flush", error)
            return False
        finally:
            self._complaints.speak()

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Ends the recording: what is open leaves as aborted, all is delivered; repeatable, never raises.

        What is not delivered in time stays in the outbox, for the next process to send.

        Args:
            timeout_s: seconds it may take.

        Returns:
            Whether all was delivered.
        """
        try:
            return self._shut_down(time.monotonic() + timeout_s)
        except Exception as error:  # noqa: BLE001  # as in __call__
            self._complaints.failed("shutdown", error)
            return False
        finally:
            self._complaints.speak()

    def _shut_down(self, until: float) -> bool:
        left = max(until - time.monotonic(), 0.0)
        self._catch_up(left / 2, wait_s=left / 2)
        if not self.closed and self._lock.acquire(timeout=left / 2):
            try:
                if self._recording is not None and not self.closed:
                    self._recording.close()
            finally:
                self.closed = True
                self._lock.release()
        self.closed = True
        if not self._delivered:
            left = max(until - time.monotonic(), 0.0)
            self._delivered = self._delivery is None or self._delivery.shutdown(left)
        return self._delivered

    def stats(self) -> HookStats:
        """Returns what became of every event and span so far. Never raises."""
        try:
            return self._stats()
        except Exception as error:  # noqa: BLE001  # as in __call__
            self._complaints.failed("stats", error)
            return HookStats(off=STATS_FAILED)
        finally:
            self._complaints.speak()

    def _stats(self) -> HookStats:
        held = self._lock.acquire(timeout=LOCK_WAIT_S)
        try:
            counts = {name: tally.read() for name, tally in reversed(self._tallies.items())}  # `given` last
            waiting, recording = len(self._backlog), self._recording
            ignored, open_loops = (recording.ignored, recording.open_loops) if recording else ({}, 0)
        finally:
            if held:
                self._lock.release()
        return HookStats(
            events=counts.pop("given") + counts["left_out"],
            lost={name: count for name in ("backlog_full", "after_shutdown") if (count := counts.pop(name))},
            **counts,
            waiting=waiting,
            ignored=ignored,
            open_loops=open_loops,
            troubles=dict(self._complaints.counts),
            off=self.off,
            delivery=self._delivery.stats() if self._delivery else LiveStats(),
        )
