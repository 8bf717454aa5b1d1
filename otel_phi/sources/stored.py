"""Files and folders as one stream of events: event logs, JSONL and saved sessions, by event time.

Rule 1: a first pass reads the loops' starts and ends alone, so that references mean the same whatever the order of the files.
Rule 2: a loop that is open at the end of a file written to in the last ten minutes is still at work: it is held back whole.
Rule 3: a session that has its events in a log is taken from there, and its saved session is left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from otel_phi.sources.files import FileChunks
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.logs import EventFile, Reading, first_pass
from otel_phi.sources.merge import Stream, merged
from otel_phi.sources.reader import BadLine
from otel_phi.sources.saved import SessionFile, read_session, streams_of
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, AgentStart

# A phi-core agent writes with every event; ten minutes cover a long model call.
STILL_WRITTEN_S = 600

_Loop = tuple[str, str, int]  # session id, loop id and start


class NothingHere(Exception):  # noqa: N818
    """Says that a path holds no agent sessions, what was found instead and what to do."""


class Stored:
    """Is a set of files read as one stream.

    Args:
        paths: files and folders; folders are searched whole.
        final: take every loop that is open at the end of its file as aborted, even if the file was written to just now.
        on_bad_line: called with each line that is no event.

    Attributes:
        files: the files read, in order of name.
        ignored: files of the folders that hold no events, or cannot be read; the latter are reported too.
        superseded: saved sessions left out since their events lie in a log.
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
    ) -> None:
        self.ignored: list[Path] = []
        self.superseded: list[Path] = []
        self.held_loops = self.aborted_loops = self.repeated_loops = 0
        self._final = final
        self._reading = Reading(on_bad_line, FileChunks.size_for(1))
        given = [Path(path) for path in paths]
        kinds = {path: kind for root in given for path, kind in self._found(root)}
        self._reading.chunk_bytes = FileChunks.size_for(len(kinds))
        logs = [first_pass(path) for path, kind in sorted(kinds.items()) if kind == "events"]
        logged = {start.session_id for log in logs for start in log.starts}
        sessions = self._sessions([path for path, kind in sorted(kinds.items()) if kind == "session"], logged, given)
        self.files = tuple(sorted([log.path for log in logs] + [file.path for file in sessions]))
        self.size_bytes = sum(path.stat().st_size for path in self.files)
        owners = _owners(logs)
        self._streams = [self._log_stream(log, owners) for log in logs]
        for file in _once(sessions):
            self._streams += self._session_streams(file)

    @property
    def counts(self) -> Counter[str]:
        """What the readers counted: `events`, `left_out`, `bad_lines`, `restarts`, `missing`."""
        return self._reading.counts

    @property
    def read_bytes(self) -> int:
        """Bytes read so far by `events`."""
        return self._reading.read_bytes

    @property
    def starts(self) -> tuple[AgentStart, ...]:
        """The AgentStarts of all files."""
        return tuple(start for stream in self._streams for start in stream.starts)

    def events(self) -> Iterator[AgentEvent]:
        """Yields the events of all files as one stream, without those that no span shows."""
        return merged(self._streams)

    # --- what there is -----------------------------------------------------------------------------------------------

    def _found(self, path: Path) -> list[tuple[Path, Kind]]:
        if path.is_dir():
            candidates = sorted(inner for inner in path.rglob("*") if inner.is_file() and _may_be_ours(inner))
            kinds = [(inner, kind) for inner in candidates if (kind := self._kind_within(inner)) is not None]
            found: list[tuple[Path, Kind]] = [(inner, kind) for inner, kind in kinds if kind in ("events", "session")]
            self.ignored += [inner for inner, kind in kinds if kind not in ("events", "session")]
            if not found:
                raise NothingHere(_empty_folder(path, len(candidates)))
            return found
        if not path.exists():
            raise NothingHere(f"{path}: no such file or folder; give a file of AgentEvents or a folder of event logs")
        if not path.is_file():
            raise NothingHere(f"{path}: not a file that can be read twice; pass a stream to otel-phi pipe instead")
        kind = _kind(path)
        if kind not in ("events", "session"):
            raise NothingHere(f"{path}: {_WRONG[kind]}")
        return [(path, kind)]

    def _kind_within(self, path: Path) -> Kind | None:
        try:
            return kind_of(path)
        except OSError as error:
            self._unreadable(path, f"cannot be read: {error.strerror or error}")
            return None

    def _sessions(self, paths: list[Path], logged: set[str], given: list[Path]) -> list[SessionFile]:
        found = []
        for path in paths:
            file = read_session(path)
            if isinstance(file, Undecodable):
                if path in given:
                    raise NothingHere(f"{path}: a saved session that cannot be read: {file.reason}")
                self._unreadable(path, f"a saved session that cannot be read: {file.reason}")
            elif file.session.session_id in logged:
                self.superseded.append(path)
            else:
                found.append(file)
        return found

    def _unreadable(self, path: Path, reason: str) -> None:
        """Reports a file of a folder that cannot be read; the others are."""
        self.ignored.append(path)
        self._reading.report(BadLine(str(path), 1, 0, 0, reason))

    # --- what is still at work ---------------------------------------------------------------------------------------

    def _at_work(self, path: Path) -> bool:
        return not self._final and time.time() - path.stat().st_mtime < STILL_WRITTEN_S

    def _log_stream(self, log: EventFile, owners: dict[_Loop, Path]) -> Stream:
        at_work = self._at_work(log.path)
        elsewhere = frozenset(loop[1:] for start in log.starts if owners[loop := _identity(start)] != log.path)
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


def _identity(start: AgentStart) -> _Loop:
    return start.session_id, start.loop_id, int(start.timestamp)


def _owners(logs: list[EventFile]) -> dict[_Loop, Path]:
    """Says from which file each loop is taken: one that holds its end, else the longest, else the first by name."""
    ranked = sorted(logs, key=lambda log: (-log.size_bytes, log.path))
    owners: dict[_Loop, Path] = {}
    for finished in (True, False):
        for log in ranked:
            for start in log.starts:
                if finished == (_identity(start)[1:] not in log.unfinished):
                    owners.setdefault(_identity(start), log.path)
    return owners


def _once(files: list[SessionFile]) -> list[SessionFile]:
    """Leaves one file of each saved session: the longest, else the first by name."""
    found: dict[str, SessionFile] = {}
    for file in sorted(files, key=lambda file: (-file.size_bytes, file.path)):
        found.setdefault(file.session.session_id, file)
    return sorted(found.values(), key=lambda file: file.path)


def _may_be_ours(path: Path) -> bool:
    """Leaves out hidden files, and what phi-core's store leaves beside its sessions: locks and half-written files."""
    return not (path.name.startswith(".") or path.name.endswith(".lock") or ".json.tmp." in path.name)


def _kind(path: Path) -> Kind:
    try:
        return kind_of(path)
    except OSError as error:
        raise NothingHere(f"{path}: cannot be read: {error.strerror or error}") from None


_WRONG: dict[Kind, str] = {
    "empty": "the file is empty; an agent's event log has one JSON object a line",
    "json": "this is JSON, but no AgentEvents and no saved session of phi-core",
    "other": "this is no file of AgentEvents: each line should be an object with a `type`, or with `ordinal` and `event`",
}


def _empty_folder(path: Path, files: int) -> str:
    if not files:
        return f"{path}: the folder is empty; give the folder that phi-core's FileSystemEventLog writes to"
    return f"{path}: none of the folder's {files} files holds AgentEvents, event-log lines or a saved session"
