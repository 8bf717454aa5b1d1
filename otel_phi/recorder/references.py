"""Which loop a loop id means: the table of loops seen, and how a reference finds its target.

Rule 1: a reference means the latest occurrence of that loop id seen; where a source read ahead, the latest that started
        no later than the referrer. Never the referrer itself, so no circle can form.
Rule 2: a loop of the same session is a parent; a loop of another is a spawn.
Rule 3: an id never seen tells its session only by a UUID before its first dot, unless who refers to it names the session:
        that wins over all else. Nothing is guessed.
Rule 4: the table is bounded. A loop forgotten is as one never seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from otel_phi.recorder.identities import Foreign, LoopIdentity
from otel_phi.recorder.notices import LoopStart
from otel_phi.wire.callers import traceparent_of
from otel_phi.wire.events import AgentStart
from otel_phi.wire.uuids import is_uuid

# A week of a busy agent; about 10 MB when full. Past it the loop seen longest ago is forgotten.
MAX_REMEMBERED_LOOPS = 32_768
# Of loops whose context was compacted, and that others may continue; few are, and the latest are continued.
MAX_COMPACTED_LOOPS = 4_096
# phi-core repeats an id for each compaction pass and parallel call; older occurrences are no longer referred to.
MAX_OCCURRENCES = 16


class Ahead(msgspec.Struct, frozen=True):
    """`Ahead` is what a source that can read ahead (files) knows before the first event is recorded.

    Attributes:
        starts: loop id -> its occurrences in order of start.
        sessions: `session_key` of a session -> its earliest AgentStart; loops carry the session as that one spells it.
    """

    starts: Mapping[str, Sequence[LoopIdentity]]
    sessions: Mapping[str, AgentStart]


def session_key(session_id: str) -> str:
    """Returns one key for all spellings of a UUID: they are one trace."""
    return session_id.lower() if is_uuid(session_id) else session_id


class References:
    """Remembers the loops seen, within a bound, and resolves references to them.

    Args:
        ahead: loops that a source found by reading ahead; None for a stream.
    """

    def __init__(self, ahead: Ahead | None = None) -> None:
        self._ahead = ahead
        self._seen: OrderedDict[str, list[LoopIdentity]] = OrderedDict()
        self._compacted: OrderedDict[LoopIdentity, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def occurrences(self) -> int:
        """How many occurrences of loops are remembered."""
        return sum(map(len, self._seen.values()))

    def all(self) -> Iterator[LoopIdentity]:
        """Yields the loops remembered, the id seen longest ago first: given to `remember` in that order they are the same table."""
        return chain.from_iterable(self._seen.values())

    def remember(self, loop: LoopIdentity) -> None:
        """Adds a loop that has started."""
        occurrences = self._seen.setdefault(loop.loop_id, [])
        occurrences.append(loop)
        del occurrences[:-MAX_OCCURRENCES]
        self._seen.move_to_end(loop.loop_id)
        if len(self._seen) > MAX_REMEMBERED_LOOPS:
            self._seen.popitem(last=False)

    def compacted(self, start: LoopStart) -> None:
        """Notes that the context of a loop was compacted: so is that of one that goes on from it, and of its agent's next prompt."""
        for context in contexts_of(start.identity, start.agent_id):
            self.note_compacted(context)

    def note_compacted(self, context: LoopIdentity) -> None:
        """Notes one of these, a loop or an agent, as `contexts_of` has them."""
        self._compacted[context] = None
        if len(self._compacted) > MAX_COMPACTED_LOOPS:
            self._compacted.popitem(last=False)

    def goes_on_compacted(self, start: LoopStart) -> bool:
        """Says whether a loop begins with a context that was compacted: its parent's, else its agent's in this session."""
        if start.kind == "subagent" or start.spawner is not None:
            return False
        of_parent = None if start.parent is None else contexts_of(start.parent, "")[0]
        return (of_parent or contexts_of(start.identity, start.agent_id)[1]) in self._compacted

    def all_compacted(self) -> Iterator[LoopIdentity]:
        """Yields the loops and agents whose context was compacted, the earliest first."""
        return iter(self._compacted)

    def seen(self, loop_id: str) -> bool:
        """Says whether a loop of that id is remembered."""
        return loop_id in self._seen

    def knows(self, loop: LoopIdentity) -> bool:
        """Says whether this very loop (session, id and start) was seen."""
        occurrences = self._seen.get(loop.loop_id, ())
        return any((seen.session_id, seen.started_ns) == (loop.session_id, loop.started_ns) for seen in occurrences)

    def find(self, loop_id: str, before_ns: int) -> LoopIdentity | None:
        """Returns the loop that an id means to a referrer of that time; the time counts only where a source read ahead."""
        seen = self._seen.get(loop_id)
        if self._ahead is None:
            return seen[-1] if seen else None
        known = self._ahead.starts.get(loop_id, ())
        for number in range(bisect_right(known, before_ns, key=lambda loop: loop.started_ns) - 1, -1, -1):
            loop = known[number]
            # At the referrer's own instant only a loop already seen counts: two that name each other form no circle.
            if loop.started_ns < before_ns or self.knows(loop):
                return loop
        if not known and seen:
            return seen[-1]  # of a source that is not read ahead: other agents' sessions beside phi-core's
        return None

    def parent_of(
        self, loop: LoopIdentity, parent_loop_id: str | None, named: str | None = None
    ) -> tuple[LoopIdentity | None, Foreign | None]:
        """Resolves a loop's parent, before the loop itself is remembered: a loop of the same session, or a spawner.

        Args:
            loop: whose parent it is.
            parent_loop_id: as its AgentStart says, None for none.
            named: the parent's session where the AgentStart names it, None where not.
        """
        if not parent_loop_id:
            return None, None
        found = self._of(named, self.find(parent_loop_id, loop.started_ns))
        if found is not None and session_key(found.session_id) == session_key(loop.session_id):
            return found, None
        if found is None and parent_loop_id == loop.loop_id:
            return None, None  # a compaction pass whose own loop was never seen
        return None, self.foreign(parent_loop_id, loop.session_id, found, named)

    def child_of(
        self, session_id: str, child_loop_id: str | None, ended_ns: int, named: str | None = None
    ) -> Foreign | None:
        """Resolves the loop that a tool of a turn ended at `ended_ns` ran, if it is of another session.

        Args:
            session_id: the tool's own session.
            child_loop_id: as its ToolExecutionEnd says, None for none.
            ended_ns: end of the turn.
            named: the child's session where the ToolExecutionEnd names it, None where not.
        """
        if not child_loop_id:
            return None
        found = self._of(named, self.find(child_loop_id, ended_ns + 1))
        return (
            None
            if found is not None and session_key(found.session_id) == session_key(session_id)
            else self.foreign(child_loop_id, session_id, found, named)
        )

    @staticmethod
    def _of(named: str | None, found: LoopIdentity | None) -> LoopIdentity | None:
        """Returns a loop that was found, None where another session was named than its own."""
        if found is None or named is None or session_key(found.session_id) == session_key(named):
            return found
        return None

    @staticmethod
    def foreign(loop_id: str, own_session: str, found: LoopIdentity | None, named: str | None = None) -> Foreign | None:
        """Describes a loop outside the referrer's session; None if what is known of it says that it is inside."""
        if found is not None:
            return Foreign(loop_id, found.session_id, found)
        if named is not None:
            return None if session_key(named) == session_key(own_session) else Foreign(loop_id, named, None)
        if loop_id == own_session or loop_id.startswith(own_session + "."):
            return None
        prefix, dot, _ = loop_id.partition(".")
        return Foreign(loop_id, prefix if dot and is_uuid(prefix) else None, None)


def contexts_of(loop: LoopIdentity, agent_id: str) -> tuple[LoopIdentity, LoopIdentity]:
    """Returns what stands for a loop's context, and for its agent's in that session: its next prompt is a loop without a parent, in the same one.

    phi-core numbers an agent's loops by configuration, `{session}.{configuration}.{N}`; branches of a parallel evaluation, which
    have contexts of their own, have configurations of their own.
    """
    numbered, dot, _ = loop.loop_id.rpartition(".")
    key, own = session_key(loop.session_id), numbered if dot else loop.loop_id
    return LoopIdentity(key, loop.loop_id, loop.started_ns), LoopIdentity(key, f"{agent_id} {own}", 0)


def ahead_of(starts: Iterable[AgentStart]) -> Ahead:
    """Orders the AgentStarts that a source found by reading ahead."""
    loops: dict[str, list[LoopIdentity]] = {}
    sessions: dict[str, AgentStart] = {}
    for start in sorted(starts, key=lambda start: start.timestamp):
        first = sessions.setdefault(session_key(start.session_id), start)
        identity = LoopIdentity(first.session_id, start.loop_id, int(start.timestamp), traceparent_of(start))
        loops.setdefault(start.loop_id, []).append(identity)
    return Ahead(loops, sessions)
