r"""Bytes to lines: split on the newline byte alone, with offsets, gunzipped where need be.

Rule 1: only `\\n` ends a line. serde leaves U+2028, U+2029 and U+0085 as they are; `str.splitlines` would cut there.
Rule 2: memory is bounded by the longest line allowed; a longer one is passed over and reported.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, cast, overload

import msgspec

from otel_phi.sources.converted import Converted, converted
from otel_phi.sources.opened import Unzipped, open_regular

CHUNK_BYTES = 1 << 18
# A TurnRequest holds the whole context, images included; phi-core itself has no limit. Past this a line is passed over.
MAX_LINE_BYTES = 256 << 20
GZIP_MAGIC = b"\x1f\x8b"


class Readable(Protocol):
    """A readable is anything that gives bytes piece by piece, and none at its end; it may give less than asked for."""

    def read(self, size: int, /) -> bytes:
        """Returns up to `size` bytes, b"" at the end."""


class Lines(Sequence[bytes]):
    r"""Lines are the lines of a piece of bytes, cut when somebody asks for them: who passes most of them over has no need to.

    Args:
        piece: what was read.
        begin: where the first line begins in it.
        end: where the last line ends, before its newline.
    """

    __slots__ = ("_count", "_cut", "begin", "end", "piece")

    def __init__(self, piece: bytes, begin: int, end: int) -> None:
        self.piece, self.begin, self.end = piece, begin, end
        self._cut: list[bytes] | None = None
        self._count = 0

    def counted(self, count: int) -> None:
        """Takes the number of lines from who has passed over all of them."""
        self._count = count

    def __len__(self) -> int:
        if not self._count:
            self._count = self.piece.count(b"\n", self.begin, self.end) + 1
        return self._count

    def _lines(self) -> list[bytes]:
        if self._cut is None:
            self._cut = self.piece[self.begin : self.end].split(b"\n")
        return self._cut

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines())

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        return self._lines()[at]


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
    lines: Sequence[bytes]
    ended: bool = True
    too_long: bool = False

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Yields each line with where it begins, that of a file's beginning without a byte order mark."""
        position = self.offset
        for line in self.lines:
            yield position, line if position else line.removeprefix(codecs.BOM_UTF8)
            position += len(line) + 1


def open_lines(path: Path) -> io.BufferedReader | gzip.GzipFile | Converted:
    """Opens a file for reading its lines, gunzipping or converting it if its first bytes say that it needs that.

    Raises:
        OSError: it cannot be read; also while it is, if it turns out to be a gzip bomb.
    """
    stream = open_regular(path)
    try:
        if stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            stream.close()
            return _unzipped(path)
        stream.seek(0)
        return converted(stream) or stream
    except OSError:
        stream.close()
        raise


def _unzipped(path: Path) -> gzip.GzipFile | Converted:
    stream = Unzipped(open_regular(path))
    try:
        return converted(cast("BinaryIO", stream)) or stream
    except (EOFError, zlib.error, gzip.BadGzipFile):
        stream.close()  # it breaks off before it says what it is
        return Unzipped(open_regular(path))
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
        first = chunk.find(b"\n")
        length += len(chunk) if first < 0 else first
        too_long = too_long or length > max_line_bytes
        if too_long:
            pieces.clear()
        elif pieces or first < 0:
            pieces.append(chunk if first < 0 else chunk[:first])
        if first < 0:
            continue
        begin, last = 0, chunk.rfind(b"\n")
        if pieces or too_long:  # the line that began in an earlier chunk
            yield Block(number, offset, [b"".join(pieces)], too_long=too_long)
            number, offset, begin = number + 1, offset + length + 1, first + 1
        if begin <= last:
            lines = Lines(chunk, begin, last)
            yield Block(number, offset, lines)
            number, offset = number + len(lines), offset + last + 1 - begin
        length = len(chunk) - last - 1
        pieces, too_long = [chunk[last + 1 :]] if length else [], length > max_line_bytes
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
