"""Open parallel evaluations: which branches have started, which have ended, and when a group is over.

Rule 1: a branch is a loop of the group's session with an announced id that starts after the announcement.
Rule 2: a group is over when its winner is known and no started branch is open.
Rule 3: without a branch, or with a winner that is none of the started ones, there is no group; where the process was lost
        there is one without a winner.
Rule 4: from its first branch's start to its end a group is open; whatever changes meanwhile is told.
Rule 5: branches are told as announced: they start at once, and which start is told first is chance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.notices import Given, GroupClosed, GroupGivenUp, GroupNotice, GroupOpened
from otel_phi.recorder.references import session_key
from otel_phi.wire.events import ParallelLoopEnd, ParallelLoopStart
from otel_phi.wire.messages import NO_USAGE

# Groups whose end never came; past it the oldest is given up.
MAX_OPEN_GROUPS = 1_024
# Branches of one group; phi-core runs one a configuration.
MAX_BRANCHES = 1_024
# Of them, linked while the group is open: each that starts or ends gives them again. OpenTelemetry's limit of links.
# A group announced with more than MAX_BRANCHES is not told of before it is over.
MAX_LINKED = 128


class OpenGroup:
    """An open group is a parallel evaluation that has been announced."""

    __slots__ = ("announced", "attributes", "ended", "ended_ns", "open", "started", "started_ns", "verdict")

    def __init__(self, event: ParallelLoopStart) -> None:
        self.announced = event
        self.attributes: Given = ()  # of the session, as its first branch was given them
        self.started: dict[str, LoopIdentity] = {}
        self.started_ns: int | None = None
        self.open: set[LoopIdentity] = set()
        self.ended: dict[LoopIdentity, int] = {}
        self.ended_ns = 0
        self.verdict: ParallelLoopEnd | None = None

    def start(self, loop: LoopIdentity) -> GroupOpened | None:
        """Takes a branch's start; returns what `opened` does."""
        before_ns = self.started_ns
        self.add(loop)
        return self.opened(before_ns)

    def add(self, loop: LoopIdentity) -> None:
        """Adds a branch that has started."""
        self.started[loop.loop_id] = loop
        self.open.add(loop)
        self.started_ns = loop.started_ns if self.started_ns is None else min(self.started_ns, loop.started_ns)

    def end(self, loop: LoopIdentity, ended_ns: int) -> None:
        """Takes a branch's end."""
        self.open.discard(loop)
        self.ended[loop] = ended_ns
        self.ended_ns = max(self.ended_ns, ended_ns)

    def opened(self, before_ns: int | None) -> GroupOpened | None:
        """Returns the group as it is known while it is open; None for one too large to be told again and again."""
        if len(self.announced.loop_ids) > MAX_BRANCHES:
            return None
        started_ns = self.started_ns or 0
        return GroupOpened(
            session_id=self._session_id(),
            loop_ids=self.announced.loop_ids,
            branches=tuple(islice(self._branches(), MAX_LINKED)),
            started_ns=started_ns,
            ended_ns=max(started_ns + 1, self.ended_ns),
            before_ns=before_ns,
            attributes=self.attributes,
        )

    def closed(self, *, lost: bool = False) -> GroupClosed | GroupGivenUp | None:
        """Returns the group as it ended, or was lost, with a winner or not; None for one that never was open."""
        verdict = self.verdict
        if self.started_ns is None:
            return None
        selected = None if verdict is None else self.started.get(verdict.selected_loop_id)
        if not self.ended or (selected is None and not lost):
            return GroupGivenUp(self._session_id(), self.announced.loop_ids, self.started_ns)
        return GroupClosed(
            session_id=self._session_id(),
            loop_ids=self.announced.loop_ids,
            branches=tuple(loop for loop in self._branches() if loop in self.ended),
            started_ns=self.started_ns,
            ended_ns=max(self.started_ns + 1, self.ended_ns),
            selected=selected,
            selected_index=verdict.selected_config_index if verdict and selected else None,
            evaluation_usage=verdict.evaluation_usage if verdict else NO_USAGE,
            lost=lost,
            attributes=self.attributes,
        )

    def _branches(self) -> Iterator[LoopIdentity]:
        """Yields the branches that have started, in the order of the announcement."""
        announced = dict.fromkeys(self.announced.loop_ids)
        return (self.started[loop_id] for loop_id in announced if loop_id in self.started)

    def _session_id(self) -> str:
        return next(iter(self.started.values())).session_id  # in the spelling that all its spans have


class OpenGroups:
    """Follows parallel evaluations from their announcement to their end, within a bound."""

    def __init__(self) -> None:
        self._groups: OrderedDict[int, OpenGroup] = OrderedDict()
        self._by_loop: dict[tuple[str, str], OpenGroup] = {}
        self._by_branch: dict[LoopIdentity, OpenGroup] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def announced(self, event: ParallelLoopStart) -> GroupNotice | None:
        """Opens a group, unless it is open already; returns one that had to be given up for it."""
        known = self._by_loop.get((session_key(event.session_id), event.loop_ids[0])) if event.loop_ids else None
        if known is not None and known.announced == event:
            return None
        group = OpenGroup(event)
        self._groups[id(group)] = group
        for loop_id in event.loop_ids[:MAX_BRANCHES]:
            self._by_loop[session_key(event.session_id), loop_id] = group
        return self._forget(next(iter(self._groups.values()))) if len(self._groups) > MAX_OPEN_GROUPS else None

    def started(self, loop: LoopIdentity, attributes: Given = ()) -> GroupOpened | None:
        """Takes a loop's start, and what it was given for its session; returns the group that it is a branch of, as it now is."""
        group = self._by_loop.get((session_key(loop.session_id), loop.loop_id))
        if group is None or loop.loop_id in group.started:
            return None
        self._by_branch[loop] = group
        group.attributes = group.attributes or attributes
        return group.start(loop)

    def ended(self, loop: LoopIdentity, ended_ns: int, *, lost: bool = False) -> GroupNotice | None:
        """Takes a loop's end; returns the group that it was a branch of, over with it or not."""
        group = self._by_branch.pop(loop, None)
        if group is None:
            return None
        group.end(loop, ended_ns)
        return self._over(group, lost=lost) or group.opened(group.started_ns)

    def decided(self, event: ParallelLoopEnd) -> GroupNotice | None:
        """Takes the winner; returns the group if it is over with it."""
        group = self._by_loop.get((session_key(event.session_id), event.selected_loop_id))
        if group is None:
            return None
        group.verdict = event
        return self._over(group)

    def flush(self, *, lost: bool = False) -> list[GroupNotice]:
        """Closes all groups; those of which too little is known are given up, unless the process was `lost`."""
        closed = [self._forget(group, lost=lost) for group in list(self._groups.values())]
        return [notice for notice in closed if notice is not None]

    def forget_session(self, key: str) -> None:
        """Drops the groups of a session, by its `session_key`, and says nothing."""
        for group in [found for found in self._groups.values() if session_key(found.announced.session_id) == key]:
            self._forget(group)

    def all(self) -> Iterator[OpenGroup]:
        """Yields the open groups, the oldest first."""
        return iter(self._groups.values())

    def held(self, group: OpenGroup) -> tuple[str, ...] | None:
        """Returns the announced ids that still mean a group, None for all: a later one with the same ids takes them."""
        ids, session_id = _followed(group.announced), session_key(group.announced.session_id)
        held = tuple([loop_id for loop_id in ids if self._by_loop.get((session_id, loop_id)) is group])
        return None if held == ids else held

    def put(self, group: OpenGroup, held: tuple[str, ...] | None) -> None:
        """Takes an open group that goes on, and the ids that mean it."""
        self._groups[id(group)] = group
        session_id = session_key(group.announced.session_id)
        for loop_id in _followed(group.announced) if held is None else held:
            self._by_loop[session_id, loop_id] = group
        for loop in group.open:
            self._by_branch[loop] = group

    def _over(self, group: OpenGroup, *, lost: bool = False) -> GroupNotice | None:
        return self._forget(group, lost=lost) if group.verdict is not None and not group.open else None

    def _forget(self, group: OpenGroup, *, lost: bool = False) -> GroupNotice | None:
        self._groups.pop(id(group), None)
        session_id = session_key(group.announced.session_id)
        for loop_id in group.announced.loop_ids[:MAX_BRANCHES]:
            if self._by_loop.get((session_id, loop_id)) is group:
                del self._by_loop[session_id, loop_id]
        for loop in group.open:
            self._by_branch.pop(loop, None)
        return group.closed(lost=lost)


def _followed(event: ParallelLoopStart) -> tuple[str, ...]:
    """Returns the announced branches that are followed, each once."""
    return tuple(dict.fromkeys(event.loop_ids[:MAX_BRANCHES]))
