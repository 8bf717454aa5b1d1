"""A saved session as streams of events, one a loop: so that there is one road from every source to spans.

Files up to 0.13 hold the events; only the parallel group's are rebuilt, from what the recorder wrote on its branches.
From newer files the events are made anew of turns and messages. What they lack (starts of tools, compactions, refused
messages, requests unless captured) is not made up: the recorder core marks what it has to infer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.files import FileChunks
from otel_phi.sources.merge import Stream, lean
from otel_phi.sources.reader import BadLine
from otel_phi.sources.remade import remade_events, remade_start
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, ParallelLoopEnd, ParallelLoopStart
from otel_phi.wire.saved import SavedGroup, SavedLoop, SavedSession, decode_session, stored_events

# Longer than a write of some megabytes takes.
_SECOND_LOOK_S = 0.05


class SessionFile(msgspec.Struct, frozen=True):
    """A session file is a saved session in a file.

    Attributes:
        path: where it is.
        session: what it holds.
        loops: those of its loops that are read from here.
        size_bytes: its length.
    """

    path: Path
    session: SavedSession
    loops: tuple[SavedLoop, ...]
    size_bytes: int

    @property
    def unfinished(self) -> int:
        """How many of its loops never ended."""
        return sum(1 for loop in self.loops if loop.ended_at is None)


def read_session(path: Path) -> SessionFile | Undecodable:
    """Reads a saved session, gzipped or not; a second time where it is cut off: phi-core's older store writes in place.

    Raises:
        OSError: it cannot be read.
    """
    found = _read(path)
    if isinstance(found, Undecodable):
        time.sleep(_SECOND_LOOK_S)
        found = _read(path)
    return found


def _read(path: Path) -> SessionFile | Undecodable:
    chunks = FileChunks(path)
    content = b"".join(iter(lambda: chunks.read(-1), b""))
    found = decode_session(content)
    if isinstance(found, Undecodable):
        return found
    return SessionFile(path, found, found.loops or (), len(content))


def streams_of(
    file: SessionFile, counts: Counter[str], on_bad_line: Callable[[BadLine], None] | None, *, whole: bool
) -> list[Stream]:
    """Returns a stream for each loop of a saved session, and for each parallel group one that opens and one that ends it.

    Args:
        file: the session.
        counts: where `events` and `bad_lines` are counted.
        on_bad_line: called with each stored event that is none; its line counts the loop's events.
        whole: also the loops that never ended.
    """
    streams, kept = [], set()
    for number, loop in enumerate(file.loops):
        name = f"{file.path}#{number:06}"
        start = lean(remade_start(loop))
        reading = _Reading(name, loop, counts, on_bad_line)
        held = not whole and loop.ended_at is None
        # Of a loop held back the start counts all the same: the session's root must be the one of the whole file.
        streams.append(Stream(name, int(loop.started_at), (start,), _nothing if held else reading.events))
        if not held:
            kept.add(id(loop))
    groups = _groups(file.session.loops or ())
    complete = (group for group in groups if all(id(branch) in kept for branch in group.branches))
    return streams + [stream for group in complete for stream in _group_streams(file, group)]


def _nothing() -> Iterator[AgentEvent]:
    return iter(())


class _Reading:
    def __init__(
        self, name: str, loop: SavedLoop, counts: Counter[str], on_bad_line: Callable[[BadLine], None] | None
    ) -> None:
        self._name, self._loop, self._counts, self._on_bad_line = name, loop, counts, on_bad_line

    def events(self) -> Iterator[AgentEvent]:
        if not self._loop.events:
            found: list[AgentEvent | Undecodable] = list(remade_events(self._loop))
        else:
            found = stored_events(self._loop)
        for number, event in enumerate(found, 1):
            if isinstance(event, Undecodable):
                self._counts["bad_lines"] += 1
                if self._on_bad_line is not None:
                    self._on_bad_line(BadLine(self._name, number, 0, 0, event.reason))
                continue
            self._counts["events"] += 1
            yield event


class _Group(msgspec.Struct, frozen=True):
    session_id: str
    record: SavedGroup
    branches: tuple[SavedLoop, ...]


def _groups(loops: tuple[SavedLoop, ...]) -> list[_Group]:
    """Returns the groups whose branches are told apart by their ids; phi-core writes a repeated id's on the wrong loop."""
    times = Counter(loop.loop_id for loop in loops)
    branches: dict[SavedGroup, list[SavedLoop]] = {}
    for loop in loops:
        if loop.parallel_group is not None:
            branches.setdefault(loop.parallel_group, []).append(loop)
    return [
        _Group(found[0].session_id, record, tuple(found))
        for record, found in branches.items()
        if all(times[loop_id] <= 1 for loop_id in record.all_loop_ids)
    ]


def _group_streams(file: SessionFile, group: _Group) -> list[Stream]:
    first = min(int(loop.started_at) for loop in group.branches)
    last = max(int(loop.ended_at or loop.started_at) for loop in group.branches)
    record = group.record
    opens = ParallelLoopStart(session_id=group.session_id, loop_ids=record.all_loop_ids)
    ends = ParallelLoopEnd(
        session_id=group.session_id,
        selected_loop_id=record.selected_loop_id,
        selected_config_index=record.selected_config_index,
        evaluation_usage=record.evaluation_usage,
    )
    name = f"{file.path}#group {record.selected_loop_id}"
    # Just outside the branches: their own times, not these, become the group's.
    return [
        Stream(f"{name} opens", first - 1, (), lambda: iter([opens])),
        Stream(f"{name} ends", last + 1, (), lambda: iter([ends])),
    ]
