"""The small values of the Session tree: how a session began, how a loop stands, what links loops, what compacts them.

Words, fields and JSON are phi-core's (`src/session/model.rs`, 0.10). All values are frozen.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from otel_phi.wire.events import AgentEvent
from otel_phi.wire.messages import Message, Usage
from otel_phi.wire.times import Instant


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    pass


class LoopStatus(enum.Enum):
    """Says where a loop stands in its life.

        Pending ── AgentStart ──▶ Running ─┬─ AgentEnd ─────────────────▶ Completed
                                           ├─ AgentEnd with a rejection ─▶ Rejected
                                           └─ flush() ──────────────────▶ Aborted

    phi-core 0.10: `Pending` is declared and never written; it is read. `Completed` says only that `AgentEnd` came: errors,
    cancellation and limits end there too.
    """

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    REJECTED = "Rejected"
    ABORTED = "Aborted"


class SessionScope(enum.Enum):
    """Says whether a session lives in memory alone (`ephemeral`, the default) or in a store (`persistent`)."""

    EPHEMERAL = "ephemeral"
    PERSISTENT = "persistent"


class Explicit(_Value, frozen=True, kw_only=True):
    """Says that a caller built the session by hand; a recorder never writes this.

    Attributes:
        timestamp: when.
    """

    EXTERNALLY_TAGGED: ClassVar[bool] = True
    timestamp: Instant


class FirstLoop(_Value, frozen=True, kw_only=True):
    """Says that the session began with the first `AgentStart` of its id; a recorder always writes this.

    Attributes:
        timestamp: from that `AgentStart.timestamp`.
    """

    EXTERNALLY_TAGGED: ClassVar[bool] = True
    timestamp: Instant


class InactivityTimeout(_Value, frozen=True, kw_only=True):
    """Says that the session began because the one before had idled too long; no phi-core code writes this, files may.

    Attributes:
        threshold_secs: seconds of idling that were too long.
        previous_session_id: the session before, None where unknown.
        timestamp: when.
    """

    EXTERNALLY_TAGGED: ClassVar[bool] = True
    threshold_secs: int = 0
    previous_session_id: str | None = None
    timestamp: Instant


SessionFormation = Explicit | FirstLoop | InactivityTimeout


class ChildLoopRef(_Value, frozen=True, kw_only=True):
    """Points from a loop to the sub-agent loop, in another session, that one of its tool calls ran.

    Attributes:
        tool_call_id: from `ToolExecutionEnd.tool_call_id`.
        tool_name: from `ToolExecutionEnd.tool_name`.
        child_loop_id: from `ToolExecutionEnd.result.child_loop_id`.
        child_session_id: text of `child_loop_id` before its first dot, or all of it: no event names it.
    """

    tool_call_id: str = ""
    tool_name: str = ""
    child_loop_id: str = ""
    child_session_id: str = ""


class SpawnRef(_Value, frozen=True, kw_only=True):
    """Points from a session back to the tool call that spawned it; the inverse of `ChildLoopRef`.

    Attributes:
        parent_session_id: text of `AgentStart.parent_loop_id` before its first dot; from the parent loop once the tool ends.
        parent_loop_id: from `AgentStart.parent_loop_id`.
        tool_call_id: from the parent's `ToolExecutionEnd`; "" until that came.
        tool_name: from the parent's `ToolExecutionEnd`; "" until that came.
    """

    parent_session_id: str = ""
    parent_loop_id: str = ""
    tool_call_id: str = ""
    tool_name: str = ""


class ParallelGroupRecord(_Value, frozen=True, kw_only=True):
    """Ties a loop to the parallel evaluation it was a branch of; the branches' records differ in `is_selected` alone.

    Attributes:
        all_loop_ids: from `ParallelLoopStart.loop_ids`; the selected id alone where that never came.
        selected_loop_id: from `ParallelLoopEnd.selected_loop_id`.
        selected_config_index: from `ParallelLoopEnd`, from 0.
        evaluation_usage: from `ParallelLoopEnd`: the judge's tokens, zero without one.
        is_selected: whether this loop won.
    """

    all_loop_ids: tuple[str, ...] = ()
    selected_loop_id: str = ""
    selected_config_index: int = 0
    evaluation_usage: Usage = Usage()
    is_selected: bool = False


class LoopEvent(_Value, frozen=True, kw_only=True):
    """A loop event is one event of a loop's stream.

    Attributes:
        sequence: place in the loop's stored stream, from 0. Events that are not stored leave no gap.
        event: as phi-core would print it.
    """

    sequence: int
    event: AgentEvent


class TurnRange(_Value, frozen=True, kw_only=True, rename="camel"):
    """A turn range is a run of turns, both ends included.

    Attributes:
        start_turn: index of the first turn.
        end_turn: index of the last turn.
    """

    start_turn: int = 0
    end_turn: int = 0


class CompactedSection(_Value, frozen=True, kw_only=True):
    """A compacted section is a run of turns and the messages that stand for it.

    Attributes:
        range: the turns.
        messages: what is loaded in their place.
    """

    range: TurnRange = TurnRange()
    messages: tuple[Message, ...] = ()


class CompactionBlock(_Value, frozen=True, kw_only=True):
    """Says what a loop's context is loaded from instead of its messages; written by phi-core's agent, not by a recorder.

    Attributes:
        keep_first: turns kept as they are at the start; None in all but the newest loop.
        keep_recent: newest turns, tool outputs cut; None in all but the newest loop.
        keep_compacted: the summary of the rest; None where there is none.
        created_at: when the block was made; None where a file leaves it out.
    """

    OMITTED: ClassVar[frozenset[str]] = frozenset({"keep_first", "keep_recent", "keep_compacted"})
    keep_first: TurnRange | None = None
    keep_recent: CompactedSection | None = None
    keep_compacted: CompactedSection | None = None
    created_at: Instant | None = msgspec.field(default=None, name="createdAt")
