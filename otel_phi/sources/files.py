"""A file read in pieces without keeping it open: a folder can hold more logs than a process may open files."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from otel_phi.sources.converted import Converted
from otel_phi.sources.lines import open_lines

_ONE_FILE_BYTES = 1 << 20
_MANY_FILES_BYTES = 1 << 16
_MANY_FILES = 64  # from here the pieces are small: all files of a folder can be under way at once


class FileChunks:
    """Reads a file piece by piece, opening it anew for each; a gzipped or converted one stays open, since it cannot be entered midway.

    Args:
        path: the file.
        chunk_bytes: how much to read at once.
        limit_bytes: where to stop, though the file may have grown; None for its end. A gzipped or converted file is read to its end.

    Attributes:
        read_bytes: bytes of the file read so far (compressed ones for a gzipped file).
        broke_off: whether a gzipped file ended before its end, or is damaged.
    """

    def __init__(self, path: Path, chunk_bytes: int = _ONE_FILE_BYTES, limit_bytes: int | None = None) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._chunk_bytes = chunk_bytes
        self.read_bytes = 0
        self.broke_off = False
        stream = open_lines(path)
        self._whole = stream if isinstance(stream, gzip.GzipFile | Converted) else None
        if self._whole is None:
            stream.close()  # a plain file is opened again for each piece

    @staticmethod
    def size_for(files: int) -> int:
        """Returns how much to read at once when so many files are under way."""
        return _ONE_FILE_BYTES if files < _MANY_FILES else _MANY_FILES_BYTES

    def read(self, _size: int = -1, /) -> bytes:
        """Returns the next piece, empty at the end of the file."""
        if self._whole is not None:
            return self._read_whole(self._whole)
        size = self._chunk_bytes
        if self._limit_bytes is not None:
            size = min(size, self._limit_bytes - self.read_bytes)
        with self._path.open("rb") as stream:
            stream.seek(self.read_bytes)
            chunk = stream.read(max(size, 0))
        self.read_bytes += len(chunk)
        return chunk

    def _read_whole(self, stream: gzip.GzipFile | Converted) -> bytes:
        self.read_bytes = self._path.stat().st_size
        chunk = b""
        try:
            chunk = stream.read1(self._chunk_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.broke_off = True
            raise
        finally:
            if not chunk:
                stream.close()
        return chunk
