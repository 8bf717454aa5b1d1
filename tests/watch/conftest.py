"""A folder of logs, and a watch that follows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.watch.following import Following


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Returns a folder, empty."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def following(logs: Path, tmp_path: Path) -> Following:
    """Returns a watch of the folder, its rounds in the test's hands."""
    return Following(logs, tmp_path / "state")
