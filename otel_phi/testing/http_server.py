"""The receiver's HTTP side: the standard library's server, one thread a connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otel_phi.testing.answers import Answer

Take = Callable[[str, Mapping[str, str], bytes, str], Answer]

METRICS_PATH = "/v1/metrics"
# opentelemetry-proto's MetricsService/Export.
METRICS_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
MAX_BODY_BYTES = 64 * 1024 * 1024  # three times what a real collector takes; a zip bomb ends here


class HttpServer:
    """Serves OTLP/HTTP on a free loopback port until closed.

    Args:
        take: gets path, headers, body and connection of each request.
        tls: serve https with this context; None for http.
    """

    def __init__(self, take: Take, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(take, tls)
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="otlp-receiver")
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        """Stops listening and cuts open connections."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Keep-alive connections end when the client wants: `cut` ends them, so waiting for their threads is short.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, take: Take, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.take = take
        self.open: set[socket.socket] = set()
        if tls is not None:
            # The handshake happens in the connection's own thread: a client that stalls must not stop the others.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def cut(self) -> None:
        for connection in tuple(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients that go away are what fault tests are made of."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Says nothing."""

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            self._reply(Answer(status=400, body=b"the body is missing, too long or no gzip"))
        elif not self.path.partition("?")[0].endswith(("/v1/traces", METRICS_PATH)):
            self._reply(Answer(status=404, body=b"404 page not found"))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._reply(self.server.take(self.path, headers, body, str(self.client_address[1])))

    def do_GET(self) -> None:
        self._reply(Answer(status=405, body=b"405 method not allowed, supported: [POST]"))

    def _body(self) -> bytes | None:
        length = int(self.headers.get("content-length") or 0)
        if not 0 < length <= MAX_BODY_BYTES:
            return None
        raw = self.rfile.read(length)
        if self.headers.get("content-encoding") != "gzip":
            return raw
        unpacker = zlib.decompressobj(wbits=31)  # 16 for gzip, 15 for the largest window
        try:
            body = unpacker.decompress(raw, MAX_BODY_BYTES)
        except zlib.error:
            return None
        return body if unpacker.eof else None

    def _reply(self, answer: Answer) -> None:
        time.sleep(answer.delay_s)
        if answer.reset or answer.raw is not None:
            self._break_off(answer)
            return
        if answer.drip_s:
            self._drip(answer.drip_s)
            return
        content = answer.response()
        self.send_response(answer.status)
        kind = "text/plain" if answer.body is not None else "application/x-protobuf"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _break_off(self, answer: Answer) -> None:
        self.close_connection = True
        if answer.raw is not None:
            self.wfile.write(answer.raw)
        else:
            # Closing with linger 0 sends a reset instead of an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _drip(self, pause_s: float) -> None:
        """Sends header lines until the client has enough."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.wfile.write(b"X-Drip: 1\r\n")
            self.wfile.flush()
            time.sleep(pause_s)
