r"""Segments: the files of a journal, as their sender holds them.

    0         512                      head_end
    ┌──────────┬────────────────────────┬───────────────────────────────┬ ─ ─
    │ preamble │ Head Carried Snapshot  │ \n{crc} {length} {json} ...   │ appended by any thread, O_APPEND
    └──────────┴──────── blanks ────────┴───────────────────────────────┴ ─ ─
      marks, in place   in place           a Carried or Snapshot too large for its region stands here, anywhere

Rule 1: the head region's bytes are real before the segment is needed: a roll on a full disk needs no space.
Rule 2: its lines are written in place by the sender alone, through a descriptor that is not O_APPEND.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal.append import Appender, Descriptor, Tally, Write
from otel_phi.delivery.journal.facts import FORMAT, START, Carried, Head, Snapshot, decode_fact, encode_fact
from otel_phi.delivery.journal.lines import Damage, LineReader, frame, read_bytes, scan
from otel_phi.delivery.journal.preamble import (
    PREAMBLE_BYTES,
    Mark,
    Preamble,
    begin,
    preamble_bytes,
    read_preamble,
    write_mark,
)

# What a journal says to itself: never given to a reader; and what its sender writes beside the events.
INTERNAL = (b'{"type":"Head"', b'{"type":"Snapshot"', b'{"type":"Carried"')
OWN = (
    b'{"type":"LookedUp"',
    b'{"type":"RootClaimed"',
    b'{"type":"End"',
    b'{"type":"Purge"',
    b'{"type":"_Purged","own":true',
)
SUFFIX, RESERVE_SUFFIX = ".journal", ".reserve"
# A snapshot has 1.7 kB in the middle and 10.5 kB at most in an agent's life; a hundred open loops have 124 kB.
HEAD_BYTES = 64 << 10
# Ten thousand open loops have 12 MB: such a snapshot is appended, and on a full disk it waits.
_MOST_STATE_BYTES = 8 << 20
_PAGE = 4096
_SURVEY_BYTES = 1 << 20
_CARRIED = b'{"type":"Carried"'
FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)  # Windows has neither


def segment_name(number: int) -> str:
    """Returns a segment's file name; names sort as numbers do."""
    return f"{number:08d}{SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """Returns the numbers of a folder's segments, in order; none where it cannot be read."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # a name may be no text: no Path of it is needed
    except OSError:
        return []
    stems = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def make_segment(path: Path, head: Head, state_bytes: int = 0) -> None:
    """Makes a segment's file with its head, all bytes of its head region written.

    Args:
        path: the file; one that is there already is replaced.
        head: what it says first.
        state_bytes: how large a snapshot was lately: the next one is to fit, twice.

    Raises:
        OSError: it cannot be made; nothing is left of it.
    """
    line = frame(encode_fact(head))
    size = max(HEAD_BYTES, len(line) + min(4 * state_bytes, _MOST_STATE_BYTES))  # twice, and base64
    head_end = -(-(PREAMBLE_BYTES + size) // _PAGE) * _PAGE
    content = (preamble_bytes(head_end) + line).ljust(head_end)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)
    try:
        write_all(descriptor, content)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def is_segment(path: Path, head: Head) -> bool:
    """Tells whether a file is a whole segment with this head: a dead process's reserve, say."""
    try:
        descriptor = Descriptor(os.open(path, os.O_RDONLY | FLAGS))
        preamble = read_preamble(descriptor.number)
        found = read_region(descriptor.number, preamble).head
    except OSError:
        return False
    return preamble.head_end > PREAMBLE_BYTES and found is not None and encode_fact(found) == encode_fact(head)


def read_head(folder: Path) -> tuple[Head | None, int | None, int]:
    """Looks what a folder's journal says of itself.

    Returns:
        The head, from whichever of its files it can be read, None where it cannot or is of another format; the format
        that a first line names; when the oldest segment was begun, 0 where that cannot be read.
    """
    paths = [folder / segment_name(number) for number in segment_numbers(folder)]
    since_ns, format_ = 0, None
    for path in (*paths, *sorted(folder.glob(f"*{RESERVE_SUFFIX}"))):
        try:
            descriptor = Descriptor(os.open(path, os.O_RDONLY | FLAGS))
            preamble = read_preamble(descriptor.number)
            head = read_region(descriptor.number, preamble).head
        except OSError:
            continue
        since_ns, format_ = since_ns or preamble.made_ns, format_ or preamble.format
        if head is not None and head.format == FORMAT:
            return head, head.format, since_ns
    return None, format_, since_ns


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all of it where the descriptor stands.

    Raises:
        OSError: the disk does not take all.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


class HeadRegion(msgspec.Struct):
    """Is what a segment's head region holds.

    Attributes:
        head: None where it is damaged.
        snapshot: the state, None where there is none.
        carried: lines carried over.
        before_bytes: size of the segment before, as it was sealed; 0 where that is not known.
        free: where the next line goes.
    """

    head: Head | None = None
    snapshot: bytes | None = None
    carried: tuple[bytes, ...] = ()
    before_bytes: int = 0
    free: int = PREAMBLE_BYTES

    def take(self, body: bytes) -> bool:
        """Takes in a line if it is one of these; tells whether it was."""
        if not body.startswith(INTERNAL):
            return False
        match decode_fact(body):
            case Head() as head:
                self.head = self.head or head
            case Snapshot(state=state):
                self.snapshot = state
            case Carried(lines=lines, end=end):
                self.carried, self.before_bytes = tuple(bytes(line) for line in lines), end
            case _:
                return False
        return True


def read_region(descriptor: int, preamble: Preamble) -> HeadRegion:
    """Reads the head region; where its end is not known, what stands where it mostly is."""
    data = read_bytes(descriptor, (preamble.head_end - PREAMBLE_BYTES) or HEAD_BYTES, PREAMBLE_BYTES)
    found = HeadRegion()
    for _, end, body in scan(data, PREAMBLE_BYTES).lines:
        if found.take(body):
            found.free = end
    return found


class Segment:
    """Is one file of a journal. For the sender's thread.

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
        events: how many of these are events.
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
        self.events = self.cut = 0
        self.cuts: list[Damage] = []
        self.after_hole = False
        self._owed: dict[int, int] = {}

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
        self._owed[exporter] = offset
        self.write_marks()

    def write_marks(self) -> None:
        """Writes the marks that are owed."""
        with contextlib.suppress(OSError):
            for exporter, offset in list(self._owed.items()):
                before = self.marks[exporter]
                mark = Mark(1 if before is None else before.sequence + 1, offset)
                write_mark(self.descriptor.number, exporter, mark)
                self.marks[exporter] = mark
                del self._owed[exporter]

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
