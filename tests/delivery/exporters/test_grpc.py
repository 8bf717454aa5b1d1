"""The gRPC exporter: the retry table line by line, against a real gRPC server."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Refused, Retry, TooLarge
from otel_phi.delivery.exporters.grpc import METHOD, GrpcExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.errors import ConfigError
from otel_phi.testing import Receiver
from tests.delivery.samples import RESOURCE, full_span

SECRET = "Bearer hunter2-hunter2"


@pytest.fixture
def exporter(receiver: Receiver) -> Iterator[GrpcExporter]:
    made = GrpcExporter(receiver.grpc_endpoint, headers={"Authorization": SECRET})
    yield made
    made.close()


def send(exporter: GrpcExporter, timeout_s: float = 5.0) -> ExportResult:
    encoder = Encoder(RESOURCE)
    return exporter.send(encoder.request([encoder.span(full_span())]), timeout_s)


def test_the_method_is_that_of_the_descriptor() -> None:
    service = trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"]
    assert f"/{service.full_name}/{service.methods_by_name['Export'].name}" == METHOD


def test_a_request_arrives_whole_with_its_metadata(receiver: Receiver, exporter: GrpcExporter) -> None:
    assert send(exporter) == Accepted()
    assert receiver.spans == (full_span(),)
    assert receiver.requests[0].headers["authorization"] == SECRET
    assert receiver.requests[0].headers["user-agent"].startswith("otel-phi/")


@pytest.mark.parametrize("status", ["CANCELLED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"])
def test_these_are_retried(receiver: Receiver, exporter: GrpcExporter, status: str) -> None:
    receiver.answer(grpc_status=status, message="busy")
    assert send(exporter) == Retry(f"gRPC {status}: busy")


def test_a_passed_deadline_is_retried(receiver: Receiver, exporter: GrpcExporter) -> None:
    receiver.answer(delay_s=1.0)
    started = time.monotonic()
    assert send(exporter, timeout_s=0.3) == Retry("no answer within 0.3 s")
    assert time.monotonic() - started < 0.9


def test_resource_exhausted_with_retry_info_is_retried_as_asked(receiver: Receiver, exporter: GrpcExporter) -> None:
    receiver.answer(grpc_status="RESOURCE_EXHAUSTED", message="slow down", retry_after_s=1.5)
    assert send(exporter) == Retry("gRPC RESOURCE_EXHAUSTED: slow down", 1.5)


@pytest.mark.parametrize(("asked_s", "meant"), [(0.0, 0.0), (2.5, 2.5), (7200.0, 900.0), (-5.0, None)])
def test_unavailable_with_retry_info_waits_as_asked_up_to_15_minutes(
    receiver: Receiver, exporter: GrpcExporter, asked_s: float, meant: float | None
) -> None:
    receiver.answer(grpc_status="UNAVAILABLE", retry_after_s=asked_s)
    assert send(exporter) == Retry("gRPC UNAVAILABLE", meant)


def test_resource_exhausted_without_retry_info_is_too_large(receiver: Receiver, exporter: GrpcExporter) -> None:
    said = "grpc: received message larger than max (4309195 vs. 4194304)"
    receiver.answer(grpc_status="RESOURCE_EXHAUSTED", message=said)
    assert send(exporter) == TooLarge(f"gRPC RESOURCE_EXHAUSTED: {said}")


def test_out_of_range_that_names_a_length_is_too_large(receiver: Receiver, exporter: GrpcExporter) -> None:
    said = "Error, decoded message length too large: found 4195038 bytes, the limit is: 4194304 bytes"
    receiver.answer(grpc_status="OUT_OF_RANGE", message=said)
    assert send(exporter) == TooLarge(f"gRPC OUT_OF_RANGE: {said}")


@pytest.mark.parametrize("status", ["UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED"])
def test_these_are_misconfigurations(receiver: Receiver, exporter: GrpcExporter, status: str) -> None:
    receiver.answer(grpc_status=status, message="no")
    assert send(exporter) == Misconfigured(f"gRPC {status}: no")


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "FAILED_PRECONDITION", "ALREADY_EXISTS"])
def test_the_rest_is_refused(receiver: Receiver, exporter: GrpcExporter, status: str) -> None:
    receiver.answer(grpc_status=status, message="bad span")
    assert send(exporter) == Refused(f"gRPC {status}: bad span")


def test_a_partial_success_is_read(receiver: Receiver, exporter: GrpcExporter) -> None:
    receiver.answer(rejected=1, message="too old")
    assert send(exporter) == Accepted(1, "too old")


def test_a_refused_connection_is_retried() -> None:
    with Receiver(grpc=True) as gone:
        exporter = GrpcExporter(gone.grpc_endpoint)
    result = send(exporter)
    assert isinstance(result, Retry)
    assert "UNAVAILABLE" in result.reason
    exporter.close()
    assert isinstance(send(exporter), Retry), "a closed channel does not raise either"


def test_a_callable_is_asked_before_each_attempt_so_that_a_token_heals(receiver: Receiver) -> None:
    tokens = iter(["old", "new", "not ascii: é"])
    exporter = GrpcExporter(receiver.grpc_endpoint, headers=lambda: {"Authorization": next(tokens)})
    receiver.answer(grpc_status="UNAUTHENTICATED")
    assert isinstance(send(exporter), Misconfigured)
    assert send(exporter) == Accepted()
    assert isinstance(send(exporter), Misconfigured)
    assert [request.headers["authorization"] for request in receiver.requests] == ["old", "new"]
    exporter.close()


@pytest.mark.parametrize("headers", [{"a": "é"}, {"grpc-timeout": "1"}, {"key-bin": "x"}, {"a": "b\nc"}])
def test_metadata_that_grpc_cannot_carry_is_refused_at_construction(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="header"):
        GrpcExporter("http://localhost:4317", headers=headers)


def test_an_echoed_credential_is_not_repeated(receiver: Receiver, exporter: GrpcExporter) -> None:
    receiver.answer(grpc_status="PERMISSION_DENIED", message=f"{SECRET} may not")
    assert send(exporter) == Misconfigured("gRPC PERMISSION_DENIED: *** may not")


def test_grpc_does_not_read_proxies_from_the_environment_by_itself(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    exporter = GrpcExporter(receiver.grpc_endpoint)
    assert send(exporter) == Accepted()
    exporter.close()
