"""The sessions of some paths, counted: from the index what it has, the rest from the files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from otel_phi.cli.index.counting import Counted, claims_hold
from otel_phi.cli.index.parts import parts_of
from otel_phi.cli.index.rows import PartRow, TimesRow, decoded, encoded, tally_of
from otel_phi.cli.index.stamps import key_of, stamp_of
from otel_phi.cli.index.store import Store
from otel_phi.cli.index.survey import Survey
from otel_phi.cli.listing.tally import Tally, day_of
from otel_phi.cli.report.complaints import Complaints
from otel_phi.clock import wall_ns
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.price_table import NO_PRICES, PriceSource
from otel_phi.sources.agent_order import (
    AgentFile,
    AgentSession,
    in_order,
    originals_of,
    own_times_of,
    with_children,
    without_converted,
)
from otel_phi.sources.agent_stores import sessions_in
from otel_phi.sources.folder_claims import FolderClaims
from otel_phi.sources.found import Found, NothingHere
from otel_phi.sources.looks import Looks
from otel_phi.sources.opened import why


def _nothing(_: int) -> None:
    return None


class Sessions:
    """Counts the sessions of some paths.

    Args:
        paths: files and folders.
        options: how events become spans.
        complaints: takes what cannot be read.
        folder: the cache folder, None to read all files.
        now_ns: the time now, None for the clock's.
        prices: what calls cost; each source of prices has rows of its own.
        on_look: called with each file that is looked at.

    Attributes:
        notes: models without a price, each in words.
        found: what the paths hold.
        read_files: files that were read, since the index had nothing of them.

    Raises:
        NothingHere: nothing can be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        options: MappingOptions,
        complaints: Complaints,
        *,
        folder: Path | None = None,
        now_ns: int | None = None,
        prices: PriceSource = NO_PRICES,
        on_look: Callable[[], None] | None = None,
    ) -> None:
        self._given, self._options, self._complaints = list(paths), options, complaints
        self._store = Store(folder)
        self._survey = Survey(self._store, wall_ns() if now_ns is None else now_ns, on_look)
        self._prices = prices
        self._mapping = repr((options, prices))
        self.notes: dict[str, None] = {}
        self._looks = Looks(self._survey.kind, self._survey.log)
        self._claims = FolderClaims()
        self._tallies: dict[str, Tally] = {}
        self._parts: list[tuple[list[Path], list[str]]] = []  # files, and the sessions they hold
        self._stores: dict[Path, Path] = {}  # where sessions are that are no file
        self.read_files: list[Path] = []
        self.found = Found(self._given, complaints, self._survey.kind)
        self._logs = [path for path, kind in self.found.kinds.items() if kind != "agent"]
        self._agents = list(self._agent_files())
        if not self._logs and not self._agents:
            raise NothingHere(self.found.trouble or f"{', '.join(map(str, self._given))}: nothing of it can be read")

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self._survey.stamps[path].size for path in self.found.kinds)

    def tallies(self, on_part: Callable[[int], None] = _nothing) -> list[Tally]:
        """Counts all sessions.

        Args:
            on_part: called after each part with how many bytes it has.
        """
        with self._store:
            for paths in parts_of((path, self._survey.row(path)) for path in self._logs):
                self._take(self._log_part(paths), paths)
                on_part(self._size(paths))
            for session, known in self._agent_sessions():
                row, paths = self._agent_part(session), [file.path for file in session.files]
                if known:
                    self._take(row, paths)
                    on_part(sum(file.size_bytes for file in session.files))
        return list(self._tallies.values())

    def _size(self, paths: list[Path]) -> int:
        return sum(self._survey.stamps[path].size for path in paths)

    def files_of(self, sessions: Collection[str]) -> list[Path]:
        """Returns the files to read for some sessions, once all are counted: theirs, and those that had first what theirs copied."""
        theirs = [paths for paths, held in self._parts if any(session in sessions for session in held)]
        found = {path for paths in theirs for path in paths}
        found |= {holder for (path, holder) in self._claims.lost_to if path in found}
        return sorted({self._stores.get(path, path) for path in found})

    def _take(self, row: PartRow, paths: list[Path]) -> None:
        self._parts.append((paths, [found.session_id for found in row.sessions]))
        for line in row.bad_lines:
            self._complaints(line)
        self.notes.update(dict.fromkeys(row.notes))
        self._complaints.more(row.bad_count - len(row.bad_lines))
        for found in row.sessions:
            tally = tally_of(found)
            known = self._tallies.setdefault(tally.session_id, tally)
            if known is not tally:
                known.merge(tally)

    # --- phi-core's files ------------------------------------------------------------------------------------------------

    def _log_part(self, paths: list[Path]) -> PartRow:
        key = key_of("part", [bytes(path) for path in paths], self._mapping)
        mark = self._survey.mark(paths, self._mapping)
        row = self._known(key, mark)
        if row is not None:
            return row
        counted = Counted(self._options, self._prices)
        return self._kept(key, mark, paths, counted, counted.logs(paths, self._looks))

    # --- other agents' ---------------------------------------------------------------------------------------------------

    def _agent_files(self) -> Iterator[AgentFile]:
        for path, kind in self.found.kinds.items():
            if kind != "agent":
                continue
            file = self._survey.agent_file(path)
            if file is None:
                yield from self._stored(path)
                continue
            yield file
            if path in self._given:
                yield from self._children(file)

    def _stored(self, path: Path) -> Iterator[AgentFile]:
        """Yields the sessions of a database, or of a folder of files: always read, since no file's times tell that they are as they were."""
        try:
            inside = sessions_in(path) or []
        except OSError as error:
            self.found.cannot_read(path, f"cannot be read: {why(error)}")
            return
        for file in inside:
            self._stores[file.path] = path
            yield file

    def _children(self, file: AgentFile) -> Iterator[AgentFile]:
        def cannot_read(path: Path, error: OSError) -> None:
            self.found.cannot_read_within(path, f"cannot be read: {why(error)}")

        for child in with_children(file, cannot_read)[1:]:
            found = self._survey.agent_file(child.path) if child.path not in self.found.kinds else None
            if found is not None:
                yield found

    def _agent_sessions(self) -> Iterator[tuple[AgentSession, bool]]:
        """Yields the sessions in the order in which they may claim calls, and whether each is one of those asked for."""
        sessions = without_converted(in_order(self._agents, self._own_times))
        given = {file.path for session in sessions for file in session.files}
        files = [file for one in (*sessions, *originals_of(sessions, given)) for file in one.files]
        for file in files:
            if file.records is None and file.path not in self._survey.stamps:
                self._survey.stamps[file.path] = stamp_of(file.path)
        for session in in_order(files, self._own_times):
            yield session, session.files[0].path in given

    def _own_times(self, paths: list[Path]) -> list[int]:
        if any(path in self._stores for path in paths):
            return own_times_of(paths)
        for path in paths:
            if path not in self._survey.stamps:
                self._survey.stamps[path] = stamp_of(path)
        key, mark = key_of("times", [bytes(path) for path in paths]), self._survey.mark(paths)
        known = decoded(self._store.get(key), TimesRow)
        if known is not None and known.mark == mark:
            return known.times
        times = own_times_of(paths)
        data = encoded(TimesRow(mark, times)) if self._survey.is_settled(paths) else None
        if data is not None:
            self._store.put(key, data)
        return times

    def _agent_part(self, session: AgentSession) -> PartRow:
        paths = [file.path for file in session.files]
        if any(file.records is not None or file.adapter.name not in _ALONE for file in session.files):
            return self._uncached(Counted(self._options, self._prices), session)
        key = key_of("agent", [bytes(path) for path in paths], self._mapping)
        beside = [_beside(path) for path in paths]
        mark = self._survey.mark(paths, self._mapping, beside, repr([file.group for file in session.files]))
        row = self._known(key, mark)
        if row is not None and claims_hold(row.asked, paths, self._claims):
            return row
        counted = Counted(self._options, self._prices)
        return self._kept(key, mark, paths, counted, counted.agents(session, self._claims))

    def _uncached(self, counted: Counted, session: AgentSession) -> PartRow:
        """Reads a session of which nothing is kept."""
        row = counted.agents(session, self._claims)
        for line in counted.unreadable:
            self._complaints(line)
        return row

    # --- what is kept ----------------------------------------------------------------------------------------------------

    def _known(self, key: bytes, mark: bytes) -> PartRow | None:
        row = decoded(self._store.get(key), PartRow)
        if row is None or row.mark != mark or any(day_of(quarter) != day for quarter, day in row.days.items()):
            return None
        return row

    def _kept(self, key: bytes, mark: bytes, paths: list[Path], counted: Counted, row: PartRow) -> PartRow:
        self.read_files += paths
        for line in counted.unreadable:
            self._complaints(line)
        if not counted.unreadable and self._survey.is_settled(paths):
            data = encoded(msgspec.structs.replace(row, mark=mark))
            if data is not None:
                self._store.put(key, data)
        return row


# Formats whose folds look at nothing but their records: what a file of another says may stand beside it.
_ALONE = frozenset({"claude-code", "codex", "openclaw", "pi"})


def _beside(path: Path) -> object:
    """Returns what is the same as long as the file beside a sub-agent's is, which names the call that ran it."""
    try:
        found = path.with_suffix(".meta.json").stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
