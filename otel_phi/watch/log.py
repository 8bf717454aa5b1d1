"""A log: one stream of events, followed through the files it goes on in; it knows where reading must begin again.

Rule 1: each log has a recorder core of its own. What files share is the index; so no order of files changes a span.
Rule 2: a token stands for what began at one place: a loop, a group, a side call of no open loop. While it is open, or
        something of it is not settled, reading begins again there after a restart, and makes the same spans anew.
Rule 3: ordinals that start again say that the process was killed: what it left open leaves as aborted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from otel_phi.mapping.ids import sample_point
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import session_of
from otel_phi.policy.content import admit, with_source_info
from otel_phi.policy.door import Policy
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.notices import (
    GroupClosed,
    LoopClosed,
    LoopOpened,
    Notice,
    SessionOpened,
    SideCallMade,
    TurnClosed,
)
from otel_phi.recorder.references import session_key
from otel_phi.sources.lines import Block
from otel_phi.sources.reader import EventReader
from otel_phi.sources.tail import Added
from otel_phi.watch.cursor_rows import FileCursor, LoopRow
from otel_phi.watch.index import Index
from otel_phi.watch.outgoing import Outgoing, Token
from otel_phi.wire.costs import Price
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, AgentStart, ParallelLoopStart, SideCall

_MARKS = (b"AgentStart", b"ParallelLoopStart", b"SideCall")


class Part:
    """A part is a file as it is read.

    Args:
        cursor: where it was read to, and settled.
        reader: makes events of its lines.

    Attributes:
        offset: where the next line begins.
        line: its number.
        scanned: the same for the index, which is ahead.
        scanned_line: its number.
        checked_bytes: spans of what began before that may have been sent by an earlier process.
        reached: end of the lines that are being recorded.
        starts: ids of the loops that begin here, as far as it was scanned.
        changed_ns: when the file was changed, as it was scanned.
        goes_on: ids of loops that began elsewhere: that of its first line, and those that end here.
        replaced: whether it took the place of another file's content, and nothing of it was read yet.
    """

    def __init__(self, cursor: FileCursor, reader: EventReader) -> None:
        self.cursor = cursor
        self.reader = reader
        self.offset, self.line = cursor.offset, cursor.line
        self.scanned, self.scanned_line = cursor.offset, cursor.line
        self.checked_bytes = cursor.read_bytes
        self.reached = 0
        self.starts: set[str] = set()
        self.changed_ns = 0
        self.goes_on: set[str] = set()
        self.replaced = False
        self._restarts = 0

    def restarted(self) -> bool:
        """Says whether the ordinals have started again since the last call."""
        before, self._restarts = self._restarts, self.reader.counts["restarts"]
        return self._restarts > before


class Log:
    """Follows one stream of events.

    Args:
        index: the loops and sessions of all files.
        options: how notices become spans.
        sample: share of sessions to keep, 0.0 to 1.0; a session is kept or left whole.
        policy: what may be said; None for nothing that a person or a model wrote.
        price: says what model calls cost, None for nobody.

    Attributes:
        core: the recorder.
        parts: the files it is in, earliest first.
        elsewhere: AgentStarts of loops that are read from other files.
        sampled_out: spans of sessions left out.
        guard: takes secrets out of what a source says of where an agent worked.
    """

    def __init__(
        self,
        index: Index,
        options: MappingOptions,
        sample: float = 1.0,
        policy: Policy | None = None,
        price: Price | None = None,
    ) -> None:
        self._index = index
        self._admit = admit if policy is None else policy.admit
        self._options = options
        self._sample = sample
        self.core = RecorderCore(index.ahead, price)
        self.parts: list[Part] = []
        self._tokens: list[Token] = []
        self._by_loop: dict[LoopIdentity, Token] = {}
        self._group: Token | None = None
        self.elsewhere = self.sampled_out = 0
        self.guard: Callable[[str], str] = str

    @property
    def idle(self) -> bool:
        """Whether nothing is open or under way: the log can be forgotten until it grows."""
        return not self._tokens

    def take(self, part: Part, added: Added) -> Iterator[Outgoing]:
        """Records lines; yields what they complete."""
        if not part.reached and part is not self.parts[0]:
            part.reader.ordinal = self.parts[self.parts.index(part) - 1].reader.ordinal  # one stream, one count
        part.reached = added.offset
        for block, marked in _runs(added.block):
            place = (block.offset, block.number) if marked else None
            for event in part.reader.read([block]):
                if part.restarted():
                    yield from self.abort()
                yield from self.take_event(part, event, place or (added.offset, added.line))

    def take_event(self, part: Part, given: AgentEvent, place: tuple[int, int]) -> Iterator[Outgoing]:
        """Records an event that stands at a place (offset, line), as it may be said; yields what it completes."""
        event = self._admit(given)
        if self._options.source_info:
            event = with_source_info(event, given, self.guard)
        if isinstance(event, Undecodable):
            return  # none that a file holds: it was decoded
        token = Token(part.cursor, *place)
        if part.replaced:
            part.replaced = False
            # A new run, not the old one going on after its log was cut; where there are ordinals, they tell.
            if isinstance(event, AgentStart) and not part.reader.ordinal:
                yield from self.abort()
        if isinstance(event, AgentStart):
            if not self._is_ours(part, event, token):
                self.elsewhere += 1
                return
            for context in self._index.compacted_before(event, part.cursor.id, place[0]):
                self.core.note_compacted(context)
        elif isinstance(event, ParallelLoopStart) and self._group is None:
            self._group = token
            token.check = place[0] < part.checked_bytes
            self._tokens.append(token)
        elif isinstance(event, SideCall):
            token.check = place[0] < part.checked_bytes
        yield from self._outgoing(self.core.on_event(event), token)
        if token.loop is None and token is not self._group:
            token.open = False  # nothing began, but a root may have left
        self._close_groups()

    def abort(self) -> Iterator[Outgoing]:
        """Yields what is open, as aborted: no more of it will come."""
        yield from self._outgoing(self.core.flush(), None)
        self._close_groups()

    def let_go(self, part: Part) -> Iterator[Outgoing]:
        """Forgets what began in a file, which is to be read anew; yields the rest, as aborted."""
        mine = [token for token in self._tokens if token.cursor is part.cursor and token.open]
        yield from (out for out in self.abort() if out.token not in mine)
        for token in mine:
            token.open = True  # it is not done: it begins again
        self._tokens = [token for token in self._tokens if token.cursor is not part.cursor]
        self.parts.remove(part)

    def needs(self, part: Part) -> bool:
        """Says whether reading would begin again in a file, or before it; true of the latest one, which may grow."""
        upto = {each.cursor.id for each in self.parts[: self.parts.index(part) + 1]}
        return part is self.parts[-1] or any(token.cursor.id in upto for token in self._tokens)

    def began(self, loop_ids: set[str]) -> bool:
        """Says whether a loop of one of those ids is open, or begins in what was scanned."""
        return any(identity.loop_id in loop_ids for identity in self._by_loop) or any(
            not part.starts.isdisjoint(loop_ids) for part in self.parts
        )

    def advance(self) -> list[FileCursor]:
        """Moves the cursors to where reading must begin again, and forgets the tokens that are complete."""
        self._tokens = [token for token in self._tokens if not token.complete]
        begun = {token.cursor.id for token in self._tokens}
        earlier = False
        for part in self.parts:
            cursor = part.cursor
            cursor.offset, cursor.line = part.offset, part.line
            # Two kills in a row: what the one before the last had read counts too.
            cursor.read_bytes = max(part.offset, part.reached, part.checked_bytes)
            if earlier:
                cursor.offset, cursor.line = 0, 1  # what began in an earlier file goes on here
            elif mine := [token for token in self._tokens if token.cursor is cursor]:
                cursor.offset, cursor.line = min((token.offset, token.line) for token in mine)
            earlier = earlier or cursor.id in begun
        return [part.cursor for part in self.parts]

    def _is_ours(self, part: Part, event: AgentStart, token: Token) -> bool:
        """Says whether a loop is to be read from here, and prepares its token."""
        row = self._index.find(event)
        if row is None:
            self._index.see_all([self._index.row_of(event, part.cursor.id)])
            return True
        own = row.file in {each.cursor.id for each in self.parts}
        if not own and (row.done or not row.gone):
            return False
        if not own:
            self._index.take_over(event, part.cursor.id)
        token.sent = row.done
        token.check = not own or token.offset < part.checked_bytes
        return True

    def _close_groups(self) -> None:
        if self._group is not None and not self.core.open_groups:
            self._group.open = False
            self._group = None

    def _outgoing(self, notices: Sequence[Notice], token: Token | None) -> Iterator[Outgoing]:
        for notice in notices:
            match notice:
                case LoopOpened() if token is not None:
                    token.loop, token.opened = notice.loop.identity, notice
                    self._by_loop[notice.loop.identity] = token
                    self._hold(token)
                case TurnClosed():
                    yield from self._made(notice, self._by_loop[notice.loop.identity])
                case LoopClosed():
                    own = self._by_loop.pop(notice.loop.identity)
                    yield from self._made(notice, own)
                    own.open = False
                case GroupClosed() if self._group is not None:
                    yield from self._made(notice, self._group)
                case SessionOpened() if token is not None:
                    self._hold(token)
                    yield from self._made(notice, token)
                case SideCallMade() if token is not None:
                    # One of an open loop is read again with that loop; any other stands for itself.
                    own = token if notice.loop is None else self._by_loop[notice.loop.identity]
                    if own is token:
                        self._hold(token)
                    yield from self._made(notice, own)
                case _:
                    pass

    def _hold(self, token: Token) -> None:
        if not self._tokens or self._tokens[-1] is not token:
            self._tokens.append(token)

    def _made(self, notice: Notice, token: Token) -> Iterator[Outgoing]:
        """Yields the spans of a notice, unless its session is left out."""
        is_root = isinstance(notice, SessionOpened)
        session_id = session_of(notice)
        spans = spans_of(notice, self._options)
        if self._sample < 1.0 and sample_point(session_id) >= self._sample:
            self.sampled_out += len(spans)
            return
        for span in spans:
            token.latest_ns = token.latest_ns if is_root else max(token.latest_ns, span.end_ns)
            yield Outgoing(span, token, session_key(session_id) if is_root else "")


def _runs(block: Block) -> Iterator[tuple[Block, bool]]:
    """Cuts a block so that lines that may begin something stand alone; says of each run whether it is such a line."""
    marked = [
        index for index, line in enumerate(block.lines) if _MARKS[0] in line or _MARKS[1] in line or _MARKS[2] in line
    ]
    if not marked or block.too_long:
        yield block, False
        return
    offset, begin = block.offset, 0
    for index in [*marked, len(block.lines)]:
        if index > begin:
            run = block.lines[begin:index]
            yield Block(block.number + begin, offset, run, ended=block.ended or index < len(block.lines)), False
            offset += sum(map(len, run)) + len(run)
        if index < len(block.lines):
            line = block.lines[index]
            yield Block(block.number + index, offset, [line], ended=block.ended or index < len(block.lines) - 1), True
            offset += len(line) + 1
        begin = index + 1


def owned(row: LoopRow | None, file: int) -> bool:
    """Says whether a loop of a saved session is to be taken from there."""
    return row is None or row.file == file or (row.gone and not row.done)
