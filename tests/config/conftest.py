"""No environment of the developer's, and no memory of what was reported."""

from __future__ import annotations

import os

import pytest

from otel_phi.config import choices


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.upper().endswith("_PROXY") or name in ("TRACEPARENT", "REQUEST_METHOD"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(choices, "_reported", set())
