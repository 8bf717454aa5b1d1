"""A certificate is bad: nothing leaves, least of all in the clear, and all arrives once it is renewed."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

import otel_phi
from otel_phi.testing import Receiver, http_server
from tests.faults.loops import give, once
from tests.hook.waiting import until

HANDSHAKE = b"\x16"


@pytest.mark.parametrize("fault", ["unknown authority", "expired", "wrong host"])
def test_bad_certificates_never_fall_back_to_plain(
    fault: str, open_hook: Callable[..., otel_phi.Hook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        hook = open_hook(endpoint=receiver.endpoint, certificate=str(tmp_path / "ca.pem"))
        numbers = give(hook, range(1, 101))
        assert not hook.flush(0.6)
        until(lambda: hook.stats().delivery.trouble is not None)
        stats = hook.stats().delivery
        assert (stats.queued, receiver.requests) == (100, [])
        assert "certificate" in (stats.trouble or "")
        trusted.issue_cert("127.0.0.1").configure_cert(context)
        assert hook.flush(10.0)
        assert once(receiver) == numbers
        assert set(first_bytes) == {HANDSHAKE}
        assert len(first_bytes) > 1
        assert hook.shutdown(5.0)


def test_an_answer_in_plain_to_https_gets_nothing(
    receiver: Receiver, open_hook: Callable[..., otel_phi.Hook], tmp_path: Path
) -> None:
    hook = open_hook(endpoint=receiver.endpoint.replace("http:", "https:"))
    give(hook, [1])
    assert not hook.flush(0.6)
    assert receiver.requests == []
    assert hook.stats().delivery.queued == 1
