"""The Session tree: a session, its loops, their turns. Words, fields and JSON are phi-core's (`src/session/model.rs`, 0.10).

Rule 1: a `Turn` is frozen. A `LoopRecord` and a `Session` grow while a recorder holds them: phi-core marks parallel groups,
        children and spawns on loops that have long ended. Once drained, nothing changes them.
Rule 2: loops stand in the order in which they ENDED (a child before its parent), those that `flush` aborted last.
Rule 3: a lookup by loop id finds the first loop of that id; phi-core can use an id more than once in a session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from otel_phi.session.canonical_print import to_json
from otel_phi.session.parts import (
    ChildLoopRef,
    CompactionBlock,
    LoopEvent,
    LoopStatus,
    ParallelGroupRecord,
    SessionFormation,
    SessionScope,
    SpawnRef,
)
from otel_phi.wire.messages import NULL, Message, TurnId, Usage
from otel_phi.wire.parts import ConfigSnapshot, ContinuationKind, RequestPayload
from otel_phi.wire.times import Instant


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn is a model call, and the tools that ran after it.

    Attributes:
        turn_id: from `TurnStart`: its loop id and turn index.
        triggered_by: from `TurnStart`; None where the writer left it out, which phi-core never does.
        usage: from `TurnEnd.usage`.
        input_messages: messages of `MessageEnd`s within the turn that are not the assistant's. phi-core 0.10: tool results of
            this very turn and extension messages are among them.
        output_message: from `TurnEnd.message`; None where the writer left it out.
        tool_results: from `TurnEnd.tool_results`, in call order, marked with this turn's id.
        started_at: from `TurnStart.timestamp`; None where the writer left it out.
        ended_at: from `TurnEnd.timestamp`; None where the writer left it out.
        request_payload: from `TurnRequest.payload` with `capture_turn_requests`; None without it, or without that event.
    """

    OMITTED: ClassVar[frozenset[str]] = frozenset({"request_payload"})
    turn_id: TurnId
    triggered_by: str | None = None
    usage: Usage = Usage()
    input_messages: tuple[Message, ...] = ()
    output_message: Message | None = None
    tool_results: tuple[Message, ...] = ()
    started_at: Instant | None = None
    ended_at: Instant | None = None
    request_payload: RequestPayload | None = None

    @property
    def index(self) -> int:
        """Index of the turn in its loop, from 0."""
        return self.turn_id.turn_index

    @property
    def duration_ns(self) -> int | None:
        """Nanoseconds from start to end, negative where the clock went back; None where either time is missing."""
        if self.started_at is None or self.ended_at is None:
            return None
        return int(self.ended_at) - int(self.started_at)

    @property
    def has_tool_calls(self) -> bool:
        """Whether a tool ran in this turn."""
        return bool(self.tool_results)

    @property
    def all_messages(self) -> tuple[Message, ...]:
        """All messages of the turn in time: input, output, tool results."""
        output = () if self.output_message is None else (self.output_message,)
        return (*self.input_messages, *output, *self.tool_results)


class LoopRecord(msgspec.Struct, kw_only=True, dict=True):
    """A loop record is one run of the agent loop.

    Attributes:
        loop_id: from `AgentStart.loop_id`; can repeat within a session.
        session_id: from `AgentStart.session_id`.
        agent_id: from `AgentStart.agent_id`.
        parent_loop_id: from `AgentStart.parent_loop_id`: the loop it continues, or that spawned it; None for an origin.
        continuation_kind: from `AgentStart.continuation_kind`; `Initial` for origins and sub-agents.
        started_at: from `AgentStart.timestamp`.
        ended_at: from `AgentEnd.timestamp`; None while running, and after `flush` aborted it.
        status: where the loop stands.
        rejection: from `AgentEnd.rejection`: why an input filter refused the prompt; None where none did.
        config: from `AgentStart.config_snapshot`, else model and provider of the first assistant message; None without both.
        messages: from `AgentEnd.messages`: all that the loop added.
        turns: its finished turns. An unfinished one is dropped.
        usage: from `AgentEnd.usage`.
        metadata: from `AgentStart.metadata`: any JSON; `null` for none.
        events: its stream, in order. phi-core 0.14 and newer keep none.
        children_loop_ids: loops of this session that name this one as parent, by the order of their ends. phi-core 0.10:
            a child that ends before its parent is known, or is aborted, is missing.
        child_loop_refs: sub-agents its tools ran; those are loops of other sessions.
        parallel_group: from `ParallelLoopEnd`; None outside a parallel evaluation.
        compaction_block: what its context is loaded from instead; None in what a recorder writes.
    """

    OMITTED: ClassVar[frozenset[str]] = frozenset({"compaction_block"})
    loop_id: str
    session_id: str
    agent_id: str = ""
    parent_loop_id: str | None = None
    continuation_kind: ContinuationKind = "Initial"
    started_at: Instant
    ended_at: Instant | None = None
    status: LoopStatus = LoopStatus.RUNNING
    rejection: str | None = None
    config: ConfigSnapshot | None = None
    messages: tuple[Message, ...] = ()
    turns: list[Turn] = []
    usage: Usage = Usage()
    metadata: Raw = NULL
    events: list[LoopEvent] = []
    children_loop_ids: list[str] = []
    child_loop_refs: list[ChildLoopRef] = []
    parallel_group: ParallelGroupRecord | None = None
    compaction_block: CompactionBlock | None = None

    @property
    def turn_count(self) -> int:
        """Number of finished turns."""
        return len(self.turns)

    def get_turn(self, turn_index: int) -> Turn | None:
        """Returns the turn at this place of `turns`, None where there is none."""
        return self.turns[turn_index] if 0 <= turn_index < len(self.turns) else None

    def add_child(self, loop_id: str) -> None:
        """Notes a child of the same session, once."""
        known: set[str] | None = self.__dict__.get("_children")
        if known is None or len(known) != len(self.children_loop_ids):
            known = self.__dict__["_children"] = set(self.children_loop_ids)
        if loop_id not in known:
            known.add(loop_id)
            self.children_loop_ids.append(loop_id)


class Session(msgspec.Struct, kw_only=True, dict=True):
    """Groups all loops of one session id.

    Loops form trees by `parent_loop_id` and `children_loop_ids`. A sub-agent's loops are a session of their own, tied to its
    parent by `parent_spawn_ref` here and `child_loop_refs` there.

    Attributes:
        session_id: from `AgentStart.session_id`.
        agent_id: from the session's first `AgentStart.agent_id`.
        created_at: from the session's first `AgentStart.timestamp`.
        last_active_at: from its newest `AgentStart.timestamp`: when its last loop started.
        formation: how the session began.
        parent_spawn_ref: the tool call that spawned it; None for a session of its own. phi-core 0.10: also set where a parent
            loop id merely does not begin with this session's id.
        scope: whether it is kept; a recorder writes `ephemeral`.
        loops: its ended loops. Running ones are in the recorder alone.
    """

    session_id: str
    agent_id: str = ""
    created_at: Instant
    last_active_at: Instant
    formation: SessionFormation
    parent_spawn_ref: SpawnRef | None = None
    scope: SessionScope = SessionScope.EPHEMERAL
    loops: list[LoopRecord] = []

    def to_dict(self, *, events: bool = True) -> dict[str, Any]:
        """Returns the session as phi-core's JSON.

        Args:
            events: with the events of each loop, as phi-core 0.10 to 0.13 write; without, as 0.14 and newer.
        """
        printed: dict[str, Any] = to_json(self if events else _without_events(self))
        for record in () if events else printed["loops"]:
            del record["events"]
        return printed

    def root_loops(self) -> Iterator[LoopRecord]:
        """Yields the loops without a parent in this session. A loop that is its own parent (a compaction pass) is none."""
        known = {record.loop_id for record in self.loops}
        return (record for record in self.loops if record.parent_loop_id is None or record.parent_loop_id not in known)

    def children_of(self, loop_id: str) -> Iterator[LoopRecord]:
        """Yields the loops of this session that continue `loop_id`."""
        record = self.get_loop(loop_id)
        children = frozenset(record.children_loop_ids if record else ())
        return (record for record in self.loops if record.loop_id in children)

    def parallel_siblings(self, loop_id: str) -> Iterator[LoopRecord]:
        """Yields the loops of the parallel evaluation that `loop_id` was in, itself included; none where it was in none."""
        record = self.get_loop(loop_id)
        group = record.parallel_group if record else None
        siblings = frozenset(group.all_loop_ids if group else ())
        return (record for record in self.loops if record.loop_id in siblings)

    def get_loop(self, loop_id: str) -> LoopRecord | None:
        """Returns the first loop of this id, None where there is none. Does not search: ids are indexed as loops come."""
        places: dict[str, int] = self.__dict__.setdefault("_places", {})
        for place in range(self.__dict__.get("_seen", 0), len(self.loops)):
            places.setdefault(self.loops[place].loop_id, place)
        self.__dict__["_seen"] = len(self.loops)
        place = places.get(loop_id, -1)
        if place < len(self.loops) and (place < 0 or self.loops[place].loop_id == loop_id):
            return None if place < 0 else self.loops[place]
        self.__dict__.update(_places={}, _seen=0)  # a caller took loops out
        return self.get_loop(loop_id)

    def loop_chain_to(self, loop_id: str) -> list[str]:
        """Returns the loop ids from the root to `loop_id`, by `parent_loop_id`.

        An id that is met again ends the chain: a compaction pass is its own parent, where phi-core 0.10 never returns.
        """
        chain: dict[str, None] = {}
        current: str | None = loop_id
        while current is not None and current not in chain:
            chain[current] = None
            record = self.get_loop(current)
            current = record.parent_loop_id if record else None
        return list(reversed(chain))

    def total_usage(self) -> Usage:
        """Returns the tokens of all loops together."""
        fields = [one.name for one in msgspec.structs.fields(Usage) if one.default == 0]  # the counts
        return Usage(*(sum(getattr(record.usage, name) for record in self.loops) for name in fields))


def _without_events(session: Session) -> Session:
    loops = [msgspec.structs.replace(record, events=[]) for record in session.loops]
    return msgspec.structs.replace(session, loops=loops)
