"""Files and folders as one stream of events: event logs, JSONL and saved sessions, by event time.

Rule 1: a first pass reads the loops' starts and ends alone, so that references mean the same whatever the order of the files.
Rule 2: a loop that is open at the end of a file written to in the last ten minutes is still at work: it is held back whole.
Rule 3: a loop that several files hold is taken from one: from a log, unless only a saved session holds its end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from otel_phi.sources.agent_files import AgentOptions, AgentReading
from otel_phi.sources.agent_order import AgentFile, agent_file, head_of, with_children
from otel_phi.sources.agent_stores import sessions_in
from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.files import FileChunks
from otel_phi.sources.found import Found, NothingHere
from otel_phi.sources.kinds import Kind
from otel_phi.sources.logs import EventFile, Opened, Reading
from otel_phi.sources.looks import Looks
from otel_phi.sources.merge import Stream, merged
from otel_phi.sources.opened import why
from otel_phi.sources.reader import BadLine
from otel_phi.sources.saved import SessionFile, read_session, streams_of
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, AgentStart

__all__ = ["NothingHere", "Stored"]  # whoever opens files asks for both here

# A phi-core agent writes with every event; ten minutes cover a long model call.
STILL_WRITTEN_S = 600
# So many saved sessions stay open while they are read; a process may open a thousand files.
_KEPT_OPEN = 64

_LOGGED, _SAVED = 0, 1
_NONE: frozenset[Opened] = frozenset()
_Loop = tuple[str, str, int]  # session id, loop id and start
_Owners = dict[_Loop, tuple[int, int, int, Path]]  # without an end, kind of file, length (negative), file


class Stored:
    """Stored sessions are a set of files read as one stream.

    Args:
        paths: files and folders; folders are searched whole.
        final: take every loop that is open at the end of its file as aborted, even if the file was written to just now.
        on_bad_line: called with each line that is no event.
        content: whether the events are to have their content, see `EventReader`.
        since_ns: leave out what was last written to before that, nanoseconds since the epoch.
        agents: how other agents' sessions are read.
        looks: how files are looked at; None for anew.

    Attributes:
        agents: other agents' sessions; what is said of them is known when their events are read.
        files: the files read, in order of name.
        superseded: saved sessions left out since all their loops are read from logs, or from other saved sessions.
        held_loops: loops held back since their file is still written to.
        aborted_loops: loops without an end that are taken as aborted.
        repeated_loops: loops that more than one file holds, a copy or a backup; each is taken from one of them.
        size_bytes: of all files read.

    Raises:
        NothingHere: nothing can be read: the only path is missing, or holds no events, or all are so.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        *,
        final: bool = False,
        on_bad_line: Callable[[BadLine], None] | None = None,
        content: bool = True,
        since_ns: int = 0,
        agents: AgentOptions | None = None,
        looks: Looks | None = None,
    ) -> None:
        self.superseded: list[Path] = []
        self.held_loops = self.aborted_loops = self.repeated_loops = 0
        self._final = final
        self._reading = Reading(on_bad_line, FileChunks.size_for(1))
        self._reading.content = content
        self._given = [Path(path) for path in paths]
        self._looks = looks or Looks()
        self._found = Found(self._given, self._reading.report, self._looks.kind)
        self._reading.cannot_read = lambda path, error: self._found.cannot_read(path, f"cannot be read: {why(error)}")
        kinds = {path: kind for path, kind in self._found.kinds.items() if _written_ns(path) >= since_ns}
        self._reading.chunk_bytes = FileChunks.size_for(len(kinds))
        logs = list(self._logs(kinds))
        saved = list(self._sessions([path for path, kind in kinds.items() if kind == "session"]))
        of_agents = [path for path, kind in self._found.kinds.items() if kind == "agent"]
        self.agents = self._agent_reading(of_agents, since_ns, agents or AgentOptions())
        if not logs and not saved and not self.agents.sessions:
            late = " that was written to since then" if since_ns else ""
            said = f"{', '.join(map(str, self._given))}: nothing of it can be read{late}"
            raise NothingHere(self._found.trouble or said)
        owners = _owners(logs, saved)
        sessions = [file for file in map(partial(self._own_loops, owners), saved) if file is not None]
        own = [log.path for log in logs] + [file.path for file in sessions]
        self.files = tuple(sorted([*own, *self.agents.files]))
        self.size_bytes = sum(map(_size, own)) + self.agents.size_bytes
        self._streams = [self._log_stream(log, owners) for log in logs]
        for file in sessions:
            self._streams += self._session_streams(file)

    def _agent_reading(self, paths: list[Path], since_ns: int, options: AgentOptions) -> AgentReading:
        files = {file.path: file for path in paths for file in self._agent_files(path)}
        now_ns = -1 if self._final else time.time_ns()
        return AgentReading(
            files.values(), now_ns=now_ns, since_ns=since_ns, on_bad_line=self._reading.report, options=options
        )

    def _agent_files(self, path: Path) -> list[AgentFile]:
        try:
            inside = sessions_in(path)
            if inside is not None:
                return inside
            adapter = adapter_of(head_of(path), str(path))
            file = None if adapter is None else agent_file(path, adapter)
        except OSError as error:
            self._cannot_read(path, error)
            return []
        if file is None:
            return []
        return with_children(file, self._cannot_read) if path in self._given else [file]

    @property
    def ignored(self) -> list[Path]:
        """Files of the folders that hold no events, or cannot be read; the latter are reported too."""
        return self._found.ignored

    @property
    def special(self) -> dict[Path, str]:
        """What is no file in the folders: FIFOs, sockets, devices, each with what it is."""
        return self._found.special

    @property
    def unreadable(self) -> list[Path]:
        """Files that cannot be read, among others that can; all are known when the events were read."""
        return self._found.unreadable + self.agents.unreadable

    @property
    def counts(self) -> Counter[str]:
        """What the readers counted: `events`, `left_out`, `bad_lines`, `restarts`, `missing`."""
        return self._reading.counts + self.agents.counts

    @property
    def read_bytes(self) -> int:
        """Bytes read so far by `events`."""
        return self._reading.read_bytes + self.agents.read_bytes

    @property
    def starts(self) -> tuple[AgentStart, ...]:
        """The AgentStarts of all files."""
        return tuple(start for stream in self._streams for start in stream.starts)

    def events(self) -> Iterator[AgentEvent]:
        """Yields the events of all files as one stream, without those that no span shows."""
        if self._streams:
            yield from merged(self._streams)
        yield from self.agents.events()

    # --- what there is -----------------------------------------------------------------------------------------------

    def _logs(self, kinds: dict[Path, Kind]) -> Iterator[EventFile]:
        for path, kind in kinds.items():
            if kind in ("events", "converted"):
                try:
                    yield self._looks.log(path)
                except OSError as error:
                    self._cannot_read(path, error)

    def _sessions(self, paths: list[Path]) -> Iterator[SessionFile]:
        kept = 0
        for path in paths:
            try:
                # A fresh one may be written anew while others are read.
                file = read_session(path, kept=kept < _KEPT_OPEN and self._is_fresh(path))
            except OSError as error:
                self._cannot_read(path, error)
                continue
            if isinstance(file, Undecodable):
                self._unreadable(path, f"a saved session that cannot be read: {file.reason}")
            else:
                kept += 1
                yield file

    def _own_loops(self, owners: _Owners, file: SessionFile) -> SessionFile | None:
        """Leaves a saved session the loops that are read from it; None if all are in logs or in other files."""
        kept = tuple(loop for loop in file.loops if owners[_of(loop.start)][-1] == file.path)
        elsewhere = [owners[_of(loop.start)] for loop in file.loops if owners[_of(loop.start)][-1] != file.path]
        self.repeated_loops += sum(1 for owner in elsewhere if owner[1] == _SAVED)
        if not kept and elsewhere:
            self.superseded.append(file.path)
            return None
        return msgspec.structs.replace(file, loops=kept)

    def _cannot_read(self, path: Path, error: OSError) -> None:
        self._unreadable(path, f"cannot be read: {why(error)}")

    def _unreadable(self, path: Path, reason: str) -> None:
        """Reports a file that cannot be read; the others are."""
        if path in self._given:
            self._found.cannot_read_given(path, reason)
        else:
            self._found.cannot_read_within(path, reason)

    # --- what is still at work ---------------------------------------------------------------------------------------

    def _at_work(self, path: Path) -> bool:
        return not self._final and self._is_fresh(path)

    @staticmethod
    def _is_fresh(path: Path) -> bool:
        return time.time_ns() - _written_ns(path) < STILL_WRITTEN_S * 1_000_000_000

    def _log_stream(self, log: EventFile, owners: _Owners) -> Stream:
        at_work = self._at_work(log.path)
        others = [loop[1:] for start in log.starts if owners[loop := _of(start)][-1] != log.path]
        elsewhere = frozenset(others) if others else _NONE
        self.repeated_loops += len(elsewhere)
        open_here = log.unfinished - elsewhere
        if at_work:
            self.held_loops += len(open_here)
        else:
            self.aborted_loops += len(open_here)
        return self._reading.stream(log, at_work=at_work, elsewhere=elsewhere)

    def _session_streams(self, file: SessionFile) -> list[Stream]:
        at_work = file.unfinished > 0 and self._at_work(file.path)
        self.held_loops += file.unfinished if at_work else 0
        self.aborted_loops += 0 if at_work else file.unfinished
        return streams_of(file, self._reading.counts, self._reading.on_bad_line, whole=not at_work)


def _of(start: AgentStart) -> _Loop:
    return start.session_id.lower(), start.loop_id, int(start.timestamp)


def _owners(logs: list[EventFile], saved: list[SessionFile]) -> _Owners:
    """Says from which file each loop is taken: one that holds its end, else a log, else the longest, else the first by name."""
    found: _Owners = {}
    for log in logs:
        for start in log.starts:
            loop = _of(start)
            rank = (int(loop[1:] in log.unfinished), _LOGGED, -log.size_bytes, log.path)
            found[loop] = min(found.get(loop, rank), rank)
    for file in saved:
        for record in file.loops:
            rank = (int(record.ended_at is None), _SAVED, -file.size_bytes, file.path)
            found[_of(record.start)] = min(found.get(_of(record.start), rank), rank)
    return found


def _size(path: Path) -> int:
    """Returns a file's length, 0 for one that was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _written_ns(path: Path) -> int:
    """Returns when a file was last written to; now for one that was removed meanwhile: whoever reads it says so."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return time.time_ns()
