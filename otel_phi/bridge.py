"""The bridge: events in, OTLP out. Puts the pipeline, the encoder and the senders together.

    events ─▶ Pipeline ─▶ spans ─▶ what an earlier run has not delivered ─▶ FanOut ─▶ a Sender for each exporter

with otel_phi.Bridge(endpoint="http://localhost:4318") as bridge:
    bridge.feed(otel_phi.read_events("run.jsonl"))
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import msgspec
from typing_extensions import Self

from otel_phi.config import Config, resolve
from otel_phi.delivery.exporters.exporter import Exporter
from otel_phi.delivery.exporters.open import open_exporters, resource_of
from otel_phi.delivery.journal.ledger import Ledger
from otel_phi.delivery.options import MISCONFIGURED_GIVE_UP_AFTER_S
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Batch, Batcher, span_key
from otel_phi.delivery.sending.fan_out import BlockingOutput, FanOut, Output
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.sending.span_queue import SpanQueue
from otel_phi.delivery.sending.stats import DeadLetter, Progress, Stats
from otel_phi.errors import ConfigError, DeliveryError
from otel_phi.mapping.span import Span
from otel_phi.metrics.metrics import Metrics, NoMetrics, metrics_of
from otel_phi.pipeline import Event, Pipeline, as_event, decode_for, mapping_for, policy_for
from otel_phi.policy.given import guarded_function, guarded_text
from otel_phi.prices import prices_of
from otel_phi.recorder.references import Ahead
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.lean import LEAN_KINDS

logger = logging.getLogger("otel_phi")
# Events taken together offline. A TurnRequest holds the agent's whole context, so more would cost memory; of events without content, which
# hold a few hundred bytes each, more cost none, and each step stays longer in the processor's cache.
BLOCK_EVENTS = 32
LEAN_BLOCK_EVENTS = 256
SAMPLED_OUT = "sampled_out"
SENT_BEFORE = "sent_before"
BUFFER_FULL = "buffer_full"


class BridgeStats(msgspec.Struct, frozen=True):
    """Says what became of everything fed so far.

    Attributes:
        events: events taken.
        undecodable: what was fed and is no event.
        ignored: events that said nothing a span could show, by reason.
        open_loops: loops that have not ended.
        delivery: spans, by where they are; `delivery.balanced()` holds at any moment. Of several exporters, the first one's:
            the collector's, where there is one; `Bridge.deliveries` has them all.
    """

    events: int
    undecodable: int
    ignored: dict[str, int]
    open_loops: int
    delivery: Stats


class Delivery(msgspec.Struct, frozen=True):
    """A delivery is what became of the spans at one exporter.

    Attributes:
        destination: the exporter's name: `otlp`, `console`, an entry point's or a class's.
        progress: counts, and what keeps spans from getting through.
        dead_letters: the spans that it would not take, the latest thousand.
    """

    destination: str
    progress: Progress
    dead_letters: tuple[DeadLetter, ...]


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
        exporters: destinations of your own instead of the configured ones.
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
        exporters: Sequence[Exporter] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_span: Callable[[Span], None] | None = None,
        **options: Any,
    ) -> None:
        if config is not None and options:
            raise ConfigError(f"give a config or options, not both (found option {min(options)!r})")
        self.config = resolve(**options) if config is None else config
        resource = resource_of(self.config)
        mapping = mapping_for(self.config, resource.get("service.name"))
        if sample is None:
            sample = self.config.sample_ratio if live or "sampler" in options else 1.0
        self._metrics = metrics = self._made_metrics(resource)
        policy = policy_for(self.config, tools=metrics.record is not None)
        self._decode = decode_for(policy)
        self._pipeline = Pipeline(
            mapping,
            ahead,
            sample,
            policy,
            price=prices_of(self.config.prices),
            attributes_for=guarded_function(self.config.attributes_for, self.config.content),
            guard=guarded_text(self.config.content) if self.config.mapping.source_info else None,
            on_notice=metrics.record,
        )
        self._ledger = ledger
        self._resumes = ledger is not None and ledger.resumes
        self._on_span = on_span
        self._undecodable = 0
        self._sampled = 0
        self._finished = self._closed = False
        self._live = live
        self._accepted = 0
        opened = open_exporters(self.config) if exporters is None else tuple(exporters)
        self._names = self._named(opened, given=exporters is not None)
        self._out = FanOut([self._output(number, one, resource, on_progress) for number, one in enumerate(opened)])

    def _made_metrics(self, resource: Resource) -> Metrics | NoMetrics:
        """Returns metrics where they were asked for by hand: what is read again, or was recorded elsewhere, makes none by itself."""

        def failed(where: str, error: Exception) -> None:
            logger.warning("%s failed: %s; spans are not touched", where, type(error).__name__)

        made = metrics_of(self.config, resource, failed, recorded=self.config.metrics.asked)
        made.observe(lambda: self._progress(self._out.outputs[0]).stats)
        return made

    def _named(self, opened: Sequence[Exporter], *, given: bool) -> tuple[str, ...]:
        if given:
            return tuple(type(one).__name__ for one in opened)
        return self.config.exporter_names if self.config.file is None else ("file",)

    def _output(
        self, number: int, exporter: Exporter, resource: Resource, on_progress: Callable[[Progress], None] | None
    ) -> Output:
        sender = Sender(
            self._metrics.timed(exporter),
            timeout_s=self.config.timeout_s,
            give_up_after_s=math.inf if self._live else self.config.give_up_after_s,
            misconfigured_give_up_after_s=self._misconfigured_give_up_after_s(),
            on_acknowledged=partial(self._acknowledged, number) if self._ledger is not None else None,
            on_progress=on_progress,
        )
        batcher = Batcher(Encoder(resource), self.config.max_request_bytes)
        return SpanQueue(sender, batcher) if self._live else BlockingOutput(sender, batcher)

    def _misconfigured_give_up_after_s(self) -> float:
        if self._live:
            return math.inf
        # A full disk or a closed pipe does not heal while one waits.
        limit_s = 0.0 if self.config.file is not None else MISCONFIGURED_GIVE_UP_AFTER_S
        return min(self.config.give_up_after_s, limit_s)

    def only(self, chosen: Callable[[str], bool] | None) -> None:
        """Makes spans of some sessions alone, from now on.

        Args:
            chosen: tells of a session id whether the session is meant; None where all are.
        """
        self._pipeline.chosen = chosen

    def feed(self, events: Iterable[Event]) -> None:
        """Takes events in the order they happened: `AgentEvent`s, or their JSON as mapping, text or bytes.

        Raises:
            DeliveryError: the collector could not be reached for `give_up_after_s`; never in live mode.
        """
        if self._live:
            for event in self._decoded(events):
                self._deliver(self._pipeline.feed(event))
            return
        block: list[AgentEvent] = []
        try:
            for event in self._decoded(events):
                block.append(event)
                if len(block) >= (LEAN_BLOCK_EVENTS if event.__class__ in LEAN_KINDS else BLOCK_EVENTS):
                    full, block = block, []
                    self._deliver(self._pipeline.feed_block(full))
        finally:  # also where the caller's iterator fails: what it gave before counts
            self._deliver(self._pipeline.feed_block(block))

    def _decoded(self, events: Iterable[Event]) -> Iterator[AgentEvent]:
        for given in events:
            if given.__class__ in LEAN_KINDS:
                yield given  # type: ignore[misc]  # the line above says so
                continue
            event = as_event(given, self._decode)
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
        if not self._closed:
            self._out.flush(self.config.give_up_after_s if timeout_s is None else timeout_s)

    def finish(self, timeout_s: float | None = None) -> None:
        """Says that no more events come: what is still open leaves as aborted, and all is delivered. Repeatable.

        Args:
            timeout_s: as for `flush`.

        Raises:
            DeliveryError: not all could be delivered.
        """
        if not self._finished:
            self._finished = True
            self._deliver(self._pipeline.finish())
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
        """Closes without delivering the rest; half an output file is discarded unless it is `whole`."""
        self._closed = True
        self._out.close(whole=whole)
        self._metrics.close(self.config.timeout_s)

    def stats(self) -> BridgeStats:
        """Returns what became of everything fed so far."""
        return BridgeStats(
            events=self._pipeline.events,
            undecodable=self._undecodable + self._pipeline.undecodable,
            ignored=dict(self._pipeline.counts),
            open_loops=self._pipeline.open_loops,
            delivery=self._progress(self._out.outputs[0]).stats,
        )

    def _progress(self, output: Output) -> Progress:
        """Counts from the first span on: what the sender has not settled is queued, wherever it is now."""
        progress, full = output.sender.progress(), output.dropped
        sent = progress.stats
        dropped = full + sum(count for _, count in sent.dropped)
        stats = msgspec.structs.replace(
            sent,
            accepted=self._accepted,
            queued=self._accepted - sent.acknowledged - sent.rejected - sent.dead - dropped,
            dropped=(*sent.dropped, (BUFFER_FULL, full)) if full else sent.dropped,
        )
        return msgspec.structs.replace(progress, stats=stats)

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What became of the spans at each exporter."""
        return tuple(
            Delivery(name, self._progress(output), tuple(output.sender.dead_letters))
            for name, output in zip(self._names, self._out.outputs, strict=True)
        )

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The spans that a destination would not take, the latest thousand of each."""
        return tuple(letter for delivery in self.deliveries for letter in delivery.dead_letters)

    def progress(self) -> Progress:
        """Returns the state of the delivery: counts, and what keeps spans from getting through; of the first exporter in trouble."""
        found = [delivery.progress for delivery in self.deliveries]
        return next((progress for progress in found if progress.trouble is not None), found[0])

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
        for span, without in self._unsent(self._shown(spans)):
            self._accepted += 1
            for number in without:
                self._out.outputs[number].sender.drop(SENT_BEFORE, 1)
            self._out.put(span, without)
        if count := self._pipeline.sampled_out - self._sampled:
            self._sampled += count
            self._accepted += count
            self._out.drop(SAMPLED_OUT, count)

    def _shown(self, spans: Iterable[Span]) -> Iterator[Span]:
        for span in spans:
            if self._on_span is not None:
                self._on_span(span)
            yield span

    def _unsent(self, spans: Iterable[Span]) -> Iterator[tuple[Span, frozenset[int]]]:
        """Yields each span with the numbers of the exporters of which an earlier, interrupted run saw it acknowledged."""
        if self._ledger is None or not self._resumes:
            for span in spans:
                yield span, frozenset()
            return
        found, numbers = list(spans), range(len(self._out.outputs))
        keys = [_ledger_key(span_key(span), number) for span in found for number in numbers]
        seen = self._ledger.seen(keys)
        for span in found:
            yield span, frozenset(number for number in numbers if _ledger_key(span_key(span), number) in seen)

    def _acknowledged(self, number: int, batch: Batch) -> None:
        if self._ledger is not None:
            self._ledger.acknowledge(_ledger_key(key, number) for key in batch.keys)


def _ledger_key(key: bytes, number: int) -> bytes:
    """Returns what the ledger remembers of a span that one exporter acknowledged: the first one's keys are bare."""
    return key + bytes((number,)) if number else key
