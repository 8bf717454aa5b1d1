r"""Lines: how a fact stands in a file, and how a reader finds every undamaged one.

    \n 8f03a1c2 57 {"type":"TurnStart", ...}
    │  │        │  └ body: JSON, `length` bytes
    │  │        └ length, so that a body may hold anything
    │  └ CRC-32 of the body
    └ first, so that a line cut short by a full disk cannot swallow the next one

Rule 1: a line counts when its header, its length and its checksum agree. What does not is damage up to the next that does.
Rule 2: the last line of a file that is still written to may be unfinished: it is tried again, and is no damage.
Rule 3: blanks between lines are nothing: a segment's head region is filled with them.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple
from zlib import crc32

_HEADER = re.compile(rb"\n([0-9a-f]{8}) (\d{1,10}) ")
_CUT_HEADER = re.compile(rb"\n[0-9a-f]{0,8}(?: \d{0,10} ?)?")
_BLANKS = re.compile(rb" +")
# Whoever purges blanks a line in place, and a reader beside it may see half of that: damage is looked at again.
_LOOKS = 3
_LOOK_AGAIN_S = 0.001
_BLOCK = 4096  # a disk that cannot read says so of blocks


class Damage(NamedTuple):
    """Damage is a stretch of a file that holds no line any more.

    Attributes:
        start: its offset in the file.
        bytes: how long it is.
        lines: how many lines it was, as far as their beginnings can be seen; at least one.
        kind: `cut` (a line without its end), `checksum` (a line with other bytes) or `no line`.
    """

    start: int
    bytes: int
    lines: int
    kind: str


class Scan(NamedTuple):
    """A scan says what a stretch of bytes holds.

    Attributes:
        lines: start, end and body of each line, in order.
        damages: what lies between them.
        begin: where it begins.
        end: how far it was understood; what is behind needs more bytes, or time.
    """

    lines: list[tuple[int, int, bytes]]
    damages: list[Damage]
    begin: int
    end: int

    @property
    def moved(self) -> bool:
        """Tells whether anything was understood, be it blanks."""
        return self.end > self.begin


def frame(body: bytes) -> bytes:
    """Returns a body as a line."""
    return b"\n%08x %d %b" % (crc32(body), len(body), body)


def scan(data: bytes, base: int = 0, *, whole: bool = True, closed: bool = True) -> Scan:
    """Finds the lines of some bytes.

    Args:
        data: the bytes, from the end of a line on.
        base: their offset in the file.
        whole: the file ends where they end.
        closed: nothing is written behind them any more.
    """
    found = Scan([], [], base, base)
    at = 0
    while at < len(data):
        body = _body(data, at)
        if body is not None:
            found.lines.append((base + at, base + body[0], body[1]))
            at = body[0]
        elif (blanks := _BLANKS.match(data, at)) is not None:
            at = blanks.end()
        else:
            behind = _behind_damage(data, at, whole=whole, closed=closed)
            if behind is None:
                break
            found.damages.append(_damage(data, at, behind, base))
            at = behind
    return found._replace(end=base + at)


def _body(data: bytes, at: int) -> tuple[int, bytes] | None:
    """Returns end and body of the line that begins there, None where no sound one does."""
    found = _HEADER.match(data, at)
    if found is None:
        return None
    start = found.end()
    end = start + int(found[2])
    if end > len(data):
        return None
    body = data[start:end]
    return (end, body) if crc32(body) == int(found[1], 16) else None


def _behind_damage(data: bytes, at: int, *, whole: bool, closed: bool) -> int | None:
    """Returns where the next sound line begins, or the end of a closed file; None where it is too early to tell."""
    header = _HEADER.match(data, at)
    if header is not None and header.end() + int(header[2]) > len(data) and not whole:
        return None
    for found in _HEADER.finditer(data, at + 1):
        if _body(data, found.start()) is not None:
            return found.start()
    return len(data) if whole and closed else None


def _damage(data: bytes, start: int, end: int, base: int) -> Damage:
    header = _HEADER.match(data, start)
    if header is None:
        kind = "cut" if (_CUT_HEADER.fullmatch(data, start, end)) is not None else "no line"
    else:
        kind = "cut" if header.end() + int(header[2]) > end else "checksum"
    lines = sum(1 for _ in _HEADER.finditer(data, start, end))
    return Damage(base + start, end - start, max(lines, 1), kind)


class LineReader:
    """Reads a file's lines in order, beside those who write to it. It does not own the descriptor.

    Args:
        descriptor: the file, open for reading.
        offset: where to begin.

    Attributes:
        offset: the end of what was read.
    """

    def __init__(self, descriptor: int, offset: int) -> None:
        self.descriptor = descriptor
        self.offset = offset

    def read(self, max_bytes: int, *, closed: bool) -> Scan:
        """Returns the next lines, about `max_bytes` of them, or one that is longer.

        Args:
            max_bytes: how much to read at once.
            closed: nothing is written to the file any more.
        """
        found = self._look(max_bytes, closed=closed)
        for _ in range(_LOOKS):
            if not found.damages:
                break
            time.sleep(_LOOK_AGAIN_S)
            found = self._look(max_bytes, closed=closed)
        self.offset = found.end
        return found

    def _look(self, max_bytes: int, *, closed: bool) -> Scan:
        count = max(max_bytes, 1)
        while True:
            data = read_bytes(self.descriptor, count, self.offset)
            found = scan(data, self.offset, whole=len(data) < count, closed=closed)
            if found.moved or len(data) < count:
                return found
            count *= 2


def read_bytes(descriptor: int, count: int, offset: int) -> bytes:
    """Returns bytes of a file, fewer only where it ends; a block that the disk cannot read is zeros."""
    try:
        return _read(descriptor, count, offset)
    except OSError:
        size = min(os.fstat(descriptor).st_size - offset, count)
        return b"".join(_block(descriptor, min(_BLOCK, size - at), offset + at) for at in range(0, size, _BLOCK))


def _read(descriptor: int, count: int, offset: int) -> bytes:
    parts: list[bytes] = []
    while count > 0 and (part := os.pread(descriptor, count, offset)):
        parts.append(part)
        count -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _block(descriptor: int, count: int, offset: int) -> bytes:
    try:
        return _read(descriptor, count, offset)
    except OSError:
        return bytes(count)
