"""The HTTP exporter: the retry table line by line, deadlines, and what it never does."""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Refused, Retry, TooLarge
from otel_phi.delivery.exporters.http import MAX_ANSWER_BYTES, HttpExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.errors import ConfigError
from otel_phi.testing import Receiver
from tests.delivery.samples import RESOURCE, full_span, plain_span

SECRET = "Bearer hunter2-hunter2"


def body() -> bytes:
    encoder = Encoder(RESOURCE)
    return encoder.request([encoder.span(full_span()), encoder.span(plain_span(1))])


@pytest.fixture
def exporter(receiver: Receiver) -> Iterator[HttpExporter]:
    made = HttpExporter(receiver.endpoint + "/v1/traces", headers={"Authorization": SECRET})
    yield made
    made.close()


def send(exporter: HttpExporter, timeout_s: float = 5.0) -> ExportResult:
    return exporter.send(body(), timeout_s)


def test_a_request_arrives_whole_and_compressed(receiver: Receiver, exporter: HttpExporter) -> None:
    assert send(exporter) == Accepted()
    assert receiver.spans == (full_span(), plain_span(1))
    (request,) = receiver.requests
    assert request.path == "/v1/traces"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["authorization"] == SECRET
    assert int(request.headers["content-length"]) < len(body())


def test_without_compression_the_body_goes_as_it_is(receiver: Receiver) -> None:
    exporter = HttpExporter(receiver.endpoint + "/v1/traces", gzip_body=False)
    assert send(exporter) == Accepted()
    assert "content-encoding" not in receiver.requests[0].headers
    exporter.close()


def test_a_connection_is_used_again(receiver: Receiver, exporter: HttpExporter) -> None:
    for _ in range(3):
        send(exporter)
    assert len({request.connection for request in receiver.requests}) == 1


@pytest.mark.parametrize("status", [200, 202, 204])
def test_2xx_is_accepted(receiver: Receiver, exporter: HttpExporter, status: int) -> None:
    receiver.answer(status=status)
    assert send(exporter) == Accepted()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_these_are_retried(receiver: Receiver, exporter: HttpExporter, status: int) -> None:
    receiver.answer(status=status, body=b"busy")
    assert send(exporter) == Retry(f"HTTP {status}: busy")


def test_413_is_too_large(receiver: Receiver, exporter: HttpExporter) -> None:
    receiver.answer(status=413)
    assert send(exporter) == TooLarge("HTTP 413")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_these_are_misconfigurations(receiver: Receiver, exporter: HttpExporter, status: int) -> None:
    receiver.answer(status=status, body=b"no")
    assert send(exporter) == Misconfigured(f"HTTP {status}: no")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_misconfigurations_and_never_followed(
    receiver: Receiver, exporter: HttpExporter, status: int
) -> None:
    receiver.answer(status=status, headers={"Location": f"{receiver.endpoint}/v1/traces?token=x"})
    result = send(exporter)
    assert isinstance(result, Misconfigured)
    assert f"{receiver.endpoint}/v1/traces;" in result.reason
    assert "token" not in result.reason
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [400, 402, 405, 408, 415, 422, 500, 501, 505])
def test_the_rest_is_refused(receiver: Receiver, exporter: HttpExporter, status: int) -> None:
    receiver.answer(status=status, body=b"bad span")
    assert send(exporter) == Refused(f"HTTP {status}: bad span")


def test_a_web_page_with_status_200_is_no_collector(receiver: Receiver, exporter: HttpExporter) -> None:
    receiver.answer(status=200, headers={"Content-Type": "text/html; charset=utf-8"}, body=b"<h1>Log in</h1>")
    assert isinstance(send(exporter), Misconfigured)


@pytest.mark.parametrize("answer", [b"\xff\xff garbage", b"OK"])
def test_an_unreadable_answer_with_status_200_is_still_an_acceptance(
    receiver: Receiver, exporter: HttpExporter, answer: bytes
) -> None:
    receiver.answer(body=answer)
    assert send(exporter) == Accepted()


def test_a_partial_success_is_read(receiver: Receiver, exporter: HttpExporter) -> None:
    receiver.answer(rejected=1, message="too old")
    assert send(exporter) == Accepted(1, "too old")


@pytest.mark.parametrize("count", [b'"1"', b"1"])
def test_a_partial_success_in_json_is_read(receiver: Receiver, exporter: HttpExporter, count: bytes) -> None:
    answer = b'{"partialSuccess":{"rejectedSpans":%b,"errorMessage":"too old"}}' % count
    receiver.answer(headers={"Content-Type": "application/json"}, body=answer)
    assert send(exporter) == Accepted(1, "too old")


def in_seconds(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2", 2.0), ("0", 0.0), ("900", 900.0), ("901", 900.0), ("86400", 900.0), ("9" * 400, 900.0), ("-3", None),
        ("1.5", None), ("2, 3", None), ("0x10", None), ("soon", None), ("", None),
    ],
)  # fmt: skip
def test_retry_after_in_seconds_up_to_15_minutes_and_nothing_else(
    receiver: Receiver, exporter: HttpExporter, written: str, meant: float | None
) -> None:
    receiver.answer(status=503, headers={"Retry-After": written})
    assert send(exporter) == Retry("HTTP 503", meant)


@pytest.mark.parametrize(("ahead_s", "meant"), [(30, 30.0), (-30, None), (200_000, 900.0)])
def test_retry_after_as_a_date(receiver: Receiver, exporter: HttpExporter, ahead_s: float, meant: float | None) -> None:
    receiver.answer(status=429, headers={"Retry-After": in_seconds(ahead_s)})
    result = send(exporter)
    assert isinstance(result, Retry)
    assert result.after_s == pytest.approx(meant, abs=2)


def test_a_refused_connection_is_retried() -> None:
    with Receiver() as gone:
        pass
    assert send(HttpExporter(gone.endpoint + "/v1/traces")) == Retry("connection refused")


def test_an_unknown_host_is_retried() -> None:
    exporter = HttpExporter("http://nobody.invalid/v1/traces")
    assert send(exporter) == Retry("the host name is not known")


@pytest.mark.parametrize(
    "answer", [{"reset": True}, {"raw": b""}, {"raw": b"SSH-2.0-OpenSSH_9.6\r\n"}, {"raw": b"\x00" * 100}]
)
def test_a_broken_answer_is_retried(receiver: Receiver, exporter: HttpExporter, answer: Mapping[str, Any]) -> None:
    receiver.answer(**answer)
    assert isinstance(send(exporter), Retry)
    assert send(exporter) == Accepted()


@pytest.mark.parametrize("answer", [{"delay_s": 3.0}, {"drip_s": 0.05}])
def test_the_deadline_covers_silence_and_dripping_headers(
    receiver: Receiver, exporter: HttpExporter, answer: Mapping[str, Any]
) -> None:
    receiver.answer(**answer)
    started = time.monotonic()
    assert send(exporter, timeout_s=0.4) in (Retry("no answer within 0.4 s"), Retry("timed out"))
    assert time.monotonic() - started < 2.0  # of the server's three, and of its dripping for ever


def test_after_a_deadline_the_next_request_is_served(receiver: Receiver, exporter: HttpExporter) -> None:
    receiver.answer(drip_s=0.05)
    send(exporter, timeout_s=0.2)
    assert send(exporter) == Accepted()


def test_no_more_than_64_kib_of_an_answer_is_read(receiver: Receiver, exporter: HttpExporter) -> None:
    receiver.answer(status=503, headers={"Content-Length": str(10**12)}, body=b"x" * (MAX_ANSWER_BYTES + 100))
    started = time.monotonic()
    result = send(exporter, timeout_s=5)
    assert isinstance(result, Retry)
    assert len(result.reason) < 400
    assert time.monotonic() - started < 2


def test_a_callable_is_asked_before_each_attempt_so_that_a_token_heals_a_401(receiver: Receiver) -> None:
    tokens = iter(["old", "new"])
    exporter = HttpExporter(receiver.endpoint + "/v1/traces", headers=lambda: {"Authorization": next(tokens)})
    receiver.answer(status=401)
    assert isinstance(send(exporter), Misconfigured)
    assert send(exporter) == Accepted()
    assert [request.headers["authorization"] for request in receiver.requests] == ["old", "new"]
    exporter.close()


def test_a_callable_that_fails_is_a_misconfiguration_without_its_words(receiver: Receiver) -> None:
    def failing() -> dict[str, str]:
        raise RuntimeError(f"cannot refresh {SECRET}")

    for headers in (failing, lambda: {"authorization": f"{SECRET}\n"}, lambda: [SECRET]):
        exporter = HttpExporter(receiver.endpoint + "/v1/traces", headers=headers)  # type: ignore[arg-type]
        result = send(exporter)
        assert isinstance(result, Misconfigured)
        assert "hunter2" not in result.reason
    assert not receiver.requests


@pytest.mark.parametrize(
    "headers", [{"a": "b\r\nc: d"}, {"a": "b\nc"}, {"a": "b\x00"}, {"a": "ж"}, {"a b": "c"}, {"": "c"}, {"a:": "c"}]
)
def test_headers_that_would_break_a_request_are_refused_at_construction(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="header"):
        HttpExporter("http://localhost:4318/v1/traces", headers=headers)


def test_an_echoed_credential_is_not_repeated(receiver: Receiver, exporter: HttpExporter) -> None:
    receiver.answer(status=403, body=f"token {SECRET} is not\r\n\x1b[31mvalid".encode())
    assert send(exporter) == Misconfigured("HTTP 403: token *** is not [31mvalid")


def test_nothing_of_a_header_is_logged_or_shown(
    receiver: Receiver, exporter: HttpExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    send(exporter)
    receiver.answer(status=500)
    send(exporter)
    assert "hunter2" not in caplog.text + repr(exporter)


def test_a_proxy_gets_the_request_with_its_own_credentials(receiver: Receiver) -> None:
    """The receiver plays the proxy: it sees the absolute URL."""
    proxy = receiver.endpoint.replace("http://", "http://user:p%40ss@")
    exporter = HttpExporter("http://collector.invalid/v1/traces", proxy=proxy)
    assert send(exporter) == Accepted()
    assert receiver.requests[0].path == "http://collector.invalid/v1/traces"
    assert receiver.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    exporter.close()
