"""Live deliveries and hooks whose accounts are in order at the end of every test, and receivers that fail by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.live import LiveDelivery
from otel_phi.testing import Receiver
from tests.delivery.accounts import assert_arrived, audited
from tests.delivery.live_agent import config_for
from tests.hook.conftest import install

__all__ = ["audited", "install"]

OWN = ("transport", "limits")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Gives a collector of the test's own."""
    with Receiver() as found:
        yield found


@pytest.fixture
def open_live(receiver: Receiver, tmp_path: Path) -> Iterator[Callable[..., LiveDelivery]]:
    """Opens live deliveries; in the end every span of each is accounted for, and none was dropped."""
    made: list[LiveDelivery] = []
    elsewhere: list[LiveDelivery] = []

    def open_one(endpoint: str | None = None, state: Path | None = None, **options: Any) -> LiveDelivery:
        own = {name: options.pop(name) for name in OWN if name in options}
        config = config_for(endpoint or receiver.endpoint, state or tmp_path / "state", **options)
        made.append(LiveDelivery(config, resource_of(config), **own))
        if endpoint or "transport" in own or "exporter" in options:
            elsewhere.append(made[-1])
        return made[-1]

    yield open_one
    for delivery in made:
        assert delivery.stats().balanced()
        delivery.shutdown(1.0)
        stats = delivery.stats()
        assert stats.balanced()
        assert stats.dropped == ()
    assert_arrived(receiver, [delivery.stats() for delivery in made if delivery not in elsewhere])
