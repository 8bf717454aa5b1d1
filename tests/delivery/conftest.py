"""A receiver and certificates for the delivery tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from otel_phi.testing import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Gives a collector that speaks HTTP and gRPC."""
    with Receiver(grpc=True) as served:
        yield served


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Gives a certificate authority that nobody trusts but who is told to."""
    return trustme.CA()
