"""One session of another agent, followed through all of its files: the main one and its sub-agents'.

    records ─ fold, one a file ─▶ events ─ held until their place is known ─▶ log, one a session ─▶ spans on their way out

Rule 1: a session is read from its beginning whenever it is begun: after a restart, and when a file of it was written anew. Folds are pure, so
        the same spans are made; those that left are known by their loop, or by their key, and do not leave again.
Rule 2: a sub-agent's turns leave as they close; its loop's end waits until the turn whose tool started it was told: `export` tells it there.
Rule 3: a sub-agent whose tool is not known yet is not begun. It is when the tool is, or when no loop of the main files is open; where there
        is no main file yet, after a pause.
Rule 4: a pause is told when a file was not written to for so long; where it was told is remembered, and read again it is told there again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from otel_phi.sources.agent_files import BAD_LINE, call_beside, context_of
from otel_phi.sources.agent_order import AgentFile
from otel_phi.sources.agents.adapter import SILENCE_NS
from otel_phi.sources.reader import BadLine
from otel_phi.sources.tail import Look, look_at
from otel_phi.watch.agent_part import AgentLog, AgentPart
from otel_phi.watch.agent_rows import AgentRows
from otel_phi.watch.cursor_rows import FileCursor
from otel_phi.watch.outgoing import Outgoing
from otel_phi.wire.events import AgentEnd, AgentEvent, ToolExecutionStart, TurnEnd, TurnStart

# As many as the recorder remembers the places of.
MAX_FINISHED = 4_096


class AgentSession:
    """Follows one session. For one thread.

    Args:
        key: names it, format and session.
        make_log: makes a log that nothing was recorded in.
        rows: claims, and what else outlives this process.
        cannot_read: called with a file that cannot be read.
        on_bad_line: called with each line that is no record.

    Attributes:
        key: as given.
        log: records its events.
        parts: its files, by their numbers.
        out: spans on their way out; whoever reads the session empties it.
    """

    def __init__(
        self,
        key: str,
        make_log: Callable[[], AgentLog],
        rows: AgentRows,
        cannot_read: Callable[[Path, OSError], None],
        on_bad_line: Callable[[BadLine], None] | None,
    ) -> None:
        self.key = key
        self._make_log, self._rows = make_log, rows
        self._cannot_read, self._on_bad_line = cannot_read, on_bad_line
        self.log = self._new_log()
        self.parts: dict[int, AgentPart] = {}
        self.out: list[Outgoing] = []
        self._calls: dict[str, str] = {}  # sub-agents, and the tool calls that started them
        self._finished: OrderedDict[str, None] = OrderedDict()

    def _new_log(self) -> AgentLog:
        log = self._make_log()
        log.files = frozenset(self._rows.files_of(self.key))
        return log

    # --- files -------------------------------------------------------------------------------------------------------

    def add(self, cursor: FileCursor, look: Look, file: AgentFile, feed: str) -> bool:
        """Takes a file, or what it looks like by now; says whether the session begins anew since the file is not what it seemed."""
        known = self.parts.get(cursor.id)
        if known is not None and (known.file.group.main, known.file.group.agent_id) == (
            file.group.main,
            file.group.agent_id,
        ):
            known.file = file
            self.seen(cursor, look)
            return False
        fallback_ns = self._rows.see_file(cursor.id, self.key, look.mtime_ns)
        self.log.files |= {cursor.id}
        fold = file.adapter.fold(context_of(file, self._rows, self._calls.get, fallback_ns))
        part = AgentPart(cursor, file, feed, look, fold, self._rows.silences(cursor.id))
        self.parts[cursor.id] = part
        self.log.parts.append(part)
        self._find_call(part)
        if known is not None:
            self.anew()
        return known is not None

    def seen(self, cursor: FileCursor, look: Look) -> None:
        """Takes what a file looks like by now."""
        part = self.parts.get(cursor.id)
        if part is not None:
            part.look, part.failed = look, False

    def drop(self, cursor: FileCursor, *, vanished: bool) -> None:
        """Takes that a file is no more: what is untold of it is told. Or that it is to be read under another number."""
        part = self.parts.pop(cursor.id, None)
        if part is None:
            return
        if vanished:
            for event in part.fold.settle("end"):
                self._take(part, part.offset, event)
            self._release(part)
        self.log.parts.remove(part)
        if not vanished and self.parts:
            self.anew()
        elif not self.parts and vanished:
            self.out += self.log.abort()

    def anew(self) -> None:
        """Begins anew, at the beginning of all files."""
        files = [(part.cursor, part.look, part.file, part.feed) for part in self.parts.values()]
        self.log.advance()  # what was settled of it until now
        self.log, self.parts = self._new_log(), {}
        self._calls, self._finished = {}, OrderedDict()
        for each in files:
            self.add(*each)

    @property
    def unread(self) -> bool:
        """Whether a file has changed since it was read."""
        return any(part.unread and part.begun for part in self.parts.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is open, under way or untold: it can be forgotten until a file of it changes."""
        return self.log.idle and not any(
            part.unread or part.held or part.untold is not None for part in self.parts.values()
        )

    def written_before(self, time_ns: int) -> bool:
        """Says whether none of its files was written to since then."""
        return all(part.look.mtime_ns < time_ns for part in self.parts.values())

    def _in_order(self) -> list[AgentPart]:
        return sorted(self.parts.values(), key=lambda part: (not part.file.group.main, part.cursor.path))

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self) -> Iterator[None]:
        """Reads what is new in its files; yields after each piece, when `out` is to be emptied."""
        if any(part.rewritten for part in self.parts.values()):
            self.anew()
        mains, children = self._sides()
        if any(part.unread for part in children):
            self._look_again(mains)  # who starts a sub-agent writes so before that writes
        for part in mains:
            yield from self._drain(part)
        for part in children:
            if part.unread:
                self._find_call(part)
            known = part.file.group.agent_id in self._calls if mains else part.alone
            part.begun = part.begun or known
            if part.begun:
                yield from self._drain(part)
        if mains:
            yield from self._at_rest()

    def _sides(self) -> tuple[list[AgentPart], list[AgentPart]]:
        found = self._in_order()
        return [part for part in found if part.file.group.main], [part for part in found if not part.file.group.main]

    @staticmethod
    def _look_again(parts: list[AgentPart]) -> None:
        for part in parts:
            part.look = look_at(Path(part.cursor.path)) or part.look

    def _find_call(self, part: AgentPart) -> None:
        agent_id = part.file.group.agent_id
        if agent_id and not part.file.group.main and agent_id not in self._calls:
            call_id = call_beside(part.file)
            if call_id:
                self._calls[agent_id] = call_id

    def _at_rest(self) -> Iterator[None]:
        """Begins and releases what waited, if no loop of the main files is open: no tool of theirs will be told any more."""
        mains, children = self._sides()
        if self.log.open_in({part.cursor.id for part in mains}) or any(part.unread for part in mains):
            return
        yield from self._begin(children)

    def _begin(self, children: Iterable[AgentPart]) -> Iterator[None]:
        """Reads sub-agents whatever is known of them, and tells what waited."""
        for part in children:
            part.begun = True
            yield from self._drain(part)
            self._release(part)

    def _drain(self, part: AgentPart) -> Iterator[None]:
        """Reads a file to where it was when it was looked at, and within that the sub-agents that its tools started."""
        if part.busy or not part.unread:
            return
        part.busy = True
        try:
            for piece in part.pieces():
                number = piece.number - len(piece.records)
                for position, data in piece.records:
                    yield from self._record(part, position, data, number)
                    number += 1
                yield
            if part.offset in part.silences:
                yield from self._tell(part, part.offset, part.fold.settle("silence"))
                part.paused()
        except OSError as error:
            part.failed = True
            self._cannot_read(Path(part.cursor.path), error)
        finally:
            part.busy = False

    def _record(self, part: AgentPart, position: int, data: bytes, number: int) -> Iterator[None]:
        if position in part.silences:
            yield from self._tell(part, position, part.fold.settle("silence"))
        for pair in part.file.adapter.children(data):
            self._calls.setdefault(*pair)
        bad = part.fold.counts["bad_lines"]
        events = list(part.fold.record(position, data))
        if part.fold.counts["bad_lines"] > bad and self._on_bad_line is not None and position >= part.reported_bytes:
            self._on_bad_line(BadLine(part.cursor.path, number, position, len(data), BAD_LINE))
        if events:
            yield from self._tell(part, position, events)

    def _tell(self, part: AgentPart, position: int, events: Sequence[AgentEvent]) -> Iterator[None]:
        for event in events:
            for call_id in self._take(part, position, event):
                for child in self._children_of(call_id):
                    child.begun = True
                    yield from self._drain(child)
                    self._release(child)

    # --- what waits --------------------------------------------------------------------------------------------------

    def _take(self, part: AgentPart, position: int, event: AgentEvent) -> list[str]:
        """Records an event, unless it has to wait; returns the tool calls that have been told with it."""
        if part.held or (isinstance(event, AgentEnd) and self._waits(part)):
            part.held.append((position, event))
            return []
        self.out += self.log.take_event(part, event, part.place(position))
        if isinstance(event, ToolExecutionStart):
            part.in_turn.append(event.tool_call_id)
        elif part.in_turn and isinstance(event, TurnEnd | TurnStart | AgentEnd):
            calls, part.in_turn = part.in_turn, []
            for call_id in calls:
                self._finished[call_id] = None
                self._finished.move_to_end(call_id)
            while len(self._finished) > MAX_FINISHED:
                self._finished.popitem(last=False)
            return calls
        return []

    def _waits(self, part: AgentPart) -> bool:
        """Says whether a sub-agent's loop may not end yet: the turn that started it was not told."""
        call_id = self._calls.get(part.file.group.agent_id)
        return not part.released and call_id is not None and call_id not in self._finished

    def _children_of(self, call_id: str) -> list[AgentPart]:
        waiting = [part for part in self.parts.values() if not part.released]
        found = [part for part in waiting if self._calls.get(part.file.group.agent_id) == call_id]
        return sorted(found, key=lambda part: part.cursor.path)

    def _release(self, part: AgentPart) -> None:
        """Tells what waited of a file, and of those below it."""
        if part.released:
            return
        part.released = True
        held, part.held = list(part.held), deque()
        for position, event in held:
            for call_id in self._take(part, position, event):
                for child in self._children_of(call_id):
                    self._release(child)

    # --- ends --------------------------------------------------------------------------------------------------------

    def is_quiet(self, now_ns: int) -> bool:
        """Says whether a pause is to be told of a file, or is what a sub-agent without a main file waited for."""
        quiet = [part for part in self.parts.values() if part.quiet(now_ns - SILENCE_NS)]
        return any(part.begun for part in quiet) or (bool(quiet) and not self._sides()[0])

    def pause(self, now_ns: int) -> Iterator[None]:
        """Tells the pauses of files that were not written to for so long; yields as `read`."""
        mains, children = self._sides()
        if not mains:
            yield from self._begin([part for part in children if part.look.mtime_ns < now_ns - SILENCE_NS])
        for part in self._in_order():
            if part.begun and part.quiet(now_ns - SILENCE_NS):
                events = part.fold.settle("silence")
                if events:
                    part.silences.add(part.offset)
                    self._rows.note_silence(part.cursor.id, part.offset)
                part.paused()
                yield from self._tell(part, part.offset, events)
                yield
        if mains:
            yield from self._at_rest()

    def end(self) -> Iterator[None]:
        """Takes all files as finished, and what has no end as aborted; yields as `read`."""
        mains, children = self._sides()
        for part in mains:
            yield from self._finish(part)
        for part in children:
            part.begun = True
            yield from self._drain(part)
            yield from self._finish(part)
        self.out += self.log.abort()
        yield

    def _finish(self, part: AgentPart) -> Iterator[None]:
        if not part.ended:
            part.ended = True
            yield from self._tell(part, part.offset, part.fold.settle("end"))
            self._release(part)
