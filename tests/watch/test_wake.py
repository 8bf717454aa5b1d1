"""What wakes the watch: word from the operating system, and looks at everything where there is none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_phi.watch import wake
from otel_phi.watch.folder import Folder

WAIT_S = 30.0  # on a loaded machine; each is over in a moment


@pytest.fixture(autouse=True)
def never_looking_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "LOOK_AT_ALL_S", 1e9)


def until_all(wakes: Iterator[set[Path] | None]) -> None:
    end = time.monotonic() + WAIT_S
    while next(wakes) is not None:
        assert time.monotonic() < end, "it did not look at all"


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_folder_made_anew_is_looked_at_and_listened_to(how: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    over: list[bool] = []
    wakes = wake.wakes(Folder([logs]), lambda: bool(over))
    until_all(wakes)  # what changed before the system was asked
    shutil.rmtree(logs) if how == "removed" else logs.rename(tmp_path / "other")
    logs.mkdir()  # faster than a glance
    until_all(wakes)
    until_all(wakes)
    (logs / "a.jsonl").write_text("x")
    end = time.monotonic() + WAIT_S
    while logs / "a.jsonl" not in (next(wakes) or set()):
        assert time.monotonic() < end, "it was not told"
    over.append(True)
