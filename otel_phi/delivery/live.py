"""Live delivery: what an agent's spans go into while it works.

Rule 1: nothing is raised into the agent, and nothing makes it wait longer than 5 ms for a lock.
Rule 2: committed when `commit` returns, unless counted as deferred. Committed spans survive the process.
Rule 3: every span accepted is in exactly one count, at any moment.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from otel_phi.delivery import forking, unsaid
from otel_phi.delivery.courier import Courier
from otel_phi.delivery.exporters.exporter import Exporter, Nowhere
from otel_phi.delivery.exporters.open import open_exporter
from otel_phi.delivery.journal.private import destination_name
from otel_phi.delivery.live_sender import LiveSender
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.rows import change_of, open_row_of, row_of, span_key_of
from otel_phi.delivery.sending.batch import Settled
from otel_phi.delivery.sending.counts import Counts
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.sending.stats import LiveStats, Progress, Stats
from otel_phi.delivery.shelves import Shelves
from otel_phi.delivery.store import FOLDER, Place, Store
from otel_phi.delivery.upkeep import Limits, Upkeep
from otel_phi.mapping.span import Span

if TYPE_CHECKING:
    from otel_phi.config import Config

CLOSING = 0.25  # of the time to shut down: for a request under way and the files; the rest is for sending
# A batch is gathered in slices and held in memory: a small one takes a moment, and little is under way when bounds bite.
MAX_BATCH_BYTES = 1 << 20
SHUT_DOWN, FAILED = "shut_down", "internal_error"


class Opened(msgspec.Struct, frozen=True):
    """Is a loop, turn or group that is open.

    Attributes:
        span: the span as it would leave if its process were lost now, ended 1 ns after its start.
    """

    span: Span


class LiveDelivery:
    """Delivers an agent's spans while it works. Safe for use by several threads, and across forks.

    Args:
        config: where and how.
        resource: who produces the spans.
        transport: a destination of your own instead of the configured one; closed at shutdown.
        limits: bounds of the outbox folder.
    """

    def __init__(
        self, config: Config, resource: Resource, *, transport: Exporter | None = None, limits: Limits | None = None
    ) -> None:
        self._config = config
        self._limits = limits or Limits()
        self._given = transport
        self._encoder = Encoder(resource)
        self._failed = False
        self._transport: Exporter | None = open_exporter(config) if transport is None else transport
        # Nowhere's reason: then every span is counted as dropped, and no file is made.
        self._discards = self._transport.reason if isinstance(self._transport, Nowhere) else ""
        self._place = place_of(config, self._encoder)
        self._complaints = Complaints(self._place.endpoint)
        self._begin()
        if not self._discards:
            self._store.open()
            if self._store.known is not None:
                self._store.known.open()
        forking.register(self)
        unsaid.speak()

    def _begin(self) -> None:
        self._encoding = threading.RLock()
        self._counts = Counts(LiveStats())
        self._closed = False
        self._store = Store(self._place, self._counts)
        self._shelves = Shelves(self._store, self._counts, min(self._config.max_request_bytes, MAX_BATCH_BYTES))
        self._upkeep = Upkeep(self._store, self._shelves, self._counts, self._limits)
        self._courier = Courier(self._store, self._shelves, self._upkeep, self._make_sender, self._release)

    # --- taking --------------------------------------------------------------------------------------------------

    def commit(
        self, spans: Sequence[Span], opened: Sequence[Opened] = (), closed: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Takes finished spans, remembers what opened and forgets what closed, in one transaction; never raises.

        Args:
            spans: finished spans; a child moves the end of its open parent, should that be lost.
            opened: loops, turns and groups that opened, or are known better now.
            closed: (trace id, span id) of those that closed.
        """
        if self._discards or self._closed:
            self.drop(self._discards or SHUT_DOWN, len(spans))
            return
        try:
            with self._encoding:
                rows = [row_of(span, self._encoder) for span in spans]
                open_rows = [open_row_of(each.span, self._encoder) for each in opened]
            ended = [span_key_of(trace_id, span_id) for trace_id, span_id in closed]
            self._store.put(change_of(rows, open_rows, spans, ended))
            if rows:
                self._courier.wake()
        except Exception as error:  # noqa: BLE001  # nothing is raised into the agent
            self._fault(error, len(spans))

    def drop(self, reason: str, count: int) -> None:
        """Counts spans left out on purpose (`sampled_out`, say)."""
        if count:
            self._counts.drop(reason, count, accepted=count)

    def claim_root(self, span: Span) -> bool:
        """Takes a session's root if no process has taken it before; True if this call won."""
        if self._discards or self._closed:
            self.drop(self._discards or SHUT_DOWN, 1)
            return True
        try:
            with self._encoding:
                row = row_of(span, self._encoder)
            won = self._store.claim(row, span.start_ns)
            self._courier.wake()
        except Exception as error:  # noqa: BLE001  # nothing is raised into the agent
            self._fault(error, 1)
            return True
        return won

    def known_loop(self, loop_id: str) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop that any process of this machine remembered; None if none did."""
        return self._store.loop(loop_id)

    def remember_loop(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Remembers a loop for other processes."""
        if not (self._discards or self._closed):
            self._store.remember(loop_id, session_id, started_ns)
            self._courier.wake()

    # --- leaving -------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that is accepted so far is settled, and what dead processes left; False if it is not in time."""
        if self._discards or self._closed:
            return True
        return self._courier.flush(timeout_s)

    def shutdown(self, timeout_s: float) -> bool:
        """Sends what can be sent in time and closes; the rest stays in the outbox. Repeatable, never raises.

        Args:
            timeout_s: bound of it all, on a monotonic clock, whatever the destination does.

        Returns:
            Whether everything accepted is settled.
        """
        if self._discards or self._closed:
            return True
        until = time.monotonic() + timeout_s
        try:
            done = not self._courier.started or self._courier.flush(timeout_s * (1 - CLOSING))
            self._closed = True
            self._courier.close(max(until - time.monotonic(), 0.0))
        except Exception as error:  # noqa: BLE001  # nothing is raised into the agent
            self._fault(error, 0)
            return False
        return done

    def stats(self) -> LiveStats:
        """Returns the counts as they stand; they balance at any moment."""
        now, sender = self._counts.now, self._courier.sender
        progress = sender.progress() if sender is not None else Progress(Stats())
        return msgspec.structs.replace(
            now, posts=progress.stats.posts, retries=progress.stats.retries, in_memory=self._store.in_memory,
            trouble=progress.trouble or self._courier.trouble, next_try_s=progress.next_try_s,
        )  # fmt: skip

    def _fault(self, error: Exception, count: int) -> None:
        if not self._failed:
            self._failed = True
            unsaid.warn("live delivery failed, %d spans are lost: %s: %s", count, type(error).__name__, error)
        self.drop(FAILED, count)

    # --- destination ---------------------------------------------------------------------------------------------

    def _make_sender(self, settled: Callable[[Settled], None]) -> Sender:
        if self._transport is None:  # after a fork: sockets are not shared
            self._transport = open_exporter(self._config)
        return LiveSender(
            OneAtATime(self._transport),
            missing=self._shelves.missing,
            timeout_s=self._config.timeout_s,
            give_up_after_s=math.inf,
            misconfigured_give_up_after_s=math.inf,
            on_settled=settled,
            on_progress=self._complaints,
        )

    def _release(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- fork ----------------------------------------------------------------------------------------------------

    def fork_locks(self) -> Iterable[forking.Lock]:
        """Returns our locks, outermost first."""
        store = self._store
        own = (store.outbox.lock,) if store.outbox is not None else ()
        known = (store.known.lock,) if store.known is not None else ()
        return (self._encoding, self._shelves.gate, store.opening, *own, *known, store.spill.lock, self._counts.lock)

    def before_fork(self) -> None:
        """Closes the file that all processes share: a child must not believe that it holds SQLite's locks on it."""
        if self._store.known is not None:
            self._store.known.close_for_fork()

    def after_fork_in_child(self) -> None:
        """Begins anew; what the parent had open stays untouched, and what it had deferred is the parent's to deliver."""
        forking.keep_for_ever(self._store, self._shelves, self._upkeep, self._courier, self._transport)
        unsaid.forget()
        closed = self._closed
        self._transport = self._given
        loops = self._store.loops
        self._begin()
        self._closed, self._store.loops = closed, loops


class OneAtATime:
    """Is a transport of one request at once, which is closed by whoever opened it.

    An agent's spans come a few a second: more connections would hide a latency nobody waits for.

    Args:
        transport: the destination.
    """

    max_in_flight = 1

    def __init__(self, transport: Exporter) -> None:
        self.send = transport.send

    def close(self, *, whole: bool = True) -> None:
        """Does nothing."""


class Complaints:
    """Says the first trouble of a kind in one warning.

    Args:
        endpoint: the destination in words, without secrets.
    """

    _KINDS = 32  # then it is quiet: a destination that finds new words each time must not fill a log

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._kinds: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        """Looks at a state of the sender, which holds its lock: nothing is said here."""
        trouble = progress.trouble or ""
        kind = trouble.partition(": ")[0]  # what follows are the destination's words
        if kind and kind not in self._kinds and len(self._kinds) < self._KINDS:
            self._kinds.add(kind)
            unsaid.warn("%s: %s; spans are kept and tried again", self._endpoint, trouble)


def place_of(config: Config, encoder: Encoder) -> Place:
    """Says where a configuration's spans wait; its destination is told by what reaches it, headers included."""
    headers, exporter = config.fixed_headers, config.exporter_name
    facts = ["live", config.protocol, exporter, config.file or "", "asked" if callable(config.headers) else ""]
    if config.tls.client_certificate:  # it says who sends
        facts.append(config.tls.client_certificate)
    objects = [one for one in config.exporters if not isinstance(one, str)]
    if callable(config.headers) or objects:
        # Nobody can look into those: the same service is taken for the same destination, no other.
        facts += [*(type(one).__module__ for one in objects or [""]), config.service_name or ""]
    # Where no folder can be named, one in which none can be made: spans wait in memory.
    state_dir = config.state_dir or Path(os.devnull) / "otel-phi"
    name = destination_name(state_dir, config.endpoint, headers, *facts)
    shown = config.display_endpoint if exporter == "otlp" and config.file is None else config.file or exporter
    return Place(state_dir / FOLDER, name, shown, encoder.envelope)
