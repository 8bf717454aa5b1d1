"""A saved session as streams of events, one a loop: so that there is one road from every source to spans.

Files up to 0.13 hold the events; only the parallel group's are rebuilt, from what the recorder wrote on its branches.
From newer files the events are made anew of turns and messages. What they lack (starts of tools, compactions, refused
messages, requests unless captured) is not made up: the recorder core marks what it has to infer.

Rule: of a file a small record a loop is held, never its content: a loop's events are read when their time has come.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from otel_phi.sources.merge import Stream, lean
from otel_phi.sources.pieces import Unreadable, Window, decoded
from otel_phi.sources.reader import BadLine
from otel_phi.sources.remade import remade_events
from otel_phi.sources.saved_places import FoundLoop, places_of
from otel_phi.sources.session_content import Changed, SessionContent
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEnd, AgentEvent, ParallelLoopEnd, ParallelLoopStart
from otel_phi.wire.messages import NULL
from otel_phi.wire.saved import ELEMENTS, LOOPS, SavedEvent, SavedGroup, stored_event

# Longer than a write of some megabytes takes.
_SECOND_LOOK_S = 0.05
_CHANGED = "the session was written anew while it was read: read it again"


class SessionFile(msgspec.Struct, frozen=True):
    """A session file is a saved session in a file.

    Attributes:
        path: where it is.
        content: its bytes.
        loops: those of its loops that are read from here.
        groups: its parallel groups, whole.
        size_bytes: its length, unzipped.
    """

    path: Path
    content: SessionContent
    loops: tuple[FoundLoop, ...]
    groups: tuple[Group, ...]
    size_bytes: int

    @property
    def unfinished(self) -> int:
        """How many of its loops never ended."""
        return sum(1 for loop in self.loops if loop.ended_at is None)


class Group(msgspec.Struct, frozen=True):
    """A group is a parallel evaluation, and those of a session's loops that were its branches."""

    session_id: str
    record: SavedGroup
    branches: tuple[FoundLoop, ...]


def read_session(path: Path, *, kept: bool = False) -> SessionFile | Undecodable:
    """Looks through a saved session, gzipped or not; a second time where it is cut off: phi-core's older store writes in place.

    Args:
        path: where it is.
        kept: keep it open for what is read of it later, so that a newer one put in its place does not matter.

    Raises:
        OSError: it cannot be read.
    """
    found = _read(path, kept=kept)
    if isinstance(found, Undecodable):
        time.sleep(_SECOND_LOOK_S)
        found = _read(path, kept=kept)
    return found


def _read(path: Path, *, kept: bool) -> SessionFile | Undecodable:
    content = SessionContent(path, kept=kept)
    try:
        with closing(content.reader(0)) as reader:
            loops = places_of(Window(reader.read))
    except (Unreadable, Changed) as error:
        content.close()
        return Undecodable(str(error) or _CHANGED)
    return SessionFile(path, content, loops, _groups(loops), content.size_bytes)


def streams_of(
    file: SessionFile,
    counts: Counter[str],
    on_bad_line: Callable[[BadLine], None] | None,
    *,
    whole: bool,
    strict: bool = False,
) -> list[Stream]:
    """Returns a stream for each loop of a saved session, and for each parallel group one that opens and one that ends it.

    Args:
        file: the session.
        counts: where `events` and `bad_lines` are counted.
        on_bad_line: called with each stored event that is none; its line counts the loop's events.
        whole: also the loops that never ended.
        strict: raise `Changed` where the file is written anew while it is read, instead of reporting it.
    """
    streams, kept = [], set()
    for number, loop in enumerate(file.loops):
        name = f"{file.path}#{number:06}"
        reading = _Reading(name, file.content, loop, counts, on_bad_line, strict=strict)
        held = not whole and loop.ended_at is None
        # Of a loop held back the start counts all the same: the session's root must be the one of the whole file.
        started_ns = int(loop.start.timestamp)
        streams.append(Stream(name, started_ns, (lean(loop.start),), _nothing if held else reading.events))
        if not held:
            kept.add(loop.number)
    complete = (group for group in file.groups if all(branch.number in kept for branch in group.branches))
    return streams + [stream for group in complete for stream in _group_streams(file, group)]


def _shown(stored: SavedEvent) -> AgentEvent | Undecodable:
    """Decodes an event, an AgentEnd without its messages: they stand on the turns, and would wait here for other loops to end."""
    event = stored_event(stored)
    return msgspec.structs.replace(event, messages=NULL) if isinstance(event, AgentEnd) else event


def _nothing() -> Iterator[AgentEvent]:
    return iter(())


class _Reading:
    def __init__(
        self,
        name: str,
        content: SessionContent,
        loop: FoundLoop,
        counts: Counter[str],
        on_bad_line: Callable[[BadLine], None] | None,
        *,
        strict: bool,
    ) -> None:
        self._name, self._content, self._loop, self._counts = name, content, loop, counts
        self._on_bad_line, self._strict = on_bad_line, strict
        self._number = 0

    def events(self) -> Iterator[AgentEvent]:
        try:
            for event in self._stored() if self._loop.events is not None else self._remade():
                self._number += 1
                if isinstance(event, Undecodable):
                    self._bad(event.reason)
                else:
                    self._counts["events"] += 1
                    yield event
        except (Unreadable, Changed, OSError):
            if self._strict:
                raise
            self._number += 1
            self._bad(_CHANGED)

    def _bad(self, reason: str) -> None:
        self._counts["bad_lines"] += 1
        if self._on_bad_line is not None:
            self._on_bad_line(BadLine(self._name, self._number, 0, 0, reason))

    def _stored(self) -> Iterator[AgentEvent | Undecodable]:
        return map(_shown, self._elements("events", self._loop.events))  # which holds none while it waits

    def _remade(self) -> Iterator[AgentEvent]:
        final = None
        if self._loop.final_message is not None:
            with closing(self._content.reader(self._loop.final_message)) as reader:
                final = Window(reader.read, self._loop.final_message).value(ELEMENTS["messages"], "")
        yield from remade_events(decoded(LOOPS, self._loop.head), self._elements("turns", self._loop.turns), final)

    def _elements(self, kind: str, offset: int | None) -> Iterator[Any]:
        if offset is None:
            return
        with closing(self._content.reader(offset)) as reader:
            window = Window(reader.read, offset)
            for _ in window.elements():
                yield window.value(ELEMENTS[kind], "")


def _groups(loops: tuple[FoundLoop, ...]) -> tuple[Group, ...]:
    """Returns the groups whose branches are told apart by their ids; phi-core writes a repeated id's on the wrong loop."""
    times = Counter(loop.start.loop_id for loop in loops)
    branches: dict[SavedGroup, list[FoundLoop]] = {}
    for loop in loops:
        if loop.group is not None:
            branches.setdefault(loop.group, []).append(loop)
    return tuple(
        Group(found[0].start.session_id, record, tuple(found))
        for record, found in branches.items()
        if all(times[loop_id] <= 1 for loop_id in record.all_loop_ids)
    )


def _group_streams(file: SessionFile, group: Group) -> list[Stream]:
    first = min(int(loop.start.timestamp) for loop in group.branches)
    last = max(int(loop.ended_at or loop.start.timestamp) for loop in group.branches)
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
