"""A look ahead: the loops that begin and end in a file, before any of its events is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.lines import Block
from otel_phi.sources.reader import EventReader
from otel_phi.sources.tail import added_lines, look_at
from otel_phi.watch.cursor_rows import Compacted
from otel_phi.watch.index import Index, Row
from otel_phi.watch.log import Part
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, CompactionEnded

_MARKS = (b"AgentStart", b"AgentEnd", b"CompactionEnded")


class Scan(msgspec.Struct):
    """A scan is what was found in the lines of a file that were not scanned before.

    Attributes:
        size_bytes: of the file.
        rows: its AgentStarts, as the index keeps them.
        ended: ids of the loops that end there.
        compacted: the contexts that were compacted there.
    """

    size_bytes: int
    rows: list[Row]
    ended: set[str]
    compacted: list[Compacted]


def scan(part: Part, index: Index, glance: Callable[[], None]) -> Scan:
    """Scans a file as far as it is by now.

    Args:
        part: the file; what is found is noted there.
        index: makes rows.
        glance: called between two pieces; raises if it is to end.
    """
    path, cursor = Path(part.cursor.path), part.cursor
    look = look_at(path)
    if look is None or look.identity != cursor.identity:
        return Scan(0, [], set(), [])
    found = Scan(look.size, [], set(), [])
    part.changed_ns = look.mtime_ns
    reader = EventReader(cursor.path, for_spans=True)
    try:
        for added in added_lines(path, look, part.scanned, part.scanned_line):
            glance()
            if part.scanned == 0:
                part.goes_on |= _goes_on(cursor.path, added.block)
            for offset, event in _marked(reader, added.block):
                if isinstance(event, AgentStart):
                    found.rows.append(index.row_of(event, cursor.id))
                    part.starts.add(event.loop_id)
                elif isinstance(event, AgentEnd):
                    found.ended.add(event.loop_id)
                    if event.loop_id not in part.starts:
                        part.goes_on.add(event.loop_id)
                elif isinstance(event, CompactionEnded):
                    found.compacted += index.compactions(event, cursor.id, offset)
            part.scanned, part.scanned_line = added.offset, added.line
    except OSError:
        pass  # it vanished, or cannot be read: whoever reads it tells
    return found


def best_first(scans: Iterable[Scan]) -> list[Row]:
    """Returns the AgentStarts of several files: a loop that more than one holds is taken from the first of these rows."""
    ranked = [(row[2].loop_id not in scan.ended, -scan.size_bytes, row) for scan in scans for row in scan.rows]
    return [row for _, _, row in sorted(ranked, key=lambda each: each[:2])]


def _marked(reader: EventReader, block: Block) -> Iterator[tuple[int, AgentEvent]]:
    offset = block.offset
    for line in block.lines:
        if _MARKS[0] in line or _MARKS[1] in line or _MARKS[2] in line:
            for event in reader.read([Block(block.number, offset, [line])]):
                yield offset, event
        offset += len(line) + 1


def _goes_on(source: str, block: Block) -> set[str]:
    """Returns the id of the loop that the first event of a block is of, nothing if it begins one."""
    first = next(EventReader(source).read([block]), None)
    loop_id = None if isinstance(first, AgentStart) else getattr(first, "loop_id", None)
    return {loop_id} if loop_id else set()
