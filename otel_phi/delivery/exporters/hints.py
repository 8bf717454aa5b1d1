"""Hints: what a person should change, for the slips that are made most often. Each names the flag, port or path."""

from __future__ import annotations

import re
from http.client import BadStatusLine
from urllib.parse import urlsplit, urlunsplit

from otel_phi.config.endpoint import TRACES_PATH, without_credentials

GRPC_PORT, HTTP_PORT = 4317, 4318  # OpenTelemetry's

IS_GRPC = f"this is a gRPC port: use --protocol grpc (OTEL_EXPORTER_OTLP_PROTOCOL=grpc), or port {HTTP_PORT} for HTTP"
IS_HTTP = (
    f"this is an HTTP port: use --protocol http/protobuf (OTEL_EXPORTER_OTLP_PROTOCOL), or port {GRPC_PORT} for gRPC"
)

# An HTTP/2 server's first words: a frame of SETTINGS (4) or GOAWAY (7) on stream 0, where HTTP/1.1 has a status line.
_HTTP2_FRAME = re.compile(r"\x00[\x00-\xff]{2}[\x04\x07][\x00-\xff]\x00{4}", re.DOTALL)
_HTTP1_ANSWER = re.compile(r"http1\.x server|Expected SETTINGS frame as the first frame")


def speaks_http2(error: BaseException) -> bool:
    """Tells whether an HTTP/1.1 request failed since the answer was HTTP/2's, as gRPC servers speak it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, BadStatusLine):
            return _HTTP2_FRAME.match(getattr(error, "line", "")) is not None
        inner = error.__cause__ or error.__context__
        if inner is None:
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        error = inner  # type: ignore[assignment]  # the loop ends there
    return False


def speaks_http1(details: str) -> bool:
    """Tells from gRPC's words whether the answer was HTTP/1's."""
    return _HTTP1_ANSWER.search(details) is not None


def other_port(url: str, *, grpc: bool) -> str:
    """Returns what to try where a connection breaks off on the other protocol's usual port, "" elsewhere."""
    port = urlsplit(url).port
    if grpc:
        return f"; if {IS_HTTP}" if port == HTTP_PORT else ""
    return f"; if {IS_GRPC}" if port == GRPC_PORT else ""


def wrong_path(url: str) -> str:
    """Returns what is wrong with the path of a URL that the server does not know, "" if it looks right."""
    shown = without_credentials(url)
    parts = urlsplit(shown)
    path = parts.path.rstrip("/")
    if path.endswith(TRACES_PATH * 2):
        once = urlunsplit(parts._replace(path=path.removesuffix(TRACES_PATH)))
        return (
            f"{TRACES_PATH} stands there twice, since OTEL_EXPORTER_OTLP_ENDPOINT is a base that it is appended to: "
            f"use OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={once}, or --endpoint"
        )
    if not path.endswith(TRACES_PATH):
        return f"append {TRACES_PATH}: {urlunsplit(parts._replace(path=path + TRACES_PATH))}"
    return ""
