"""Hooks whose accounts are in order at the end of every test, and a receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import otel_phi
from otel_phi.testing import Receiver
from tests.faults.loops import LOOP_SCOPE
from tests.hook.conftest import Install, install

__all__ = ["install"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Gives a collector of the test's own."""
    with Receiver() as found:
        yield found


@pytest.fixture
def open_hook(install: Install) -> Iterator[Callable[..., otel_phi.Hook]]:
    """Installs hooks that make one span of a loop; in the end none was dropped."""
    made: list[otel_phi.Hook] = []

    def open_one(**options: Any) -> otel_phi.Hook:
        hook = install(**{**LOOP_SCOPE, **options})
        made.append(hook)
        return hook

    yield open_one
    for hook in made:
        assert (hook.stats().delivery.dropped, hook.stats().lost) == ((), {})
