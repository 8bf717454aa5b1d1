"""A file of events as a stream: a first pass over its loops' starts and ends, then its events.

Rule: a loop that is open at the end of a file still written to is at work: it is held back whole, turns included, and with it
the parallel group it belongs to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.files import FileChunks
from otel_phi.sources.kinds import is_event
from otel_phi.sources.lines import Block, read_lines
from otel_phi.sources.merge import Stream, lean
from otel_phi.sources.reader import BadLine, EventReader
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, MessageUpdate, ParallelLoopStart

_BROKE_OFF = "the gzip stream ends early; what came before was read"
_LOOP_MARKS = (b"AgentStart", b"AgentEnd")
Opened = tuple[str, int]  # loop id and start, nanoseconds


class EventFile(msgspec.Struct, frozen=True):
    """An event file is a file of events, as the first pass found it.

    Attributes:
        path: where it is.
        starts: its AgentStarts, in order, without what only spans need.
        unfinished: loops open at its end.
        size_bytes: how far it was read; what is written after that waits for the next time.
        whole_bytes: the same without half a line at the end, which a writer may be about to finish.
    """

    path: Path
    starts: tuple[AgentStart, ...]
    unfinished: frozenset[Opened]
    size_bytes: int
    whole_bytes: int


def first_pass(path: Path) -> EventFile:
    """Reads a file's AgentStarts and AgentEnds."""
    starts: list[AgentStart] = []
    open_loops: dict[str, int] = {}
    chunks, reader, half = FileChunks(path), EventReader(str(path)), None
    for block in read_lines(chunks):
        for event in reader.read(_marked(block)):
            if isinstance(event, AgentStart):
                starts.append(lean(event))
                open_loops[event.loop_id] = int(event.timestamp)
            elif isinstance(event, AgentEnd):
                open_loops.pop(event.loop_id, None)
        if not block.ended and not is_event(block.lines[-1]):
            half = block.offset
    size = chunks.read_bytes
    return EventFile(path, tuple(starts), frozenset(open_loops.items()), size, size if half is None else half)


def _marked(block: Block) -> list[Block]:
    """Leaves the lines that may open or close a loop."""
    lines = [line for line in block.lines if _LOOP_MARKS[0] in line or _LOOP_MARKS[1] in line]
    return [Block(block.number, block.offset, lines)] if lines else []


class Reading:
    """Counts what is read of several files.

    Args:
        on_bad_line: called with each line that is no event.
        chunk_bytes: how much of a file to read at once.
    """

    def __init__(self, on_bad_line: Callable[[BadLine], None] | None, chunk_bytes: int) -> None:
        self.counts: Counter[str] = Counter()
        self.read_bytes = 0
        self.on_bad_line = on_bad_line
        self.chunk_bytes = chunk_bytes

    def report(self, bad: BadLine) -> None:
        """Counts and reports something that is no event."""
        self.counts["bad_lines"] += 1
        if self.on_bad_line is not None:
            self.on_bad_line(bad)

    def stream(self, file: EventFile, *, at_work: bool, elsewhere: frozenset[Opened] = frozenset()) -> Stream:
        """Returns the stream of a file.

        Args:
            file: what the first pass found.
            at_work: whether it is still written to; then without its open loops and a half line at its end.
            elsewhere: loops that are taken from another file, which holds them too.
        """
        first_ns = int(file.starts[0].timestamp) if file.starts else 0
        left_out = elsewhere | file.unfinished if at_work else elsewhere
        return Stream(str(file.path), first_ns, file.starts, lambda: self._events(file, left_out, at_work=at_work))

    def _events(self, file: EventFile, left_out: frozenset[Opened], *, at_work: bool) -> Iterator[AgentEvent]:
        reader = EventReader(str(file.path), for_spans=True, on_bad_line=self.on_bad_line)
        events = reader.read(self._blocks(file.path, file.whole_bytes if at_work else file.size_bytes))
        yield from _without(events, left_out) if left_out else events
        self.counts += reader.counts

    def _blocks(self, path: Path, limit_bytes: int) -> Iterator[Block]:
        chunks = FileChunks(path, self.chunk_bytes, limit_bytes)
        before, last = 0, 1
        for block in read_lines(chunks):
            self.read_bytes += chunks.read_bytes - before
            before, last = chunks.read_bytes, block.number + len(block.lines)
            yield block
        if chunks.broke_off:
            self.report(BadLine(str(path), last, 0, 0, _BROKE_OFF))


def _without(events: Iterator[AgentEvent], held: frozenset[Opened]) -> Iterator[AgentEvent]:
    """Leaves out some loops, and the parallel groups they belong to."""
    names = {loop_id for loop_id, _ in held}
    silent: set[str] = set()
    for event in events:
        if isinstance(event, AgentStart) and event.loop_id in names:
            if (event.loop_id, int(event.timestamp)) in held:
                silent.add(event.loop_id)
            else:
                silent.discard(event.loop_id)
        elif isinstance(event, ParallelLoopStart) and not names.isdisjoint(event.loop_ids):
            continue
        if isinstance(event, MessageUpdate) or getattr(event, "loop_id", None) not in silent:
            yield event
