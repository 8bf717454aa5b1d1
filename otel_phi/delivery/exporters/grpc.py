"""OTLP over gRPC: the request's bytes as they are, metadata, TLS, one deadline an attempt."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import grpc

from otel_phi import clock
from otel_phi.config import headers as request_headers
from otel_phi.config.endpoint import is_socket
from otel_phi.config.headers import Headers
from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.connection import pem
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Retry, untraced
from otel_phi.delivery.exporters.hints import IS_HTTP, other_port, speaks_http1
from otel_phi.delivery.exporters.http import MAX_IN_FLIGHT, partial_success
from otel_phi.delivery.exporters.retry_table import CUT_SHORT, grpc_result, read_status
from otel_phi.errors import ConfigError
from otel_phi.version import __version__

# opentelemetry-proto's TraceService/Export; a test compares it with the descriptor.
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class GrpcExporter:
    """Calls one collector. Safe for use by several threads.

    Args:
        url: `http://host:port` for plain text, `https://host:port` for TLS, where a path has no meaning; `unix:///path`.
        headers: sent as metadata; a callable is asked before each attempt.
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
        self._url = url
        self._headers: Headers = {} if headers is None else headers
        if not callable(self._headers):
            self._headers = _metadata_checked(request_headers.checked(self._headers))
        # Said either way, so that grpc does not read the environment by itself: config.py does, once for both protocols.
        options: list[tuple[str, object]] = [
            ("grpc.primary_user_agent", f"otel-phi/{__version__}"),
            ("grpc.enable_http_proxy", 0 if proxy is None else 1),
        ]
        if proxy is not None:
            options.append(("grpc.http_proxy", proxy))
        self._channel = _channel(url, options, gzip_body=gzip_body, tls=tls or TlsFiles())
        self._export = self._channel.unary_unary(METHOD, None, None)  # no serializers: bytes in, bytes out

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        """Makes one call and says what became of it; it takes at most `timeout_s` and never raises."""
        try:
            sent = _metadata_checked(request_headers.current(self._headers))
        except ConfigError as error:
            return Misconfigured(str(error))
        try:
            with untraced():
                answer = self._export(body, timeout=_for_grpc(timeout_s), metadata=tuple(sent.items()))
        except grpc.RpcError as error:
            return self._classified(error, sent, timeout_s)
        except ValueError as error:  # the channel was closed by another thread
            return Retry(request_headers.scrub(str(error), sent))
        if answer is None:  # the status is OK, but the message it belongs to is missing or not whole
            return Retry(CUT_SHORT)
        rejected, message = partial_success(answer) or (0, "")
        return Accepted(max(rejected, 0), request_headers.scrub(message, sent))

    def _classified(self, error: grpc.RpcError, sent: dict[str, str], timeout_s: float) -> ExportResult:
        """Says what a status means, in the words of the retry table."""
        status, details = error.code().name, error.details() or ""
        if speaks_http1(details):
            return Misconfigured(IS_HTTP)
        if status == "DEADLINE_EXCEEDED":
            return Retry(f"no answer within {timeout_s:g} s")
        words = request_headers.scrub(details, sent)
        reason = f"gRPC {status}: {words}" if words else f"gRPC {status}"
        if status == "UNAVAILABLE" and "refused" not in words.lower():
            reason += other_port(self._url, grpc=True)
        return grpc_result(status, details, reason, _retry_after_s(error))

    def close(self, *, whole: bool = True) -> None:  # noqa: ARG002  # no call is ever half done
        """Closes the channel."""
        self._channel.close()


def _for_grpc(timeout_s: float) -> float:
    """Returns the timeout that makes gRPC wait so long: it adds `time.time()` to it, which a test tool may have frozen."""
    return timeout_s + (clock.wall_ns() / 1e9 - time.time())


def _channel(url: str, options: list[tuple[str, object]], *, gzip_body: bool, tls: TlsFiles) -> grpc.Channel:
    parts = urlsplit(url)
    compression = grpc.Compression.Gzip if gzip_body else grpc.Compression.NoCompression
    if parts.scheme != "https":
        return grpc.insecure_channel(_target(url, 80), options, compression)
    return grpc.secure_channel(_target(url, 443), credentials(tls), options, compression)


def credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Returns what gRPC verifies the collector by, and shows of us.

    Raises:
        ConfigError: a file cannot be read or is no PEM.
    """
    return grpc.ssl_channel_credentials(
        pem(tls.certificate, "certificate"),
        pem(tls.client_key or tls.client_certificate, "client_key") if tls.client_certificate else None,
        pem(tls.client_certificate, "client_certificate"),
    )


def _target(url: str, default_port: int) -> str:
    """Returns `host:port`, without user and password, or a Unix domain socket as it is."""
    if is_socket(url):
        return url
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or default_port}"


def _metadata_checked(headers: dict[str, str]) -> dict[str, str]:
    """Refuses what gRPC cannot carry.

    Raises:
        ConfigError: a value is not ASCII, or a name belongs to gRPC.
    """
    for name, value in headers.items():
        if not value.isascii() or "\t" in value:
            raise ConfigError(f"the value of header {name!r} holds a character that gRPC cannot carry: use plain ASCII")
        if name.endswith("-bin") or name.startswith("grpc-"):
            raise ConfigError(f"header {name!r} is reserved by gRPC: rename it")
    return headers


def _retry_after_s(error: grpc.RpcError) -> float | None:
    """Returns the wait a RetryInfo asks for; None if there is none."""
    for trailer in error.trailing_metadata() or ():
        if trailer.key == "grpc-status-details-bin" and isinstance(trailer.value, bytes):
            return read_status(trailer.value).retry_after_s
    return None
