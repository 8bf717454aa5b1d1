"""The recorder core: `on_event(event) -> notices`, holding only what is open.

Rule 1: AgentStart for an identity (session, id, start) already seen: ignored. For an id that is open with another start: the
        open loop is aborted at its last known time.
Rule 2: an event of a loop that is not open: no notice, counted.
Rule 3: a session opens with its first AgentStart, never with a parallel event; logs and files do not have those.
Rule 4: nothing that lasts is unbounded: open loops, remembered loops and sessions, open groups each have a limit and a
        stated end. A loop past the limit is aborted, the longest open first.
Rule 5: each event costs the same whatever came before.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET

from otel_phi.recorder.answers import side_answer
from otel_phi.recorder.contents import LoopContents
from otel_phi.recorder.groups import OpenGroups
from otel_phi.recorder.identities import LoopIdentity, is_same
from otel_phi.recorder.in_loop import IN_LOOP
from otel_phi.recorder.loops import OpenLoop
from otel_phi.recorder.notices import LoopOpened, LoopStart, Notice, SessionOpened, SideCallMade
from otel_phi.recorder.references import Ahead, References, session_key
from otel_phi.recorder.snapshot import Contents, OpenWork, fill, parts
from otel_phi.recorder.starts import given, loop_start
from otel_phi.recorder.tool_places import ToolPlaces
from otel_phi.wire import events as e
from otel_phi.wire.callers import traceparent_of
from otel_phi.wire.costs import Price

# Ten thousand agents at once in one process: 10 to 20 MB of open state. Precedent: RELIABILITY 5.10.
MAX_OPEN_LOOPS = 10_000
# A forgotten session that comes back opens again; its root then repeats.
MAX_REMEMBERED_SESSIONS = 32_768
# A side call told twice is one: they come from sources that repeat what they told a moment ago.
MAX_REMEMBERED_SIDE_CALLS = 4_096

_NOTHING: tuple[Notice, ...] = ()


class RecorderCore:
    """Follows a stream of AgentEvents and says what has opened and closed.

    Args:
        ahead: what a source that reads ahead knows of the stream; None for a live one.
        price: says what model calls cost, None for nobody; `price_with` changes it.

    Attributes:
        counts: events that gave no notice, by reason: `duplicate_start`, `loop_not_open`, `turn_closed`, `aborted_restart`,
            `evicted`, `unknown_type`, `duplicate_side_call`.
    """

    def __init__(self, ahead: Ahead | None = None, price: Price | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._ahead, self._price = ahead, price
        self._references = References(ahead)
        self._open: OrderedDict[str, OpenLoop] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()  # session -> the spelling it was first seen in
        self._groups = OpenGroups()
        self._side_calls: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tools = ToolPlaces()

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return len(self._open)

    def price_with(self, price: Price | None) -> None:
        """Has model calls priced from here on: what a restored core needs, since no price stands in a state."""
        self._price = price
        for loop in self._open.values():
            loop.price = price

    def open_work(self) -> OpenWork:
        """Returns how many loops, turns and groups are open."""
        return self._contents().work()

    @property
    def open_groups(self) -> int:
        """How many parallel groups are open."""
        return len(self._groups)

    @property
    def remembered_tools(self) -> int:
        """How many tool executions of closed turns are remembered."""
        return len(self._tools)

    def seen(self, loop_id: str) -> bool:
        """Says whether a loop of that id is remembered."""
        return self._references.seen(loop_id)

    def remember(self, loop: LoopIdentity) -> None:
        """Takes a loop that another process saw, so that references to it find it."""
        self._references.remember(loop)

    def note_compacted(self, context: LoopIdentity) -> None:
        """Takes a context that was compacted where another core saw it, as `references.contexts_of` names it."""
        self._references.note_compacted(context)

    def on_event(self, event: e.AgentEvent, caller: str | None = None) -> Sequence[Notice]:
        """Takes one event.

        Args:
            event: as decoded by `otel_phi.wire`.
            caller: W3C trace context of whoever called the agent, for an AgentStart; None for that in its metadata.

        Returns:
            What has opened or closed with it, in order; mostly nothing.
        """
        arm = IN_LOOP.get(event.__class__)
        if arm is None:
            return self._outside(event, caller)
        loop = self._open.get(event.loop_id)  # type: ignore[union-attr,arg-type]  # every event of the table has one
        if loop is None:
            self.counts["loop_not_open"] += 1
            return _NOTHING
        opened: Sequence[Notice] = _NOTHING if loop.session is None else loop.open_session(event)
        notices = arm(loop, event)
        if notices is None:
            self.counts["turn_closed"] += 1
            return opened
        if notices and loop.start.source is not None:
            self._tools.take(notices)
        return [*opened, *notices] if opened else notices

    def _outside(self, event: e.AgentEvent, caller: str | None) -> Sequence[Notice]:
        """Takes an event that opens or closes a loop or a group, or says nothing that every source knows."""
        match event:
            case e.AgentStart():
                return self._agent_start(event, caller or traceparent_of(event))
            case e.AgentEnd():
                return self._agent_end(event)
            case e.SideCall():
                return self._side_call(event)
            case e.ParallelLoopStart():
                given_up = self._groups.announced(event)
                return _NOTHING if given_up is None else (given_up,)
            case e.ParallelLoopEnd():
                over = self._groups.decided(event)
                return _NOTHING if over is None else (over,)
            case e.GenericEvent():
                self.counts["unknown_type"] += 1
                loop = self._open.get(event.loop_id or "")
                if loop is not None:
                    loop.happened(loop.seen(event.timestamp), event)
                return _NOTHING
            case _:
                return _NOTHING

    def _agent_end(self, event: e.AgentEnd) -> Sequence[Notice]:
        loop = self._open.get(event.loop_id)
        if loop is None:
            self.counts["loop_not_open"] += 1
            return _NOTHING
        return self._close(loop, event)

    def _agent_start(self, event: e.AgentStart, caller: str | None) -> Sequence[Notice]:
        opened = self._open_session(event)
        session_id = self._sessions[session_key(event.session_id)]
        identity = LoopIdentity(session_id, event.loop_id, int(event.timestamp), caller)
        replaced = self._open.get(event.loop_id)
        # The open loop is asked too: it may be open for longer than it is remembered.
        if self._references.knows(identity) or (replaced is not None and is_same(replaced.start.identity, identity)):
            self.counts["duplicate_start"] += 1
            return opened
        notices: list[Notice] = []
        if replaced is not None:
            self.counts["aborted_restart"] += 1
            notices += self._close(replaced, None)
        start = self._tools.under(loop_start(event, identity, self._references), self._open)
        self._references.remember(identity)
        loop = OpenLoop.begun(start, self._references, self._price)
        if event.captured is True:
            loop.contents, loop.session, opened = LoopContents(), opened[0] if opened else None, []
        notices += opened
        notices.append(LoopOpened(start))
        self._open[event.loop_id] = loop
        group = self._groups.started(identity, start.session_attributes)
        if group is not None:
            notices.append(group)
        if len(self._open) > MAX_OPEN_LOOPS:
            self.counts["evicted"] += 1
            notices += self._close(next(iter(self._open.values())), None)
        return notices

    def _side_call(self, event: e.SideCall) -> Sequence[Notice]:
        key = (session_key(event.session_id), event.id)
        if key in self._side_calls:
            self.counts["duplicate_side_call"] += 1
            return _NOTHING
        self._side_calls[key] = None
        if len(self._side_calls) > MAX_REMEMBERED_SIDE_CALLS:
            self._side_calls.popitem(last=False)
        session_id = self._sessions.get(key[0]) or self._begun_before(key[0], event)
        loop = self._open.get(event.loop_id or "")
        if loop is not None and session_key(loop.start.identity.session_id) != key[0]:
            loop = None  # it says two sessions: its own counts
        answer = side_answer(event, None, self._price) if loop is None else loop.side_answer(event)
        ended_ns = int(event.start) + 1 if event.end is None else max(int(event.end), int(event.start) + 1)
        made = SideCallMade(
            session_id=session_id or event.session_id,
            loop=None if loop is None else loop.start,
            in_session=session_id is not None,
            id=event.id,
            purpose=event.kind or None,
            started_ns=int(event.start),
            ended_ns=ended_ns,
            answer=answer,
            inferred=event.end is None,
        )
        return (made,)

    def _begun_before(self, key: str, call: e.SideCall) -> str | None:
        """Returns a side call's session as it is spelled, if the source knows that it had begun by then: reading may go on behind that."""
        first = None if self._ahead is None else self._ahead.sessions.get(key)
        return first.session_id if first is not None and first.timestamp <= call.start else None

    def _open_session(self, event: e.AgentStart) -> list[SessionOpened]:
        key = session_key(event.session_id)
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return []
        first = event if self._ahead is None else self._ahead.sessions.get(key, event)
        self._sessions[key] = first.session_id
        if len(self._sessions) > MAX_REMEMBERED_SESSIONS:
            self._sessions.popitem(last=False)
        source = event.source if first.source is UNSET else first.source  # what was read ahead need not know it
        attributes = given(first.session_attributes)
        return [SessionOpened(first.session_id, first.agent_id, int(first.timestamp), source or None, attributes)]

    def _close(self, loop: OpenLoop, event: e.AgentEnd | None, *, lost: bool = False) -> list[Notice]:
        identity = loop.start.identity
        loop.start = self._tools.under(loop.start, self._open)
        del self._open[identity.loop_id]
        ended: list[Any] = [*([] if loop.session is None else [loop.session]), *loop.close(event, lost=lost)]
        if loop.start.source is not None:
            self._tools.take(ended)
        ended_ns = ended[-1].ended_ns
        parent = self._open_parent(loop)
        if parent is not None:
            parent.child_ended(ended_ns)
        group = self._groups.ended(identity, ended_ns, lost=lost)
        return [*ended] if group is None else [*ended, group]

    def _open_parent(self, loop: OpenLoop) -> OpenLoop | None:
        """Returns a loop's parent if that is open."""
        parent = loop.start.parent
        found = None if parent is None else self._open.get(parent.loop_id)
        return found if found is not None and parent is not None and is_same(found.start.identity, parent) else None

    def flush(self, *, lost: bool = False) -> list[Notice]:
        """Closes everything: open loops as aborted, in order of their start, then the groups whose end is known.

        Args:
            lost: whether the process that worked on it was lost. Then it all says so, nothing that is open ends before a loop
                below it, and a group leaves without a winner.
        """
        if lost:
            self._reach_children()
        notices: list[Notice] = []
        for loop in sorted(self._open.values(), key=lambda loop: _order(loop.start)):
            notices += self._close(loop, None, lost=lost)
        return [*notices, *self._groups.flush(lost=lost)]

    def _reach_children(self) -> None:
        """Takes the ends of child loops into the last known time of open loops: they were still open then."""
        for loop in reversed(self._open.values()):  # a child begins after its parent
            loop.seen(loop.children_end_ns)
            parent = self._open_parent(loop)
            if parent is not None:
                parent.child_ended(loop.would_end_ns)

    def forget_session(self, session_id: str) -> int:
        """Drops what is open of a session, and says nothing: a purge. That it was seen stays remembered, so that it opens once.

        Returns:
            How many loops were open.
        """
        key = session_key(session_id)
        loops = [loop_id for loop_id, loop in self._open.items() if session_key(loop.start.identity.session_id) == key]
        for loop_id in loops:
            del self._open[loop_id]
        self._groups.forget_session(key)
        return len(loops)

    def forget_all(self) -> int:
        """Drops what is open of every session, as `forget_session` does.

        Returns:
            How many loops were open.
        """
        return sum(self.forget_session(one) for one in {loop.start.identity.session_id for loop in self._open.values()})

    # --- as bytes ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Returns the core's state: what `restore` goes on from. Equal states are equal bytes."""
        return b"".join(self.snapshot_parts())

    def snapshot_parts(self) -> Iterator[bytes]:
        """Yields `snapshot` in parts of about a millisecond; the core must not be fed before the last."""
        return parts(self._contents())

    @classmethod
    def restore(cls, state: bytes, ahead: Ahead | None = None) -> RecorderCore:
        """Returns the core that a `snapshot` was taken of.

        Args:
            state: what `snapshot` returned.
            ahead: what the source knows, if it reads ahead: it is not in the state.

        Raises:
            ValueError: the state is of another format, of a source of the other kind, or damaged.
        """
        core = cls(ahead)
        for _ in fill(core._contents(), state):
            pass
        return core

    @classmethod
    def restore_parts(cls, state: bytes, ahead: Ahead | None = None) -> Iterator[RecorderCore]:
        """Restores in slices of about a millisecond: yields the same core after each, whole when the iterator ends.

        Raises:
            ValueError: as `restore`.
        """
        core = cls(ahead)
        for _ in fill(core._contents(), state):
            yield core

    def _contents(self) -> Contents:
        reads_ahead, seen = self._ahead is not None, self._references
        return Contents(
            reads_ahead, self.counts, self._sessions, seen, self._side_calls, self._tools, self._open, self._groups
        )


def _order(start: LoopStart) -> tuple[int, str]:
    return start.identity.started_ns, start.identity.loop_id
