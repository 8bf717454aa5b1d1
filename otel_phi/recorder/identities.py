"""What tells loops apart, and what is known of those of other sessions."""

from __future__ import annotations

import msgspec

UNKNOWN = "unknown"  # no trace context is written like that


class LoopIdentity(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Tells a loop from all others. phi-core repeats loop ids; the start time tells the occurrences apart.

    Attributes:
        session_id: from `AgentStart.session_id`.
        loop_id: from `AgentStart.loop_id`.
        started_ns: from `AgentStart.timestamp`.
        caller: W3C trace context given with its AgentStart, None for none, `UNKNOWN` where only another process knows.
            It tells no loops apart, but where one stands: a loop can join its caller's trace.
    """

    session_id: str
    loop_id: str
    started_ns: int
    caller: str | None = None


class Foreign(msgspec.Struct, frozen=True, gc=False):
    """A foreign loop is a loop of another session, as far as it is known.

    Attributes:
        loop_id: as the referrer wrote it.
        session_id: its session, None where the id does not tell and the loop was never seen.
        loop: the loop itself, None unless its start is known.
    """

    loop_id: str
    session_id: str | None
    loop: LoopIdentity | None


def is_same(one: LoopIdentity, other: LoopIdentity) -> bool:
    """Says whether two identities tell one loop, whatever is known of its caller."""
    return (one.session_id, one.loop_id, one.started_ns) == (other.session_id, other.loop_id, other.started_ns)


class ToolPlace(msgspec.Struct, frozen=True, gc=False):
    """Says where a tool execution stands: turn and repeat are as in `TurnClosed`, call and its repeat as in `Tool`."""

    loop: LoopIdentity
    turn_index: int
    turn_repeat: int
    call_id: str
    repeat: int
