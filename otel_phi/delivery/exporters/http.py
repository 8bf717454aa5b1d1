"""OTLP over HTTP: protobuf, gzip, one total deadline an attempt.

urllib3's timeouts are per read, so a server that drips a header each second holds a thread for ever: a watchdog shuts
the socket when the attempt's time is over, whatever it is doing, handshakes included. Redirects are never followed (an
SDK exporter calls a 301 a success and loses the data), and never is more than 64 KiB of an answer read.
"""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import time

import msgspec
import urllib3

from otel_phi.config import headers as request_headers
from otel_phi.config.endpoint import without_credentials
from otel_phi.config.headers import Headers
from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.connection import Attempt, close_idle, connection_pool, words
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Refused, Retry, TooLarge
from otel_phi.delivery.exporters.rpc_status import read_status
from otel_phi.delivery.otlp.imports import importing, load_host_codec
from otel_phi.errors import ConfigError
from otel_phi.version import __version__

MAX_ANSWER_BYTES = 65_536  # a partial success is under 1 KiB; what is longer is a page, not an answer
MAX_IN_FLIGHT = 4  # hides a latency of 150 ms at 3.5 MiB a post; more only piles up in the collector

# The cheapest level: on spans without content it costs a tenth of level 9 and is as small (RELIABILITY 2.3).
GZIP_LEVEL = 1

_PROTOBUF = ("application/x-protobuf", "application/protobuf")
_RETRIED = frozenset((429, 502, 503, 504))
_MISCONFIGURED = frozenset((401, 403, 404))


class HttpExporter:
    """Posts requests to one URL. Safe for use by several threads.

    Args:
        url: the full URL, `/v1/traces` included.
        headers: sent with each request; a callable is asked before each attempt, so a fresh token heals a 401.
        gzip_body: compress requests.
        tls: PEM files for https.
        proxy: URL of an HTTP proxy, None for none.

    Raises:
        ConfigError: a header or a TLS file cannot be used.
    """

    max_in_flight = MAX_IN_FLIGHT

    def __init__(
        self,
        url: str,
        *,
        headers: Headers | None = None,
        gzip_body: bool = True,
        tls: TlsFiles | None = None,
        proxy: str | None = None,
    ) -> None:
        load_host_codec()
        self._url = url
        self._headers: Headers = {} if headers is None else headers
        if not callable(self._headers):
            self._headers = request_headers.checked(self._headers)
        self._gzip = gzip_body
        self._pool = connection_pool(url, tls or TlsFiles(), proxy, MAX_IN_FLIGHT)

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        """Posts one request and says what became of it; it takes at most `timeout_s` and never raises."""
        try:
            sent = request_headers.current(self._headers)
        except ConfigError as error:
            return Misconfigured(str(error))
        own = {"content-type": "application/x-protobuf", "user-agent": f"otel-phi/{__version__}"}
        if self._gzip:
            own["content-encoding"] = "gzip"
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        attempt = Attempt(timeout_s)
        with attempt:
            try:
                answer = self._post(body, {**own, **sent}, timeout_s)
            except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
                # ValueError and AttributeError: what urllib3 makes of a connection shut under its hands.
                reason = request_headers.scrub(words(error), sent)
                return Retry(f"no answer within {timeout_s:g} s" if attempt.over else reason)
        if attempt.over:  # cut within the headers: http.client takes that for their end and the answer for whole
            return Retry(f"no answer within {timeout_s:g} s")
        return _classified(answer, sent)

    def close(self, *, whole: bool = True) -> None:  # noqa: ARG002  # nothing of a post is left half done
        """Closes idle connections."""
        close_idle(self._pool)

    def _post(self, body: bytes, headers: dict[str, str], timeout_s: float) -> _Answer:
        response = self._pool.request(
            "POST", self._url, body=body, headers=headers, redirect=False, retries=False, preload_content=False,
            timeout=urllib3.Timeout(total=timeout_s),
        )  # fmt: skip
        try:
            content = response.read(MAX_ANSWER_BYTES + 1, decode_content=False)
            if len(content) > MAX_ANSWER_BYTES:
                response.close()  # the rest is not worth reading, so the connection cannot be used again
                content = content[:MAX_ANSWER_BYTES]
            return _Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, content)
        finally:
            response.release_conn()


class _Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    content: bytes


def _classified(answer: _Answer, sent: dict[str, str]) -> ExportResult:
    """Says what an HTTP answer means: the retry table."""
    status = answer.status
    if 200 <= status < 300:
        return _accepted(answer, sent)
    words = request_headers.scrub(_said(answer), sent)
    reason = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if status in _RETRIED:
        return Retry(reason, _retry_after_s(answer.headers))
    if status == 413:
        return TooLarge(reason)
    if 300 <= status < 400:
        target = without_credentials(request_headers.scrub(answer.headers.get("location", ""), sent))
        return Misconfigured(f"HTTP {status}: redirected to {target or 'nowhere'}; use the final address as endpoint")
    if status in _MISCONFIGURED:
        return Misconfigured(reason)
    return Refused(reason)


def _accepted(answer: _Answer, sent: dict[str, str]) -> ExportResult:
    """Reads what a 2xx says of rejected spans; a web page with status 200 is a login form, not a collector."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        return Misconfigured(f"HTTP {answer.status} with a web page: this address is no OTLP endpoint")
    if kind == "application/json":
        rejected, message = _partial_json(answer.content)
    else:
        rejected, message = partial_success(answer.content)
    return Accepted(max(rejected, 0), request_headers.scrub(message, sent))


def partial_success(content: bytes) -> tuple[int, str]:
    """Returns rejected spans and message of an `ExportTraceServiceResponse`; (0, "") if it is none or says nothing."""
    if not content:
        return 0, ""
    with importing:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(content).partial_success
    except DecodeError:
        return 0, ""  # the status said accepted; sending again would double every span
    return partial.rejected_spans, partial.error_message


class _PartialJson(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0  # proto3 JSON writes an int64 as a string
    error_message: str = ""


class _AnswerJson(msgspec.Struct, rename="camel"):
    partial_success: _PartialJson | None = None


def _partial_json(content: bytes) -> tuple[int, str]:
    try:
        partial = msgspec.json.decode(content, type=_AnswerJson).partial_success or _PartialJson()
        return int(partial.rejected_spans), partial.error_message
    except (ValueError, RecursionError):
        return 0, ""


def _said(answer: _Answer) -> str:
    """Returns the words of an error answer: its google.rpc.Status if it is protobuf, else its text unless a page."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        return ""
    if kind in _PROTOBUF:
        return read_status(answer.content).message
    return answer.content.decode("utf-8", "replace")


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Reads Retry-After, seconds or a date, of any length; None if it is missing or neither."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])  # 30,000 years are enough
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        date = email.utils.parsedate_to_datetime(text).timestamp()
        # Against the server's own clock where it gives it: ours may be an hour off.
        now = time.time()
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            now = email.utils.parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(date - now, 0.0)
    return None
