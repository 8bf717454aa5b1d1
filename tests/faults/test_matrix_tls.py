"""A certificate is bad: nothing leaves, least of all in the clear, and all arrives once it is renewed."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from otel_phi.delivery.live import LiveDelivery
from otel_phi.testing import Receiver, http_server
from tests.delivery.live_agent import work
from tests.faults.collectors import once

HANDSHAKE = b"\x16"


@pytest.mark.parametrize("fault", ["unknown authority", "expired", "wrong host"])
def test_bad_certificates_never_fall_back_to_plain(
    fault: str, open_live: Callable[..., LiveDelivery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, unknown = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    bad = {
        "unknown authority": lambda: unknown.issue_cert("127.0.0.1"),
        "expired": lambda: trusted.issue_cert("127.0.0.1", not_after=yesterday),
        "wrong host": lambda: trusted.issue_cert("collector.example"),
    }
    first_bytes: list[bytes] = []
    setup = http_server._Connection.setup

    def noting(connection: http_server._Connection) -> None:
        # What came over the wire, before TLS looks at it.
        first_bytes.append(socket.socket.recv(connection.request, 1, socket.MSG_PEEK))
        setup(connection)

    monkeypatch.setattr(http_server._Connection, "setup", noting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    bad[fault]().configure_cert(context)
    with Receiver(tls=context) as receiver:
        delivery = open_live(receiver.endpoint, certificate=str(tmp_path / "ca.pem"))
        numbers = list(range(1, 101))
        for number in numbers:
            delivery.commit([work(number)])
        assert not delivery.flush(0.6)
        stats = delivery.stats()
        assert (stats.queued + stats.deferred, receiver.requests) == (100, [])
        assert "certificate" in (stats.trouble or "")
        trusted.issue_cert("127.0.0.1").configure_cert(context)
        assert delivery.flush(5.0)
        assert once(receiver) == numbers
        assert set(first_bytes) == {HANDSHAKE}
        assert len(first_bytes) > 1
        assert delivery.shutdown(2.0)


def test_an_answer_in_plain_to_https_gets_nothing(
    receiver: Receiver, open_live: Callable[..., LiveDelivery], tmp_path: Path
) -> None:
    delivery = open_live(receiver.endpoint.replace("http:", "https:"))
    delivery.commit([work(1)])
    assert not delivery.flush(0.6)
    assert receiver.requests == []
    assert delivery.stats().queued == 1
