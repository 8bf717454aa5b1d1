"""Other agents' sessions as they are followed: which are there, in which order they are read, when they are forgotten.

Rule 1: an original is read before its copies: what is new in one round is ordered as `export` orders a folder.
Rule 2: what an agent writes now comes first. Old sessions, thousands on the first day, are read in slices between.
Rule 3: in memory is what is open, and what was written to lately; anything else is read again when it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from otel_phi.clock import monotonic, wall_ns
from otel_phi.sources.agent_order import AgentFile, agent_file, head_of, in_order
from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.reader import BadLine
from otel_phi.sources.tail import Look, look_at
from otel_phi.watch.agent_feeds import LINES, feed_name
from otel_phi.watch.agent_originals import claim_for_originals, may_be_copied
from otel_phi.watch.agent_part import AgentLog, AgentPart
from otel_phi.watch.agent_rows import AgentRows
from otel_phi.watch.agent_session import AgentSession
from otel_phi.watch.cursor_rows import FileCursor
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.files import Files
from otel_phi.watch.folder import Folder
from otel_phi.watch.log import Log, Part
from otel_phi.watch.outgoing import Outgoing

KINDS = ("agent", "document")
# Between two slices the changed files have their turn: a turn that closes meanwhile is late by no more.
SLICE_S = 0.2
# A session that was written to so lately is at work, and is read before the others.
LIVELY_NS = 600 * 1_000_000_000
# As many sessions are kept though nothing is open in them: an agent goes on, and need not be read from its beginning.
MAX_IDLE = 64
# A file's beginning may not say yet whose it is; from then on it does.
_SETTLED_HEAD = 1 << 16


class Outlet(msgspec.Struct, frozen=True):
    """An outlet is what a round does with what was read.

    Attributes:
        put: sends a log's spans.
        push: lets what was put leave without waiting for more.
        breathe: takes in what was settled, now and then.
        moved: takes the numbers of files that were read.
        on_bad_line: called with each line that is no record.
    """

    put: Callable[[Log, Iterable[Outgoing]], None]
    push: Callable[[], None]
    breathe: Callable[[], None]
    moved: Callable[[Iterable[int]], None]
    on_bad_line: Callable[[BadLine], None] | None


class Limits(msgspec.Struct, frozen=True):
    """Limits say what is not followed for ever.

    Attributes:
        since_ns: sessions that were last written to before that are left alone until they change.
        abandon_after_ns: a session that was not written to for so long is taken as finished.
    """

    since_ns: int = 0
    abandon_after_ns: int = 86_400_000_000_000


class Agents:
    """Follows other agents' sessions. For one thread.

    Args:
        folder: what is watched.
        files: what is there.
        cursors: what is known of it.
        make_log: makes a log that nothing was recorded in.
        outlet: takes what was read.
        limits: what is left alone, and what is taken as finished.

    Attributes:
        active: the logs and their parts, by the numbers of the files.
        on_agent: called with the name of each agent whose sessions are followed, once; None for nobody.
    """

    def __init__(
        self,
        folder: Folder,
        files: Files,
        cursors: Cursors,
        make_log: Callable[[], AgentLog],
        outlet: Outlet,
        limits: Limits,
    ) -> None:
        self._folder, self._files, self._cursors = folder, files, cursors
        self._make_log, self._outlet, self._limits = make_log, outlet, limits
        self._rows = AgentRows(cursors)
        self._sessions: dict[str, AgentSession] = {}  # the one read last is the last
        self._backlog: dict[str, AgentFile] = {}  # sessions to be read, in order, each with its first file
        self._queued: dict[int, str] = {}  # the files of those, by their numbers
        self._reading: tuple[str, Iterator[None]] | None = None  # a session of the backlog that is read in part
        self._retired: list[tuple[FileCursor, str]] = []  # files that are no more, and their sessions
        self._names: set[str] = set()
        self.active: dict[int, tuple[Log, Part]] = {}
        self.on_agent: Callable[[str], None] | None = None

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return sum(session.log.core.open_loops for session in self._sessions.values())

    @property
    def waiting(self) -> bool:
        """Whether there is something to do though no file has changed: old sessions to read, or pauses to tell."""
        now_ns = wall_ns()
        return bool(self._backlog) or any(session.is_quiet(now_ns) for session in self._sessions.values())

    # --- what there is -------------------------------------------------------------------------------------------------

    def take(self, found: Iterable[tuple[FileCursor, Look]], *, last: bool) -> None:
        """Takes files that have changed, and reads them: what is at work at once, the rest in slices.

        Args:
            found: the files; what is no agent's is passed over.
            last: whether no other round will come: then all is read now.
        """
        fresh: list[AgentFile] = []
        lively: dict[str, None] = {}
        lately_ns = wall_ns() - LIVELY_NS
        for cursor, look in found:
            if cursor.kind not in KINDS:
                continue
            file = None if cursor.id in self._queued else self._seen(cursor, look)
            if file is not None:
                fresh.append(file)
            key = self._queued.get(cursor.id)
            if file is None and key in self._sessions:
                self._sessions[key].seen(cursor, look)
            if key is not None and look.mtime_ns >= lately_ns:
                lively[key] = None
        own = {file.path: file for file in fresh}
        for each in in_order(fresh):
            for file in (
                own[one.path] for one in each.files
            ):  # as it says itself: a sub-agent's sub-agent names its parent
                self._backlog.setdefault(_key(file), file)
        for key in [] if last else [key for key in self._backlog if key in lively]:
            first = self._backlog.get(key)
            for mate in [other for other, file in self._backlog.items() if first and may_be_copied(first, file)]:
                self._read_whole(mate)
            self._read_whole(key)
        if lively:
            self._outlet.push()
        self._work(None if last else monotonic() + SLICE_S)

    def _seen(self, cursor: FileCursor, look: Look) -> AgentFile | None:
        """Queues a file for being read with its session; None for one that is not to be read."""
        path = Path(cursor.path)
        if look.mtime_ns < self._limits.since_ns and cursor.id not in self.active:
            cursor.size, cursor.mtime_ns = look.size, look.mtime_ns
            return None
        found = self._file(cursor)
        if found is None:
            return None
        file, feed = found
        self._meet(file.adapter.name)
        key = _key(file)
        self._queued[cursor.id] = key
        self._rows.see_file(cursor.id, key, look.mtime_ns)
        for other in [one for one in self._sessions.values() if one.key != key and cursor.id in one.parts]:
            self._drop(other, cursor, vanished=False)  # its beginning did not say yet whose it is
        if key in self._sessions:
            begun_anew = self._sessions[key].add(cursor, look_at(path) or look, file, feed)
            if begun_anew and self._reading is not None and self._reading[0] == key:
                self._reading = None
            self._note(self._sessions[key])
        return file

    def _meet(self, agent: str) -> None:
        if agent not in self._names:
            self._names.add(agent)
            if self.on_agent is not None:
                self.on_agent(agent)

    def _file(self, cursor: FileCursor) -> tuple[AgentFile, str] | None:
        """Says what a file is and how it is read."""
        path = Path(cursor.path)
        known = self.active.get(cursor.id)
        part = known[1] if known is not None else None
        if isinstance(part, AgentPart) and part.offset > _SETTLED_HEAD:
            return part.file, part.feed
        try:
            head = head_of(path)
            adapter = adapter_of(head, str(path))
            if adapter is None:
                return None
            return agent_file(path, adapter, head), LINES if cursor.kind == "agent" else feed_name(adapter, path)
        except OSError as error:
            self._folder.cannot_read(path, error)
            return None

    def _opened(self, key: str) -> AgentSession:
        """Returns a session, with all its files."""
        session = self._sessions.pop(key, None)
        if session is None:
            session = AgentSession(key, self._make_log, self._rows, self._folder.cannot_read, self._outlet.on_bad_line)
            for number in self._rows.files_of(key):
                cursor = self._files.numbered(number)
                look = None if cursor is None else look_at(Path(cursor.path))
                found = None if cursor is None or look is None else self._file(cursor)
                if cursor is not None and look is not None and found is not None:
                    session.add(cursor, look, *found)
            self._claim_for_originals(session)
        self._sessions[key] = session
        self._note(session)
        return session

    def _note(self, session: AgentSession) -> None:
        for number, part in session.parts.items():
            self.active[number] = (session.log, part)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _work(self, until: float | None) -> None:
        """Reads the backlog, until a time on the monotonic clock."""
        while self._backlog:
            if self._reading is None:
                key = next(iter(self._backlog))
                self._reading = (key, self._read(key))
            for _ in self._reading[1]:
                if until is not None and monotonic() > until:
                    return
            self._done(self._reading[0])

    def _read_whole(self, key: str) -> None:
        """Reads a session to where its files are; one that is read in part first as far as that has begun."""
        if self._reading is not None and self._reading[0] == key:
            for _ in self._reading[1]:
                pass
            self._reading = None
        for _ in self._read(key):
            pass
        self._done(key)

    def _done(self, key: str) -> None:
        if self._reading is not None and self._reading[0] == key:
            self._reading = None
        if not self._sessions[key].unread:
            self._backlog.pop(key, None)
            for number in self._rows.files_of(key):
                self._queued.pop(number, None)
        if len(self._sessions) > MAX_IDLE:
            self.forget()

    def _read(self, key: str) -> Iterator[None]:
        """Reads a session; yields after each piece, when its spans are on their way."""
        session = self._opened(key)
        yield from self._sent(session, session.read())
        now_ns = wall_ns()
        if session.is_quiet(now_ns):
            yield from self._sent(session, session.pause(now_ns))
        if session.written_before(now_ns - self._limits.abandon_after_ns):
            yield from self._sent(session, session.end())

    def _sent(self, session: AgentSession, reading: Iterator[None]) -> Iterator[None]:
        for _ in reading:
            self._send(session)
            yield
        self._send(session)

    def _send(self, session: AgentSession) -> None:
        self._rows.commit()
        self._note(session)
        out, session.out = session.out, []
        self._outlet.moved(session.parts)
        self._outlet.put(session.log, out)
        self._outlet.breathe()

    def _claim_for_originals(self, session: AgentSession) -> None:
        """Lets sessions claim their calls that lie beside this one and are not read, since only some files are watched."""
        mains = [part.file for part in session.parts.values() if part.file.group.main]
        if self._limits.since_ns or any(file.path in self._folder.roots for file in mains):
            claim_for_originals(mains, self._rows, self._is_read)

    def _is_read(self, path: Path) -> bool:
        look = look_at(path)
        return self._folder.holds(path) and look is not None and look.mtime_ns >= self._limits.since_ns

    # --- ends --------------------------------------------------------------------------------------------------------

    def close(
        self, gone: Iterable[FileCursor], rewound: Iterable[FileCursor]
    ) -> tuple[list[FileCursor], list[FileCursor]]:
        """Takes files that are no more: what is open leaves as aborted, once no file of its session is there.

        Args:
            gone: files that are no more.
            rewound: files that are read anew, under other numbers.

        Returns:
            Those of both that are no agent's.
        """
        others: tuple[list[FileCursor], list[FileCursor]] = ([], [])
        for some, rest, vanished in ((gone, others[0], True), (rewound, others[1], False)):
            for cursor in some:
                if cursor.kind in KINDS:
                    self._gone(cursor, vanished=vanished)
                else:
                    rest.append(cursor)
        return others

    def _gone(self, cursor: FileCursor, *, vanished: bool) -> None:
        self._queued.pop(cursor.id, None)
        for session in [one for one in self._sessions.values() if cursor.id in one.parts]:
            self._drop(session, cursor, vanished=vanished)
        self._retired.append((cursor, self._rows.session_of(cursor.id)))
        if vanished:
            self._retire()

    def _drop(self, session: AgentSession, cursor: FileCursor, *, vanished: bool) -> None:
        if self._reading is not None and self._reading[0] == session.key:
            self._reading = None
            session.anew()  # it was in the midst of a piece
        session.drop(cursor, vanished=vanished)
        self.active.pop(cursor.id, None)
        self._send(session)
        self._backlog.pop(session.key, None)
        if session.parts:
            self._backlog[session.key] = next(iter(session.parts.values())).file

    def tell_pauses(self) -> None:
        """Tells the pauses of sessions in memory."""
        now_ns = wall_ns()
        for session in [one for one in self._sessions.values() if one.key not in self._backlog]:
            if session.is_quiet(now_ns):
                for _ in self._sent(session, session.pause(now_ns)):
                    pass

    def abandon(self) -> None:
        """Takes sessions as finished that were not written to for long."""
        oldest_ns = wall_ns() - self._limits.abandon_after_ns
        for session in [one for one in self._sessions.values() if one.key not in self._backlog]:
            if session.written_before(oldest_ns) and not session.idle:
                for _ in self._sent(session, session.end()):
                    pass

    def forget(self) -> None:
        """Lets go of what is over, and of what was idle for longest."""
        self._rows.sweep()
        idle = [session for session in self._sessions.values() if session.key not in self._backlog and session.idle]
        for session in idle[: max(len(idle) - MAX_IDLE, 0)]:
            del self._sessions[session.key]
            for number in session.parts:
                self.active.pop(number, None)
        self._retire()

    def _retire(self) -> None:
        """Lets go of files that are no more, once nothing of them is under way."""
        still = []
        for cursor, key in self._retired:
            owner = self._sessions.get(key)
            if key in self._backlog or (owner is not None and not owner.log.idle):
                still.append((cursor, key))  # its loops go on in another file, or are on their way
            else:
                self._cursors.gone(cursor.id)
        self._retired = still


def _key(file: AgentFile) -> str:
    return f"{file.adapter.name}/{file.group.key}"
