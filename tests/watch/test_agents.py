"""Other agents' sessions, written bit by bit beside a watch that is killed: the same spans as `export` makes of the finished files."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.sources.agents.adapter import SILENCE_NS
from otel_phi.sources.agents.reading import instant

from tests.sources.agents import samples
from tests.sources.agents.samples import expected, sample
from tests.watch.following import Following, append, exported

AGENTS = list(samples.FOLDERS)
_TIME = re.compile(rb'"timestamp":\s*"([^"]+)"')
_LONG_AGO_S = 7_200.0


class Live:
    """Is a folder of an agent's, and a watch of it that is killed whenever a test says so."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "agent"
        self.folder.mkdir(parents=True)
        self.following = Following(self.folder, place / "state")

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        append(path, content)

    def silence(self) -> None:
        """Makes all files as old as an hour, and has them looked at."""
        for path in self.folder.rglob("*.jsonl"):
            os.utime(path, (time.time() - _LONG_AGO_S,) * 2)
        self.following.round(settle=False)

    def end(self) -> dict[bytes, Span]:
        self.following.settle()
        self.following.with_(abandon_after_s=0.0).round()
        return self.following.end()


def files_of(agent: str, *, of: str = "") -> dict[str, bytes]:
    """Returns the content of an agent's samples by name, or of one session of them."""
    folder = samples.FOLDER / samples.FOLDERS[agent]
    found = sorted(folder.rglob("*.jsonl"), key=lambda path: (path.parent != folder, str(path)))
    if of:
        own = folder / of
        found = [path for path in found if path == own or own.with_suffix("") in path.parents]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def as_written(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yields lines of several files as agents write them: by time, each file in its order."""
    found = []
    for name, content in files.items():
        latest = 0
        for number, line in enumerate(content.splitlines(keepends=True)):
            told = _TIME.search(line)
            latest = max(latest, instant(told[1].decode()) if told else 0)
            found.append((latest, name, number, line))
    for _, name, _, line in sorted(found, key=lambda each: (each[0], each[1], each[2])):
        yield name, line


def in_slices(pieces: Iterable[tuple[str, bytes]], dice: random.Random, mean_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yields what is written in pieces cut anywhere."""
    for name, content in pieces:
        at = 0
        while at < len(content):
            upto = at + dice.randint(1, 2 * mean_bytes)
            yield name, content[at:upto]
            at = upto


def written_and_killed(live: Live, pieces: Iterable[tuple[str, bytes]], dice: random.Random, every: int) -> None:
    for number, (name, content) in enumerate(pieces):
        live.write(name, content)
        if number % every == 0:
            live.following.round(settle=dice.random() < 0.5)
            live.following.restart()


def totals_of(spans: Iterable[Span]) -> Counter[str]:
    """Adds up what the chats say that they used, in the one meaning of `expected.json`."""
    found = Counter[str]()
    for span in spans:
        if span.name.startswith("chat") and span.get(s.SIDE_CALL_ID) is None and span.get(s.LOOP_KIND) is None:
            found["input"] += int(span.get(s.INPUT_TOKENS) or 0)
            found["output"] += int(span.get(s.OUTPUT_TOKENS) or 0)
            found["cache_read"] += int(span.get(s.CACHE_READ) or 0)
    return found


@samples.needed
@pytest.mark.parametrize("order", ["as written", "file after file"])
@pytest.mark.parametrize("agent", AGENTS)
def test_a_folder_written_in_slices_with_kills_between_gives_what_export_gives(
    agent: str, order: str, tmp_path: Path
) -> None:
    dice, files, live = random.Random(5), files_of(agent), Live(tmp_path)
    pieces = as_written(files) if order == "as written" else files.items()
    size = sum(map(len, files.values()))
    written_and_killed(live, in_slices(pieces, dice, max(size // 150, 200)), dice, 3 if order != "as written" else 40)
    assert live.end() == exported(live.folder, final=True)
