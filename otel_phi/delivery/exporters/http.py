"""OTLP over HTTP: protobuf, gzip, one total deadline an attempt.

urllib3's timeouts are per read, so a server that drips a header each second holds a thread for ever: a watchdog shuts
the socket when the attempt's time is over, whatever it is doing, handshakes included. Redirects are never followed (an
SDK exporter calls a 301 a success and loses the data), and never is more than 64 KiB of an answer read. Only a whole
answer acknowledges: one that ends within its headers or its body is none.
"""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import importlib
from collections.abc import Callable
from typing import Any

import msgspec
import urllib3

from otel_phi import clock
from otel_phi.config import headers as request_headers
from otel_phi.config.endpoint import without_credentials
from otel_phi.config.headers import Headers
from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.connection import Attempt, close_idle, connection_pool, words
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Retry, untraced
from otel_phi.delivery.exporters.hints import IS_GRPC, other_port, speaks_http2, wrong_path
from otel_phi.delivery.exporters.retry_table import CUT_SHORT, http_result, read_status
from otel_phi.errors import ConfigError
from otel_phi.late_imports import importing, load_host_codec
from otel_phi.version import __version__

MAX_ANSWER_BYTES = 65_536  # a partial success is under 1 KiB; what is longer is a page, not an answer
MAX_IN_FLIGHT = 4  # hides a latency of 150 ms at 3.5 MiB a post; more only piles up in the collector

# The cheapest level that looks for repetitions: on spans without content it costs a tenth of level 9 and is as small (RELIABILITY 2.3).
GZIP_LEVEL = 1

try:  # the extra `speed`: 0.2 us a span where the standard library takes 1.4, for a ratio of 14.7 against 15.5
    _gzip: Any = importlib.import_module("isal.igzip")
except ImportError:
    _gzip = gzip
gzip_compress: Callable[..., bytes] = _gzip.compress

_PROTOBUF = ("application/x-protobuf", "application/protobuf")


class HttpExporter:
    """Posts requests to one URL. Safe for use by several threads.

    Args:
        url: the full URL, `/v1/traces` included.
        headers: sent with each request; a callable is asked before each attempt, so a fresh token heals a 401.
        gzip_body: compress requests.
        tls: PEM files for https.
        proxy: URL of an HTTP proxy, None for none.
        on_answer: told status and content type of each answer, in the thread that sends; None for nobody.

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
        on_answer: Callable[[int, str], None] | None = None,
    ) -> None:
        load_host_codec()
        self._on_answer = on_answer
        self._url, _, self._query = url.partition("#")[0].partition("?")
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
            body = gzip_compress(body, GZIP_LEVEL, mtime=0)
        attempt = Attempt(timeout_s, self._query)
        with attempt, untraced():
            try:
                answer = self._post(body, {**own, **sent}, timeout_s)
            except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
                # ValueError and AttributeError: what urllib3 makes of a connection shut under its hands.
                if attempt.over:
                    return Retry(f"no answer within {timeout_s:g} s")
                return self._failed(error, sent)
        if attempt.over:
            return Retry(f"no answer within {timeout_s:g} s")
        return self._classified(answer, sent)

    def close(self, *, whole: bool = True) -> None:  # noqa: ARG002  # no post is ever half done
        """Closes idle connections."""
        close_idle(self._pool)

    def _post(self, body: bytes, headers: dict[str, str], timeout_s: float) -> _Answer:
        response = self._pool.request(
            "POST", self._url, body=body, headers=headers, redirect=False, retries=False, preload_content=False,
            timeout=urllib3.Timeout(total=timeout_s),
        )  # fmt: skip
        try:
            content = b""
            # Read to its end: what is missing of an answer shows there alone.
            while piece := response.read(MAX_ANSWER_BYTES + 1 - len(content), decode_content=False):
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    response.close()  # the rest is not worth reading, so the connection cannot be used again
                    content = content[:MAX_ANSWER_BYTES]
                    break
            return _Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, content)
        finally:
            response.release_conn()

    def _failed(self, error: Exception, sent: dict[str, str]) -> ExportResult:
        """Says what it means that there was no whole answer."""
        if speaks_http2(error):
            return Misconfigured(IS_GRPC)
        reason = request_headers.scrub(words(error), sent)
        return Retry(reason if "refused" in reason else reason + other_port(self._url, grpc=False))

    def _classified(self, answer: _Answer, sent: dict[str, str]) -> ExportResult:
        """Says what an answer means, in the words of the retry table."""
        status = answer.status
        if self._on_answer is not None:
            self._on_answer(status, answer.kind)
        if 200 <= status < 300:
            return _accepted(answer, sent)
        said = request_headers.scrub(_said(answer), sent)
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if status == 404 and (hint := wrong_path(self._url)):
            reason = f"HTTP 404; {hint}" + (f" ({said})" if said else "")
        if 300 <= status < 400:
            target = without_credentials(request_headers.scrub(answer.headers.get("location", ""), sent))
            reason = f"HTTP {status}: redirected to {target or 'nowhere'}; use the final address as endpoint"
        return http_result(status, reason, _retry_after_s(answer.headers))


class _Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def has_length(self) -> bool:
        """Whether the answer says where it ends; else the end of the connection is its end, whole or not."""
        return "content-length" in self.headers or "transfer-encoding" in self.headers


def _accepted(answer: _Answer, sent: dict[str, str]) -> ExportResult:
    """Reads what a 2xx says of rejected spans; a web page with status 200 is a login form, not a collector."""
    if answer.kind in ("text/html", "application/xhtml+xml"):
        return Misconfigured(f"HTTP {answer.status} with a web page: this address is no OTLP endpoint")
    found = _partial_json(answer.content) if answer.kind == "application/json" else partial_success(answer.content)
    if found is None:
        if not answer.has_length and answer.kind in (*_PROTOBUF, "application/json"):
            return Retry(CUT_SHORT)
        return Accepted()  # the status said accepted; sending again would double every span
    rejected, message = found
    return Accepted(max(rejected, 0), request_headers.scrub(message, sent))


def partial_success(content: bytes) -> tuple[int, str] | None:
    """Returns rejected spans and message of an `ExportTraceServiceResponse`; (0, "") if it says nothing, None if it is none."""
    if not content:
        return 0, ""
    with importing:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(content).partial_success
    except DecodeError:
        return None
    return partial.rejected_spans, partial.error_message


class _PartialJson(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0  # proto3 JSON writes an int64 as a string
    error_message: str = ""


class _AnswerJson(msgspec.Struct, rename="camel"):
    partial_success: _PartialJson | None = None


def _partial_json(content: bytes) -> tuple[int, str] | None:
    if not content:
        return 0, ""
    try:
        partial = msgspec.json.decode(content, type=_AnswerJson).partial_success or _PartialJson()
        return int(partial.rejected_spans), partial.error_message
    except (ValueError, RecursionError):
        return None


def _said(answer: _Answer) -> str:
    """Returns the words of an error answer: its google.rpc.Status if it is protobuf, else its text unless a page."""
    if answer.kind == "text/html":
        return ""
    if answer.kind in _PROTOBUF:
        return read_status(answer.content).message
    return answer.content.decode("utf-8", "replace")


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Reads Retry-After, seconds or a date to come; None if it is missing or neither."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])  # 30,000 years are enough
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        date = email.utils.parsedate_to_datetime(text).timestamp()
        # Against the server's own clock where it gives it: ours may be an hour off.
        now = clock.wall_ns() / 1e9
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            now = email.utils.parsedate_to_datetime(headers.get("date", "")).timestamp()
        return date - now
    return None
