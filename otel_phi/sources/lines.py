r"""Bytes to lines: split on the newline byte alone, with offsets, gunzipped where need be.

Rule 1: only `\\n` ends a line. serde leaves U+2028, U+2029 and U+0085 as they are; `str.splitlines` would cut there.
Rule 2: memory is bounded by the longest line allowed; a longer one is passed over and reported.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

CHUNK_BYTES = 1 << 20
# A TurnRequest holds the whole context, images included; phi-core itself has no limit. Past this a line is passed over.
MAX_LINE_BYTES = 256 << 20
GZIP_MAGIC = b"\x1f\x8b"


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
    raw = path.open("rb")
    magic = raw.read(2)
    raw.seek(0)
    return cast("BinaryIO", gzip.GzipFile(fileobj=_Owned(raw), mode="rb")) if magic == GZIP_MAGIC else raw


class _Owned(io.BufferedReader):
    """Is a file that a GzipFile closes with itself: `GzipFile` leaves a `fileobj` open."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(cast("io.RawIOBase", raw))


def read_lines(stream: BinaryIO, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
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


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            chunk = stream.read1(CHUNK_BYTES) if hasattr(stream, "read1") else stream.read(CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
        if not chunk:
            return
        yield chunk
