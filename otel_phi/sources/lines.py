r"""Bytes to lines: split on the newline byte alone, with offsets, gunzipped where need be.

Rule 1: only `\\n` ends a line. serde leaves U+2028, U+2029 and U+0085 as they are; `str.splitlines` would cut there.
Rule 2: memory is bounded by the longest line allowed; a longer one is passed over and reported.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import msgspec

CHUNK_BYTES = 1 << 20
# A TurnRequest holds the whole context, images included; phi-core itself has no limit. Past this a line is passed over.
MAX_LINE_BYTES = 256 << 20
GZIP_MAGIC = b"\x1f\x8b"


class Readable(Protocol):
    """Is anything that gives bytes piece by piece, and none at its end; it may give less than asked for."""

    def read(self, size: int, /) -> bytes:
        """Returns up to `size` bytes, b"" at the end."""


class Block(msgspec.Struct, frozen=True, gc=False):
    """Is a run of whole lines, as one read gave them.

    Attributes:
        number: of the first line, from 1.
        offset: of its first byte, in the (unzipped) file.
        lines: the lines' bytes, without newlines.
        ended: whether a newline ended the last one; the last line of a file still being written has none.
        too_long: whether this stands for one line that was passed over; its bytes are not here.
    """

    number: int
    offset: int
    lines: list[bytes]
    ended: bool = True
    too_long: bool = False

    def offset_of(self, index: int) -> int:
        """Returns where a line of the block begins in the file."""
        return self.offset + sum(len(line) + 1 for line in self.lines[:index])


def open_lines(path: Path) -> BinaryIO:
    """Opens a file for reading, gunzipping it if its first bytes say that it is gzipped.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        zipped = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast("BinaryIO", gzip.open(path, "rb")) if zipped else path.open("rb")


def read_lines(stream: Readable, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Block]:
    """Yields the lines of a stream, in blocks: a value for each line would cost more than looking at it.

    A gzip stream that breaks off, as one still being written does, ends where it breaks.
    """
    number, offset, rest, skipping = 1, 0, b"", False
    for chunk in _chunks(stream):
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = lines.pop()
        if lines and skipping:
            yield Block(number, offset, [b""], too_long=True)
            number, offset, skipping = number + 1, offset + len(lines.pop(0)) + 1, False
        if lines:
            yield Block(number, offset, lines)
            number, offset = number + len(lines), offset + sum(map(len, lines)) + len(lines)
        if len(rest) > max_line_bytes:
            offset, rest, skipping = offset + len(rest), b"", True
    if rest or skipping:
        yield Block(number, offset, [b"" if skipping else rest], ended=False, too_long=skipping)


def _chunks(stream: Readable) -> Iterator[bytes]:
    while True:
        try:
            chunk = stream.read(CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
        if not chunk:
            return
        yield chunk
