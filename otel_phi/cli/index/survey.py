"""Which sessions and loops a file has: looked up where the file is what it was, else looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from otel_phi.cli.index.rows import FileRow, decoded, encoded
from otel_phi.cli.index.stamps import Stamp, key_of, stamp_of
from otel_phi.cli.index.store import Store
from otel_phi.recorder.references import session_key
from otel_phi.sources.agent_order import AgentFile, agent_file, head_of
from otel_phi.sources.agent_stores import is_store
from otel_phi.sources.agents.registry import BY_NAME, adapter_of
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.logs import EventFile, first_pass
from otel_phi.sources.saved import read_session
from otel_phi.version import __version__
from otel_phi.wire.decode import Undecodable


class Survey:
    """A survey looks at files.

    Args:
        store: what earlier ones found.
        now_ns: the time now; what was written just before may change again unseen.
        on_look: called with each file that is looked at.

    Attributes:
        stamps: what each file was like before it was looked at.
    """

    def __init__(self, store: Store, now_ns: int, on_look: Callable[[], None] | None = None) -> None:
        self._store, self._now_ns, self._on_look = store, now_ns, on_look
        self.stamps: dict[Path, Stamp] = {}
        self._rows: dict[Path, FileRow] = {}
        self._logs: dict[Path, EventFile] = {}

    def row(self, path: Path) -> FileRow:
        """Returns where a file belongs.

        Raises:
            OSError: it cannot be read.
        """
        found = self._rows.get(path)
        if found is None:
            if self._on_look is not None:
                self._on_look()
            stamp = self.stamps[path] = stamp_of(path)
            key, mark = key_of("file", os.fsencode(path)), self.mark([path])
            found = decoded(self._store.get(key), FileRow)
            if found is None or found.mark != mark:
                found = msgspec.structs.replace(self._looked_at(path), mark=mark)
                data = encoded(found) if stamp.is_settled(self._now_ns) else None
                if data is not None:
                    self._store.put(key, data)
            self._rows[path] = found
        return found

    def kind(self, path: Path) -> Kind:
        """Tells what a file is.

        Raises:
            OSError: it cannot be read.
        """
        return self.row(path).kind

    def log(self, path: Path) -> EventFile:
        """Returns the first pass over a file of events.

        Raises:
            OSError: it cannot be read.
        """
        return self._logs.pop(path, None) or first_pass(path)

    def mark(self, paths: list[Path], *more: object) -> bytes:
        """Returns what is the same as long as these files, this version of ours and whatever else is given are."""
        return key_of(__version__, [msgspec.structs.astuple(self.stamps[path]) for path in paths], *more)

    def is_settled(self, paths: list[Path]) -> bool:
        """Tells whether a change of any of these files would show."""
        return all(self.stamps[path].is_settled(self._now_ns) for path in paths)

    def agent_file(self, path: Path) -> AgentFile | None:
        """Returns another agent's file, None where it is none, or one with sessions that are files of their own.

        Raises:
            OSError: it cannot be read.
        """
        row = self.row(path)
        adapter = BY_NAME.get(row.adapter)
        if adapter is None or row.group is None:
            return None
        stamp = self.stamps[path]
        return AgentFile(path, adapter, row.group, stamp.size, stamp.written_ns)

    def _looked_at(self, path: Path) -> FileRow:
        kind = kind_of(path)
        if kind in ("events", "converted"):
            return self._log_row(path, kind)
        if kind == "session":
            file = read_session(path)
            if not isinstance(file, Undecodable):
                sessions = dict.fromkeys(session_key(loop.start.session_id) for loop in file.loops)
                loops = dict.fromkeys(loop.start.loop_id.encode("utf-8", "replace") for loop in file.loops)
                return FileRow(kind, tuple(sessions), tuple(loops))
        if kind == "agent":
            return _agent_row(path)
        return FileRow(kind)

    def _log_row(self, path: Path, kind: Kind) -> FileRow:
        loops: set[bytes] = set()
        file = self._logs[path] = first_pass(path, loops)
        sessions = dict.fromkeys(session_key(start.session_id) for start in file.starts)
        return FileRow(kind, tuple(sessions), tuple(sorted(loops)))


def _agent_row(path: Path) -> FileRow:
    if is_store(path):
        return FileRow("agent")
    adapter = adapter_of(head_of(path), str(path))
    if adapter is None:
        return FileRow("other")
    return FileRow("agent", group=agent_file(path, adapter).group, adapter=adapter.name)
