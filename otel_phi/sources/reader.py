"""Lines to events: JSONL of AgentEvents, phi-core's event log, server-sent events. One bad line costs itself alone.

Rule 1: what a line is, its content says: `{"ordinal": ..., "event": ...}` is a log line, `data: ` in front server-sent; what a
        container's log or the journal puts around a line is taken off, and lines that it cut are joined.
Rule 2: a process killed while it wrote leaves half a line, to which the next one appends: the half is lost, the rest is read.
        However many halves there are, it is one bad line.
Rule 3: an ordinal that starts again, or leaves a gap, is counted; the events are taken as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from otel_phi.sources.lines import MAX_LINE_BYTES, Block, Lines, open_lines, read_lines
from otel_phi.sources.wrappings import Joiner, unwrapped
from otel_phi.wire.decode import KNOWN_TYPES, Undecodable, decode_event, decode_log_line
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.lean import decode_lean, decode_lean_lines, decode_lean_log_line

# Where a line can have been appended to half a line. Inside a JSON string a quote is escaped, so these begin objects, and no
# object within an event has a `type` of these.
_GLUED = re.compile(rb'(?<!^)\{(?:"ordinal":|"type":"(?:' + "|".join(sorted(KNOWN_TYPES)).encode() + rb')")')
_APPENDED = re.compile(rb'\{"(?:type|ordinal)":').search  # where one may be, cheaply
# So many crashes on one line; then the line is given up.
_MAX_HALVES = 16
_OBJECT, _TYPE = b'{"ordinal":', b'{"type":"'
_BEGINS = b'{"'  # begins an object with keys
_TYPE_WITHIN = 48  # an event log puts `{"ordinal":N,"event":` in front
# What no span shows: deltas, placeholders, partial results. Most of the lines of a streamed session.
_NOWHERE = tuple(
    b'{"type":"%s"' % kind for kind in (b"MessageUpdate", b"MessageStart", b"ToolExecutionUpdate", b"ProgressMessage")
)
_DELTA = _NOWHERE[0]
_NEXT_DELTA = b"\n" + _DELTA
_RUN_BYTES = (
    1 << 16
)  # lines decoded at one go: they are in the processor's cache, and one bad line among them costs little
_UNUSUAL = Undecodable("not as phi-core writes it")
_MARK = b"\xef\xbb\xbf"  # a byte order mark
_SSE_DATA = b"data:"
_SSE_OTHER = (
    b":",
    b"event:",
    b"id:",
    b"retry:",
)  # a colon alone begins a comment: axum keeps connections alive with it


class BadLine(msgspec.Struct, frozen=True):
    """A bad line is one that is no event; one without a number is a whole file that cannot be read.

    Attributes:
        source: the file, or `-`.
        line: its number, from 1; 0 for the file itself.
        offset: of its first byte in the file.
        length: its length in bytes.
        reason: why; never quotes the line.
    """

    source: str
    line: int
    offset: int
    length: int
    reason: str

    def __str__(self) -> str:
        if not self.line:
            return f"{self.source}: {self.reason}"
        return f"{self.source}:{self.line} (byte {self.offset}): {self.reason}"


class Place(NamedTuple):
    """Says where a line stands: the block it came in, and its index there."""

    block: Block
    at: int

    @property
    def ended(self) -> bool:
        """Whether a newline ended the line."""
        return self.block.ended or self.at < len(self.block.lines) - 1


class EventReader:
    """Reads the events of one source, counting what it meets.

    Args:
        source: the file's name as it is to be reported.
        for_spans: leave out, undecoded, the events that no span shows: `MessageUpdate`, `MessageStart`,
            `ToolExecutionUpdate` and `ProgressMessage`.
        on_bad_line: called with each line that is no event.
        content: whether the events are to have their content; without it those of every turn are `wire.lean`'s.

    Attributes:
        counts: `events`, `left_out`, `bad_lines`, `restarts` and `missing` (ordinals of an event log).
        ordinal: of the latest line, 0 for none.
    """

    def __init__(
        self,
        source: str,
        *,
        for_spans: bool = False,
        on_bad_line: Callable[[BadLine], None] | None = None,
        content: bool = True,
    ) -> None:
        self.source = source
        self._content = content
        self._decode_event = decode_event if content else decode_lean
        self._decode_logged = decode_log_line if content else decode_lean_log_line
        self.counts: Counter[str] = Counter()
        self._for_spans = for_spans
        self._on_bad_line = on_bad_line
        self.ordinal = 0
        self._joiner = Joiner(MAX_LINE_BYTES)
        self._last_bad: tuple[Block | None, int, int] = (None, 0, 0)  # block, index and offset: the next is counted on

    def read(self, blocks: Iterable[Block]) -> Iterator[AgentEvent]:
        """Yields the events of some lines, in order."""
        for block in blocks:
            lines = block.lines
            if not self._for_spans:
                yield from self._read_lines(block, enumerate(lines))
            elif isinstance(lines, Lines) and not lines.piece.startswith(_OBJECT, lines.begin):
                yield from self._read_piece(block, lines)
            else:
                yield from self._read_lines(block, self._shown(lines))

    def _read_lines(self, block: Block, lines: Iterable[tuple[int, bytes]]) -> Iterator[AgentEvent]:
        """Yields the events of some lines of a block, each with its index there."""
        decode, known = self._decode_event, 0
        for index, data in lines:
            event = decode(data) if data.startswith(_TYPE) else self._decode_log_line(data)
            if event.__class__ is not Undecodable:
                known += 1
                yield event  # type: ignore[misc]  # the line above says so, at a tenth of isinstance's cost
            else:
                yield from self._unusual(Place(block, index), data)
        self.counts["events"] += known

    def _read_piece(self, block: Block, lines: Lines) -> Iterator[AgentEvent]:
        """Reads the lines of a piece where they lie: deltas are passed over, what is between them is decoded at one go if it can be."""
        piece, start, last, number = lines.piece, lines.begin, lines.end, 0
        while start <= last:
            if piece.startswith(_DELTA, start):
                passed, start, end = _pass_over(piece, start, last)
                self.counts["left_out"] += passed
                number += passed
            else:
                end = _end_of_run(piece, start, last)
            if start > last:
                break
            run = piece[start:end]
            start = end + 1
            found = None if self._content else decode_lean_lines(run)
            if found is None:
                cut = run.split(b"\n")
                yield from self._read_lines(block, self._shown(cut, number))
                number += len(cut)
            else:
                events, count = found
                yield from events
                self.counts["events"] += len(events)
                self.counts["left_out"] += count - len(events)
                number += count
        lines.counted(number)

    def _shown(self, lines: Iterable[bytes], first: int = 0) -> Iterator[tuple[int, bytes]]:
        """Leaves out the lines of events that no span shows; one in which another may hide is kept, to be read in full."""
        for index, line in enumerate(lines, first):
            logged = line.startswith(_OBJECT)
            start = line.find(_TYPE, 1, _TYPE_WITHIN) if logged else 0
            if start < 0 or not line.startswith(_NOWHERE, start) or _APPENDED(line, start + 1) is not None:
                yield index, line
                continue
            self.counts["left_out"] += 1
            if logged:
                self._count_ordinal(_ordinal_of(line))  # it counts all the same

    def _decode_log_line(self, data: bytes) -> AgentEvent | Undecodable:
        if not data.startswith(_OBJECT):
            return _UNUSUAL
        ordinal, event = self._decode_logged(data)
        if event.__class__ is not Undecodable:
            self._count_ordinal(ordinal)
        return event

    def _count_ordinal(self, ordinal: int | None) -> None:
        if ordinal is None:
            return
        if ordinal <= self.ordinal:
            self.counts["restarts"] += 1
        else:
            self.counts["missing"] += ordinal - self.ordinal - 1
        self.ordinal = ordinal

    def _unusual(self, line: Place, data: bytes) -> Iterable[AgentEvent]:
        """Reads a line that is not an event as phi-core writes it: spaced, server-sent, broken, empty."""
        whole = self._joiner.joined(unwrapped(data.removeprefix(_MARK)))
        if whole is None:  # it goes on in the next line
            return ()
        payload = _sent(whole)
        if not payload:
            if line.block.too_long:
                self._bad(line, 0, "longer than a line may be")
            return ()
        event, half = self._decode(payload), 0
        reason = event.reason if isinstance(event, Undecodable) else ""
        for glued in islice(_GLUED.finditer(payload) if reason else (), _MAX_HALVES):
            half = glued.start()
            event = self._decode(payload[half:])
            if not isinstance(event, Undecodable):
                break
        if isinstance(event, Undecodable):
            self._bad(line, len(data), reason if line.ended else f"half a line at the end: {reason}")
            return ()
        if half:
            self._bad(line, half, "half a line, the next one appended to it")
        self.counts["events"] += 1
        return (event,)

    def _decode(self, payload: bytes) -> AgentEvent | Undecodable:
        """Decodes an event or a log line, its keys in any order."""
        if b'"ordinal"' in payload:
            ordinal, event = decode_log_line(payload)
            self._count_ordinal(ordinal)
            if ordinal is not None:
                return event
        return decode_event(payload)

    def _bad(self, line: Place, length: int, reason: str) -> None:
        self.counts["bad_lines"] += 1
        if self._on_bad_line is not None:
            offset = self._offset(line)
            self._on_bad_line(BadLine(self.source, line.block.number + line.at, offset, length, reason))

    def _offset(self, line: Place) -> int:
        block, at, offset = self._last_bad
        if block is not line.block:
            at, offset = 0, line.block.offset
        offset += sum(len(data) + 1 for data in line.block.lines[at : line.at])
        self._last_bad = (line.block, line.at, offset)
        return offset


def _end_of_run(piece: bytes, start: int, last: int) -> int:
    """Returns where a run of lines ends: before the next delta, or where it becomes long."""
    most = min(start + _RUN_BYTES, last)
    end = piece.find(_NEXT_DELTA, start, most + len(_NEXT_DELTA))
    if end < 0 and most < last:
        end = piece.rfind(b"\n", start, most)
        if end < 0:
            end = piece.find(b"\n", most, last)
    return last if end < 0 or end > last else end


def _pass_over(piece: bytes, start: int, last: int) -> tuple[int, int, int]:
    """Passes over deltas without cutting them out: those of one message are alike up to the text that each adds.

    A line that begins as the one before it (`alike`), and in the rest of which no object begins, is whole: within a JSON string a quote is
    escaped, so the line of another process, appended to half a line, would show.

    Returns:
        How many were passed over, where the line begins that was not, and where that ends: there another line may hide in a delta.
    """
    begins, find = piece.startswith, piece.find
    passed = 0
    while start <= last and begins(_DELTA, start):
        end = find(b"\n", start)
        line = piece[start : last if end < 0 else end]
        if _APPENDED(line, 1) is not None:
            return passed, start, start + len(line)
        passed += 1
        start += len(line) + 1
        alike = _beginning(line)
        known = len(alike)
        while known and begins(alike, start):
            tail = start + known
            end = find(b"\n", tail)
            if end < 0 or end > last or find(_BEGINS, tail, end) >= 0:
                break
            passed += 1
            start = end + 1
    return passed, start, _end_of_run(piece, start, last)


def _beginning(line: bytes) -> bytes:
    """Returns how the deltas of a message begin, up to the first key of the last object; nothing where they have none.

    It ends in no part of how a line begins: half of such a line with another one appended does not begin so.
    """
    inner = line.rfind(_BEGINS)
    return line[: line.find(b'":', inner) + 2] if inner > 0 else b""


def _ordinal_of(data: bytes) -> int | None:
    """Returns the ordinal of a line that begins as phi-core's log lines do, without decoding it."""
    digits = data[len(_OBJECT) : _TYPE_WITHIN].partition(b",")[0]
    return int(digits) if digits.isdigit() else None


def payload_of(data: bytes) -> bytes:
    """Returns the JSON of a line without what a tool put around it, see `wrappings`; nothing of a server-sent event's other fields."""
    return _sent(unwrapped(data.removeprefix(_MARK)).content)


def _sent(data: bytes) -> bytes:
    """Returns what is after `data:` of a server-sent event, nothing of its other fields, anything else as it is."""
    data = data.strip()
    if data.startswith(_SSE_DATA):
        return data[len(_SSE_DATA) :].strip()
    return b"" if data.startswith(_SSE_OTHER) else data


def read_events(
    path: str | Path,
    *,
    for_spans: bool = False,
    on_bad_line: Callable[[BadLine], None] | None = None,
    content: bool = True,
) -> Iterator[AgentEvent]:
    """Streams the events of a file: JSONL of AgentEvents or phi-core's event log, gzipped or not.

    Args:
        path: the file. Its content says what it is, not its name.
        for_spans: leave out, undecoded, what no span shows: deltas, message starts, partial results, progress. Reading is
            then several times faster.
        on_bad_line: called with each line that is no event, which costs that line alone.
        content: False for events to be fed to a bridge: those of every turn come as values of types of their own then, which have the
            same names but no field for content. They cost half as much.

    Yields:
        The events in the file's order.

    Raises:
        OSError: the file cannot be read.
    """
    reader = EventReader(str(path), for_spans=for_spans, on_bad_line=on_bad_line, content=content)
    with open_lines(Path(path)) as stream:
        yield from reader.read(read_lines(stream))
