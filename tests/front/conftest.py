"""A door that keeps what it is told, where the front finds the hook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from otel_phi.front import hints
from tests.front.told import Told


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Gives the door; every hint can be said again."""
    found = Told()
    monkeypatch.setattr("otel_phi.hook.installed.current", lambda: found)
    hints.forget()
    yield found
    hints.forget()


@pytest.fixture
def with_content(told: Told) -> Told:
    """Gives a door behind which contents may be said."""
    told.config.capture_content = True
    return told


@pytest.fixture(autouse=True)
def nothing_current() -> Iterator[None]:
    """Lets every test begin and end with nothing current: contexts of pytest's live on."""
    from otel_phi.front import scopes

    scopes.swap(None)
    yield
    left: Any = scopes.swap(None)
    assert left is None, f"{left!r} is still current"
