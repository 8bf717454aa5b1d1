"""A crash at any step of the sender's: what is left on the disk gives the same entries, the same state, and no loss.

The files are copied before every call that changes them, once more with half of what a call was to write in place, and each
copy is recovered. A state is the number of events before it; so an entry's place can be told from it.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.journal.facts import Entry
from otel_phi.delivery.journal.journal import Journal
from tests.delivery.journal.journals import adopt, create, read_all, said, texts

RUNS = 100 if os.environ.get("OTEL_PHI_SOAK") == "1" else 5
STEPS = 60


class Crashes:
    """Copies a folder before each call that changes it.

    Args:
        journal: whose.
        copies: where the copies go.
    """

    def __init__(self, journal: Journal, copies: Path) -> None:
        self.folder = journal._chain.folder
        self.copies = copies
        self.moments: list[tuple[Path, int, int, int]] = []
        self.returned = self.settled = self.settling = 0

    def copy(self) -> Path:
        """Copies the folder as it is; notes how many lines are in it, how many are settled, and how many are about to be."""
        path = self.copies / str(len(self.moments))
        shutil.copytree(self.folder, path)
        self.moments.append((path, self.returned, self.settled, self.settling))
        return path

    def before(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a call of `os`."""

        def call(*args: Any, **more: Any) -> Any:
            self.copy()
            return real(*args, **more)

        return call

    def torn(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps `os.pwrite`: once as if the process had died before it, once in the middle."""

        def call(descriptor: int, content: bytes, offset: int) -> int:
            self.copy()
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            half = self.copy() / name
            if half.exists():
                with half.open("r+b") as file:
                    file.seek(offset)
                    file.write(content[: len(content) // 2])
            return int(real(descriptor, content, offset))

        return call


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Journal, Crashes]]:
    journal = create(tmp_path / "state")
    crashes = Crashes(journal, tmp_path / "copies")
    for name in ("rename", "unlink"):
        monkeypatch.setattr(os, name, crashes.before(getattr(os, name)))
    monkeypatch.setattr(os, "pwrite", crashes.torn(os.pwrite))
    yield journal, crashes
    journal.close(delete=True)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of descriptors are Linux's")
@pytest.mark.parametrize("seed", range(RUNS))
def test_a_crash_at_any_step_loses_nothing_and_gives_the_same(
    watched: tuple[Journal, Crashes], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (journal, crashes), draw = watched, random.Random(seed)
    given, found = 0, list[Entry]()
    for _ in range(STEPS):
        match draw.choice(["append", "append", "read", "read", "roll", "acknowledge", "sync"]):
            case "append":
                for _ in range(draw.randrange(1, 6)):
                    assert journal.append(said(str(given)))
                    given += 1
                    crashes.returned = given
            case "read":
                found += journal.read(draw.choice([1, 200, 1 << 20]))
                if journal.wants_snapshot:
                    journal.snapshot(b"%d" % len(found))
            case "roll":
                journal.roll()
            case "acknowledge" if found:
                crashes.settling = max(draw.randrange(len(found)) + 1, crashes.settled)
                journal.acknowledge(found[crashes.settling - 1].position)
                crashes.settled = crashes.settling
            case _:
                journal.sync()
        crashes.copy()
    while len(found) < given:
        found += journal.read()
        if journal.wants_snapshot:
            journal.snapshot(b"%d" % len(found))
    assert texts(found) == [str(number) for number in range(given)]
    monkeypatch.undo()
    assert len(crashes.moments) > STEPS
    for path, returned, settled, settling in crashes.moments:
        mark = recovered(path, found[:returned])
        assert settled <= mark <= settling


def recovered(folder: Path, live: list[Entry]) -> int:
    """Checks what an adopter makes of a copy; returns how many events are settled for it."""
    journal = adopt(folder)
    state = int(journal.restored or b"0")
    entries = read_all(journal, lambda: b"0")
    assert entries == live[state:]
    assert journal.stats().damaged_lines == 0
    (mark,) = journal.acknowledged
    journal.close(delete=True)
    assert not folder.exists()
    return state + sum(entry.position <= mark for entry in entries)
