"""One file of an agent's session as it is followed: how far it was read, its fold, and what of it waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from otel_phi.sources.agent_order import AgentFile
from otel_phi.sources.agents.adapter import Fold, resume_position
from otel_phi.sources.reader import EventReader
from otel_phi.sources.tail import Look
from otel_phi.watch.agent_feeds import FEEDS, Piece
from otel_phi.watch.cursor_rows import FileCursor
from otel_phi.watch.log import Log, Part
from otel_phi.watch.outgoing import Token
from otel_phi.wire.events import AgentEvent, AgentStart

_ALL = 1 << 62


class AgentPart(Part):
    """A part is a file of a session, read from its beginning: what left of it before is not sent again.

    Args:
        cursor: where it was read to, and settled.
        file: its format, and where it belongs.
        feed: how it is read, a key of `FEEDS`.
        look: what it looks like.
        fold: of its records.
        silences: where a pause was told, by the position of what came next.

    Attributes:
        file: as given; replaced when its beginning tells more.
        look: as it was looked at last.
        fold: as given.
        feed: as given.
        reported_bytes: what is broken before that was said by an earlier process, or by an earlier reading.
        sent_bytes: all of the loops that began before that was settled by an earlier process, or by an earlier reading.
        held: events that wait for the tool that started this sub-agent to be told.
        in_turn: tool calls told of the turn that has not closed.
        begun: whether its records may be read: it is known who started it, or that nobody will be known.
        released: whether nothing of it waits any more.
        failed: whether it could not be read; it is tried again when it is looked at again.
        ended: whether it was taken as finished: what comes later is read anew.
    """

    def __init__(
        self, cursor: FileCursor, file: AgentFile, feed: str, look: Look, fold: Fold, silences: set[int]
    ) -> None:
        super().__init__(cursor, EventReader(cursor.path))
        self.file, self.look, self.fold, self.silences, self.feed = file, look, fold, silences, feed
        self._grows = FEEDS[feed].grows
        self.sent_bytes = cursor.offset if self._grows else 0
        self.reported_bytes = cursor.read_bytes if self._grows or not cursor.read_bytes else _ALL
        if not self._grows:
            self.checked_bytes = _ALL  # whatever stands where: it is written anew each time
        self._events = 0
        self.offset, self.line = 0, 1
        self.held: deque[tuple[int, AgentEvent]] = deque()
        self.in_turn: list[str] = []
        self.begun = self.released = file.group.main
        self.ended = self.busy = self.failed = False
        self._read: tuple[str, int, int] | None = None  # the look up to which it was read
        self._settled_at = -1
        self._untold: tuple[tuple[int, int, bool], int | None] | None = None
        self._written: tuple[object, ...] = ()

    @property
    def unread(self) -> bool:
        """Whether it has changed since it was read."""
        return not self.failed and self._read != (self.look.identity, self.look.size, self.look.mtime_ns)

    @property
    def rewritten(self) -> bool:
        """Whether it has changed, and is to be read from its beginning for that."""
        return self._read is not None and self.unread and (not self._grows or self.ended)

    def pieces(self) -> Iterator[Piece]:
        """Yields what is new in the file; after each piece it counts as read.

        Raises:
            OSError: it cannot be read, or is another file by now.
        """
        look = self.look
        for piece in FEEDS[self.feed].read(Path(self.cursor.path), look, self.offset, self.line):
            self.reached = piece.offset
            yield piece
            self.offset, self.line = piece.offset, piece.number
        self._read = (look.identity, look.size, look.mtime_ns)
        self.cursor.size, self.cursor.mtime_ns = look.size, look.mtime_ns

    def place(self, position: int) -> tuple[int, int]:
        """Returns where what begins with an event stands: its record's offset, or its number where a record has many."""
        self._events += 1
        return (position, position) if self._grows else (self._events, self._events)

    @property
    def alone(self) -> bool:
        """Whether it is a sub-agent's that names no other session as its own: no main file will be there."""
        return self.file.group.key == self.file.group.agent_id

    def quiet(self, before_ns: int) -> bool:
        """Says whether a pause is to be told: nothing was written since then, and none was told here."""
        if self.ended or self.failed or self.look.mtime_ns >= before_ns:
            return False
        return not self.begun or (self._settled_at != self.offset and not self.unread)

    def paused(self) -> None:
        """Takes that a pause was told here, or that there was none to tell."""
        self._settled_at = self.offset

    @property
    def untold(self) -> int | None:
        """The position of the first record that was read and not told, None where all was; as of the last piece."""
        place = (self.offset, self._settled_at, self.ended)
        if self._untold is None or self._untold[0] != place:
            self._untold = (place, None if self.ended else resume_position(self.fold.state))
        return self._untold[1]

    def moved(self, offset: int) -> bool:
        """Moves the cursor to an offset; says whether that has to be written."""
        cursor = self.cursor
        cursor.offset = offset
        cursor.read_bytes = max(self.offset, self.reached, self.checked_bytes if self._grows else 0)
        before, self._written = self._written, msgspec.structs.astuple(cursor)
        return before != self._written


class AgentLog(Log):
    """A log is what a session's files are recorded in, all of them.

    Attributes:
        files: the numbers of all files of the session, also of those that are no more.
    """

    files: frozenset[int] = frozenset()
    parts: list[AgentPart]  # type: ignore[assignment]  # of its own kind

    def advance(self) -> list[FileCursor]:
        """Moves the cursors to where what is not settled begins, and forgets the tokens that are complete."""
        self._tokens = [token for token in self._tokens if not token.complete]
        begun: dict[int, int] = {}
        for token in self._tokens:
            begun[token.cursor.id] = min(token.offset, begun.get(token.cursor.id, token.offset))
        moved = []
        for part in self.parts:
            offset = min(part.offset, begun.get(part.cursor.id, part.offset))
            offset = min(offset, part.held[0][0] if part.held else offset)
            if part.moved(offset if part.untold is None else min(offset, part.untold)):
                moved.append(part.cursor)
        return moved

    def open_in(self, parts: set[int]) -> bool:
        """Says whether a loop is open that began in one of some files, by their numbers."""
        return any(token.open and token.cursor.id in parts for token in self._tokens)

    def _is_ours(self, part: Part, event: AgentStart, token: Token) -> bool:
        if not isinstance(part, AgentPart):
            raise TypeError("a session's log has a session's files")
        row = self._index.find(event)
        if row is None:
            self._index.see_all([self._index.row_of(event, part.cursor.id)])
        elif row.file not in self.files and not row.gone:
            return False
        elif row.file != part.cursor.id:
            self._index.take_over(event, part.cursor.id)
        token.sent = token.offset < part.sent_bytes or (row is not None and row.done)
        token.check = token.offset < part.checked_bytes or (row is not None and row.file != part.cursor.id)
        return True
