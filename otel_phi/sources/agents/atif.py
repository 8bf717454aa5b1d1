"""ATIF trajectories, as Harbor writes and converts them: `jobs/<time>/<trial>/agent/trajectory*.json`.

Rule 1: a file is one document. It is told step by step as it grows, but for one without times or with several trajectories: that one
        is told when it has come to rest.
Rule 2: a document that several trajectories are in is read as all of them, each under the one that names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from otel_phi.sources.agents import atif_parts as parts
from otel_phi.sources.agents.adapter import Context, Group, Reference, Settled
from otel_phi.sources.agents.atif_fold import NAME, AtifState, TrajectoryFold
from otel_phi.sources.agents.atif_parts import Trajectory
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.reading import ident
from otel_phi.wire.events import AgentEvent

_SCHEMA = re.compile(rb'"schema_version"\s*:\s*"ATIF-v')
_REFERENCE = b'"subagent_trajectory_ref"'
_STEPS = (b'"steps"', b'"step_id"', b'"source"')
_states = msgspec.json.Decoder(AtifState)
_encode = msgspec.json.encode


class AtifFold:
    """An ATIF fold is the fold of one document.

    Args:
        context: the world around it.
        state: of the fold before this one.

    Attributes:
        counts: see `BaseFold`; `untimed` for trajectories without times, `referenced` for sub-agents in other files, `other_totals`
            for trajectories whose own totals are not the sum of their steps, `copied_steps`, `copied_trajectories`,
            `unmatched_results`.
        refers: the sub-agents that its steps name and the document does not hold.
    """

    def __init__(self, context: Context, state: bytes = b"") -> None:
        self.counts: Counter[str] = Counter()
        self.refers: list[Reference] = []
        self._context = context
        self._state = state or _encode(AtifState())
        self._fold: TrajectoryFold | None = None
        self._held: list[Trajectory] = []  # until the document has come to rest

    @property
    def state(self) -> bytes:
        """Returns the state, see `Fold`."""
        if self._held:
            return _encode(msgspec.structs.replace(_states.decode(self._state), position=0))
        return self._state if self._fold is None else self._fold.state

    def record(self, position: int, data: bytes) -> Iterable[AgentEvent]:
        """Takes the document, see `Fold`; what has been told of it is not told again."""
        del position
        found = parts.trajectories(data)
        if not found:
            self.counts["bad_lines"] += 1
            return ()
        self._state, self._fold = self.state, None
        if len(found) > 1 or not parts.first_ns(found[0]):
            self._held = found
            return ()
        return self._tell(found[0])

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`."""
        held, self._held = self._held, []
        if len(held) > 1:
            return list(self._tell_all(held))
        events = list(self._tell(held[0])) if held else []
        fold = self._fold or TrajectoryFold(self._context, Trajectory(), _states.decode(self._state))
        self._fold = fold  # one without steps goes on with what the fold before this one left open
        events += fold.settle(why)
        self._take(fold)
        return events

    def _tell(self, found: Trajectory) -> Iterator[AgentEvent]:
        """Yields the events of the only trajectory that have not been told."""
        fold = TrajectoryFold(self._context, found, _states.decode(self._state))
        if self._is_copy(found, fold):
            return
        self._fold = fold
        yield from fold.steps()
        self._take(fold)

    def _tell_all(self, held: list[Trajectory]) -> Iterator[AgentEvent]:
        """Yields the events of several trajectories, each with those that it names."""
        if not _states.decode(self._state).whole:
            named = _named(held)
            for found in [one for one in held if parts.own_id(one) not in named] or held:
                context = self._context if found is held[0] else msgspec.structs.replace(self._context, session="")
                fold = TrajectoryFold(context, found, AtifState(), within=held)
                if not self._is_copy(found, fold):
                    yield from fold.steps()
                    yield from fold.settle("end")
                    self._take(fold)
        self._state = _encode(AtifState(whole=True))

    def _is_copy(self, found: Trajectory, fold: TrajectoryFold) -> bool:
        """Says whether a trajectory was read from another file, where it lies within its parent's."""
        own_id = parts.document_id(found)
        if not own_id or fold.claim("trajectory", own_id, "file"):
            return False
        self.counts["copied_trajectories"] += 1
        return True

    def _take(self, fold: TrajectoryFold) -> None:
        """Takes over what a fold counted."""
        self.counts += fold.counts
        self.refers += fold.refers
        fold.counts.clear()
        fold.refers.clear()


class Atif:
    """An ATIF is the format of ATIF trajectories."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the folder that Harbor writes its jobs to: one of where it runs."""
        return (env.get("HARBOR_JOBS_DIR") or "jobs",)

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins as a trajectory, or as one of several."""
        del path
        return head.lstrip()[:1] == b"{" and (_SCHEMA.search(head) is not None or all(word in head for word in _STEPS))

    def group(self, path: str, head: bytes) -> Group:
        """Says where a file belongs: continuations and sub-agents name their run's session."""
        *_, trial, folder, name = ("", "", *path.replace("\\", "/").split("/"))
        found = parts.trajectories(head)
        first = found[0] if found else Trajectory()
        parent = parts.parent_session(first)
        own = parts.without_part(ident(first.session_id)) or ident(first.trajectory_id)
        key = parent or own or f"{trial if folder == 'agent' else folder}/{name.removesuffix('.json')}"
        return Group(
            key=key,
            main=not parent,
            agent_id=parts.document_id(first) if parent else "",
            started_ns=parts.first_ns(first),
            document=True,
            converted=True,
            part=parts.part_of(first, path),
            names=tuple(name for one in found if (name := parts.own_id(one))),
            refers=tuple(_references(head, found, key)),
        )

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns none: a document says in its group whom it names."""
        del line
        return ()

    def fold(self, context: Context, state: bytes = b"") -> AtifFold:
        """Returns a fold."""
        return AtifFold(context, state)


def _named(held: Sequence[Trajectory]) -> set[str]:
    """Returns the ids of the trajectories that others of the same document name."""
    found: set[str] = set()
    for one in held:
        for step in parts.steps_of(one):
            for result in parts.results_of(step):
                for reference in parts.references_of(result):
                    found |= {ident(reference.get("trajectory_id")), ident(reference.get("session_id"))}
    return found - {""}


def _references(data: bytes, found: Sequence[Trajectory], session: str) -> Iterator[Reference]:
    """Yields the other files that a document names: of sub-agents that it does not hold, and of what continues it."""
    for one in found:
        file = parts.file_of(one.continued_trajectory_ref)
        if file:
            yield Reference(file=file, continues=True)
    if found and _REFERENCE in data:
        fold = AtifFold(Context(claims=ClaimsInMemory(), name="", session=session))
        for _ in (*fold.record(0, data), *fold.settle("end")):
            pass
        yield from fold.refers
