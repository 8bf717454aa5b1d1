"""The receiver and the hook of the hook's tests, without a word of the developer's environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hook.conftest import install, receiver

__all__ = ["install", "receiver"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_PHI_TEST_DIR", str(tmp_path))
