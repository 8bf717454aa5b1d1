"""Our requests under the instrumentations of others: no span of theirs, no secret of ours in their logs."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_phi.delivery.exporters.exporter import Accepted, Exporter
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.exporters.sdk import SdkExporter
from otel_phi.testing import Receiver
from tests.delivery.exporters.test_http import body

TOKEN = "hunter2-hunter2"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Instruments what our exporters call, and gives the spans that come of it."""
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)  # gRPC's takes no other
    grpc_client = GrpcInstrumentorClient()  # type: ignore[no-untyped-call]  # theirs
    instrumentors = (URLLib3Instrumentor(), RequestsInstrumentor(), grpc_client)
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    yield found
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def test_the_instrumentation_sees_the_requests_of_others(traced: InMemorySpanExporter, receiver: Receiver) -> None:
    """Else the next test would show nothing."""
    import grpc
    import requests
    import urllib3

    from otel_phi.delivery.exporters.grpc import METHOD

    url = receiver.endpoint + "/v1/traces"
    urllib3.PoolManager().request("POST", url, body=body())
    requests.post(url, data=body(), timeout=5)
    channel = grpc.insecure_channel(receiver.grpc_endpoint.removeprefix("http://"))
    channel.unary_unary(METHOD, None, None)(body(), timeout=5)
    channel.close()
    assert [span.name for span in traced.get_finished_spans()] == ["POST", "POST", METHOD]


@pytest.mark.parametrize("kind", ["http", "grpc", "sdk"])
def test_ours_leave_no_trace(traced: InMemorySpanExporter, receiver: Receiver, kind: str) -> None:
    url = receiver.endpoint + "/v1/traces"
    exporter: Exporter
    if kind == "http":
        exporter = HttpExporter(url)
    elif kind == "grpc":
        exporter = GrpcExporter(receiver.grpc_endpoint)
    else:
        exporter = SdkExporter(OTLPSpanExporter(url))
    assert exporter.send(body(), 5.0) == Accepted()
    exporter.close()
    assert len(receiver.requests) == 1
    assert traced.get_finished_spans() == ()


def test_a_query_reaches_the_server_and_nobody_s_log(
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    exporter = HttpExporter(
        f"{receiver.endpoint}/v1/traces?api_key={TOKEN}", headers={"authorization": f"Bearer {TOKEN}"}
    )
    with caplog.at_level(logging.DEBUG):
        receiver.answer(status=503)
        exporter.send(body(), 5.0)
        exporter.send(body(), 5.0)
    exporter.close()
    assert [request.path for request in receiver.requests] == [f"/v1/traces?api_key={TOKEN}"] * 2
    assert "POST /v1/traces" in caplog.text, "urllib3 logs requests"
    written = capsys.readouterr()
    assert TOKEN not in caplog.text + written.out + written.err
