"""Pure steps of the SessionRecorder: what an event makes of a session, a loop, a reference."""

from __future__ import annotations

from collections.abc import Iterable

from otel_phi.session.model import LoopRecord, Session
from otel_phi.session.parts import ChildLoopRef, FirstLoop, SpawnRef
from otel_phi.wire.events import AgentStart, ToolExecutionEnd
from otel_phi.wire.messages import AssistantMessage, Message
from otel_phi.wire.parts import ConfigSnapshot


def opened_session(event: AgentStart) -> Session:
    """Returns the session that a first `AgentStart` opens."""
    return Session(
        session_id=event.session_id,
        agent_id=event.agent_id,
        created_at=event.timestamp,
        last_active_at=event.timestamp,
        formation=FirstLoop(timestamp=event.timestamp),
    )


def opened_loop(event: AgentStart) -> LoopRecord:
    """Returns the running loop that an `AgentStart` opens."""
    return LoopRecord(
        loop_id=event.loop_id,
        session_id=event.session_id,
        agent_id=event.agent_id,
        parent_loop_id=event.parent_loop_id,
        continuation_kind=event.continuation_kind,
        started_at=event.timestamp,
        config=event.config_snapshot,
        metadata=event.metadata,
    )


def session_id_in(loop_id: str) -> str:
    """Returns what stands before the first dot of a loop id, all of it without one.

    phi-core 0.10 takes this for the session, though ids can be bare UUIDs and session ids can have dots.
    """
    return loop_id.partition(".")[0]


def spawn_of(event: AgentStart) -> SpawnRef | None:
    """Returns the spawn that a loop's parent id tells of, None where that names the loop's own session.

    phi-core 0.10: any loop of the session can tell of it, and a parent id without this session's id before its first dot does.
    """
    if event.parent_loop_id is None:
        return None
    parent_session_id = session_id_in(event.parent_loop_id)
    if parent_session_id == event.session_id:
        return None
    return SpawnRef(parent_session_id=parent_session_id, parent_loop_id=event.parent_loop_id)


def child_of(event: ToolExecutionEnd) -> ChildLoopRef | None:
    """Returns the reference to the sub-agent that a tool ran, None where it ran none.

    phi-core 0.10 reads `result.child_loop_id` and never the event's own `child_loop_id`.
    """
    child = event.result.child_loop_id if event.result else None
    if child is None:
        return None
    return ChildLoopRef(
        tool_call_id=event.tool_call_id,
        tool_name=event.tool_name,
        child_loop_id=child,
        child_session_id=session_id_in(child),
    )


def explain_spawn(session: Session, parent: LoopRecord, child: ChildLoopRef) -> None:
    """Completes a session's spawn with the tool call that made it.

    phi-core 0.10: only a spawn that is already noted, only the first tool call with an id, and all four fields at once.
    """
    if session.parent_spawn_ref is not None and session.parent_spawn_ref.tool_call_id == "":
        session.parent_spawn_ref = SpawnRef(
            parent_session_id=parent.session_id,
            parent_loop_id=parent.loop_id,
            tool_call_id=child.tool_call_id,
            tool_name=child.tool_name,
        )


def config_from(messages: Iterable[Message], loop_id: str) -> ConfigSnapshot | None:
    """Returns what the first assistant message says of the configuration, None without one.

    `config_id` is what stands between the first and the last dot of the loop id, None with fewer than two dots.
    """
    for message in messages:
        if isinstance(message, AssistantMessage):
            config_id, dot, _ = loop_id.partition(".")[2].rpartition(".")
            return ConfigSnapshot(model=message.model, provider=message.provider, config_id=config_id if dot else None)
    return None
