"""The bytes of a saved session, from any place on, without holding them: plain, gzipped or converted.

Rule 1: a plain file is opened again for each piece, unless it is kept open: a folder can hold more than a process may open.
Rule 2: a file that was written anew between two looks is not read on: its places are those of another content.
Rule 3: a file that cannot be entered midway is read forward; who comes to a later place goes on where the one before stopped.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from otel_phi.sources.converted import Converted
from otel_phi.sources.lines import open_lines
from otel_phi.sources.pieces import PIECE_BYTES, Unreadable

BROKE_OFF = "the gzip stream ends early"
_Forward = gzip.GzipFile | Converted | io.BytesIO


class Changed(Exception):  # noqa: N818
    """Says that a file was written anew while it was read."""


class SessionContent:
    """Gives the content of a file.

    Args:
        path: the file.
        kept: keep it open, so that one put in its place does not matter.

    Attributes:
        size_bytes: of the content, as far as it was read by now.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, *, kept: bool = False) -> None:
        self._path = path
        self.size_bytes = 0
        self._kept: int | None = None
        self._idle: tuple[int, _Forward] | None = None
        self._identity = _identity(path.stat())
        with open_lines(path) as stream:
            self._is_plain = isinstance(stream, io.BufferedReader)
        if (
            kept and self._is_plain and os.name == "posix"
        ):  # elsewhere an open file cannot be put another in the place of
            self._kept = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        """Lets go of the file. Repeatable."""
        kept, self._kept = self._kept, None
        if kept is not None:
            os.close(kept)
        idle, self._idle = self._idle, None
        if idle is not None:
            idle[1].close()

    def __del__(self) -> None:
        """Closes what nobody closed: who reads a folder need not read all of it."""
        self.close()

    def reader(self, offset: int) -> Reader:
        """Returns what reads from a place on; to be closed."""
        return _Plain(self._piece, offset) if self._is_plain else _Zipped(self, offset)

    def _piece(self, offset: int, size: int) -> bytes:
        if self._kept is not None:
            return self._read(self._kept, offset, size)
        descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return self._read(descriptor, offset, size)
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, offset: int, size: int) -> bytes:
        if _identity(os.fstat(descriptor)) != self._identity:
            raise Changed
        os.lseek(descriptor, offset, os.SEEK_SET)
        piece = os.read(descriptor, size)
        self.size_bytes = max(self.size_bytes, offset + len(piece))
        return piece

    def forward(self, offset: int) -> tuple[int, _Forward]:
        """Returns a stream that is not past a place, and where it is."""
        idle, self._idle = self._idle, None
        if idle is not None and idle[0] <= offset:
            return idle
        if idle is not None:
            idle[1].close()
        if _identity(self._path.stat()) != self._identity:
            raise Changed
        stream = open_lines(self._path)
        if isinstance(stream, io.BufferedReader):
            stream.close()
            raise Changed
        return 0, stream

    def rest(self, position: int, stream: _Forward) -> None:
        """Takes a stream back; of two the one that got less far is kept: it is past fewer places."""
        idle = self._idle
        if idle is not None and idle[0] <= position:
            stream.close()
            return
        self._idle = position, stream
        if idle is not None:
            idle[1].close()


class Reader:
    """A reader gives a content piece by piece."""

    def read(self, size: int) -> bytes:
        """Returns up to so many bytes, b"" at the end.

        Raises:
            Changed: the file was written anew meanwhile.
            Unreadable: it breaks off.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Ends the reading."""


class _Plain(Reader):
    def __init__(self, piece: Callable[[int, int], bytes], offset: int) -> None:
        self._piece, self._offset = piece, offset

    def read(self, size: int) -> bytes:
        found = self._piece(self._offset, size)
        self._offset += len(found)
        return found


class _Zipped(Reader):
    def __init__(self, content: SessionContent, offset: int) -> None:
        self._content = content
        self._position, self._stream = content.forward(offset)
        while self._position < offset and self._next(min(offset - self._position, PIECE_BYTES)):
            pass

    def read(self, size: int) -> bytes:
        return self._next(size)

    def _next(self, size: int) -> bytes:
        try:
            found = self._stream.read1(size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise Unreadable(BROKE_OFF) from None
        self._position += len(found)
        self._content.size_bytes = max(self._content.size_bytes, self._position)
        return found

    def close(self) -> None:
        self._content.rest(self._position, self._stream)


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
