"""Open parallel evaluations: which branches have started, which have ended, and when a group is over.

Rule 1: a branch is a loop of the group's session with an announced id that starts after the announcement.
Rule 2: a group is over when its winner is known and no started branch is open.
Rule 3: without a branch, or with a winner that is none of the started ones, there is no group.
"""

from __future__ import annotations

from collections import OrderedDict

from otel_phi.recorder.notices import GroupClosed, LoopIdentity
from otel_phi.recorder.references import session_key
from otel_phi.wire.events import ParallelLoopEnd, ParallelLoopStart

# Groups whose end never came; past it the oldest is given up.
MAX_OPEN_GROUPS = 1_024
# Branches of one group; phi-core runs one a configuration.
MAX_BRANCHES = 1_024


class OpenGroup:
    """Is a parallel evaluation that has been announced."""

    __slots__ = ("announced", "ended", "open", "started", "verdict")

    def __init__(self, event: ParallelLoopStart) -> None:
        self.announced = event
        self.started: dict[str, LoopIdentity] = {}
        self.open: set[LoopIdentity] = set()
        self.ended: dict[LoopIdentity, int] = {}
        self.verdict: ParallelLoopEnd | None = None

    def closed(self) -> GroupClosed | None:
        """Returns the group as it ended, or None if no group is to be told of."""
        verdict = self.verdict
        if verdict is None or verdict.selected_loop_id not in self.started or not self.ended:
            return None
        branches = tuple(loop for loop in self.started.values() if loop in self.ended)
        started = min(loop.started_ns for loop in branches)
        return GroupClosed(
            session_id=branches[0].session_id,  # in the spelling that all its spans have
            loop_ids=self.announced.loop_ids,
            branches=branches,
            started_ns=started,
            ended_ns=max(started + 1, *self.ended.values()),
            selected=self.started[verdict.selected_loop_id],
            selected_index=verdict.selected_config_index,
            evaluation_usage=verdict.evaluation_usage,
        )


class OpenGroups:
    """Follows parallel evaluations from their announcement to their end, within a bound."""

    def __init__(self) -> None:
        self._groups: OrderedDict[int, OpenGroup] = OrderedDict()
        self._by_loop: dict[tuple[str, str], OpenGroup] = {}
        self._by_branch: dict[LoopIdentity, OpenGroup] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def announced(self, event: ParallelLoopStart) -> GroupClosed | None:
        """Opens a group, unless it is open already; returns one that had to be given up for it."""
        known = self._by_loop.get((session_key(event.session_id), event.loop_ids[0])) if event.loop_ids else None
        if known is not None and known.announced == event:
            return None
        group = OpenGroup(event)
        self._groups[id(group)] = group
        for loop_id in event.loop_ids[:MAX_BRANCHES]:
            self._by_loop[session_key(event.session_id), loop_id] = group
        return self._forget(next(iter(self._groups.values()))) if len(self._groups) > MAX_OPEN_GROUPS else None

    def started(self, loop: LoopIdentity) -> None:
        """Takes a loop's start; it may be a branch."""
        group = self._by_loop.get((session_key(loop.session_id), loop.loop_id))
        if group is not None and loop.loop_id not in group.started:
            group.started[loop.loop_id] = loop
            group.open.add(loop)
            self._by_branch[loop] = group

    def ended(self, loop: LoopIdentity, ended_ns: int) -> GroupClosed | None:
        """Takes a loop's end; returns the group that is over with it."""
        group = self._by_branch.pop(loop, None)
        if group is None:
            return None
        group.open.discard(loop)
        group.ended[loop] = ended_ns
        return self._over(group)

    def decided(self, event: ParallelLoopEnd) -> GroupClosed | None:
        """Takes the winner; returns the group if it is over with it."""
        group = self._by_loop.get((session_key(event.session_id), event.selected_loop_id))
        if group is None:
            return None
        group.verdict = event
        return self._over(group)

    def flush(self) -> list[GroupClosed]:
        """Closes all groups; those of which too little is known are silently given up."""
        closed = [self._forget(group) for group in list(self._groups.values())]
        return [notice for notice in closed if notice is not None]

    def _over(self, group: OpenGroup) -> GroupClosed | None:
        return self._forget(group) if group.verdict is not None and not group.open else None

    def _forget(self, group: OpenGroup) -> GroupClosed | None:
        self._groups.pop(id(group), None)
        session_id = session_key(group.announced.session_id)
        for loop_id in group.announced.loop_ids[:MAX_BRANCHES]:
            if self._by_loop.get((session_id, loop_id)) is group:
                del self._by_loop[session_id, loop_id]
        for loop in group.open:
            self._by_branch.pop(loop, None)
        return group.closed()
