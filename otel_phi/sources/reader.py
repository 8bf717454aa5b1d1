"""Lines to events: JSONL of AgentEvents, phi-core's event log, server-sent events. One bad line costs itself alone.

Rule 1: what a line is, its content says: `{"ordinal": ..., "event": ...}` is a log line, `data: ` in front server-sent.
Rule 2: a process killed while it wrote leaves half a line, to which the next one appends: the half is lost, the rest is read.
Rule 3: an ordinal that starts again, or leaves a gap, is counted; the events are taken as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.lines import Line, open_lines, read_lines
from otel_phi.wire.decode import Undecodable, decode_event, decode_log_line
from otel_phi.wire.events import AgentEvent

# Inside a JSON string a quote is escaped, so these can only begin an object.
_GLUED = re.compile(rb'.\{(?:"ordinal":|"type":"[A-Z])')
_UPDATE = b'{"type":"MessageUpdate"'
_UPDATE_WITHIN = 48  # an event log puts `{"ordinal":N,"event":` in front
_SSE_DATA = b"data:"
_SSE_OTHER = (b":", b"event:", b"id:", b"retry:")


class BadLine(msgspec.Struct, frozen=True):
    """Is a line that is no event.

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


class EventReader:
    """Reads the events of one source, counting what it meets.

    Args:
        source: the file's name as it is to be reported.
        deltas: whether to yield `MessageUpdate`s; without them their lines are not even decoded.
        on_bad_line: called with each line that is no event.

    Attributes:
        counts: `events`, `deltas_skipped`, `bad_lines`, `restarts` and `missing` (ordinals of an event log).
    """

    def __init__(
        self, source: str, *, deltas: bool = True, on_bad_line: Callable[[BadLine], None] | None = None
    ) -> None:
        self.source = source
        self.counts: Counter[str] = Counter()
        self._deltas = deltas
        self._on_bad_line = on_bad_line
        self._ordinal = 0

    def read(self, lines: Iterable[Line]) -> Iterator[AgentEvent]:
        """Yields the events of some lines, in order."""
        skip_deltas = not self._deltas
        for line in lines:
            data = line.data
            if (
                skip_deltas
                and data.find(_UPDATE, 0, _UPDATE_WITHIN) >= 0
                and _GLUED.search(data, _UPDATE_WITHIN) is None
            ):
                self.counts["deltas_skipped"] += 1
                continue
            yield from self._events(line, data)

    def _events(self, line: Line, data: bytes) -> Iterator[AgentEvent]:
        payload = data.strip() if data[:1] == b"{" else _payload(data)
        if not payload:
            if line.too_long:
                self._bad(line, 0, "longer than a line may be")
            return
        event = self._decode(payload)
        if not isinstance(event, Undecodable):
            self.counts["events"] += 1
            yield event
            return
        glued = _GLUED.search(payload)
        if glued is None:
            self._bad(line, len(data), event.reason if line.ended else f"half a line at the end: {event.reason}")
            return
        self._bad(line, glued.start() + 1, "half a line, the next one appended to it")
        yield from self._events(line, payload[glued.start() + 1 :])

    def _decode(self, payload: bytes) -> AgentEvent | Undecodable:
        if not payload.startswith(b'{"ordinal"') and b'"ordinal"' not in payload[:64]:
            return decode_event(payload)
        ordinal, event = decode_log_line(payload)
        if ordinal is not None:
            if ordinal <= self._ordinal:
                self.counts["restarts"] += 1
            else:
                self.counts["missing"] += ordinal - self._ordinal - 1
            self._ordinal = ordinal
        return event

    def _bad(self, line: Line, length: int, reason: str) -> None:
        self.counts["bad_lines"] += 1
        if self._on_bad_line is not None:
            self._on_bad_line(BadLine(self.source, line.number, line.offset, length, reason))


def _payload(data: bytes) -> bytes:
    """Returns the JSON of a line: after `data:` of a server-sent event; nothing of its other fields."""
    data = data.removeprefix(b"\xef\xbb\xbf").strip()
    if data.startswith(_SSE_DATA):
        return data[len(_SSE_DATA) :].strip()
    return b"" if data.startswith(_SSE_OTHER) else data


def read_events(
    path: str | Path, *, deltas: bool = True, on_bad_line: Callable[[BadLine], None] | None = None
) -> Iterator[AgentEvent]:
    """Streams the events of a file: JSONL of AgentEvents or phi-core's event log, gzipped or not.

    Args:
        path: the file. Its content says what it is, not its name.
        deltas: whether to yield `MessageUpdate`s. Spans need none; without them reading is several times faster.
        on_bad_line: called with each line that is no event, which costs that line alone.

    Yields:
        The events in the file's order.

    Raises:
        OSError: the file cannot be read.
    """
    reader = EventReader(str(path), deltas=deltas, on_bad_line=on_bad_line)
    with open_lines(Path(path)) as stream:
        yield from reader.read(read_lines(stream))
