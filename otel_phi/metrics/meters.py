"""Where metrics go: to the application's MeterProvider, where it has set one, else to one of ours that speaks OTLP.

Rule 1: ours sends from a thread of its own: a collector that does not answer holds up neither reading nor spans.
Rule 2: that thread is not the SDK's: it does not come to life again in a forked child, where it would send its parent's numbers.
Rule 3: the resource is the spans' with a `service.instance.id` on top: counters of two processes must not be taken for one's.
"""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from otel_phi.config import Config
from otel_phi.delivery.exporters.exporter import untraced
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.late_imports import importing
from otel_phi.mapping import semconv as s
from otel_phi.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, MetricsData

_INSTANCE = "service.instance.id"


class Meters:
    """Meters give the meter that a process records with.

    Args:
        config: where to, and how often.
        resource: of the spans.

    Attributes:
        meter: of the application's provider, or of ours.
        theirs: whether it is the application's.
    """

    meter: Meter

    def __init__(self, config: Config, resource: Resource) -> None:
        with importing:
            from opentelemetry import metrics

            theirs = config.metrics.provider or _set_by_the_application()
            self.theirs = theirs is not None
            self._ours = None if theirs is not None else _Ours(config, resource)
            provider = theirs if self._ours is None else self._ours.provider
            self.meter = metrics.get_meter(s.SCOPE_NAME, __version__, provider, s.SCHEMA_URL)

    def close(self, timeout_s: float) -> None:
        """Sends what was recorded since the last time, within a time; of the application's provider nothing is touched."""
        if self._ours is not None:
            self._ours.close(timeout_s)


def _set_by_the_application() -> Any:
    """Returns the process's MeterProvider if somebody has set one; only a proxy stands there otherwise."""
    from opentelemetry import metrics
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.metrics._internal import _ProxyMeterProvider

    found = metrics.get_meter_provider()
    return None if isinstance(found, _ProxyMeterProvider | NoOpMeterProvider) else found


class _Ours:
    """A provider of ours, and the thread that sends what is recorded with it."""

    def __init__(self, config: Config, resource: Resource) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource as SdkResource

        self._config = config
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closed = False
        self._exporter = _exporter(config)
        self._reader = _reader(self._export, self._exporter)
        pairs = dict(resource.attributes)
        pairs.setdefault(_INSTANCE, str(uuid.uuid4()))
        self.provider = MeterProvider(
            [self._reader], SdkResource(pairs, resource.schema_url or None), shutdown_on_exit=False
        )
        self._thread = threading.Thread(target=self._run, name="otel-phi-metrics", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # an isolated interpreter has no threads: nobody sends
            self._closed = True

    def close(self, timeout_s: float) -> None:
        """Ends the thread, which sends once more."""
        if not self._closed:
            self._closed = True
            self._wake.put(None)
            self._thread.join(max(timeout_s, 0.0))
            self._exporter.shutdown()  # one that is trying again gives up

    def _run(self) -> None:
        last = False
        while not last:
            last = self._waited()
            with untraced():
                self._reader.collect(timeout_millis=self._config.timeout_s * 1_000)

    def _waited(self) -> bool:
        """Waits for the interval; True where it was cut short, since there will be no other."""
        try:
            self._wake.get(timeout=self._config.metrics.interval_s)
        except queue.Empty:
            return False
        return True

    def _export(self, exporter: MetricExporter, data: MetricsData) -> None:
        # Headers that are asked for before each attempt, as a token that expires is: an exporter of the SDK's keeps the first.
        fresh = _exporter(self._config) if callable(self._config.metrics.headers) else exporter
        fresh.export(data, timeout_millis=self._config.timeout_s * 1_000)


def _reader(export: Callable[[MetricExporter, MetricsData], None], exporter: MetricExporter) -> MetricReader:
    """Returns a reader that hands on what it collects, when it is told to."""
    from opentelemetry.sdk.metrics.export import MetricReader

    class Reader(MetricReader):
        def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:  # noqa: ARG002  # theirs
            export(exporter, metrics_data)

        def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
            exporter.shutdown(timeout_millis=timeout_millis)

    return Reader(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001  # as the SDK's own reader does


def _exporter(config: Config) -> MetricExporter:
    """Returns OpenTelemetry's OTLP exporter for the configuration's collector."""
    to, tls = config.metrics, config.tls
    headers = dict(to.headers() if callable(to.headers) else to.headers)
    if to.protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter

        from otel_phi.delivery.exporters.grpc import credentials

        return GrpcMetricExporter(
            endpoint=to.endpoint,
            insecure=to.endpoint.startswith("http://"),
            credentials=credentials(tls) if to.endpoint.startswith("https://") else None,
            headers=headers,
            timeout=config.timeout_s,
            compression=grpc.Compression.Gzip if config.gzip else grpc.Compression.NoCompression,
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter

    return HttpMetricExporter(
        endpoint=to.endpoint,
        certificate_file=tls.certificate,
        client_certificate_file=tls.client_certificate,
        client_key_file=tls.client_key,
        headers=headers,
        timeout=config.timeout_s,
        compression=Compression.Gzip if config.gzip else Compression.NoCompression,
    )
