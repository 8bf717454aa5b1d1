"""Any OpenTelemetry SpanExporter as an exporter: spans keep their ids, SUCCESS acknowledges, anything else is retried."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import IO, TYPE_CHECKING

from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Refused, Retry, untraced
from otel_phi.delivery.otlp.decode import decode_request
from otel_phi.errors import ConfigError
from otel_phi.mapping.span import Attributes, Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource as SdkResource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext

GROUP = "opentelemetry_traces_exporter"


class SdkExporter:
    """Hands spans to an exporter made for the OpenTelemetry SDK.

    Args:
        exporter: the exporter; its own retries and timeouts stay its own.
    """

    max_in_flight = 1  # the specification forbids calling an exporter concurrently

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def send(self, body: bytes, timeout_s: float) -> ExportResult:  # noqa: ARG002  # `export` takes no deadline
        """Exports one request's spans."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        name = type(self._exporter).__name__
        try:
            spans = readable_spans(body)
        except ValueError as error:
            return Refused(str(error))
        try:
            with untraced():
                result = self._exporter.export(spans)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # some exporters exit; that must not end a thread of ours
            return Retry(f"{name} raised {type(error).__name__}")
        return Accepted() if result is SpanExportResult.SUCCESS else Retry(f"{name} reported a failure")

    def close(self, *, whole: bool = True) -> None:  # noqa: ARG002  # no export is ever half done
        """Shuts the exporter down."""
        self._exporter.shutdown()


def console_exporter(out: IO[str]) -> SpanExporter:
    """Makes OpenTelemetry's console exporter, writing there."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(out=out)


def load_exporter(name: str) -> SpanExporter:
    """Makes the exporter that an entry point names, as OTEL_TRACES_EXPORTER does.

    Raises:
        ConfigError: nothing of that name is installed, or it cannot be made.
    """
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        known = sorted({point.name for point in entry_points(group=GROUP)} | {"otlp", "none"})
        raise ConfigError(f"exporter {name!r} is not installed; there are {', '.join(known)}")
    try:
        exporter: SpanExporter = found[0].load()()
    except Exception as error:
        raise ConfigError(f"exporter {name!r} cannot be made: {type(error).__name__}: {error}") from error
    return exporter


def readable_spans(body: bytes) -> list[ReadableSpan]:
    """Turns an `ExportTraceServiceRequest` into the SDK's spans, ids, times and resource kept.

    Raises:
        ValueError: the bytes are none.
    """
    from opentelemetry.sdk.resources import Resource as SdkResource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    spans: list[ReadableSpan] = []
    for group in decode_request(body):
        resource = SdkResource(dict(group.resource.attributes), group.resource.schema_url)
        scope = InstrumentationScope(group.scope_name, group.scope_version, group.schema_url)
        spans.extend(_readable(span, resource, scope) for span in group.spans)
    return spans


def _readable(span: Span, resource: SdkResource, scope: InstrumentationScope) -> ReadableSpan:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import SpanKind, Status, StatusCode

    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_span_id) if span.parent_span_id else None,
        resource=resource,
        attributes=dict(span.attributes),
        events=[Event(event.name, dict(event.attributes), event.time_ns) for event in span.events],
        links=[_link(link.trace_id, link.span_id, link.attributes) for link in span.links],
        kind=SpanKind[span.kind.name],
        # The SDK allows a description on errors only and logs a warning on others.
        status=Status(
            StatusCode[span.status.name], span.status_message or None if span.status.name == "ERROR" else None
        ),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=scope,
    )


def _link(trace_id: int, span_id: int, attributes: Attributes) -> Link:
    from opentelemetry.trace import Link

    return Link(_context(trace_id, span_id), dict(attributes))


def _context(trace_id: int, span_id: int) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
