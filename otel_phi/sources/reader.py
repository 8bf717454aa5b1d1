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

from otel_phi.sources.lines import MAX_LINE_BYTES, Block, open_lines, read_lines
from otel_phi.sources.wrappings import Joiner, unwrapped
from otel_phi.wire.decode import KNOWN_TYPES, Undecodable, decode_event, decode_log_line
from otel_phi.wire.events import AgentEvent

# Where a line can have been appended to half a line. Inside a JSON string a quote is escaped, so these begin objects, and no
# object within an event has a `type` of these.
_GLUED = re.compile(rb'(?<!^)\{(?:"ordinal":|"type":"(?:' + "|".join(sorted(KNOWN_TYPES)).encode() + rb')")')
_APPENDED = re.compile(rb'\{"(?:type|ordinal)":').search  # where one may be, cheaply
# So many crashes on one line; then the line is given up.
_MAX_HALVES = 16
_OBJECT, _TYPE = b'{"ordinal":', b'{"type":"'
_TYPE_WITHIN = 48  # an event log puts `{"ordinal":N,"event":` in front
# What no span shows: deltas, placeholders, partial results. Most of the lines of a streamed session.
_NOWHERE = tuple(
    b'{"type":"%s"' % kind for kind in (b"MessageUpdate", b"MessageStart", b"ToolExecutionUpdate", b"ProgressMessage")
)
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
    """A bad line is one that is no event.

    Attributes:
        source: the file, or `-`.
        line: its number, from 1.
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

    Attributes:
        counts: `events`, `left_out`, `bad_lines`, `restarts` and `missing` (ordinals of an event log).
        ordinal: of the latest line, 0 for none.
    """

    def __init__(
        self, source: str, *, for_spans: bool = False, on_bad_line: Callable[[BadLine], None] | None = None
    ) -> None:
        self.source = source
        self.counts: Counter[str] = Counter()
        self._for_spans = for_spans
        self._on_bad_line = on_bad_line
        self.ordinal = 0
        self._joiner = Joiner(MAX_LINE_BYTES)
        self._last_bad: tuple[Block | None, int, int] = (None, 0, 0)  # block, index and offset: the next is counted on

    def read(self, blocks: Iterable[Block]) -> Iterator[AgentEvent]:
        """Yields the events of some lines, in order."""
        for block in blocks:
            lines = self._shown(block.lines) if self._for_spans else enumerate(block.lines)
            known = 0
            for index, data in lines:
                event = decode_event(data) if data.startswith(_TYPE) else self._decode_log_line(data)
                if event.__class__ is not Undecodable:
                    known += 1
                    yield event  # type: ignore[misc]  # the line above says so, at a tenth of isinstance's cost
                else:
                    yield from self._unusual(Place(block, index), data)
            self.counts["events"] += known

    def _shown(self, lines: list[bytes]) -> Iterable[tuple[int, bytes]]:
        """Leaves out the lines of events that no span shows; one in which another may hide is kept, to be read in full."""
        if lines and lines[0].startswith(_OBJECT):
            return self._shown_of_log(lines)
        shown = [
            (index, line)
            for index, line in enumerate(lines)
            if not (line.startswith(_NOWHERE) and _APPENDED(line, 1) is None)
        ]
        self.counts["left_out"] += len(lines) - len(shown)
        return shown

    def _shown_of_log(self, lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
        for index, line in enumerate(lines):
            if self._logged_nowhere(line):
                self.counts["left_out"] += 1
            else:
                yield index, line

    def _logged_nowhere(self, line: bytes) -> bool:
        """Says whether a log line's event is shown nowhere; its ordinal counts all the same."""
        start = line.find(_TYPE, 1, _TYPE_WITHIN)
        if start < 0 or not line.startswith(_NOWHERE, start):
            return False
        if _APPENDED(line, start + 1) is not None:
            return False
        self._count_ordinal(_ordinal_of(line))
        return True

    def _decode_log_line(self, data: bytes) -> AgentEvent | Undecodable:
        if not data.startswith(_OBJECT):
            return _UNUSUAL
        ordinal, event = decode_log_line(data)
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
    path: str | Path, *, for_spans: bool = False, on_bad_line: Callable[[BadLine], None] | None = None
) -> Iterator[AgentEvent]:
    """Streams the events of a file: JSONL of AgentEvents or phi-core's event log, gzipped or not.

    Args:
        path: the file. Its content says what it is, not its name.
        for_spans: leave out, undecoded, what no span shows: deltas, message starts, partial results, progress. Reading is
            then several times faster.
        on_bad_line: called with each line that is no event, which costs that line alone.

    Yields:
        The events in the file's order.

    Raises:
        OSError: the file cannot be read.
    """
    reader = EventReader(str(path), for_spans=for_spans, on_bad_line=on_bad_line)
    with open_lines(Path(path)) as stream:
        yield from reader.read(read_lines(stream))
