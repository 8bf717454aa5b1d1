"""Files that say something of each other: those that share a session or a loop are read as one stream, all others apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from otel_phi.cli.index.rows import FileRow


def parts_of(files: Iterable[tuple[Path, FileRow]]) -> list[list[Path]]:
    """Returns files by the part they belong to: parts by their first file, files by their names."""
    found = sorted(files, key=lambda file: file[0])
    leader = list(range(len(found)))

    def first(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    holders: dict[str | bytes, int] = {}
    for number, (_, row) in enumerate(found):
        names: list[str | bytes] = [*row.sessions, *row.loops]
        for name in names:
            one, other = first(number), first(holders.setdefault(name, number))
            leader[max(one, other)] = min(one, other)
    parts: dict[int, list[Path]] = {}
    for number, (path, _) in enumerate(found):
        parts.setdefault(first(number), []).append(path)
    return list(parts.values())
