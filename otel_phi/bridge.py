"""The bridge: events in, OTLP out. Puts the road, the encoder and a sender together.

with otel_phi.Bridge(endpoint="http://localhost:4318") as bridge:
    bridge.feed(otel_phi.read_events("run.jsonl"))
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

import msgspec
from typing_extensions import Self

from otel_phi.config import Config, resolve
from otel_phi.delivery.exporters.exporter import Transport
from otel_phi.delivery.exporters.open import open_transport, resource_of
from otel_phi.delivery.journal.ledger import Ledger
from otel_phi.delivery.options import MISCONFIGURED_GIVE_UP_AFTER_S
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.pump import BUFFER_FULL, Pump
from otel_phi.delivery.sending.batch import Batch, Batcher, span_key
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.sending.stats import DeadLetter, Progress, Stats
from otel_phi.errors import ConfigError, DeliveryError
from otel_phi.mapping.span import Span
from otel_phi.recorder.references import Ahead
from otel_phi.road import Event, Road, as_event
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent

logger = logging.getLogger("otel_phi")
# Events taken together offline. A TurnRequest holds the agent's whole context, so more would cost memory.
BLOCK_EVENTS = 32
SAMPLED_OUT = "sampled_out"
SENT_BEFORE = "sent_before"


class BridgeStats(msgspec.Struct, frozen=True):
    """Says what became of everything fed so far.

    Attributes:
        events: events taken.
        undecodable: what was fed and is no event.
        ignored: events that said nothing a span could show, by reason.
        open_loops: loops that have not ended.
        delivery: spans, by where they are; `delivery.balanced()` holds at any moment.
    """

    events: int
    undecodable: int
    ignored: dict[str, int]
    open_loops: int
    delivery: Stats


class Bridge:
    """Turns events into spans and delivers them.

    Offline (the default) `feed` blocks and retries, and raises when the collector cannot be reached for long. Live, spans
    leave as they close and `feed` never waits for the collector.

    Args:
        config: where and how; None resolves one from `options` and the environment.
        ahead: the loops of the whole stream, where a source knows them (`otel_phi.recorder.references.ahead_of`).
        live: whether the events come from an agent at work.
        sample: share of sessions to keep, 0.0 to 1.0; None for the configured sampler when live, and for all offline.
        ledger: remembers what was acknowledged, to resume an interrupted export.
        transport: a destination of your own instead of the configured one.
        on_progress: called by the sender's threads with the state of the delivery.
        on_span: called with each span, also with one that an earlier run delivered.
        **options: as `otel_phi.resolve` takes them.

    Raises:
        ConfigError: an option is wrong; the message says how to mend it.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        ahead: Ahead | None = None,
        live: bool = False,
        sample: float | None = None,
        ledger: Ledger | None = None,
        transport: Transport | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_span: Callable[[Span], None] | None = None,
        **options: Any,
    ) -> None:
        if config is not None and options:
            raise ConfigError(f"give a config or options, not both (found option {min(options)!r})")
        self.config = resolve(**options) if config is None else config
        resource = resource_of(self.config)
        mapping = self.config.mapping_for(resource.get("service.name"))
        if sample is None:
            sample = self.config.sample_ratio if live or "sampler" in options else 1.0
        self._road = Road(mapping, ahead, sample)
        self._ledger = ledger
        self._resumes = ledger is not None and ledger.resumes
        self._on_span = on_span
        self._undecodable = 0
        self._sampled = 0
        self._finished = self._closed = False
        self._spans = self._left_out = 0
        patience_s = math.inf if live else self.config.give_up_after_s
        self._sender = Sender(
            open_transport(self.config) if transport is None else transport,
            timeout_s=self.config.timeout_s,
            give_up_after_s=patience_s,
            misconfigured_give_up_after_s=self._misconfigured_patience_s(live=live),
            on_acknowledged=self._acknowledged if ledger is not None else None,
            on_progress=on_progress,
        )
        self._batcher = Batcher(Encoder(resource), self.config.max_request_bytes)
        self._pump = Pump(self._sender, self._batcher) if live else None

    def _misconfigured_patience_s(self, *, live: bool) -> float:
        if live:
            return math.inf
        # A full disk or a closed pipe does not heal while one waits.
        limit_s = 0.0 if self.config.file is not None else MISCONFIGURED_GIVE_UP_AFTER_S
        return min(self.config.give_up_after_s, limit_s)

    def feed(self, events: Iterable[Event]) -> None:
        """Takes events in the order they happened: `AgentEvent`s, or their JSON as mapping, text or bytes.

        Raises:
            DeliveryError: the collector could not be reached for `give_up_after_s`; never in live mode.
        """
        if self._pump is not None:
            for event in self._decoded(events):
                self._deliver(self._road.feed(event))
            return
        block: list[AgentEvent] = []
        try:
            for event in self._decoded(events):
                block.append(event)
                if len(block) >= BLOCK_EVENTS:
                    full, block = block, []
                    self._deliver(self._road.feed_block(full))
        finally:  # also where the caller's iterator fails: what it gave before counts
            self._deliver(self._road.feed_block(block))

    def _decoded(self, events: Iterable[Event]) -> Iterator[AgentEvent]:
        for given in events:
            event = as_event(given)
            if isinstance(event, Undecodable):
                self._undecodable += 1
            else:
                yield event

    def flush(self, timeout_s: float | None = None) -> None:
        """Waits until every span finished so far is settled. Loops that are open stay open.

        Args:
            timeout_s: how long to wait, for a live bridge; None for `give_up_after_s`.

        Raises:
            DeliveryError: they could not all be delivered.
        """
        if self._closed:
            return
        if self._pump is not None:
            self._pump.flush(self.config.give_up_after_s if timeout_s is None else timeout_s)
            return
        last = self._batcher.cut()
        if last is not None:
            self._sender.submit(last)
        self._sender.drain()

    def finish(self, timeout_s: float | None = None) -> None:
        """Says that no more events come: what is still open leaves as aborted, and all is delivered. Repeatable.

        Args:
            timeout_s: as for `flush`.

        Raises:
            DeliveryError: not all could be delivered.
        """
        if not self._finished:
            self._finished = True
            self._deliver(self._road.finish())
        self.flush(timeout_s)

    def shutdown(self) -> None:
        """Finishes and closes. Repeatable.

        Raises:
            DeliveryError: not all could be delivered.
        """
        whole = False
        try:
            self.finish()
            whole = True
        finally:
            self.close(whole=whole)

    def close(self, *, whole: bool = False) -> None:
        """Closes without delivering what is left; half an output file is discarded unless it is `whole`."""
        self._closed = True
        if self._pump is not None:
            self._pump.close()
        self._sender.close(whole=whole)

    def stats(self) -> BridgeStats:
        """Returns what became of everything fed so far."""
        return BridgeStats(
            events=self._road.events,
            undecodable=self._undecodable + self._road.undecodable,
            ignored=dict(self._road.counts),
            open_loops=self._road.open_loops,
            delivery=self._delivery_stats(),
        )

    def _delivery_stats(self) -> Stats:
        """Counts from the first span on: what the sender has not settled is queued, wherever it is now."""
        sent = self._sender.stats()
        full = self._pump.dropped if self._pump is not None else 0
        dropped = full + sum(count for _, count in sent.dropped)
        accepted = self._spans + self._left_out
        return msgspec.structs.replace(
            sent,
            accepted=accepted,
            queued=accepted - sent.acknowledged - sent.rejected - sent.dead - dropped,
            dropped=(*sent.dropped, (BUFFER_FULL, full)) if full else sent.dropped,
        )

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The spans that the destination would not take, the latest thousand."""
        return tuple(self._sender.dead_letters)

    def progress(self) -> Progress:
        """Returns the state of the delivery: counts, and what keeps spans from getting through."""
        return self._sender.progress()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.shutdown()
            return
        try:
            # The agent failed: that is the trace one wants. A Ctrl-C waits for nothing; a collector given up was waited for.
            if issubclass(kind, Exception) and not issubclass(kind, DeliveryError):
                self.shutdown()
        except DeliveryError as error:
            logger.warning("%s", error)
        finally:
            self.close()

    def _deliver(self, spans: Iterable[Span]) -> None:
        for span in self._unsent(self._shown(spans)):
            self._spans += 1
            if self._pump is not None:
                self._pump.put(span)
            elif (full := self._batcher.add(span)) is not None:
                self._sender.submit(full)
        if self._road.sampled_out > self._sampled:
            self._leave_out(SAMPLED_OUT, self._road.sampled_out - self._sampled)
            self._sampled = self._road.sampled_out

    def _leave_out(self, reason: str, count: int) -> None:
        self._left_out += count
        self._sender.drop(reason, count)

    def _shown(self, spans: Iterable[Span]) -> Iterator[Span]:
        for span in spans:
            if self._on_span is not None:
                self._on_span(span)
            yield span

    def _unsent(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Leaves out what an earlier, interrupted run saw acknowledged."""
        if self._ledger is None or not self._resumes:
            yield from spans
            return
        found = list(spans)
        seen = self._ledger.seen([span_key(span) for span in found])
        for span in found:
            if span_key(span) in seen:
                self._leave_out(SENT_BEFORE, 1)
            else:
                yield span

    def _acknowledged(self, batch: Batch) -> None:
        if self._ledger is not None:
            self._ledger.acknowledge(batch.keys)
