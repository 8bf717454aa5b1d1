"""Clocks that a test tool freezes: deadlines, waits and the time to give up go on, and spans leave all the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from freezegun import freeze_time

import otel_phi
from otel_phi import clock
from otel_phi.delivery.exporters.exporter import Accepted, Exporter, Retry
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.sending.sender import Sender
from otel_phi.errors import DeliveryError
from otel_phi.testing import Receiver
from tests import golden
from tests.delivery.samples import plain_batches


@pytest.fixture(params=["2001-01-01", "2101-01-01"])
def frozen(request: pytest.FixtureRequest, receiver: Receiver) -> Iterator[None]:
    """Freezes the clocks, long ago or far ahead, once the receiver is up: gRPC's server does not start else."""
    with freeze_time(request.param):
        before = time.monotonic()
        assert time.monotonic() == before, "freezegun freezes this one too"
        yield


@pytest.fixture
def silent() -> Iterator[str]:
    """Gives a collector that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def exporter_for(url: str, protocol: str) -> Exporter:
    return HttpExporter(url + "/v1/traces") if protocol == "http" else GrpcExporter(url)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_attempt_ends_at_its_deadline_and_not_before(silent: str, protocol: str) -> None:
    exporter = exporter_for(silent, protocol)
    started = clock.monotonic()
    assert isinstance(exporter.send(b"", 0.5), Retry)
    assert 0.4 < clock.monotonic() - started < 20
    exporter.close()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_spans_arrive(receiver: Receiver, protocol: str) -> None:
    exporter = exporter_for(receiver.endpoint if protocol == "http" else receiver.grpc_endpoint, protocol)
    assert exporter.send(b"", 10.0) == Accepted()
    exporter.close()


@pytest.mark.usefixtures("frozen")
def test_retries_wait_and_giving_up_comes() -> None:
    started = clock.monotonic()
    sender = Sender(HttpExporter("http://127.0.0.1:9/v1/traces"), give_up_after_s=0.5)
    with pytest.raises(DeliveryError, match="refused"):
        sender.run(plain_batches(10))
    sender.close()
    assert 0.4 < clock.monotonic() - started < 20
    assert sender.stats().posts < 50


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("live", [False, True])
def test_a_bridge_without_a_collector_ends(live: bool) -> None:
    bridge = otel_phi.Bridge(endpoint="http://127.0.0.1:9", live=live, give_up_after_s=0.5)
    bridge.feed(golden.demo())
    with pytest.raises(DeliveryError):
        bridge.shutdown()
