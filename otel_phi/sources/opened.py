"""How a file is opened for reading: only a regular one, without ever waiting for a writer; gunzipped, unless it is a bomb.

Rule 1: a FIFO, a socket or a device is never read: it could block, has no end, or gives its content once.
Rule 2: what a few kB of gzip unpack to has a bound: a file that unpacks to hundreds of times its size holds no session.
"""

from __future__ import annotations

import errno
import gzip
import io
import stat
import sys
from pathlib import Path
from typing import BinaryIO

# DEFLATE packs at most 1,032 to 1. Real sessions are packed 5 to 15 to 1, made-up ones of thousands of equal deltas 200 to 1.
MOST_UNPACKED = 400
# Before so much is unpacked nobody asks: it is what a bomb costs at most, in a single line of it.
_UNASKED_BYTES = 16 << 20
_PIECE_BYTES = 1 << 20
_AHEAD_BYTES = 128 << 10  # that gzip reads before it has need of them, from Python 3.12 on
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)
# What an error of the operating system means to whoever gave the path; anything else it says itself.
_WORDS = {
    errno.ELOOP: "a loop of links",
    errno.ENOENT: "no such file or folder",
}


class NotRegular(OSError):  # noqa: N818
    """Says that something is no file that can be read twice, and what it is."""


class Bomb(OSError):  # noqa: N818
    """Says that a gzipped file unpacks to far more than any session does."""


def open_regular(path: Path) -> io.BufferedReader:
    """Opens a regular file for reading.

    Raises:
        NotRegular: it is something else.
        OSError: it cannot be read.
    """
    refuse_irregular(path.stat().st_mode)
    return path.open("rb")


def refuse_irregular(mode: int) -> None:
    """Refuses what is no regular file.

    Raises:
        NotRegular: it is none.
    """
    if not stat.S_ISREG(mode):
        kind = next((words for holds, words in _KINDS if holds(mode)), "no file")
        raise NotRegular(errno.EINVAL, f"{kind}, which cannot be read twice")


def why(error: OSError) -> str:
    """Returns in words why a file cannot be read."""
    return _WORDS.get(error.errno or 0) or error.strerror or str(error)


class Unzipped(gzip.GzipFile):
    """An unzipped file is read through gzip, as far as it is no bomb.

    Args:
        stream: the gzipped bytes, at their beginning; closed with this.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._packed = stream
        self._given = 0

    def read(self, size: int | None = -1) -> bytes:
        """Returns up to so many bytes, see `gzip.GzipFile.read`.

        Raises:
            Bomb: it is one.
        """
        left = sys.maxsize if size is None or size < 0 else size
        pieces: list[bytes] = []
        while left > 0 and (piece := self.read1(min(left, _PIECE_BYTES))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, see `gzip.GzipFile.seek`; what is read again does not count twice."""
        if offset == 0 and whence == io.SEEK_SET:
            self._given = 0
        return super().seek(offset, whence)

    def read1(self, size: int = -1) -> bytes:
        """Returns what one read of the gzipped bytes gives, see `gzip.GzipFile.read1`.

        Raises:
            Bomb: it is one.
        """
        return self._counted(super().read1(size))

    def _counted(self, piece: bytes) -> bytes:
        self._given += len(piece)
        if self._given > max(_UNASKED_BYTES, MOST_UNPACKED * (self._packed.tell() - _AHEAD_BYTES)):
            raise Bomb(errno.EFBIG, f"unpacks to more than {MOST_UNPACKED} times its size, as no session does")
        return piece

    def close(self) -> None:
        """Closes the file."""
        try:
            super().close()
        finally:
            self._packed.close()


def refuse_bomb(path: Path) -> None:
    """Refuses a gzipped file that shows itself to be a bomb by its beginning.

    Raises:
        Bomb: it is one.
        OSError: it cannot be read.
    """
    with Unzipped(open_regular(path)) as stream:
        left = 2 * _UNASKED_BYTES
        while left > 0 and (piece := stream.read1(1 << 20)):
            left -= len(piece)
