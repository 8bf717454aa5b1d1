"""Files and folders as one stream of events: event logs, JSONL and saved sessions, by event time.

Rule 1: a first pass reads the loops' starts and ends alone, so that references mean the same whatever the order of the files.
Rule 2: a loop that is open at the end of a file written to in the last ten minutes is still at work: it is held back whole.
Rule 3: a loop that several files hold is taken from one: from a log, unless only a saved session holds its end.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from otel_phi.errors import SourceError
from otel_phi.sources.agent_files import AgentOptions, AgentReading
from otel_phi.sources.agent_order import AgentFile, agent_file, head_of, with_children
from otel_phi.sources.agent_stores import sessions_in
from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.files import FileChunks
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.logs import EventFile, Opened, Reading, first_pass
from otel_phi.sources.merge import Stream, merged
from otel_phi.sources.reader import BadLine
from otel_phi.sources.saved import SessionFile, read_session, streams_of
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, AgentStart

# A phi-core agent writes with every event; ten minutes cover a long model call.
STILL_WRITTEN_S = 600
# So many saved sessions stay open while they are read; a process may open a thousand files.
_KEPT_OPEN = 64

_LOGGED, _SAVED = 0, 1
_NONE: frozenset[Opened] = frozenset()
_Loop = tuple[str, str, int]  # session id, loop id and start
_Owners = dict[_Loop, tuple[int, int, int, Path]]  # without an end, kind of file, length (negative), file


class NothingHere(SourceError):  # noqa: N818
    """Says that a path holds no agent sessions, what was found instead and what to do."""


class Stored:
    """Stored sessions are a set of files read as one stream.

    Args:
        paths: files and folders; folders are searched whole.
        final: take every loop that is open at the end of its file as aborted, even if the file was written to just now.
        on_bad_line: called with each line that is no event.
        content: whether the events are to have their content, see `EventReader`.
        since_ns: leave out what was last written to before that, nanoseconds since the epoch.
        agents: how other agents' sessions are read.

    Attributes:
        agents: other agents' sessions; what is said of them is known when their events are read.
        files: the files read, in order of name.
        ignored: files of the folders that hold no events, or cannot be read; the latter are reported too.
        superseded: saved sessions left out since all their loops are read from logs, or from other saved sessions.
        held_loops: loops held back since their file is still written to.
        aborted_loops: loops without an end that are taken as aborted.
        repeated_loops: loops that more than one file holds, a copy or a backup; each is taken from one of them.
        size_bytes: of all files read.

    Raises:
        NothingHere: a path is missing, or holds no events.
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
    ) -> None:
        self.ignored: list[Path] = []
        self.superseded: list[Path] = []
        self.held_loops = self.aborted_loops = self.repeated_loops = 0
        self._final = final
        self._reading = Reading(on_bad_line, FileChunks.size_for(1))
        self._reading.content = content
        given = [Path(path) for path in paths]
        kinds = {path: kind for root in given for path, kind in self._found(root)}
        of_agents = [path for path, kind in kinds.items() if kind == "agent"]
        kinds = {path: kind for path, kind in sorted(kinds.items()) if path.stat().st_mtime_ns >= since_ns}
        self._reading.chunk_bytes = FileChunks.size_for(len(kinds))
        logs = [first_pass(path) for path, kind in kinds.items() if kind in ("events", "converted")]
        saved = self._sessions([path for path, kind in kinds.items() if kind == "session"], given)
        self.agents = self._agent_reading(of_agents, given, since_ns, agents or AgentOptions())
        if not logs and not saved and not self.agents.sessions:
            late = " that was written to since then" if since_ns else ""
            raise NothingHere(f"{', '.join(map(str, given))}: nothing of it can be read{late}")
        owners = _owners(logs, saved)
        sessions = [file for file in map(partial(self._own_loops, owners), saved) if file is not None]
        own = [log.path for log in logs] + [file.path for file in sessions]
        self.files = tuple(sorted([*own, *self.agents.files]))
        self.size_bytes = sum(path.stat().st_size for path in own) + self.agents.size_bytes
        self._streams = [self._log_stream(log, owners) for log in logs]
        for file in sessions:
            self._streams += self._session_streams(file)

    def _agent_reading(
        self, paths: list[Path], given: list[Path], since_ns: int, options: AgentOptions
    ) -> AgentReading:
        files: dict[Path, AgentFile] = {}
        for path in paths:
            try:
                inside = sessions_in(path)
            except OSError as error:  # a database may be damaged further in
                self._unreadable(path, f"cannot be read: {error.strerror or error}")
                continue
            if inside is not None:
                files |= {one.path: one for one in inside}
                continue
            adapter = adapter_of(head_of(path), str(path))
            if adapter is not None:
                file = agent_file(path, adapter)
                files |= {one.path: one for one in (with_children(file) if path in given else [file])}
        now_ns = -1 if self._final else time.time_ns()
        return AgentReading(
            files.values(), now_ns=now_ns, since_ns=since_ns, on_bad_line=self._reading.report, options=options
        )

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

    def _found(self, path: Path) -> list[tuple[Path, Kind]]:
        if path.is_dir():
            candidates = sorted(inner for inner in path.rglob("*") if inner.is_file() and may_be_ours(inner))
            kinds = [(inner, kind) for inner in candidates if (kind := self._kind_within(inner)) is not None]
            found: list[tuple[Path, Kind]] = [(inner, kind) for inner, kind in kinds if kind in _OURS]
            self.ignored += [inner for inner, kind in kinds if kind not in _OURS and kind != "inner"]
            if not found:
                raise NothingHere(_empty_folder(path, len(candidates)))
            return found
        if not path.exists():
            raise NothingHere(f"{path}: no such file or folder; give a file of AgentEvents or a folder of event logs")
        if not path.is_file():
            raise NothingHere(f"{path}: not a file that can be read twice; pass a stream to otel-phi pipe instead")
        kind = _kind(path)
        if kind not in _OURS:
            raise NothingHere(f"{path}: {_WRONG[kind]}")
        return [(path, kind)]

    def _kind_within(self, path: Path) -> Kind | None:
        try:
            return kind_of(path)
        except OSError as error:
            self._unreadable(path, f"cannot be read: {error.strerror or error}")
            return None

    def _sessions(self, paths: list[Path], given: list[Path]) -> list[SessionFile]:
        found: list[SessionFile] = []
        for path in paths:
            # A fresh one may be written anew while others are read.
            file = read_session(path, kept=len(found) < _KEPT_OPEN and self._is_fresh(path))
            if isinstance(file, Undecodable):
                if path in given:
                    raise NothingHere(f"{path}: a saved session that cannot be read: {file.reason}")
                self._unreadable(path, f"a saved session that cannot be read: {file.reason}")
            else:
                found.append(file)
        return found

    def _own_loops(self, owners: _Owners, file: SessionFile) -> SessionFile | None:
        """Leaves a saved session the loops that are read from it; None if all are in logs or in other files."""
        kept = tuple(loop for loop in file.loops if owners[_of(loop.start)][-1] == file.path)
        elsewhere = [owners[_of(loop.start)] for loop in file.loops if owners[_of(loop.start)][-1] != file.path]
        self.repeated_loops += sum(1 for owner in elsewhere if owner[1] == _SAVED)
        if not kept and elsewhere:
            self.superseded.append(file.path)
            return None
        return msgspec.structs.replace(file, loops=kept)

    def _unreadable(self, path: Path, reason: str) -> None:
        """Reports a file of a folder that cannot be read; the others are."""
        self.ignored.append(path)
        self._reading.report(BadLine(str(path), 1, 0, 0, reason))

    # --- what is still at work ---------------------------------------------------------------------------------------

    def _at_work(self, path: Path) -> bool:
        return not self._final and self._is_fresh(path)

    @staticmethod
    def _is_fresh(path: Path) -> bool:
        return time.time() - path.stat().st_mtime < STILL_WRITTEN_S

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


def may_be_ours(path: Path | os.DirEntry[str]) -> bool:
    """Leaves out hidden files, and what lies beside sessions: locks and half-written files, a database's journals."""
    return not (path.name.startswith(".") or path.name.endswith(_BESIDE) or ".json.tmp." in path.name)


def _kind(path: Path) -> Kind:
    try:
        return kind_of(path)
    except OSError as error:
        raise NothingHere(f"{path}: cannot be read: {error.strerror or error}") from None


_BESIDE = (".lock", ".db-wal", ".db-shm", ".db-journal")
_OURS: tuple[Kind, ...] = ("events", "converted", "session", "agent")
_WRONG: dict[Kind, str] = {
    "inner": "this is a part of an opencode session: give the session's own file, in `session`, or the storage folder",
    "empty": "the file is empty; an agent's event log has one JSON object a line",
    "json": "this is JSON, but no AgentEvents, no saved session of phi-core and no other agent's",
    "wrapped": "these are log lines with events inside: give the events alone, one JSON object a line",
    "zstd": "this is compressed with zstd: unpack it, with `zstd -d`",
    "other": "this is no file of AgentEvents: each line should be an object with a `type`, or with `ordinal` and `event`",
}


def _empty_folder(path: Path, files: int) -> str:
    if not files:
        return f"{path}: the folder is empty; give the folder that phi-core's FileSystemEventLog writes to"
    return f"{path}: none of the folder's {files} files holds AgentEvents, event-log lines or a saved session"
