"""Puts files into an archive of tests/data: `python -m tests.packing ARCHIVE ROOT NAME...`; those of these names that it holds are replaced."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.unpacked import members, pack


def add(archive: Path, root: Path, names: list[str]) -> None:
    """Writes an archive anew with some files of a folder.

    Args:
        archive: may not be there yet.
        root: the folder that the names are relative to.
        names: of the files, with forward slashes.
    """
    held = dict(members(archive.read_bytes())) if archive.exists() else {}
    held |= {name: (root / name).read_bytes() for name in names}
    archive.write_bytes(pack(iter(sorted(held.items()))))


if __name__ == "__main__":
    add(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
