"""A folder of an agent's, written bit by bit, and a watch of it that is killed whenever a test says so."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.sources.agents.reading import instant
from otel_phi.sources.reader import BadLine
from otel_phi.watch.watch import Listener
from tests.sources.agents.samples import written
from tests.watch.following import Following, append

_LONG_AGO_S = 7_200.0
_TIME = re.compile(rb'"timestamp":\s*"([^"]+)"')


class Live:
    """Is a folder of an agent's, and a watch of it that is killed whenever a test says so."""

    def __init__(self, place: Path, only: str = "") -> None:
        self._begun_s = time.time()
        self.folder = place / "agent"
        self.folder.mkdir(parents=True)
        self.following = Following(self.folder / only, place / "state")

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        append(path, content)
        os.utime(path, (self._begun_s,) * 2)  # a file without any time has that

    def put(self, name: str, content: bytes) -> None:
        """Writes a file anew, as editors do: another inode."""
        beside = self.folder / f".{name}"
        beside.write_bytes(content)
        beside.replace(self.folder / name)

    def size(self, name: str) -> int:
        path = self.folder / name
        return path.stat().st_size if path.exists() else 0

    def hear(self, on_bad_line: Callable[[BadLine], None]) -> None:
        """Begins again, and hears of each line that is no record."""
        self.following.with_(listener=Listener(on_bad_line=on_bad_line))

    def silence(self, *, look: bool = True) -> None:
        """Makes all files two hours old, and has them looked at."""
        for path in self.folder.rglob("*.jsonl"):
            os.utime(path, (time.time() - _LONG_AGO_S,) * 2)
        if look:
            self.following.round(settle=False)

    def end(self) -> dict[bytes, Span]:
        self.following.settle()
        self.following.with_(abandon_after_s=0.0).round()
        return self.following.end()

    def say(self, name: str, *records: dict[str, Any], kill: bool = False) -> None:
        """Writes records, and has them looked at."""
        self.write(name, written(*records))
        self.look(kill=kill)

    def look(self, *, kill: bool = False) -> None:
        self.following.round()
        if kill:
            self.following.restart()

    @property
    def spans(self) -> list[Span]:
        """All that has left, in order."""
        return self.following.backend.spans

    def named(self, name: str) -> list[Span]:
        """Returns the spans of a name that have left."""
        return [span for span in self.spans if span.name.startswith(name)]

    @property
    def ended(self) -> list[tuple[str, Any]]:
        """The loops that have left, each with what went wrong."""
        found = [span for span in self.spans if span.name.startswith("invoke_agent")]
        return [(str(span.get(s.LOOP_ID)).partition(".")[2], span.get(s.ERROR_TYPE)) for span in found]


def time_of(line: bytes) -> int:
    told = _TIME.search(line)
    return instant(told[1].decode()) if told else 0


def as_written(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yields lines of several files as agents write them: by time, each file in its order."""
    found = []
    for name, content in files.items():
        latest = 0
        for number, line in enumerate(content.splitlines(keepends=True)):
            latest = max(latest, time_of(line))
            found.append((latest, name, number, line))
    for _, name, _, line in sorted(found, key=lambda each: (each[0], each[1], each[2])):
        yield name, line
