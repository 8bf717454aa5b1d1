"""Collectors that fail by rule instead of by script, and what they have got."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from socketserver import TCPServer

import pytest

from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.testing import Answer, Receiver, http_server
from tests.faults.loops import number_of


class Narrow(Receiver):
    """Refuses requests over a size."""

    most_bytes = 100_000

    def take(self, path: str, headers: Mapping[str, str], body: bytes, connection: str) -> Answer:
        if len(body) > self.most_bytes:
            self.answer(status=413)
        return super().take(path, headers, body, connection)


class Picky(Receiver):
    """Refuses whatever holds the loop 13."""

    def take(self, path: str, headers: Mapping[str, str], body: bytes, connection: str) -> Answer:
        if any(number_of(span) == 13 for span in decode_spans(body)):
            self.answer(status=400, body=b"unlucky")
        return super().take(path, headers, body, connection)


class Moody(Receiver):
    """Fails at random: a third each refuses with 503, resets before it takes the spans, or after.

    Args:
        seed: of its moods.
        share: of the requests that fail.
    """

    def __init__(self, seed: int, share: float) -> None:
        self.chance = random.Random(seed)
        self.share = share
        self.failures = 0
        super().__init__()

    def take(self, path: str, headers: Mapping[str, str], body: bytes, connection: str) -> Answer:
        if self.chance.random() >= self.share:
            return super().take(path, headers, body, connection)
        self.failures += 1
        match self.chance.randrange(3):
            case 0:
                return Answer(status=503)
            case 1:
                return Answer(reset=True)
            case _:
                super().take(path, headers, body, connection)
                return Answer(reset=True)


def gone() -> str:
    """Returns the endpoint of a collector that is down."""
    with Receiver() as receiver:
        return receiver.endpoint


@contextmanager
def receiver_at(endpoint: str) -> Iterator[Receiver]:
    """Starts a collector where one was before."""
    port = int(endpoint.rpartition(":")[2])

    def bind(server: TCPServer) -> None:
        server.server_address = ("127.0.0.1", port)
        TCPServer.server_bind(server)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_server._Server, "server_bind", bind)
        receiver = Receiver()
    with receiver:
        yield receiver
