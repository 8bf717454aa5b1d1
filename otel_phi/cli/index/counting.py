"""The files of a part read, and their sessions counted: what a row of the index is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from otel_phi.cli.index.rows import Asked, PartRow, tally_row
from otel_phi.cli.listing.tally import Tallies
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.price_table import PriceSource
from otel_phi.pipeline import Pipeline
from otel_phi.prices import prices_of
from otel_phi.recorder.references import Ahead, ahead_of
from otel_phi.sources.agent_files import AgentOptions, AgentReading
from otel_phi.sources.agent_order import AgentSession
from otel_phi.sources.agents.claims import Claims
from otel_phi.sources.folder_claims import FolderClaims
from otel_phi.sources.looks import Looks
from otel_phi.sources.reader import BadLine
from otel_phi.sources.stored import NothingHere, Stored
from otel_phi.wire.events import AgentEvent

NAMED = 5  # bad lines of a part that are kept: so many are named at all
_BLOCK = 256  # events taken together, see `Bridge`


class Counted:
    """Counts the sessions of a part.

    Args:
        options: how events become spans.
        prices: what calls cost.

    Attributes:
        unreadable: files that could not be read, or not to their end; a row with any is not kept.
    """

    def __init__(self, options: MappingOptions, prices: PriceSource) -> None:
        self._options = options
        self._notes: list[str] = []
        self._prices = prices_of(prices, self._notes.append)
        self._tallies = Tallies()
        self._lines: list[BadLine] = []
        self._bad = 0
        self.unreadable: list[BadLine] = []

    def logs(self, paths: list[Path], looks: Looks) -> PartRow:
        """Reads phi-core's files."""
        try:
            stored = Stored(paths, final=True, on_bad_line=self._take, content=False, looks=looks)
        except NothingHere as error:
            if not self.unreadable:
                self.unreadable.append(BadLine(str(paths[0]), 0, 0, 0, str(error).removeprefix(f"{paths[0]}: ")))
            return self._row([])
        self._count(stored.events(), ahead_of(stored.starts))
        return self._row([])

    def agents(self, session: AgentSession, claims: FolderClaims) -> PartRow:
        """Reads the files of another agent's session, after all that may hold the original of a part of it."""
        recorded = _Recorded(claims, [file.path for file in session.files])
        reading = AgentReading(
            session.files,
            now_ns=-1,
            on_bad_line=self._take,
            options=AgentOptions(whole=True),  # claims says what others have
            claims=recorded,
        )
        self._count(reading.events(), None)
        return self._row(recorded.asked)

    def _take(self, line: BadLine) -> None:
        if not line.line:
            self.unreadable.append(line)
            return
        self._bad += 1
        if len(self._lines) < NAMED:
            self._lines.append(line)

    def _count(self, events: Iterable[AgentEvent], ahead: Ahead | None) -> None:
        pipeline = Pipeline(self._options, ahead, price=self._prices)
        for block in _blocks(events):
            self._tallies.add_all(pipeline.feed_block(block))
        self._tallies.add_all(pipeline.finish())

    def _row(self, asked: list[Asked]) -> PartRow:
        sessions = [tally_row(tally) for tally in self._tallies.all()]
        return PartRow(sessions, self._lines, self._bad, asked, self._tallies.days.known, notes=self._notes)


def _blocks(events: Iterable[AgentEvent]) -> Iterator[list[AgentEvent]]:
    rest = iter(events)
    while block := list(islice(rest, _BLOCK)):
        yield block


class _Recorded(FolderClaims):
    """Asks a table for claims, and keeps what was asked and answered."""

    def __init__(self, table: FolderClaims, paths: list[Path]) -> None:
        super().__init__()
        self._table, self._paths = table, paths
        self.asked: list[Asked] = []

    def of(self, path: Path) -> Claims:
        """Returns the table as a file sees it."""
        return _Asking(self._table.of(path), self._paths.index(path), self.asked)


class _Asking:
    def __init__(self, claims: Claims, file: int, asked: list[Asked]) -> None:
        self._claims, self._file, self._asked = claims, file, asked

    def claim(self, key: bytes, owner: bytes) -> bool:
        granted = self._claims.claim(key, owner)
        self._asked.append(Asked(self._file, key, owner, granted))
        return granted


def claims_hold(asked: list[Asked], paths: list[Path], claims: FolderClaims) -> bool:
    """Makes the claims of a row again, in the names of its files; tells whether each is answered as it was when the row was made."""
    views: dict[int, Claims] = {}
    for one in asked:
        view = views.get(one.file)
        if view is None:
            view = views[one.file] = claims.of(paths[one.file])
        if view.claim(one.key, one.owner) != one.granted:
            return False
    return True
