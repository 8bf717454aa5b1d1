"""Through a proxy that tunnels, as companies have them: TLS end to end over HTTP, and gRPC."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from otel_phi.config.tls_files import TlsFiles
from otel_phi.delivery.exporters.exporter import Accepted, Retry
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.testing import Receiver
from tests.delivery.exporters.test_tls import pem, serving
from tests.delivery.samples import RESOURCE, plain_span


class Tunnel(socketserver.ThreadingTCPServer):
    """Is a proxy that knows CONNECT and takes every host for the loopback.

    Attributes:
        asked: the head of each request.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.asked: list[str] = []


class _Connection(socketserver.BaseRequestHandler):
    server: Tunnel

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        self.server.asked.append(head.decode("latin-1"))
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(upstream, self.request))
            back.start()
            _copy(self.request, upstream)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    with Tunnel() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def body() -> bytes:
    encoder = Encoder(RESOURCE)
    return encoder.request([encoder.span(plain_span(1))])


def test_https_goes_through_a_tunnel_with_the_proxy_s_credentials(
    tunnel: Tunnel, authority: trustme.CA, tmp_path: Path
) -> None:
    with serving(authority.issue_cert("collector.example")) as receiver:
        port = receiver.endpoint.rpartition(":")[2]
        exporter = HttpExporter(
            f"https://collector.example:{port}/v1/traces",
            headers={"authorization": "hunter2"},
            tls=TlsFiles(pem(tmp_path, "ca.pem", authority.cert_pem)),
            proxy=f"http://user:pw@127.0.0.1:{tunnel.server_address[1]}",
        )
        assert exporter.send(body(), 5.0) == Accepted()
        exporter.close()
        assert receiver.spans == (plain_span(1),)
    assert tunnel.asked[0].startswith(f"CONNECT collector.example:{port} ")
    assert "proxy-authorization: basic dxnlcjpwdw==" in tunnel.asked[0].lower()
    assert "hunter2" not in tunnel.asked[0]


def test_the_deadline_covers_what_lies_behind_a_tunnel(tunnel: Tunnel, authority: trustme.CA, tmp_path: Path) -> None:
    with serving(authority.issue_cert("collector.example")) as receiver:
        receiver.answer(drip_s=0.05)
        port = receiver.endpoint.rpartition(":")[2]
        exporter = HttpExporter(
            f"https://collector.example:{port}/v1/traces",
            tls=TlsFiles(pem(tmp_path, "ca.pem", authority.cert_pem)),
            proxy=f"http://127.0.0.1:{tunnel.server_address[1]}",
        )
        started = time.monotonic()
        assert exporter.send(body(), 0.5) == Retry("no answer within 0.5 s")
        assert time.monotonic() - started < 1.2
        exporter.close()


def test_grpc_goes_through_a_tunnel(tunnel: Tunnel, receiver: Receiver) -> None:
    port = receiver.grpc_endpoint.rpartition(":")[2]
    proxy = f"http://127.0.0.1:{tunnel.server_address[1]}"
    exporter = GrpcExporter(f"http://collector.example:{port}", proxy=proxy)
    assert exporter.send(body(), 5.0) == Accepted()
    exporter.close()
    assert tunnel.asked[0].startswith(f"CONNECT collector.example:{port} ")


def test_a_server_that_never_reads_does_not_hold_us() -> None:
    """The upload fills the socket's buffers and stops; a TLS handshake that is never answered is no different."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("http", "https"):
            exporter = HttpExporter(f"{scheme}://127.0.0.1:{port}/v1/traces", gzip_body=False)
            started = time.monotonic()
            assert isinstance(exporter.send(bytes(32 << 20), 0.4), Retry)
            assert time.monotonic() - started < 1.2
            exporter.close()
