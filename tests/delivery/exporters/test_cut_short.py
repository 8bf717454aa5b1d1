"""An answer that is cut short acknowledges nothing: in its headers, in its body, over HTTP and over gRPC."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Refused, Retry
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.sending.sender import Sender
from tests.delivery.exporters import raw_servers as raw
from tests.delivery.samples import plain_batches

PROTOBUF = b"Content-Type: application/x-protobuf\r\n"
PARTIAL = b"\x0a\x02\x08\x03"  # partial_success of 3 rejected spans


def http_result(answer: bytes) -> ExportResult:
    with raw.saying(answer) as url:
        exporter = HttpExporter(url + "/v1/traces")
        result = exporter.send(b"\x0a\x00", 5.0)
        exporter.close()
    return result


def grpc_result(answer: Callable[[int], bytes], *, close: bool = False) -> ExportResult:
    with raw.grpc_saying(answer, close=close) as url:
        exporter = GrpcExporter(url)
        result = exporter.send(b"\x0a\x00", 5.0)
        exporter.close()
    return result


WHOLE = [
    b"HTTP/1.1 200 OK\r\n" + PROTOBUF + b"Content-Length: 4\r\n\r\n" + PARTIAL,
    b"HTTP/1.1 200 OK\r\n" + PROTOBUF + b"Transfer-Encoding: chunked\r\n\r\n4\r\n" + PARTIAL + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + PROTOBUF + b"\r\n" + PARTIAL,  # its end is the connection's
    b"HTTP/1.0 200 OK\n" + PROTOBUF + b"\n" + PARTIAL,
]


@pytest.mark.parametrize("answer", WHOLE)
def test_a_whole_answer_acknowledges(answer: bytes) -> None:
    assert http_result(answer) == Accepted(3)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
)
def test_an_empty_answer_is_whole(answer: bytes) -> None:
    assert http_result(answer) == Accepted()


@pytest.mark.parametrize("answer", WHOLE[:2])
def test_cut_anywhere_it_does_not(answer: bytes) -> None:
    content = len(answer) - (5 if b"chunked" in answer else 1)  # a chunked body's last line says nothing more
    meaning = {type(http_result(answer[:end])) for end in range(content + 1)}
    assert meaning == {Retry}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + PROTOBUF + b"\r\n" + PARTIAL[:3],
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'{"partialSuccess":{"rejec',
        b"HTTP/1.1 200 OK\r\nContent-Type: text/pla",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot",  # perhaps a proxy's that is going down
    ],
)
def test_nor_do_these(answer: bytes) -> None:
    assert isinstance(http_result(answer), Retry)


def test_the_spans_of_a_cut_answer_are_sent_again_and_counted_once() -> None:
    answers = iter([WHOLE[0][:-1], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])

    class Both(HttpExporter):
        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            with raw.saying(next(answers)) as url:
                exporter = HttpExporter(url)
                result = exporter.send(body, timeout_s)
                exporter.close()
            return result

    with Sender(Both("http://unused")) as sender:
        stats = sender.run(plain_batches(10))
    assert (stats.acknowledged, stats.rejected, stats.retries) == (10, 0, 1)


def test_a_whole_grpc_answer_acknowledges() -> None:
    def whole(stream: int) -> bytes:
        message = b"\x00" + len(PARTIAL).to_bytes(4, "big") + PARTIAL
        return raw.headers(stream) + raw.frame(raw.DATA, 0, stream, message) + raw.trailers(stream)

    assert grpc_result(whole) == Accepted(3)


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda n: raw.headers(n) + raw.trailers(n), id="status without a message"),
        pytest.param(
            lambda n: raw.headers(n) + raw.frame(raw.DATA, 0, n, b"\x00\x00\x00\x00\x09abc") + raw.trailers(n),
            id="half a message, status OK",
        ),
        pytest.param(
            lambda n: raw.headers(n) + raw.frame(raw.DATA, raw.END_STREAM, n, raw.EMPTY_MESSAGE), id="no status"
        ),
        pytest.param(lambda n: raw.headers(n, end=True), id="headers alone"),
        pytest.param(
            lambda n: raw.headers(n) + raw.frame(raw.DATA, 0, n, raw.EMPTY_MESSAGE) + raw.frame(raw.RST_STREAM, 0, n, bytes(4)),
            id="reset behind the message",
        ),
    ],
)  # fmt: skip
def test_half_a_grpc_answer_does_not(answer: Callable[[int], bytes], close: bool) -> None:
    assert isinstance(grpc_result(answer, close=close), Retry)


@pytest.mark.parametrize(
    "answer",
    [
        raw.headers,
        lambda n: raw.headers(n) + raw.frame(raw.DATA, 0, n, raw.EMPTY_MESSAGE),
        lambda n: raw.headers(n) + raw.frame(raw.DATA, 0, n, raw.EMPTY_MESSAGE[:3]),
        lambda _: raw.frame(raw.GOAWAY, 0, 0, bytes(8)),
    ],
)
def test_nor_does_one_whose_connection_ends(answer: Callable[[int], bytes]) -> None:
    assert isinstance(grpc_result(answer, close=True), Retry)


@pytest.mark.parametrize(
    ("status", "meaning"), [(b"503", Retry), (b"404", Misconfigured), (b"415", Misconfigured), (b"500", Refused)]
)
def test_an_http2_server_that_is_no_grpc_server(status: bytes, meaning: type) -> None:
    result = grpc_result(lambda n: raw.headers(n, end=True, status=status, kind=b"text/html"))
    assert isinstance(result, meaning)
