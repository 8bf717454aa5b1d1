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
from typing import Protocol

import msgspec

from otel_phi.sources.converted import Converted, converted

CHUNK_BYTES = 1 << 20
# A TurnRequest holds the whole context, images included; phi-core itself has no limit. Past this a line is passed over.
MAX_LINE_BYTES = 256 << 20
GZIP_MAGIC = b"\x1f\x8b"


class Readable(Protocol):
    """A readable is anything that gives bytes piece by piece, and none at its end; it may give less than asked for."""

    def read(self, size: int, /) -> bytes:
        """Returns up to `size` bytes, b"" at the end."""


class Block(msgspec.Struct, frozen=True, gc=False):
    """A block is a run of whole lines, as one read gave them.

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


def open_lines(path: Path) -> io.BufferedReader | gzip.GzipFile | Converted:
    """Opens a file for reading its lines, gunzipping or converting it if its first bytes say that it needs that.

    Raises:
        OSError: it cannot be read.
    """
    stream = path.open("rb")
    try:
        if stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            stream.close()
            return gzip.GzipFile(path, "rb")
        stream.seek(0)
        return converted(stream) or stream
    except OSError:
        stream.close()
        raise


def read_lines(stream: Readable, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Block]:
    """Yields the lines of a stream, in blocks: a value for each line would cost more than looking at it.

    A gzip stream that breaks off, as one still being written does, ends where it breaks.
    """
    number, offset = 1, 0
    pieces: list[bytes] = []  # of the line under way; joined once, when it ends
    length, too_long = 0, False
    for chunk in chunks(stream):
        lines = chunk.split(b"\n")
        length += len(lines[0])
        too_long = too_long or length > max_line_bytes
        if too_long:
            pieces.clear()
        else:
            pieces.append(lines[0])
        if len(lines) == 1:
            continue
        tail = lines.pop()
        if too_long:
            yield Block(number, offset, [b""], too_long=True)
            number, offset = number + 1, offset + length + 1
            del lines[0]
        else:
            lines[0] = b"".join(pieces)
        if lines:
            yield Block(number, offset, lines)
            number, offset = number + len(lines), offset + sum(map(len, lines)) + len(lines)
        pieces, length, too_long = [tail], len(tail), len(tail) > max_line_bytes
    if length:
        yield Block(number, offset, [b"" if too_long else b"".join(pieces)], ended=False, too_long=too_long)


def chunks(stream: Readable) -> Iterator[bytes]:
    """Yields what a stream gives, to its end or to where it breaks."""
    # `read` of a gzip stream that breaks off gives nothing of its last chunk, `read1` all that was there.
    read = stream.read1 if isinstance(stream, gzip.GzipFile) else stream.read
    while True:
        try:
            chunk = read(CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
        if not chunk:
            return
        yield chunk
