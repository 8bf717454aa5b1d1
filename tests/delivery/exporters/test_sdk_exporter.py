"""Any OpenTelemetry exporter can stand at the end: ids kept, SUCCESS acknowledges, nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_phi.delivery.exporters.exporter import Accepted, Refused, Retry
from otel_phi.delivery.exporters.sdk import SdkExporter, load_exporter
from otel_phi.delivery.sending.sender import Sender
from otel_phi.errors import ConfigError
from otel_phi.testing import Receiver
from tests.delivery.exporters.test_file import request
from tests.delivery.samples import RESOURCE, START, TRACE, full_span, plain_batches


def test_the_exporter_gets_spans_with_everything_kept() -> None:
    exporter = InMemorySpanExporter()
    assert SdkExporter(exporter).send(request(full_span()), 1.0) == Accepted()
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.context.span_id, span.parent.span_id) == (
        TRACE,
        0xFEDCBA9876543210,
        0x1122334455667788,
    )
    assert span.context.trace_flags.sampled
    assert (span.name, span.kind.name, span.start_time) == ("chat model-1", "CLIENT", START)
    assert dict(span.attributes or {}) == dict(full_span().attributes)
    assert [event.name for event in span.events] == ["phi.tool.execution", "bare"]
    assert span.links[0].context.trace_id == TRACE + 1
    assert (span.status.status_code.name, span.status.description) == ("ERROR", "it broke")
    assert dict(span.resource.attributes) == dict(RESOURCE.attributes)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "otel_phi"


def test_an_exporter_s_own_encoder_delivers_our_spans_unchanged(receiver: Receiver) -> None:
    exporter = OTLPSpanExporter(endpoint=receiver.endpoint + "/v1/traces")
    with Sender(SdkExporter(exporter)) as sender:
        sender.run(plain_batches(20))
    assert [span.span_id for span in receiver.spans] == list(range(1, 21))


def raising(error: BaseException) -> Callable[[], SpanExportResult]:
    def export() -> SpanExportResult:
        raise error

    return export


class Failing(SpanExporter):
    def __init__(self, export: Callable[[], SpanExportResult]) -> None:
        self._export = export

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._export()


@pytest.mark.parametrize(
    ("export", "reason"),
    [
        (lambda: SpanExportResult.FAILURE, "Failing reported a failure"),
        (raising(ValueError("x")), "Failing raised ValueError"),
        (raising(SystemExit(1)), "Failing raised SystemExit"),
        (lambda: None, "Failing reported a failure"),
    ],
)
def test_failures_exceptions_and_exits_keep_the_spans(export: Callable[[], SpanExportResult], reason: str) -> None:
    assert SdkExporter(Failing(export)).send(request(full_span()), 1.0) == Retry(reason)


def test_bytes_that_are_no_request_are_refused() -> None:
    assert isinstance(SdkExporter(InMemorySpanExporter()).send(b"\xff\xff", 1.0), Refused)


def test_entry_points_are_found_by_name() -> None:
    assert isinstance(load_exporter("console"), ConsoleSpanExporter)


def test_a_name_that_is_not_installed_says_which_are() -> None:
    with pytest.raises(ConfigError, match=r"console.*otlp"):
        load_exporter("zipkinn")
