"""Live delivery: what an agent's spans go into while it works. Nothing is raised into the agent, nothing makes it wait."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from otel_phi.delivery.batch import Batcher
from otel_phi.delivery.encoder import Encoder
from otel_phi.delivery.open import open_transport
from otel_phi.delivery.pump import Pump
from otel_phi.delivery.resource import Resource
from otel_phi.delivery.sender import Sender
from otel_phi.delivery.stats import LiveStats
from otel_phi.delivery.transport import Transport
from otel_phi.errors import DeliveryError
from otel_phi.mapping.span import Span

if TYPE_CHECKING:
    from otel_phi.config import Config


class Opened(msgspec.Struct, frozen=True):
    """Is a loop or turn that is open.

    Attributes:
        span: the span as it would leave if its process were lost now, ended 1 ns after its start.
    """

    span: Span


class LiveDelivery:
    """Delivers an agent's spans while it works. Safe for use by several threads.

    Args:
        config: where and how.
        resource: who produces the spans.
        transport: a destination of your own instead of the configured one; closed at shutdown.
    """

    def __init__(self, config: Config, resource: Resource, *, transport: Transport | None = None) -> None:
        self._lock = threading.Lock()
        sender_transport = open_transport(config) if transport is None else transport
        self._sender = Sender(
            sender_transport,
            timeout_s=config.timeout_s,
            give_up_after_s=math.inf,
            misconfigured_give_up_after_s=math.inf,
        )
        self._pump = Pump(self._sender, Batcher(Encoder(resource), config.max_request_bytes))
        self._open: dict[tuple[int, int], Span] = {}
        self._roots: set[tuple[int, int]] = set()
        self._loops: dict[str, tuple[str, int]] = {}

    def commit(
        self, spans: Sequence[Span], opened: Sequence[Opened] = (), closed: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Takes finished spans, remembers what opened and forgets what closed, in one transaction; never raises.

        Args:
            spans: finished spans.
            opened: loops and turns that opened.
            closed: (trace id, span id) of those that closed.
        """
        with self._lock:
            for each in opened:
                self._open[each.span.trace_id, each.span.span_id] = each.span
            for key in closed:
                self._open.pop(key, None)
            for span in spans:
                self._pump.put(span)

    def drop(self, reason: str, count: int) -> None:
        """Counts spans left out on purpose (`sampled_out`, say)."""
        self._sender.drop(reason, count)

    def claim_root(self, span: Span) -> bool:
        """Takes a session's root if no process has taken it before; True if this call won."""
        with self._lock:
            key = (span.trace_id, span.span_id)
            if key in self._roots:
                return False
            self._roots.add(key)
            self._pump.put(span)
            return True

    def known_loop(self, loop_id: str) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop that any process of this machine remembered."""
        return self._loops.get(loop_id)

    def remember_loop(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Remembers a loop for other processes."""
        self._loops[loop_id] = (session_id, started_ns)

    def flush(self, timeout_s: float) -> bool:
        """Waits until everything accepted so far is settled; False if it is not within `timeout_s`."""
        try:
            self._pump.flush(timeout_s)
        except DeliveryError:
            return False
        return True

    def shutdown(self, timeout_s: float) -> bool:
        """Flushes and closes within `timeout_s`; what is not sent stays. Repeatable, never raises."""
        done = self.flush(timeout_s)
        self._pump.close()
        self._sender.close()
        return done

    def stats(self) -> LiveStats:
        """Returns the counts as they stand; they balance at any moment."""
        sent, progress = self._pump.stats(), self._sender.progress()
        return LiveStats(
            sent.accepted, sent.acknowledged, sent.rejected, sent.queued, 0, sent.dead, sent.dropped,
            posts=sent.posts, retries=sent.retries, trouble=progress.trouble, next_try_s=progress.next_try_s,
        )  # fmt: skip
