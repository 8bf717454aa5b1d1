r"""The preamble: a segment's first 512 bytes, what a file manager sees first, and the marks of what is acknowledged.

      0  otel-phi journal 1\n                  magic and number of the format
     19  {made_ns:020} {head_end:010}\n        when it was begun; where the head region ends and the lines begin
    128  8 exporters x 2 marks of 24 bytes     <Q sequence, <q offset, <I CRC-32 of both, 4 unused

A mark is written in place, over the older of the exporter's two: one that was torn leaves the other.
"""

from __future__ import annotations

import os
import re
import struct
from typing import NamedTuple
from zlib import crc32

from otel_phi.delivery.journal.facts import FORMAT
from otel_phi.delivery.journal.lines import read_bytes

PREAMBLE_BYTES = 512  # a sector: disks write one whole
EXPORTERS = 8
_MAGIC = b"otel-phi journal %d\n"
_TIMES_AT = len(_MAGIC % FORMAT)
_MARKS_AT = 128
_MARK = struct.Struct("<QqI4x")
_SUM = struct.Struct("<Qq")
_FIRST_LINE = re.compile(rb"otel-phi journal (\d{1,9})\n")
_TIMES = re.compile(rb"(\d{20}) (\d{10})\n")


class Mark(NamedTuple):
    """A mark is how far an exporter's spans are settled in one segment: the end of a line, as in a `Position`."""

    sequence: int
    offset: int


class Preamble(NamedTuple):
    """A preamble says what a segment is, when it was begun and how far it is settled.

    Attributes:
        format: the format's number, None where the first line is not ours.
        made_ns: when the segment was begun, 0 where that cannot be read.
        head_end: where its lines begin; the preamble's own end where that cannot be read.
        marks: by exporter, None where there is none.
    """

    format: int | None
    made_ns: int
    head_end: int
    marks: list[Mark | None]


def preamble_bytes(head_end: int) -> bytes:
    """Returns the preamble of a segment that is not begun yet."""
    return (_MAGIC % FORMAT + _times(0, head_end)).ljust(_MARKS_AT).ljust(PREAMBLE_BYTES, b"\0")


def _times(made_ns: int, head_end: int) -> bytes:
    return b"%020d %010d\n" % (made_ns, head_end)


def begin(descriptor: int, made_ns: int, head_end: int) -> None:
    """Writes down when a segment begins."""
    os.pwrite(descriptor, _times(made_ns, head_end), _TIMES_AT)


def read_preamble(descriptor: int) -> Preamble:
    """Reads a preamble, damaged or not."""
    data = read_bytes(descriptor, PREAMBLE_BYTES, 0)
    first, times = _FIRST_LINE.match(data), _TIMES.match(data, _TIMES_AT)
    size = os.fstat(descriptor).st_size
    made_ns, head_end = (int(times[1]), int(times[2])) if times else (0, 0)
    if not PREAMBLE_BYTES <= head_end <= size:
        head_end = PREAMBLE_BYTES
    marks = [_newest(data, exporter) for exporter in range(EXPORTERS)]
    return Preamble(int(first[1]) if first else None, made_ns, head_end, marks)


def _newest(data: bytes, exporter: int) -> Mark | None:
    found = (_mark(data, _slot(exporter, turn)) for turn in (0, 1))
    return max((mark for mark in found if mark is not None), default=None)


def _mark(data: bytes, at: int) -> Mark | None:
    if len(data) < at + _MARK.size:
        return None
    sequence, offset, checksum = _MARK.unpack_from(data, at)
    return Mark(sequence, offset) if crc32(_SUM.pack(sequence, offset)) == checksum else None


def _slot(exporter: int, sequence: int) -> int:
    return _MARKS_AT + (exporter * 2 + sequence % 2) * _MARK.size


def write_mark(descriptor: int, exporter: int, mark: Mark) -> None:
    """Writes a mark in place.

    Raises:
        OSError: the disk does not take it; the mark before is still there.
    """
    data = _MARK.pack(mark.sequence, mark.offset, crc32(_SUM.pack(mark.sequence, mark.offset)))
    os.pwrite(descriptor, data, _slot(exporter, mark.sequence))
