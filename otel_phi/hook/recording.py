"""The recording: what the hook does with an event, and how it ends.

event ─ policy ─▶ event that may be said ─ encoded ─▶ one append to the journal ─ bell, where it opens or closes something

Rule 1: what was given is in the file when the call returns. No lock, no table, no mapping: the live thread does the rest.
Rule 2: an Exception of ours ends here, counted and said once a kind. One that is not ours, such as that of a signal's handler, and
        every BaseException passes; wherever it comes, the hook works on.
Rule 3: a process that comes to be by a fork has a journal of its own from its first event on; nothing of the parent's is touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from otel_phi.clock import monotonic
from otel_phi.config import Config
from otel_phi.delivery.journal.append import Forked, Tally
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.hook.c_forks import tell_python
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.findings import findings, refusals
from otel_phi.hook.live import LiveDelivery
from otel_phi.hook.stats import STATS_FAILED, HookStats
from otel_phi.hook.taking import (
    DELTA,
    DELTA_TEXT,
    PAST_DELTA,
    PAST_DELTA_TEXT,
    WAKING,
    encode,
    event_of,
    fact_of,
    rules_for,
    shown_nowhere,
)
from otel_phi.pipeline import policy_for
from otel_phi.policy.given import guarded_function, with_given
from otel_phi.policy.words import load_judge
from otel_phi.sqlite_use import keep_for_ever
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEnd, AgentEvent, GenericEvent, MessageUpdate
from otel_phi.wire.foreign import is_foreign, pass_on

if TYPE_CHECKING:
    from otel_phi.wire.spellings import UnknownKey

CLOSING = 0.25  # of the time to shut down: for a request under way and the files; the rest is for sending
# What says that an event made by hand is not what it seems, or JSON not as phi-core writes it: it is looked at again.
_MISFITS = (TypeError, ValueError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError)
# Of an object that a child inherited by a fork: its files and sockets are the parent's, and closing them here would close them there.
_inherited: list[object] = []


class Door(Protocol):
    """A door is what an agent's threads call."""

    def __call__(self, event: Any, traceparent: str | None = None, /) -> None:
        """Records one event."""


class Recording:
    """A recording belongs to one hook, and follows it over forks.

    Args:
        config: how to map, sample and send.
        make: makes the live delivery, again in a forked child; None where nothing is to be recorded.
        off: why nothing is, "" otherwise.

    Attributes:
        config: as given.
        off: as given.
        closed: whether it was shut down; events are then counted as lost.
        left_out: counts an event that no span shows.
        hook: records one event: `take`, by a quick way for most.
    """

    def __init__(self, config: Config, make: Callable[[Complaints], LiveDelivery] | None, off: str = "") -> None:
        self.config = config
        self.off = off
        self.closed = False
        self._make = make
        load_judge()
        self._policy = policy_for(config, tools=config.metrics.on)
        self._rules = self._quick_ways()
        self._attributes_for = guarded_function(config.attributes_for, config.content)
        self._tallies = {name: Tally() for name in ("left_out", "undecodable", "failed", "after_shutdown")}
        self.left_out = self._tallies["left_out"].add
        self.hook = self._door()
        self._begin()
        self._fresh()

    def _begin(self) -> None:
        self._complaints = Complaints(self.config.display_endpoint, strict=self.config.strict != "off")
        for tally in self._tallies.values():
            tally.reset()
        self._delivered: bool | None = None
        self._pid = os.getpid()
        self._made: dict[str, LiveDelivery] = {}
        self._live: LiveDelivery | None = None

    def _fresh(self) -> LiveDelivery | None:
        """Returns this process's live delivery, made if it has none yet. Of two threads that make one, the first is kept."""
        if self._make is None:
            return None
        made = self._make(self._complaints)
        kept = self._made.setdefault("live", made)  # one step of C, which no thread and no signal can divide
        if kept is not made:
            made.close(0.0)
        self._live = kept
        return kept

    def before_fork(self) -> None:
        """Lets go of what a child must not find in use: SQLite remembers its own process's locks, and so would the child's."""
        if self._live is not None:
            self._live.before_fork()

    def after_fork_in_parent(self) -> None:
        """Goes on as before."""
        if self._live is not None:
            self._live.after_fork_in_parent()

    def after_fork(self) -> None:
        """Begins anew in a forked child: a loop belongs to the process that saw it begin, and so do its files."""
        if self._pid != os.getpid():
            keep_for_ever(self._live)
            _inherited.append(self._live)
            self._begin()

    # --- events ----------------------------------------------------------------------------------------------------------

    def _quick_ways(self) -> Mapping[type, Callable[[Any], Any]]:
        return rules_for(self._policy)

    def _door(self) -> Door:
        """Makes the function that an agent's threads call. Most of a streamed turn ends in it, so it has few variables: each costs."""
        left_out, quick = self._tallies["left_out"].steps, self._quick

        def hook(event: Any, traceparent: str | None = None) -> None:
            """Records one event; never raises. It is in the journal when this returns."""
            kind = event.__class__
            if (
                (kind is bytes and DELTA <= event < PAST_DELTA)
                or kind is MessageUpdate
                or (kind is dict and event.get("type").__class__ is str and event["type"] == "MessageUpdate")
                or (kind is str and DELTA_TEXT <= event < PAST_DELTA_TEXT)
            ):
                for _ in left_out:
                    return
            quick(event, traceparent)

        return hook

    def _quick(self, given: Any, traceparent: str | None) -> None:
        """Records one event: what needs no second look is encoded and appended with nothing called that need not be."""
        fact, rule, live = None, self._rules.get(given.__class__), self._live
        try:
            if rule is not None and live is not None and not self.closed:
                event = rule(given)
                if event is not None:
                    fact = encode(event)
                    live.journal.append(fact)
                    if event.__class__ in WAKING and live.bell.asleep:
                        live.wake()
                    return
        except Exception as error:  # noqa: BLE001  # rule 2
            if self._is_over(error, fact):
                return
        self.take(given, traceparent)

    def _is_over(self, error: Exception, fact: bytes | None) -> bool:
        """Says whether an event was dealt with that the quick way ended with an exception for; else it goes the other one.

        Raises:
            Exception: it is none of ours.
        """
        if isinstance(error, Forked):
            return False
        if fact is None and isinstance(error, _MISFITS):
            pass_on(error)
            return False
        self._fail(error)
        return True

    def _fail(self, error: Exception) -> None:
        if not _is_ours(error):
            raise error
        self._tallies["failed"].add()
        self._complaints.failed("taking an event", error)

    def take(self, given: object, traceparent: str | None = None) -> AgentEvent | None:
        """Records one event, unless no span shows it; returns it as it was recorded, None where it was not."""
        try:
            return self._take(given, traceparent)
        except Exception as error:  # noqa: BLE001  # rule 2
            self._fail(error)
            return None

    def _take(self, given: object, traceparent: str | None) -> AgentEvent | None:
        """Records an event in whatever form and state."""
        live = self._live or self._fresh()
        if live is None or shown_nowhere(given):
            self.left_out()
            return None
        unknown: list[UnknownKey] = []
        event = event_of(given, unknown, self._policy)
        if isinstance(event, Undecodable):
            self._refuse(given, event.reason, unknown)
            return None
        if self.closed:
            self._tallies["after_shutdown"].add()
            return None
        if self._attributes_for is not None:
            event = with_given(event, self._attributes_for, self._not_given)
        live = self._append(live, fact_of(event, traceparent))
        if type(event) in WAKING and live.bell.asleep:
            live.wake()
        if unknown or event.__class__ is GenericEvent:
            self._wonder(event, unknown)
        return event

    def _refuse(self, given: object, reason: str, unknown: list[UnknownKey]) -> None:
        """Counts what is no event."""
        self._tallies["undecodable"].add()
        self._complaints.undecodable("; ".join(map(str, refusals(given, reason, unknown))))

    def _wonder(self, event: AgentEvent, unknown: list[UnknownKey]) -> None:
        """Counts what nobody understands of an event, which is recorded without it."""
        for finding in findings(event, unknown):
            self._complaints.strange(finding.kind, finding.name, str(finding))

    def _append(self, live: LiveDelivery, fact: bytes) -> LiveDelivery:
        """Appends, and returns where to: in a process that was forked without Python's knowledge to a journal of its own."""
        try:
            live.journal.append(fact)
        except Forked:
            tell_python()
            self.after_fork()
            live = self._live or self._fresh() or live
            live.journal.append(fact)
        return live

    def _not_given(self, error: Exception) -> None:
        self._complaints.add(
            f"attributes_for: {type(error).__name__}", f"attributes_for failed: {type(error).__name__}"
        )

    def cancel(self, loop_ids: Iterable[str]) -> None:
        """Closes loops as cancelled, at the last time known of each."""
        for loop_id in loop_ids:
            self.take(AgentEnd(loop_id=loop_id, outcome="cancelled"))

    # --- the end ---------------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until every span completed so far is settled; False if it is not within `timeout_s`. Never raises."""
        try:
            live = self._live
            if live is None or self._pid != os.getpid():
                return True
            return self._delivered is True if self.closed else live.flush(timeout_s)
        except Exception as error:
            if not _is_ours(error):
                raise
            self._complaints.failed("flush", error)
            return False

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Ends the recording: what is open leaves as aborted, all is delivered; repeatable, never raises.

        What is not delivered in time stays in the journal, for the next process to send.

        Args:
            timeout_s: seconds it may take.

        Returns:
            Whether all was delivered.
        """
        try:
            return self._shut_down(monotonic() + timeout_s)
        except Exception as error:
            if not _is_ours(error):
                raise
            self._complaints.failed("shutdown", error)
            return False

    def end(self) -> LiveDelivery | None:
        """Says that no more events come: what is open leaves as aborted. Returns the delivery that goes on, None for none."""
        live = self._live
        if live is None or self._pid != os.getpid():
            self.closed = True
            return None
        if not self.closed:
            self.closed = True
            live.end()
        return live

    def _shut_down(self, until: float) -> bool:
        live = self.end()
        if live is None:
            return True
        if self._delivered is None:
            left_s = max(until - monotonic(), 0.0)
            done = live.flush(left_s * (1 - CLOSING))
            live.close(max(until - monotonic(), 0.0))
            self._delivered = done
        return self._delivered

    def stats(self) -> HookStats:
        """Returns what became of every event and span so far. Never raises."""
        try:
            return self._stats()
        except Exception as error:
            if not _is_ours(error):
                raise
            self._complaints.failed("stats", error)
            return HookStats(off=STATS_FAILED)

    def _stats(self) -> HookStats:
        counts = {name: tally.count for name, tally in self._tallies.items()}
        live = self._live
        journal = live.journal.stats() if live is not None else None
        lost = {"after_shutdown": counts.pop("after_shutdown"), **(dict(journal.lost) if journal is not None else {})}
        return HookStats(
            recorded=journal.lines if journal is not None else 0,
            **counts,
            lost={reason: count for reason, count in lost.items() if count},
            waiting=journal.waiting if journal is not None else 0,
            damaged=journal.damaged_lines if journal is not None else 0,
            ignored=live.ignored if live is not None else {},
            open_loops=live.open_loops if live is not None else 0,
            unknown=dict(self._complaints.unknown),
            troubles=dict(self._complaints.counts),
            off=self.off,
            delivery=live.stats() if live is not None else LiveStats(),
        )


def _is_ours(error: BaseException) -> bool:
    """Says whether an exception is a fault of ours: not memory or the stack running out, nor raised in somebody's signal handler."""
    return not (isinstance(error, MemoryError | RecursionError) or is_foreign(error))
