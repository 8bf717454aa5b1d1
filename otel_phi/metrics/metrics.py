"""A process's metrics: what its agents did and how its spans fare, in the meter of the application or of ours.

    JournalExport ─ notice ─▶ AgentMetrics ─▶ instruments ─▶ Meters
    LiveDelivery ─ stats ─▶ observed where the meter asks

Rule 1: nothing here raises: what fails is said once, and costs a number at most.
Rule 2: the SDK is loaded with the first number, on the thread that brings it: the sender's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from otel_phi.clock import monotonic
from otel_phi.config import Config
from otel_phi.delivery.exporters.exporter import Exporter, ExportResult
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.stats import LiveStats, Stats
from otel_phi.mapping.options import MappingOptions
from otel_phi.metrics import instruments as i
from otel_phi.metrics.agent import AgentMetrics, Record
from otel_phi.metrics.meters import Meters
from otel_phi.recorder.notices import Notice

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation


class Metrics:
    """Metrics belong to one process.

    Args:
        config: where to, and how often.
        resource: of the spans.
        failed: gets an exception of ours or of the SDK's.
    """

    def __init__(self, config: Config, resource: Resource, failed: Callable[[Exception], object]) -> None:
        self._config, self._resource, self._failed = config, resource, failed
        self._options: MappingOptions = config.mapping_for(resource.get("service.name"))
        self._stats: Callable[[], LiveStats | Stats] | None = None
        self._outbox_bytes: Callable[[], int] | None = None
        self._meters: Meters | None = None
        self._agent: AgentMetrics | None = None
        self._requests: Record | None = None
        self._closed = False

    def observe(self, stats: Callable[[], LiveStats | Stats], outbox_bytes: Callable[[], int] | None = None) -> None:
        """Takes what says how spans fare, and how large the journal is; asked by the thread that sends metrics."""
        self._stats, self._outbox_bytes = stats, outbox_bytes

    def record(self, notice: Notice) -> None:
        """Records what a notice says. Never raises. For one thread."""
        try:
            if self._begun() and self._agent is not None:
                self._agent.record(notice)
        except Exception as error:  # noqa: BLE001  # rule 1
            self._failed(error)

    def timed(self, exporter: Exporter) -> Exporter:
        """Returns an exporter whose requests are timed."""
        return _Timed(exporter, self._request)

    def close(self, timeout_s: float) -> None:
        """Sends what was recorded since the last time, within a time. Never raises."""
        self._closed = True
        try:
            if self._meters is not None:
                self._meters.close(timeout_s)
        except Exception as error:  # noqa: BLE001  # rule 1
            self._failed(error)

    def _begun(self) -> bool:
        """Makes the instruments; False where there can be none."""
        if self._meters is None and not self._closed:
            self._closed = True  # until it is done: what fails here would fail each time
            meters = Meters(self._config, self._resource)
            self._agent = AgentMetrics(lambda name: _record(meters.meter, name), self._options)
            self._requests = _record(meters.meter, i.DELIVERY_DURATION)
            self._observed(meters.meter)
            self._meters, self._closed = meters, False
        return not self._closed

    def _request(self, seconds: float, result: ExportResult) -> None:
        if self._requests is not None and not self._closed:
            self._requests(seconds, {i.OUTCOME: type(result).__name__.lower()})

    # --- observed --------------------------------------------------------------------------------------------------------

    def _observed(self, meter: Meter) -> None:
        spans, outbox = i.BY_NAME[i.SPANS], i.BY_NAME[i.OUTBOX_BYTES]
        if self._stats is not None:
            meter.create_observable_counter(spans.name, [self._spans], spans.unit, spans.description)
        if self._outbox_bytes is not None:
            meter.create_observable_gauge(outbox.name, [self._outbox], outbox.unit, outbox.description)

    def _spans(self, _: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        if self._stats is None or self._forgotten:
            return []
        stats = self._stats()
        counts = {
            "acknowledged": stats.acknowledged,
            "rejected": stats.rejected,
            "dead": stats.dead,
            **dict(stats.dropped),
        }
        return [Observation(count, {i.OUTCOME: outcome}) for outcome, count in counts.items()]

    def _outbox(self, _: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        return [] if self._outbox_bytes is None or self._forgotten else [Observation(self._outbox_bytes())]

    @property
    def _forgotten(self) -> bool:
        """Whether another hook may speak now: an application's provider keeps asking those that are closed."""
        return self._closed and self._meters is not None and self._meters.theirs


class NoMetrics:
    """No metrics are what stands for them where nobody asked for any.

    Attributes:
        record: None: no notice is to be given.
    """

    record = None

    def observe(self, stats: Callable[[], LiveStats | Stats], outbox_bytes: Callable[[], int] | None = None) -> None:
        """Does nothing."""

    def timed(self, exporter: Exporter) -> Exporter:
        """Returns the exporter itself."""
        return exporter

    def close(self, timeout_s: float) -> None:
        """Does nothing."""


def metrics_of(
    config: Config, resource: Resource, failed: Callable[[str, Exception], object], *, recorded: bool
) -> Metrics | NoMetrics:
    """Returns the metrics of a process.

    Args:
        config: where to, and how often.
        resource: of the spans.
        failed: gets a word and an exception where something failed.
        recorded: whether there are any.
    """
    return Metrics(config, resource, lambda error: failed("metrics", error)) if recorded else NoMetrics()


def _record(meter: Meter, name: str) -> Record:
    """Returns what records a number of a metric."""
    one = i.BY_NAME[name]
    if one.kind == "counter":
        return meter.create_counter(one.name, one.unit, one.description).add
    made: Any = meter.create_histogram(
        one.name, one.unit, one.description, explicit_bucket_boundaries_advisory=one.buckets
    )
    record: Record = made.record
    return record


class _Timed:
    """A timed exporter is another whose requests are timed."""

    def __init__(self, exporter: Exporter, took: Callable[[float, ExportResult], None]) -> None:
        self._exporter, self._took = exporter, took

    @property
    def max_in_flight(self) -> int:
        return self._exporter.max_in_flight

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        began = monotonic()
        result = self._exporter.send(body, timeout_s)
        self._took(monotonic() - began, result)
        return result

    def close(self, *, whole: bool = True) -> None:
        self._exporter.close(whole=whole)
