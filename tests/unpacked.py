"""Test data as plain files: what a folder of tests/data holds, its archives unpacked, and what a folder outside the repository adds.

Rule 1: the result's name is a hash of all that it is made of, and it appears whole, by a rename: processes that make it at once (pytest-xdist)
        end up with one, and it is made anew only where the data changed.
Rule 2: what the repository holds wins. A folder outside adds files that are missing, and its `expected.json` where it added some, for that one
        tells of all of them.
Rule 3: a checkout that cannot be written does without: the files are then in a temporary folder that goes with the process.
"""

from __future__ import annotations

import atexit
import gzip
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
PLACE = DATA / ".unpacked"  # in .gitignore, and so in no sdist
PACKED = ".tar.xz"
# Tests read these as gzip, their first form; xz packs their text to half of that.
AS_GZIP = ("recorder_cases.jsonl", "recorder_wild.jsonl")
_MADE_BY = b"1"  # raised where the same sources come to other files
_OLD_S = 1_790_000_000  # September 2026: nobody takes a file for one that is still being written


def unpacked(name: str, *, beside: Path | None = None, place: Path = PLACE) -> Path:
    """Returns the folder with all files of a folder of tests/data.

    Args:
        name: of the folder in tests/data.
        beside: a folder outside the repository that may be there and hold more; none where None.
        place: where the result is kept.
    """
    target = place / f"{name}-{_digest(DATA / name, beside)}"
    if target.is_dir():
        return target
    try:
        place.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
    except OSError:
        made = Path(tempfile.mkdtemp(prefix=f"otel-phi-{name}-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        _fill(made, DATA / name, beside)
        return made
    try:
        _fill(made, DATA / name, beside)
        made.chmod(0o755)
        made.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another process was first, with the same files
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def pack(files: Iterator[tuple[str, bytes]]) -> bytes:
    """Returns an archive that depends on nothing but names and contents, in their order."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(text.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as opened:
        for member in opened:
            content = opened.extractfile(member)
            assert content is not None, f"{member.name} is no file"
            yield member.name, content.read()


def _files(folder: Path | None) -> list[tuple[str, Path]]:
    """Returns the files of a folder with their names in it; none where it is not there."""
    if folder is None or not folder.is_dir():
        return []
    return sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


def _digest(folder: Path, beside: Path | None) -> str:
    found = hashlib.sha256(_MADE_BY)
    for name, path in _files(folder):
        content = path.read_bytes()
        found.update(f"{name} {len(content)}\n".encode() + content)
    for name, path in _files(beside):
        about = path.stat()
        found.update(f"{path} {name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


def _fill(target: Path, folder: Path, beside: Path | None) -> None:
    for name, path in _files(folder):
        if not name.endswith(PACKED):
            _write(target / name, path.read_bytes())
            continue
        for member, content in members(path.read_bytes()):
            if member in AS_GZIP:
                _write(target / f"{member}.gz", gzip.compress(content, 1, mtime=0))
            else:
                _write(target / member, content)
    added = [(name, path) for name, path in _files(beside) if not (target / name).exists()]
    for name, path in added:
        _write(target / name, path.read_bytes())
        wanted = path.parent / "expected.json"
        if wanted.exists():
            _write(target / wanted.relative_to(beside or folder), wanted.read_bytes())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (_OLD_S, _OLD_S))
