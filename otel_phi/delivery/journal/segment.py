"""Segments: the files of a journal, as their sender holds them. Their layout is drawn in `segment_file`."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal.append import Appender, Descriptor, Tally, Write
from otel_phi.delivery.journal.facts import START
from otel_phi.delivery.journal.lines import Damage, LineReader, frame, read_bytes
from otel_phi.delivery.journal.preamble import PREAMBLE_BYTES, Mark, begin, read_preamble, write_mark
from otel_phi.delivery.journal.segment_file import FLAGS, read_region, write_all

_SURVEY_BYTES = 1 << 20
_CARRIED = b'{"type":"Carried"'


class Segment:
    """A segment is one file of a journal. For the sender's thread.

    Args:
        path: the file.
        number: its number.

    Attributes:
        descriptor: for reading and for writing in place.
        tail: for appending.
        made_ns: when it was begun.
        region: what its head region held when it was opened.
        marks: newest mark of each exporter, None where there is none here.
        reader: reads its own lines.
        carried: lines that come before its own.
        next_carried: how many of these were read.
        appender: weak; dead once nothing more can be written.
        memory: the appender's, which lives on.
        rolled_at: when the next segment took its place (monotonic), None while it is current.
        sealed: nothing is written to it any more.
        finished: all of it was read.
        unwritten: bodies that belong into its head region and are not on the disk yet.
        given, facts, fragments, lost: the appender's tallies.
        entered: its first line may be read: the state before it is known.
        last: position of the last entry that was read of it.
        cuts: cut lines that were met; those that a short write of ours left are no loss.
        cut: how many short writes the sender itself made.
        after_hole: what comes before it is missing: its snapshot is to be restored.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self.descriptor = Descriptor(os.open(path, os.O_RDWR | FLAGS))
        self.tail: Descriptor | None = None
        self.preamble = read_preamble(self.descriptor.number)
        self.region = read_region(self.descriptor.number, self.preamble)
        self.marks = self.preamble.marks
        self.made_ns = self.preamble.made_ns
        self.reader = LineReader(self.descriptor.number, self._first_line())
        self.carried: list[bytes] = list(self.region.carried)
        self.next_carried = 0
        self.memory: deque[bytes] = deque()
        self.appender: Callable[[], Appender | None] = _nobody
        self.rolled_at: float | None = None
        self.sealed = self.finished = False
        self.unwritten: list[bytes] = []
        self.given, self.facts, self.fragments, self.lost = Tally(), Tally(), Tally(), Tally()
        self.entered = False
        self.last = START
        self.cut = 0
        self.cuts: list[Damage] = []
        self.after_hole = False
        self._unmarked: dict[int, int] = {}

    def _first_line(self) -> int:
        """Returns where its own lines begin: at the head region's end, unless bytes are missing before it."""
        at = self.preamble.head_end
        return at if read_bytes(self.descriptor.number, 1, at) in (b"\n", b"") else self.region.free

    def begin_now(self) -> None:
        """Writes down when it begins: now."""
        self.made_ns = wall_ns()
        begin(self.descriptor.number, self.made_ns, self.preamble.head_end)

    def publish(self, write: Write, limit_bytes: int) -> Appender:
        """Makes the appender of this segment; the caller alone holds it."""
        appender = Appender(self.appending(), write, limit_bytes)
        self.appender = weakref.ref(appender)
        self.memory = appender.memory
        self.given, self.facts, self.fragments, self.lost = (
            appender.given,
            appender.facts,
            appender.fragments,
            appender.lost,
        )
        return appender

    def appending(self) -> Descriptor:
        """Returns the descriptor that appends.

        Raises:
            OSError: the file cannot be opened.
        """
        if self.tail is None:
            self.tail = Descriptor(os.open(self.path, os.O_WRONLY | os.O_APPEND | FLAGS))
        return self.tail

    @property
    def size(self) -> int:
        """Returns the file's bytes."""
        return os.fstat(self.descriptor.number).st_size

    @property
    def is_there(self) -> bool:
        """Tells whether the file is still the one at its path."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self.descriptor.number))
        except OSError:
            return False

    def shrunk(self) -> Damage | None:
        """Returns what was cut off behind our back, of what was read already: reading goes on at the end that is left."""
        size, offset = self.size, self.reader.offset
        if size >= offset:
            return None
        self.reader.offset = size
        return Damage(size, offset - size, 1, "no line")

    def keep(self, body: bytes) -> None:
        """Writes a line of the head region: now if the disk takes it, else later."""
        self.unwritten.append(body)
        self.write_unwritten()

    def write_unwritten(self) -> bool:
        """Writes what is not on the disk yet; tells whether nothing is left."""
        self.write_marks()
        self.unwritten = [body for body in self.unwritten if not self._write(body)]
        return not self.unwritten

    def _write(self, body: bytes) -> bool:
        line = frame(body)
        sound = self._first_line() == self.preamble.head_end  # else lines of others may stand there
        room = self.preamble.head_end - self.region.free if sound else -1
        try:
            if len(line) <= room:
                # Blanks to the region's end: a line that a crash left half written there is gone.
                os.pwrite(self.descriptor.number, line.ljust(room), self.region.free)
                self.region.free += len(line)
            elif not self.append(line):
                return False
        except OSError:
            return False
        self.region.take(body)
        return True

    def append(self, line: bytes) -> bool:
        """Appends a line of the sender's own, beside the appender; False where only its beginning went in.

        Raises:
            OSError: the disk does not take it.
        """
        written = os.write(self.appending().number, line)
        self.cut += 0 < written < len(line)
        return written == len(line)

    @property
    def unwritten_carried(self) -> int:
        """Returns how many lines carried over wait in memory alone."""
        return len(self.carried) if any(body.startswith(_CARRIED) for body in self.unwritten) else 0

    def forget_carried(self) -> None:
        """Writes carried lines no more: they are settled."""
        self.unwritten = [body for body in self.unwritten if not body.startswith(_CARRIED)]

    def owe_mark(self, exporter: int, offset: int) -> None:
        """Writes how far an exporter has settled its lines; what the disk does not take is written later."""
        self._unmarked[exporter] = offset
        self.write_marks()

    def write_marks(self) -> None:
        """Writes the marks that are owed."""
        with contextlib.suppress(OSError):
            for exporter, offset in list(self._unmarked.items()):
                before = self.marks[exporter]
                mark = Mark(1 if before is None else before.sequence + 1, offset)
                write_mark(self.descriptor.number, exporter, mark)
                self.marks[exporter] = mark
                del self._unmarked[exporter]

    def bodies(self) -> Iterator[tuple[int, bytes]]:
        """Yields end and body of each sound line of the whole file, the head region's too."""
        reader = LineReader(self.descriptor.number, PREAMBLE_BYTES)
        while (found := reader.read(_SURVEY_BYTES, closed=True)).moved:
            yield from ((end, body) for _, end, body in found.lines)

    def damaged_end(self) -> Damage | None:
        """Returns what stands behind the last sound line, None where nothing does."""
        reader, last = LineReader(self.descriptor.number, self.reader.offset), None
        while (found := reader.read(_SURVEY_BYTES, closed=True)).moved:
            last = next((one for one in found.damages if one.start + one.bytes == self.size), None)
        return last

    def copy_to(self, path: Path) -> None:
        """Makes the file anew at a path from what is still open, and goes on with it.

        Raises:
            OSError: the disk does not take it.
        """
        part = path.with_suffix(".part")
        target = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | FLAGS, 0o600)
        try:
            at = 0
            while piece := read_bytes(self.descriptor.number, _SURVEY_BYTES, at):
                write_all(target, piece)
                at += len(piece)
            part.rename(path)
        except BaseException:
            os.close(target)
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        self.path, self.tail = path, None
        self.descriptor = Descriptor(target)
        self.reader.descriptor = target


def _nobody() -> None:
    return None
