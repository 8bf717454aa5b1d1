"""Unix domain sockets: gRPC speaks to them from every door; HTTP says that it does not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

import otel_phi
from otel_phi.cli import main
from otel_phi.config import resolve
from otel_phi.delivery.exporters.grpc import METHOD
from otel_phi.errors import ConfigError
from tests import golden


class Collector:
    """A gRPC collector on a socket in the file system."""

    def __init__(self, path: str) -> None:
        self.url = f"unix://{path}"
        self.requests: list[bytes] = []
        self._server = grpc.server(ThreadPoolExecutor(max_workers=2))
        service, _, name = METHOD.lstrip("/").partition("/")
        method = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
        self._server.add_insecure_port(self.url)
        self._server.start()

    def _export(self, message: bytes, _: grpc.ServicerContext) -> bytes:
        self.requests.append(message)
        return b""

    def close(self) -> None:
        self._server.stop(grace=None).wait()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path is at most 107 bytes
        served = Collector(f"{folder}/otel.sock")
        yield served
        served.close()


def test_by_keyword(collector: Collector) -> None:
    with otel_phi.Bridge(endpoint=collector.url, protocol="grpc") as bridge:
        bridge.feed(golden.demo())
    assert collector.requests


def test_by_environment_with_headers_and_behind_a_proxy(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer x")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:9")
    assert resolve().endpoint == collector.url
    with otel_phi.Bridge() as bridge:
        bridge.feed(golden.demo())
    assert collector.requests


def test_by_flag(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", str(tmp_path))
    done = CliRunner().invoke(main, ["export", str(golden.DEMO), "--endpoint", collector.url, "--protocol", "grpc"])
    assert done.exit_code == 0
    assert f"accepted by {collector.url}" in done.stderr
    assert collector.requests


def test_by_the_hook(collector: Collector, tmp_path: Path) -> None:
    hook = otel_phi.install(endpoint=collector.url, protocol="grpc", state_dir=tmp_path)
    for event in golden.demo():
        hook(event)
    hook.shutdown(10.0)
    assert collector.requests


@pytest.mark.parametrize("url", ["unix:/run/o.sock", "unix:o.sock", "unix-abstract:otel"])
def test_the_other_spellings_of_grpc(url: str) -> None:
    assert resolve(endpoint=url, protocol="grpc").endpoint == url


@pytest.mark.parametrize("url", ["unix://", "unix:", "unix:///", "unix:///a\nb"])
def test_a_socket_without_a_name_is_an_error(url: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        resolve(endpoint=url, protocol="grpc")


def test_http_says_that_only_grpc_speaks_to_sockets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="use the protocol 'grpc'"):
        resolve(endpoint="unix:///run/o.sock")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "unix:///run/o.sock")
    resolve()
    assert "use the protocol 'grpc'" in caplog.text
