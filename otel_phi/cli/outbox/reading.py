"""A journal read from outside: no lock is taken, nothing is changed, its owner may live and write.

    folder or file ─▶ segments, oldest first ─▶ survey: counts, damage, what stands outside a head region
                                             └▶ entries: in the order in which its sender reads them

Rule 1: files are opened at once; one that its owner deletes meanwhile is read to its end all the same.
Rule 2: the order and the positions of entries are `Journal.read`'s: the marks speak of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from otel_phi.delivery.journal.append import Descriptor
from otel_phi.delivery.journal.facts import (
    START,
    Entry,
    Head,
    LookedUp,
    Position,
    Snapshot,
    decode_fact,
)
from otel_phi.delivery.journal.lines import Damage, LineReader
from otel_phi.delivery.journal.preamble import Preamble, read_preamble
from otel_phi.delivery.journal.segment_file import (
    FLAGS,
    INTERNAL,
    OWN,
    SUFFIX,
    HeadRegion,
    read_region,
    segment_name,
    segment_numbers,
)

_READ_BYTES = 1 << 20
_PURGED = b'{"type":"_Purged"'
_LOOKED_UP = b'{"type":"LookedUp"'
_NO_EVENTS = (*INTERNAL, *OWN, _PURGED)
_FEW = 8  # not every fact has a time: one of these does
_Line = tuple[int, int, bytes]  # start, end and body
_KINDS = {"cut": "a line without its end", "checksum": "a line that was changed", "end": "its end is missing"}
_MESSAGES = 20  # for a person; the counts go on


class _Segment:
    """A segment's file, open for reading."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self.file = Descriptor(os.open(path, os.O_RDONLY | FLAGS))
        self.preamble: Preamble = read_preamble(self.file.number)
        self.region: HeadRegion = read_region(self.file.number, self.preamble)
        self.after_hole = False

    @property
    def carried(self) -> tuple[bytes, ...]:
        return self.region.carried or ()

    def reader(self) -> LineReader:
        return LineReader(self.file.number, self.preamble.head_end)


class Survey(msgspec.Struct):
    """A survey is what one pass over all lines finds.

    Attributes:
        lines: events in the files, those that were purged left out.
        waiting: of these, how many lie behind the first exporter's mark.
        waiting_bytes: their bytes.
        first_waiting: the bodies of the first of them.
        waits_in: the segment of the first of them, None if nothing waits.
        waits_since_ns: when that was begun.
        damaged_lines: lines that cannot be read any more.
        damaged_bytes: their bytes.
        missing_segments: files gone from the middle.
        messages: one a kind of damage.
        end: the end of the last line.
        looked_up: what the sender found in `known`, by the position it is about.
    """

    lines: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    first_waiting: list[bytes] = msgspec.field(default_factory=list)
    waits_in: Path | None = None
    waits_since_ns: int = 0
    damaged_lines: int = 0
    damaged_bytes: int = 0
    missing_segments: int = 0
    messages: list[str] = msgspec.field(default_factory=list)
    end: Position = START
    looked_up: dict[Position, LookedUp] = msgspec.field(default_factory=dict)

    def say(self, message: str) -> None:
        """Keeps a message, each once."""
        if message not in self.messages and len(self.messages) < _MESSAGES:
            self.messages.append(message)


class JournalReader:
    """A journal reader holds a journal's files open.

    Args:
        paths: its segments, in order.
        living: its owner lives: the last line may be unfinished.

    Attributes:
        head: what the journal says of itself, None where no file of it does.
        format: the number of the format that its first line names.
    """

    def __init__(self, paths: Sequence[Path], *, living: bool = False) -> None:
        self._living = living
        self._segments = [segment for path in paths if (segment := _opened(path)) is not None]
        heads = (segment.region.head for segment in self._segments)
        self.head: Head | None = next((head for head in heads if head is not None), None)
        self.format = next((one.preamble.format for one in self._segments if one.preamble.format is not None), None)

    @classmethod
    def of_folder(cls, folder: Path, *, living: bool = False) -> JournalReader:
        """Opens a process's folder."""
        return cls([folder / segment_name(number) for number in segment_numbers(folder)], living=living)

    @property
    def begun_ns(self) -> int:
        """When the oldest segment was begun, 0 where that cannot be read."""
        return next((segment.preamble.made_ns for segment in self._segments if segment.preamble.made_ns), 0)

    @property
    def empty(self) -> bool:
        """Whether there is no file of it."""
        return not self._segments

    @property
    def first(self) -> Position:
        """The place before the first line that is left: all before it was settled."""
        return Position(self._segments[0].number, -(1 << 62)) if self._segments else START

    def marks(self) -> list[Position]:
        """Returns how far each exporter had settled."""
        found = [START] * len(self.head.exporters if self.head is not None else ("",))
        for segment in self._segments:
            for exporter, mark in enumerate(segment.preamble.marks[: len(found)]):
                if mark is not None:
                    found[exporter] = Position(segment.number, mark.offset)
        return found

    # --- one pass over all lines ---------------------------------------------------------------------------------------

    def survey(self) -> Survey:
        """Counts all lines, and finds snapshots and carried lines that stand outside their head region."""
        found, mark = Survey(), self.marks()[0]
        for segment in self._segments:
            cuts = [damage for damage in self._lines(segment, found, mark) if damage.kind == "cut"]
            # What a short write began stands whole in the next one's carried lines; what ends the file was never written.
            following = next((one for one in self._segments if one.number == segment.number + 1), None)
            size = os.fstat(segment.file.number).st_size
            # How large it was when it was sealed stands in the next one, if the journal's format says so.
            if (missing := getattr(following and following.region, "before_bytes", 0) - size) > 0:
                _count(found, segment, Damage(size, missing, 1, "end"))
            if following is None or not following.carried:
                for damage in (one for one in cuts if one.start + one.bytes < size):
                    _count(found, segment, damage)
            self._carried(segment, found, mark)
        self._find_holes(found)
        return found

    def _lines(self, segment: _Segment, found: Survey, mark: Position) -> list[Damage]:
        """Counts a segment's own lines; returns its damage that is not counted yet."""
        reader, cuts = segment.reader(), []
        settled = 1 << 62 if segment.number < mark.segment else mark.offset if segment.number == mark.segment else -1
        closed = not (self._living and segment is self._segments[-1])
        while (some := reader.read(_READ_BYTES, closed=closed)).moved:
            for damage in some.damages:
                if damage.kind == "cut":
                    cuts.append(damage)
                else:
                    _count(found, segment, damage)
            lines = [line for line in some.lines if not line[2].startswith(_NO_EVENTS)]
            if len(lines) < len(some.lines):
                _take_others(segment, found, [line for line in some.lines if line[2].startswith(_NO_EVENTS)])
            found.lines += len(lines)
            if lines:
                found.end = max(found.end, Position(segment.number, lines[-1][1]))
                self._wait(segment, found, [line for line in lines if line[1] > settled])
        return cuts

    def _carried(self, segment: _Segment, found: Survey, mark: Position) -> None:
        first = 1 - len(segment.carried)
        bodies = [
            (number, body) for number, body in enumerate(segment.carried, first) if not body.startswith(_NO_EVENTS)
        ]
        found.lines += len(bodies)
        if segment.carried:
            found.end = max(found.end, Position(segment.number, 0))
        waiting = [(0, len(body), body) for number, body in bodies if Position(segment.number, number) > mark]
        self._wait(segment, found, waiting)

    def _wait(self, segment: _Segment, found: Survey, lines: Sequence[_Line]) -> None:
        """Counts lines that wait."""
        if not lines:
            return
        if found.waits_in is None:
            found.waits_in, found.waits_since_ns = segment.path, segment.preamble.made_ns
            found.first_waiting = [body for _, _, body in lines[:_FEW]]
        found.waiting += len(lines)
        found.waiting_bytes += sum([end - start for start, end, _ in lines])

    def _find_holes(self, found: Survey) -> None:
        before, broken = 0, False
        for index, segment in enumerate(self._segments):
            gap = segment.number - before - 1 if index else 0
            has_state = segment.region.snapshot is not None
            if gap:
                found.missing_segments += gap
                found.say(f"segments are missing before {segment.path.name}")
            if segment.region.head is None:
                found.damaged_lines += 1
                found.say(f"{segment.path.name}: a head that was changed")
            if index == 0 and segment.number > 1 and not has_state:
                found.damaged_lines += 1
                found.say(f"{segment.path.name}: no snapshot of what was open before it")
                broken = True
            segment.after_hole = bool(gap or (index and broken)) and has_state
            broken = (broken or bool(gap)) and not has_state
            before = segment.number

    # --- entries -------------------------------------------------------------------------------------------------------

    def latest_state(self) -> tuple[int, bytes | None]:
        """Returns where the newest snapshot stands, as an index for `entries`, and it; after `survey`."""
        for index in range(len(self._segments) - 1, -1, -1):
            if (state := self._segments[index].region.snapshot) is not None:
                return index, state
        return 0, None

    def first_state(self) -> bytes | None:
        """Returns the state before the first entry, None for an empty one."""
        return self._segments[0].region.snapshot if self._segments else None

    def entries(self, begin: int = 0, wanted: Callable[[bytes], bool] = lambda _: True) -> Iterator[Entry]:
        """Yields entries in order; after `survey`. A `Snapshot` among them says that there is a hole before it.

        Args:
            begin: index of the first segment.
            wanted: tells by its body whether a line is to be decoded at all.
        """
        for index, segment in enumerate(self._segments):
            if index < begin:
                continue
            if index > begin and segment.after_hole and segment.region.snapshot is not None:
                yield Entry(Position(segment.number, -len(segment.carried)), Snapshot(state=segment.region.snapshot))
            for number, body in enumerate(segment.carried, 1 - len(segment.carried)):
                if wanted(body):
                    yield Entry(Position(segment.number, number), decode_fact(body))
            yield from _own_entries(segment, wanted)


def _own_entries(segment: _Segment, wanted: Callable[[bytes], bool]) -> Iterator[Entry]:
    reader = segment.reader()
    while (some := reader.read(_READ_BYTES, closed=True)).moved:
        for _, end, body in some.lines:
            if not body.startswith(INTERNAL) and wanted(body):
                yield Entry(Position(segment.number, end), decode_fact(body))


def _take_others(segment: _Segment, found: Survey, lines: Sequence[_Line]) -> None:
    """Takes lines that are no events: what the journal says to itself, and what its sender wrote."""
    for _, end, body in lines:
        if segment.region.take(body):
            continue
        found.end = max(found.end, Position(segment.number, end))
        if body.startswith(_LOOKED_UP) and isinstance(fact := decode_fact(body), LookedUp):
            found.looked_up[fact.at] = fact


def _opened(path: Path) -> _Segment | None:
    number = path.name.removesuffix(SUFFIX)
    try:
        return _Segment(path, int(number) if number.isascii() and number.isdigit() else 1)
    except FileNotFoundError:  # its owner was done with it
        return None


def _count(found: Survey, segment: _Segment, damage: Damage) -> None:
    found.damaged_lines += damage.lines
    found.damaged_bytes += damage.bytes
    found.say(f"{segment.path.name}: {_KINDS.get(damage.kind, 'bytes that are no line')}")
