"""Other agents' files to events: session after session, a sub-agent's file right after the turn whose tool started it.

Rule 1: a session's loops follow one another; nothing is woven by time, so that copies find the originals' claims made.
Rule 2: a file written to in the last ten minutes is at work: a loop that has no end in it is held back whole.
Rule 3: a file that was given alone leaves what it copied to the file of its folder that it copied from, unless all is asked for.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec
from msgspec import UNSET

from otel_phi.sources.agent_order import AgentFile, AgentSession, document_of, in_order, originals_of, without_converted
from otel_phi.sources.agents.adapter import SILENCE_NS, Context, Fold
from otel_phi.sources.agents.claims import Claims
from otel_phi.sources.files import FileChunks
from otel_phi.sources.folder_claims import FolderClaims
from otel_phi.sources.lines import read_lines
from otel_phi.sources.opened import why
from otel_phi.sources.reader import BadLine
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, ToolExecutionStart, TurnEnd, TurnStart

_MAX_BESIDE_BYTES = 1 << 22  # a trial's result holds its configuration, no transcript
# As long after its last write a file is at work; a long model call is covered.
STILL_WRITTEN_NS = 600 * 1_000_000_000


class AgentOptions(msgspec.Struct, frozen=True):
    """Says how other agents' sessions are read.

    Attributes:
        whole: whether files are read as if there were no others beside them: with what they copied from those.
    """

    whole: bool = False


class AgentReading:
    """Reads other agents' sessions.

    Args:
        files: their files.
        now_ns: the time now, by which a file is at work or not; -1 where none is to be.
        since_ns: leave out sessions that were last written to before that.
        on_bad_line: called with each line that is no record.
        options: how to read them.
        claims: what other readings claimed; None for nothing.

    Attributes:
        sessions: in the order in which they are read.
        converted: sessions left out since the records that they were converted from are read.
        counts: what the folds counted.
        held_loops: loops held back since their file is at work.
        open_loops: loops that have no end, in files that are not.
        left: calls that were left to another file: how many, by that file.
        unreadable: files that could not be read, or not to their end; each was reported.
        read_bytes: bytes read so far.
        place: file and number of the line that was read last, 0 in a file without lines, None before the first; the event at hand was told by it.
    """

    def __init__(
        self,
        files: Iterable[AgentFile],
        *,
        now_ns: int,
        since_ns: int = 0,
        on_bad_line: Callable[[BadLine], None] | None = None,
        options: AgentOptions | None = None,
        claims: FolderClaims | None = None,
    ) -> None:
        found = [one for one in in_order(files) if one.written_ns >= since_ns]
        self.sessions = without_converted(found)
        self.converted = len(found) - len(self.sessions)
        self.counts: Counter[str] = Counter()
        self.held_loops = self.open_loops = self.read_bytes = 0
        self.left: Counter[Path] = Counter()
        self.unreadable: list[Path] = []
        self.place: tuple[Path, int] | None = None
        self._claims = FolderClaims() if claims is None else claims
        self._previous_loop = ""  # the session's last that no tool started
        self._now_ns, self._on_bad_line, self._options = now_ns, on_bad_line, options or AgentOptions()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files read."""
        return tuple(file.path for session in self.sessions for file in session.files)

    @property
    def missing_files(self) -> int:
        """How many files of sub-agents and continuations the files read name that are not among them."""
        files = [file for session in self.sessions for file in session.files]
        return sum(len(file.group.refers) for file in files) - sum(file.referred for file in files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files read."""
        return sum(file.size_bytes for session in self.sessions for file in session.files)

    def events(self) -> Iterator[AgentEvent]:
        """Yields the events of all sessions."""
        given = set(self.files)
        originals = [] if self._options.whole else originals_of(self.sessions, given)
        for session in in_order([file for one in (*self.sessions, *originals) for file in one.files]):
            known = session.files[0].path in given
            for event in self._session(session):
                if known:
                    yield event
        for (path, holder), calls in self._claims.lost_to.items():
            if path in given and holder not in given:
                self.left[holder] += calls

    # --- sessions ------------------------------------------------------------------------------------------------------

    def _session(self, session: AgentSession) -> Iterator[AgentEvent]:
        calls = _calls_of(session)
        waiting: _Waiting = {}
        for child in session.children:
            waiting.setdefault(calls.get(child.group.agent_id, ""), []).append(self._file(child, calls))
        self._previous_loop = ""
        for main in session.mains:
            yield from self._with_children(self._file(main, calls), "", waiting)
        while waiting:
            for left in waiting.pop(next(iter(waiting))):
                yield from self._with_children(left, "", waiting)

    def _with_children(self, own: Iterator[AgentEvent], call_id: str, waiting: _Waiting) -> Iterator[AgentEvent]:
        """Yields a file's events, and after each turn those of the sub-agents that its tools started.

        A sub-agent that was started again, by another call, waits for that one.
        """
        due: list[tuple[str, Iterator[AgentEvent]]] = []
        for event in own:
            other = event.parent_tool_call_id if isinstance(event, AgentStart) else UNSET
            if call_id and other and other != call_id:
                waiting.setdefault(other, []).append(chain([event], own))
                break
            yield event
            if isinstance(event, AgentStart) and event.continuation_kind != "SubAgent":
                self._previous_loop = event.loop_id
            if isinstance(event, ToolExecutionStart) and event.tool_call_id in waiting:
                due += [(event.tool_call_id, child) for child in waiting.pop(event.tool_call_id)]
            elif due and isinstance(event, TurnEnd | TurnStart | AgentEnd):
                children, due = due, []
                for name, child in children:
                    yield from self._with_children(child, name, waiting)
        for name, child in due:
            yield from self._with_children(child, name, waiting)

    # --- files ---------------------------------------------------------------------------------------------------------

    def _file(self, file: AgentFile, calls: dict[str, str]) -> Iterator[AgentEvent]:
        fold = file.adapter.fold(
            context_of(file, self._claims.of(file.path), calls.get, file.written_ns, self._previous_loop)
        )
        age_ns = self._now_ns - file.written_ns
        at_work = self._now_ns >= 0 and age_ns < STILL_WRITTEN_NS
        events = self._settled(file, fold, age_ns, at_work=at_work)
        yield from self._ended_loops(events) if at_work else self._counted(events)
        del fold.counts["bad_lines"]  # each was reported
        self.counts += fold.counts

    def _settled(self, file: AgentFile, fold: Fold, age_ns: int, *, at_work: bool) -> Iterator[AgentEvent]:
        try:
            yield from self._records(file, fold, at_work=at_work)
        except OSError as error:
            self.unreadable.append(file.path)
            self._report(BadLine(str(file.path), 0, 0, 0, f"cannot be read: {why(error)}"))
        if not at_work:
            yield from fold.settle("end")
        elif age_ns > SILENCE_NS:
            yield from fold.settle("silence")

    def _records(self, file: AgentFile, fold: Fold, *, at_work: bool) -> Iterator[AgentEvent]:
        self.place = file.path, 0
        if file.group.document:
            yield from self._document(file, fold, at_work=at_work)
            return
        if file.records is not None:
            yield from self._stored_records(file, file.records(), fold)
            return
        stream, before = FileChunks(file.path, limit_bytes=file.size_bytes), 0
        for block in read_lines(stream):
            self.read_bytes += stream.read_bytes - before
            before = stream.read_bytes
            for number, (line, (position, data)) in enumerate(
                zip(block.lines, block.records(), strict=True), block.number
            ):
                self.place = file.path, number
                bad = fold.counts["bad_lines"]
                yield from fold.record(position, data)
                half = not block.ended and line is block.lines[-1]
                if fold.counts["bad_lines"] > bad and not (half and at_work):
                    self._report(BadLine(str(file.path), number, position, len(line), _HALF if half else BAD_LINE))

    def _document(self, file: AgentFile, fold: Fold, *, at_work: bool) -> Iterator[AgentEvent]:
        data = document_of(file.path)
        yield from fold.record(0, data)
        self.read_bytes += file.size_bytes
        if fold.counts["bad_lines"] and not at_work:
            self._report(BadLine(str(file.path), 1, 0, len(data), BAD_DOCUMENT))

    def _stored_records(
        self, file: AgentFile, records: Iterator[tuple[int, bytes]], fold: Fold
    ) -> Iterator[AgentEvent]:
        number = 0
        try:
            for number, (position, data) in enumerate(records, 1):
                bad = fold.counts["bad_lines"]
                yield from fold.record(position, data)
                if fold.counts["bad_lines"] > bad:
                    self._report(BadLine(str(file.path), number, position, len(data), BAD_LINE))
        except OSError as error:
            self._report(BadLine(str(file.path), number + 1, 0, 0, f"the rest of it: {error}"))
        self.read_bytes += file.size_bytes

    def _report(self, bad: BadLine) -> None:
        if self._on_bad_line is not None:
            self._on_bad_line(bad)

    def _ended_loops(self, events: Iterator[AgentEvent]) -> Iterator[AgentEvent]:
        """Yields the loops that have an end, each when that has come; the last one may have none yet."""
        held: list[AgentEvent] = []
        for event in events:
            held.append(event)
            if isinstance(event, AgentEnd):
                yield from held
                held.clear()
        self.held_loops += sum(isinstance(event, AgentStart) for event in held)

    def _counted(self, events: Iterator[AgentEvent]) -> Iterator[AgentEvent]:
        still_open = 0
        for event in events:
            still_open += isinstance(event, AgentStart)
            still_open -= isinstance(event, AgentEnd)
            yield event
        self.open_loops += still_open


_Waiting = dict[str, list[Iterator[AgentEvent]]]  # sub-agents' events, by the call that started them
BAD_LINE = "not a JSON object"
BAD_DOCUMENT = "parts of it are no records, or it is not whole"
_HALF = "half a line at the end"


def _beside(path: Path, name: str) -> bytes:
    for folder in (path.parent, path.parent.parent):
        found = folder / name
        try:
            if found.is_file() and found.stat().st_size <= _MAX_BESIDE_BYTES:
                return found.read_bytes()
        except OSError:
            continue  # as if there were none: it is only asked for times that a file has not itself
    return b""


def context_of(
    file: AgentFile, claims: Claims, parent_call: Callable[[str], str | None], fallback_ns: int, previous_loop: str = ""
) -> Context:
    """Returns what a file's fold may know, the same in every door.

    Args:
        file: the file.
        claims: the table, as the file sees it.
        parent_call: the tool call that started a sub-agent, by the sub-agent's id.
        fallback_ns: the time of its records if none of them has one.
        previous_loop: the loop that came before, where the file continues another.
    """
    path = file.path
    return Context(
        claims=claims,
        name=path.name.partition(".")[0],
        folder=path.parent.parent.name if path.parent.name == "sessions" else "",
        fallback_ns=fallback_ns,
        parent_call=parent_call,
        parent_loop=lambda _: file.loop_id or None,
        agent_id=file.group.agent_id,
        session=file.group.key,
        part=file.group.part,
        previous_loop=previous_loop if file.group.part else "",
        beside=partial(_beside, path),
    )


def call_beside(file: AgentFile) -> str:
    """Returns the tool call that started a sub-agent, as the file beside its own says, "" where none does."""
    beside = file.path.with_suffix(".meta.json")
    return _call_in(beside) if beside.is_file() else ""


def _calls_of(session: AgentSession) -> dict[str, str]:
    """Returns the tool calls that started a session's sub-agents, by the sub-agent: as files beside them or the parents' lines say."""
    found = {child.group.agent_id: child.call_id for child in session.children if child.call_id}
    wanted = {child.group.agent_id for child in session.children if child.group.agent_id}
    for child in session.children:
        call_id = call_beside(child)
        if call_id:
            found[child.group.agent_id] = call_id
    if wanted - found.keys():
        for file in session.files:
            with contextlib.suppress(OSError):  # whoever reads its records says so
                _find_calls(file, wanted - found.keys(), found)
    return found


def _call_in(path: Path) -> str:
    try:
        call_id = json.loads(path.read_bytes()).get("toolUseId")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return call_id if isinstance(call_id, str) else ""


def _find_calls(file: AgentFile, wanted: set[str], found: dict[str, str]) -> None:
    marks = [agent_id.encode() for agent_id in wanted]
    again: Counter[str] = Counter()
    for line in _lines_of(file):
        if any(mark in line for mark in marks):
            for agent_id, call_id in file.adapter.children(line):
                if found.setdefault(agent_id, call_id) != call_id and agent_id in wanted:
                    again[agent_id] += 1
                    found[f"{agent_id}#{again[agent_id] + 1}"] = call_id


def _lines_of(file: AgentFile) -> Iterator[bytes]:
    if file.records is not None:
        try:
            yield from (data for _, data in file.records())
        except OSError:
            return  # it is reported when its records are read
    else:
        for block in read_lines(FileChunks(file.path, limit_bytes=file.size_bytes)):
            yield from block.lines
