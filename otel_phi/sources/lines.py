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


class Line(msgspec.Struct, frozen=True, gc=False):
    """Is one line of a file.

    Attributes:
        number: from 1.
        offset: of its first byte, in the (unzipped) file.
        data: its bytes without the newline; empty for one that was too long.
        ended: whether a newline ended it; the last line of a file still being written has none.
        too_long: whether it was passed over.
    """

    number: int
    offset: int
    data: bytes
    ended: bool = True
    too_long: bool = False


def open_lines(path: Path) -> BinaryIO:
    """Opens a file for reading, gunzipping it if its first bytes say that it is gzipped.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        zipped = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast("BinaryIO", gzip.open(path, "rb")) if zipped else path.open("rb")


def read_lines(stream: Readable, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Yields the lines of a stream.

    A gzip stream that breaks off, as one still being written does, ends where it breaks.
    """
    number, offset, rest, skipping = 1, 0, b"", False
    for chunk in _chunks(stream):
        pieces = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = pieces.pop()
        for piece in pieces:
            yield Line(number, offset, b"" if skipping else piece, too_long=skipping)
            number, offset, skipping = number + 1, offset + len(piece) + 1, False
        if len(rest) > max_line_bytes:
            offset, rest, skipping = offset + len(rest), b"", True
    if rest or skipping:
        yield Line(number, offset, b"" if skipping else rest, ended=False, too_long=skipping)


def _chunks(stream: Readable) -> Iterator[bytes]:
    while True:
        try:
            chunk = stream.read(CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
        if not chunk:
            return
        yield chunk
