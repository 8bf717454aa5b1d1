"""A file of events as a stream: a first pass over its loops' starts and ends, then its events.

Rule: a loop that is open at the end of a file still written to is at work: it is held back whole, turns included, and with it
the parallel group it belongs to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.files import FileChunks
from otel_phi.sources.kinds import is_event
from otel_phi.sources.lines import Block, Lines, read_lines
from otel_phi.sources.merge import Stream, lean
from otel_phi.sources.reader import BadLine, EventReader
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, MessageUpdate, ParallelLoopStart

_BROKE_OFF = "the gzip stream ends early; what came before was read"
_LOOP_MARKS = (b"AgentStart", b"AgentEnd")
# Wherever it stands, in a string of a container's log too.
_LOOP_IDS = re.compile(rb'loop_id\\*"\s*:\s*\\*"([^"\\]+)').findall
# Of a log that waits among very many so much is read at once: it may be for one event, and its block is read again for the next.
_AGAIN_BYTES = 1 << 13
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


def first_pass(path: Path, loops: set[bytes] | None = None) -> EventFile:
    """Reads a file's AgentStarts and AgentEnds.

    Args:
        path: the file.
        loops: takes the ids of all loops that events in it are of, as they stand there; None where nobody asks.

    Raises:
        OSError: it cannot be read.
    """
    starts: list[AgentStart] = []
    open_loops: dict[str, int] = {}
    chunks, reader, half = FileChunks(path), EventReader(str(path)), None
    for block in read_lines(chunks):
        if loops is not None:
            loops.update(_ids(block))
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


def _ids(block: Block) -> Iterator[bytes]:
    lines = block.lines
    if isinstance(lines, Lines):
        return iter(_LOOP_IDS(lines.piece, lines.begin, lines.end))
    return (found for line in lines for found in _LOOP_IDS(line))


def _marked(block: Block) -> list[Block]:
    """Leaves the lines that may open or close a loop."""
    lines = [line for line in block.lines if _LOOP_MARKS[0] in line or _LOOP_MARKS[1] in line]
    return [Block(block.number, block.offset, lines)] if lines else []


def _raised(_: Path, error: OSError) -> None:
    raise error


class Reading:
    """Counts what is read of several files.

    Args:
        on_bad_line: called with each line that is no event.
        chunk_bytes: how much of a file to read at once.

    Attributes:
        cannot_read: called with a file that cannot be read on; the others are.
    """

    def __init__(self, on_bad_line: Callable[[BadLine], None] | None, chunk_bytes: int) -> None:
        self.counts: Counter[str] = Counter()
        self.read_bytes = 0
        self.on_bad_line = on_bad_line
        self.chunk_bytes = chunk_bytes
        self.cannot_read: Callable[[Path, OSError], None] = _raised
        self.content = True  # whether events are to have their content, see `EventReader`

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
        limit_bytes = file.whole_bytes if at_work else file.size_bytes
        log = _LogReading(self, file.path, limit_bytes, left_out)
        return Stream(str(file.path), first_ns, file.starts, log.events, log.pause)


class _LogReading:
    """Reads the events of one file. Closed between two events and asked again, it goes on: a log that waits costs its place alone.

    The place is the beginning of a block of lines, as it was before the first of them was read, and how many events it gave.
    """

    __slots__ = ("_chunks", "_events", "_left_out", "_limit_bytes", "_line", "_of", "_offset", "_ordinal", "_path", "_reported", "_seen_bytes", "_silent")  # fmt: skip

    def __init__(self, of: Reading, path: Path, limit_bytes: int, left_out: frozenset[Opened]) -> None:
        self._of, self._path, self._limit_bytes, self._left_out = of, path, limit_bytes, left_out
        self._offset, self._line, self._ordinal, self._events = 0, 1, 0, 0
        self._seen_bytes = self._reported = 0
        self._silent: set[str] | None = set() if left_out else None
        self._chunks: FileChunks | None = None

    def pause(self) -> bool:
        """Gives the latest event again when it goes on; False where it cannot: a gzipped file cannot be entered midway."""
        if self._chunks is None or not self._chunks.enters:
            return False
        self._events -= 1
        return True

    def events(self) -> Iterator[AgentEvent]:
        """Yields the events from the place on."""
        events = self._shown()
        return events if self._silent is None else _without(events, self._left_out, self._silent)

    def _shown(self) -> Iterator[AgentEvent]:
        reader = EventReader(str(self._path), for_spans=True, on_bad_line=self._bad, content=self._of.content)
        reader.ordinal = self._ordinal
        given = self._events
        for block in self._blocks():
            for number, event in enumerate(reader.read([block]), 1):
                if number > given:
                    self._events = number
                    yield event
            given = self._events = 0
            self._line, self._ordinal = block.number + len(block.lines), reader.ordinal
            self._of.counts.update(reader.counts)
            reader.counts.clear()

    def _blocks(self) -> Iterator[Block]:
        try:
            yield from self._found()
        except OSError as error:
            self._of.cannot_read(self._path, error)

    def _found(self) -> Iterator[Block]:
        offset, line = self._offset, self._line
        size = self._of.chunk_bytes if self._chunks is None else min(self._of.chunk_bytes, _AGAIN_BYTES)
        self._chunks = chunks = FileChunks(self._path, size, self._limit_bytes, offset)
        for found in read_lines(chunks):
            block = msgspec.structs.replace(found, number=found.number + line - 1, offset=found.offset + offset)
            self._of.read_bytes += max(chunks.read_bytes - self._seen_bytes, 0)
            self._seen_bytes = max(chunks.read_bytes, self._seen_bytes)
            self._offset = block.offset
            yield block
        if chunks.broke_off:
            self._of.report(BadLine(str(self._path), self._line, 0, 0, _BROKE_OFF))

    def _bad(self, bad: BadLine) -> None:
        if bad.line > self._reported and self._of.on_bad_line is not None:
            self._reported = bad.line
            self._of.on_bad_line(bad)


def _without(events: Iterator[AgentEvent], held: frozenset[Opened], silent: set[str]) -> Iterator[AgentEvent]:
    """Leaves out some loops, and the parallel groups they belong to; `silent` are those of them that have begun."""
    names = {loop_id for loop_id, _ in held}
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
