"""The slips that are made most often: what was found is named, and the fix."""

from __future__ import annotations

import pytest

from otel_phi.delivery.exporters.exporter import Misconfigured, Retry
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.hints import other_port, wrong_path
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.testing import Receiver
from tests.delivery.exporters import raw_servers as raw


def test_http_spoken_to_a_grpc_port_names_protocol_and_port(receiver: Receiver) -> None:
    exporter = HttpExporter(receiver.grpc_endpoint + "/v1/traces")
    result = exporter.send(b"\x0a\x00", 5.0)
    exporter.close()
    assert isinstance(result, Misconfigured)
    assert "--protocol grpc" in result.reason
    assert "4318" in result.reason


@pytest.mark.parametrize(
    "words",
    [
        raw.frame(raw.SETTINGS, 0, 0),
        raw.frame(raw.SETTINGS, 0, 0, bytes(18)) + raw.frame(8, 0, 0, bytes(4)),  # grpc-go, with a window update
        raw.frame(raw.GOAWAY, 0, 0, bytes(8) + b"HTTP/2 client preface string missing or corrupt"),  # netty
    ],
)
def test_whatever_an_http2_server_says_first(words: bytes) -> None:
    with raw.greeting(words) as url:
        exporter = HttpExporter(url + "/v1/traces")
        assert isinstance(exporter.send(b"\x0a\x00", 5.0), Misconfigured)
        exporter.close()


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00" * 100, b"\x15\x03\x01\x00\x02\x02\x46", b"220 smtp\r\n"]
)
def test_what_is_no_http2_is_not_called_so(words: bytes) -> None:
    with raw.greeting(words) as url:
        exporter = HttpExporter(url + "/v1/traces")
        assert isinstance(exporter.send(b"\x0a\x00", 5.0), Retry)
        exporter.close()


def test_grpc_spoken_to_an_http_port_names_protocol_and_port(receiver: Receiver) -> None:
    exporter = GrpcExporter(receiver.endpoint)
    result = exporter.send(b"\x0a\x00", 5.0)
    exporter.close()
    assert isinstance(result, Misconfigured)
    assert "--protocol http/protobuf" in result.reason
    assert "4317" in result.reason


@pytest.mark.parametrize("status", [b"400 Bad Request", b"505 HTTP Version Not Supported"])
def test_whatever_an_http1_server_says_to_it(status: bytes) -> None:
    with raw.greeting(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status) as url:
        exporter = GrpcExporter(url)
        assert isinstance(exporter.send(b"\x0a\x00", 5.0), Misconfigured)
        exporter.close()


def test_a_connection_that_breaks_off_on_the_other_protocol_s_port_is_a_hint_only_there() -> None:
    assert "--protocol grpc" in other_port("http://collector:4317/v1/traces", grpc=False)
    assert "--protocol http/protobuf" in other_port("http://collector:4318", grpc=True)
    assert other_port("http://collector:4318/v1/traces", grpc=False) == other_port("http://collector", grpc=True) == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "https://cloud.langfuse.com/api/public/otel",
            "append /v1/traces: https://cloud.langfuse.com/api/public/otel/v1/traces",
        ),
        ("https://u:pw@host/otel/?token=x", "append /v1/traces: https://host/otel/v1/traces"),
        ("http://host:4318/v1/traces/v1/traces", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://host:4318/v1/traces"),
    ],
)
def test_a_404_names_the_path_that_is_missing_or_twice_there(url: str, words: str) -> None:
    assert words in wrong_path(url)


def test_a_404_behind_the_right_path_says_what_the_server_says(receiver: Receiver) -> None:
    receiver.answer(status=404, body=b"no such tenant")
    exporter = HttpExporter(receiver.endpoint + "/v1/traces")
    assert exporter.send(b"\x0a\x00", 5.0) == Misconfigured("HTTP 404: no such tenant")
    exporter.close()


@pytest.mark.parametrize(
    ("path", "hint"), [("/v1/traces/v1/traces", "stands there twice"), ("/otel", "append /v1/traces")]
)
def test_a_server_that_does_not_know_the_path(path: str, hint: str) -> None:
    with raw.saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope") as url:
        exporter = HttpExporter(url + path)
        result = exporter.send(b"\x0a\x00", 5.0)
        exporter.close()
    assert isinstance(result, Misconfigured)
    assert result.reason.startswith("HTTP 404; ")
    assert hint in result.reason
    assert result.reason.endswith("(nope)")
