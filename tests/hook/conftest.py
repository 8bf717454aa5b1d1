"""A receiver, and hooks that end with their accounts in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import otel_phi
from otel_phi.testing import Receiver
from tests.delivery.accounts import assert_arrived, assert_in_order


class Install(Protocol):
    """Installs the hook with the test's receiver and state folder."""

    def __call__(self, **options: Any) -> otel_phi.Hook: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Gives a collector of the test's own."""
    with Receiver() as found:
        yield found


@pytest.fixture
def install(receiver: Receiver, tmp_path: Path) -> Iterator[Install]:
    """Installs hooks; at the end of the test each is shut down, and every event and span must be accounted for."""
    made: list[otel_phi.Hook] = []
    elsewhere: list[otel_phi.Hook] = []

    def make(**options: Any) -> otel_phi.Hook:
        given = {"endpoint": receiver.endpoint, "service_name": "test", "state_dir": tmp_path / "state", **options}
        hook = otel_phi.install(flush_on_sigterm=False, **given)
        if hook not in made:
            made.append(hook)
            elsewhere.extend([hook] if {"endpoint", "exporter", "file"} & set(options) else [])
        return hook

    yield make
    for hook in made:
        hook.shutdown(2.0)
    assert_in_order(made, len(receiver.spans))
    assert_arrived(receiver, [hook.stats().delivery for hook in made if hook not in elsewhere])
