"""A growing file: what identifies it, and the whole lines that were added to it.

Rule 1: a file is its device and inode, not its path, as long as its first bytes stay: a renamed log is the same log.
Rule 2: half a line at the end is waited for. A last line that is a whole event is taken, newline or not.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from typing_extensions import Self

from otel_phi.sources.lines import GZIP_MAGIC, Block, read_lines
from otel_phi.sources.opened import Unzipped
from otel_phi.sources.reader import payload_of
from otel_phi.wire.decode import Undecodable, decode_event, decode_log_line

WRITE_AHEAD = "-wal"
_DATABASES = (".db", ".sqlite", ".sqlite3")
# Enough to tell two logs apart: the first line of any holds a session id or a time.
HEAD_BYTES = 512


class Look(msgspec.Struct, frozen=True):
    """A look is what a glance at a file shows.

    Attributes:
        identity: device and inode.
        size: in bytes.
        mtime_ns: time of its last change.
    """

    identity: str
    size: int
    mtime_ns: int


def look_at(path: Path) -> Look | None:
    """Looks at a file; None where there is none, or what cannot be read twice, such as a pipe.

    What is written to a database stands in the log beside it first: both are one file.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    look = Look(f"{found.st_dev}:{found.st_ino}", found.st_size, found.st_mtime_ns)
    ahead = look_at(path.with_name(path.name + WRITE_AHEAD)) if path.suffix in _DATABASES else None
    if ahead is None:
        return look
    return Look(look.identity, look.size + ahead.size, max(look.mtime_ns, ahead.mtime_ns))


def head_of(path: Path, size: int = HEAD_BYTES) -> tuple[bytes, int]:
    """Returns a hash of a file's first bytes, and how many they were.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(size)
    return hash_of(head), len(head)


def hash_of(head: bytes) -> bytes:
    """Returns the hash by which a file's first bytes are remembered."""
    return hashlib.blake2b(head, digest_size=16).digest()


class Added(msgspec.Struct, frozen=True):
    """An addition is a run of whole lines, and where the next one begins.

    Attributes:
        block: the lines; its numbers are those of the file.
        offset: of the byte after them.
        line: number of the line after them.
    """

    block: Block
    offset: int
    line: int


def is_whole(line: bytes) -> bool:
    """Says whether a line without a newline is a whole event, or nothing."""
    payload = payload_of(line)
    if not payload:
        return not line.strip()
    found = decode_log_line(payload)[1] if b'"ordinal"' in payload else decode_event(payload)
    return not isinstance(found, Undecodable)


def added_lines(
    path: Path, look: Look, offset: int, line: int, whole: Callable[[bytes], bool] = is_whole
) -> Iterator[Added]:
    """Yields the whole lines of a file from an offset on, as far as it went when it was looked at.

    Args:
        path: the file; a gzipped one is read from its beginning to its end.
        look: what it looked like; another file that is at the path by now is not read.
        offset: where a line begins, bytes.
        line: the number of that line.
        whole: says whether a last line that has no newline yet is whole all the same.

    Raises:
        OSError: it cannot be read, or is another file by now.
    """
    with _opened(path, look, offset) as stream:
        before: Block | None = None
        for found in read_lines(stream):
            block = msgspec.structs.replace(found, number=found.number + line - 1, offset=found.offset + offset)
            if before is not None:
                yield Added(before, block.offset, block.number)
            before = block
        if before is None:
            return
        if before.ended:
            yield Added(before, offset + stream.given, before.number + len(before.lines))
        elif not before.too_long and whole(before.lines[-1]):
            yield Added(before, before.offset + len(before.lines[0]), before.number)  # its newline may follow


def _opened(path: Path, look: Look, offset: int) -> _Part:
    stream = path.open("rb")
    found = os.fstat(stream.fileno())
    if f"{found.st_dev}:{found.st_ino}" != look.identity:
        stream.close()
        raise FileNotFoundError(f"{path}: another file by now")
    if stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
        stream.seek(0)
        return _Part(stream, Unzipped(stream), None)
    stream.seek(offset)
    return _Part(stream, None, max(look.size - offset, 0))


class _Part:
    """Gives a part of a file piece by piece."""

    def __init__(self, stream: BinaryIO, zipped: gzip.GzipFile | None, left_bytes: int | None) -> None:
        self._stream, self._zipped, self._left_bytes = stream, zipped, left_bytes
        self.given = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int = -1, /) -> bytes:
        """Returns the next piece; nothing at the end, or where a gzipped file breaks off."""
        if self._zipped is not None:
            try:
                chunk = self._zipped.read1(size)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                chunk = b""
        else:
            left = self._left_bytes or 0
            chunk = self._stream.read(min(size, left))
            self._left_bytes = left - len(chunk)
        self.given += len(chunk)
        return chunk


def is_zipped(path: Path) -> bool:
    """Says whether a file is gzipped: it was rotated, and grows no more.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
