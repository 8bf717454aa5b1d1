"""The receiver is a collector that others' exporters can talk to as well."""

from __future__ import annotations

import gzip
import ssl

import pytest
import urllib3
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from otel_phi.testing import Receiver
from tests.delivery.exporters.test_file import request
from tests.delivery.samples import full_span, plain_span


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_takes_what_the_sdk_sends(receiver: Receiver, protocol: str) -> None:
    exporter: SpanExporter
    if protocol == "http":
        exporter = HttpExporter(endpoint=receiver.endpoint + "/v1/traces")
    else:
        exporter = GrpcExporter(endpoint=receiver.grpc_endpoint, insecure=True)
    provider = TracerProvider(resource=Resource({"service.name": "sdk"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("theirs", "1.0").start_as_current_span("outer", attributes={"a": (1, 2)}) as span:
        span.add_event("happened")
    provider.shutdown()
    (received,) = receiver.wait_for(1)
    assert (received.name, received.get("a"), received.events[0].name) == ("outer", ("1", "2"), "happened")
    assert receiver.groups[0].resource.get("service.name") == "sdk"
    assert receiver.groups[0].scope_name == "theirs"


def test_waiting_ends_when_nothing_comes(receiver: Receiver) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 spans"):
        receiver.wait_for(1, timeout_s=0.05)
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        receiver.wait_for_requests(1, timeout_s=0.05)


def post(url: str, body: bytes, **headers: str) -> int:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, body=body, headers=headers, retries=False).status


def test_it_refuses_as_real_collectors_do(receiver: Receiver) -> None:
    body = request(plain_span(1))
    assert post(receiver.endpoint + "/v1/trace", body) == 404
    assert post(receiver.endpoint + "/v1/traces", b"no protobuf at all") == 400
    assert post(receiver.endpoint + "/v1/traces", body, **{"Content-Encoding": "gzip"}) == 400
    assert post(receiver.endpoint + "/v1/traces", gzip.compress(body)[:-9], **{"Content-Encoding": "gzip"}) == 400
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", receiver.endpoint + "/v1/traces", retries=False).status == 405
    assert receiver.spans == ()


def test_a_zip_bomb_ends_at_the_bound(receiver: Receiver) -> None:
    bomb = gzip.compress(bytes(65 * 1024 * 1024), 9)
    assert post(receiver.endpoint + "/v1/traces", bomb, **{"Content-Encoding": "gzip"}) == 400


def test_a_partial_success_leaves_out_the_last_spans(receiver: Receiver) -> None:
    receiver.answer(rejected=1)
    post(receiver.endpoint + "/v1/traces", request(full_span(), plain_span(1)))
    assert receiver.spans == (full_span(),)


def test_refused_requests_are_kept_raw_only(receiver: Receiver) -> None:
    receiver.answer(status=503)
    post(receiver.endpoint + "/v1/traces", request(plain_span(1)))
    assert len(receiver.requests) == 1
    assert receiver.spans == ()


def test_without_grpc_there_is_no_grpc_endpoint() -> None:
    with Receiver() as receiver, pytest.raises(ValueError, match="grpc=True"):
        receiver.grpc_endpoint  # noqa: B018


def test_a_client_that_stalls_in_its_handshake_does_not_stop_the_others() -> None:
    import socket

    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with Receiver(tls=context) as receiver:
        port = int(receiver.endpoint.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)), urllib3.PoolManager(ssl_context=trust) as pool:
            url = receiver.endpoint + "/v1/traces"
            assert pool.request("POST", url, body=request(plain_span(1)), timeout=3.0, retries=False).status == 200
