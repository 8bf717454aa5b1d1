"""Files and folders as one stream of events, by event time.

Rule 1: the time of an event among files is the latest event time its own file has shown so far; phi-core writes many events
        without a time. Ties: a spawning session's file before the spawned one's, then the file's name.
Rule 2: a first pass reads the loops' starts and ends alone, so that references mean the same whatever the order of the files.
Rule 3: a loop that is open at the end of a file written to in the last ten minutes is still at work: it is held back whole.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.files import FileChunks
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.lines import Block, read_lines
from otel_phi.sources.reader import BadLine, EventReader
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, MessageUpdate, ParallelLoopStart

# A phi-core agent writes with every event; ten minutes cover a long model call.
STILL_WRITTEN_S = 600
_LOOP_MARKS = (b"AgentStart", b"AgentEnd")

Opened = tuple[str, int]  # loop id and start, nanoseconds


class NothingHere(Exception):  # noqa: N818
    """Says that a path holds no agent sessions, what was found instead and what to do."""


class StoredFile(msgspec.Struct, frozen=True):
    """Is a file of events, as the first pass found it.

    Attributes:
        path: where it is.
        starts: its AgentStarts, in order, without what only spans need.
        held: loops open at its end that are held back.
        first_ns: time of its first loop, 0 without one.
    """

    path: Path
    starts: tuple[AgentStart, ...]
    held: frozenset[Opened]
    first_ns: int


class Stored:
    """Is a set of files read as one stream.

    Args:
        paths: files and folders; folders are searched whole.
        final: take every loop that is open at the end of its file as aborted, even if the file was written to just now.
        on_bad_line: called with each line that is no event.

    Attributes:
        files: the files found, in order of name.
        ignored: files of the folders that hold no events.
        counts: what the readers counted.
        read_bytes: bytes read so far by `events`.

    Raises:
        NothingHere: a path is missing, or holds no events.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        *,
        final: bool = False,
        on_bad_line: Callable[[BadLine], None] | None = None,
    ) -> None:
        self.ignored: list[Path] = []
        self.counts: Counter[str] = Counter()
        self.read_bytes = 0
        self._on_bad_line = on_bad_line
        found = sorted({path for given in paths for path in self._files(Path(given))})
        self.size_bytes = sum(path.stat().st_size for path in found)
        self.files = tuple(self._first_pass(path, final=final) for path in found)
        self._chunk_bytes = FileChunks.size_for(len(found))

    @property
    def starts(self) -> tuple[AgentStart, ...]:
        """The AgentStarts of all files."""
        return tuple(start for file in self.files for start in file.starts)

    @property
    def held_loops(self) -> int:
        """How many loops are held back since their file is still written to."""
        return sum(len(file.held) for file in self.files)

    # --- what there is -----------------------------------------------------------------------------------------------

    def _files(self, path: Path) -> list[Path]:
        if path.is_dir():
            candidates = sorted(
                inner for inner in path.rglob("*") if inner.is_file() and not inner.name.startswith(".")
            )
            kinds = [(inner, _kind(inner)) for inner in candidates]
            found = [inner for inner, kind in kinds if kind == "events"]
            self.ignored += [inner for inner, kind in kinds if kind != "events"]
            if not found:
                raise NothingHere(_empty_folder(path, [kind for _, kind in kinds]))
            return found
        if not path.exists():
            raise NothingHere(f"{path}: no such file or folder; give a file of AgentEvents or a folder of event logs")
        kind = _kind(path)
        if kind != "events":
            raise NothingHere(f"{path}: {_WRONG[kind]}")
        return [path]

    def _first_pass(self, path: Path, *, final: bool) -> StoredFile:
        starts: list[AgentStart] = []
        open_loops: dict[str, int] = {}
        for event in EventReader(str(path)).read(_marked(read_lines(FileChunks(path)))):
            if isinstance(event, AgentStart):
                starts.append(_lean(event))
                open_loops[event.loop_id] = int(event.timestamp)
            elif isinstance(event, AgentEnd):
                open_loops.pop(event.loop_id, None)
        working = not final and time.time() - path.stat().st_mtime < STILL_WRITTEN_S
        held = frozenset(open_loops.items()) if working else frozenset()
        return StoredFile(path, tuple(starts), held, int(starts[0].timestamp) if starts else 0)

    # --- the stream --------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[AgentEvent]:
        """Yields the events of all files as one stream, without those that no span shows."""
        if len(self.files) == 1:
            yield from self._kept(self.files[0])
            return
        depths = _depths(self.files)
        streams = [(file, self._timed(file)) for file in self.files]
        queue = [(file.first_ns, depths[file.path], str(file.path), number) for number, file in enumerate(self.files)]
        heapq.heapify(queue)
        waiting: dict[int, AgentEvent] = {}
        while queue:
            _, depth, name, number = heapq.heappop(queue)
            if number in waiting:
                yield waiting.pop(number)
            for time_ns, event in streams[number][1]:
                key = (time_ns, depth, name, number)
                if queue and key > queue[0]:
                    waiting[number] = event
                    heapq.heappush(queue, key)
                    break
                yield event

    def _timed(self, file: StoredFile) -> Iterator[tuple[int, AgentEvent]]:
        latest = 0
        for event in self._kept(file):
            stamp = getattr(event, "timestamp", None)
            if stamp is not None and stamp > latest:
                latest = stamp
            yield latest, event

    def _kept(self, file: StoredFile) -> Iterator[AgentEvent]:
        reader = EventReader(str(file.path), for_spans=True, on_bad_line=self._on_bad_line)
        events = reader.read(self._counted(file.path))
        yield from _without(events, file.held) if file.held else events
        self.counts += reader.counts

    def _counted(self, path: Path) -> Iterator[Block]:
        chunks = FileChunks(path, self._chunk_bytes)
        before = 0
        for block in read_lines(chunks):
            self.read_bytes += chunks.read_bytes - before
            before = chunks.read_bytes
            yield block


def _marked(blocks: Iterable[Block]) -> Iterator[Block]:
    """Leaves the lines that may open or close a loop."""
    for block in blocks:
        lines = [line for line in block.lines if _LOOP_MARKS[0] in line or _LOOP_MARKS[1] in line]
        if lines:
            yield Block(block.number, block.offset, lines)


def _without(events: Iterator[AgentEvent], held: frozenset[Opened]) -> Iterator[AgentEvent]:
    """Leaves out the loops held back, and the parallel groups they belong to."""
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


def _lean(start: AgentStart) -> AgentStart:
    return AgentStart(
        session_id=start.session_id,
        loop_id=start.loop_id,
        timestamp=start.timestamp,
        agent_id=start.agent_id,
        parent_loop_id=start.parent_loop_id,
    )


def _depths(files: tuple[StoredFile, ...]) -> dict[Path, int]:
    """Returns how many spawns deep each file's sessions are, so that at one instant a parent comes before its child."""
    home = {start.loop_id: file.path for file in files for start in file.starts}
    parents = {
        file.path: {home[start.parent_loop_id] for start in file.starts if start.parent_loop_id in home} - {file.path}
        for file in files
    }
    depths = dict.fromkeys(parents, 0)
    for _ in range(min(len(files), 16)):  # deeper nests of agents than 16 are settled by the file's name
        deeper = {path: max((depths[up] + 1 for up in parents[path]), default=0) for path in parents}
        if deeper == depths:
            break
        depths = deeper
    return depths


def _kind(path: Path) -> Kind:
    try:
        return kind_of(path)
    except (OSError, EOFError) as error:
        raise NothingHere(f"{path}: cannot be read: {error}") from None


_WRONG: dict[Kind, str] = {
    "empty": "the file is empty; an agent's event log has one JSON object a line",
    "json": "this is JSON, but no AgentEvents and no saved session of phi-core",
    "session": "this is a saved session; give the event log beside it (DIR/{session_id}.events.jsonl)",
    "other": "this is no file of AgentEvents: each line should be an object with a `type`, or with `ordinal` and `event`",
}


def _empty_folder(path: Path, kinds: list[Kind]) -> str:
    if not kinds:
        return f"{path}: the folder is empty; give the folder that phi-core's FileSystemEventLog writes to"
    return f"{path}: none of the folder's {len(kinds)} files holds AgentEvents or event-log lines"
