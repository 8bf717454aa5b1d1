"""From an `AgentStart` to what the core keeps of it."""

from __future__ import annotations

from msgspec import UnsetType

from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.notices import Given, LoopStart
from otel_phi.recorder.references import References
from otel_phi.wire.events import AgentStart
from otel_phi.wire.parts import ContinuationKind


def loop_start(event: AgentStart, identity: LoopIdentity, references: References) -> LoopStart:
    """Returns what an AgentStart says, with its parent found; to be called before the loop itself is remembered."""
    parent, spawner = references.parent_of(identity, event.parent_loop_id, event.parent_session_id or None)
    kind, tag = kind_and_tag(event.continuation_kind)
    return LoopStart(
        identity=identity,
        agent_id=event.agent_id,
        parent_loop_id=event.parent_loop_id,
        parent=parent,
        spawner=spawner,
        kind=kind,
        tag=tag,
        config=event.config_snapshot,
        agent_name=event.agent_name or None,
        attributes=given(event.attributes),
        session_attributes=given(event.session_attributes),
        tool_call_id=event.parent_tool_call_id or None,
        source=event.source or None,
    )


def given(attributes: dict[str, str | bool | int | float] | UnsetType) -> Given:
    """Returns what was given as pairs, in that order."""
    return () if isinstance(attributes, UnsetType) else tuple(attributes.items())


def kind_and_tag(kind: ContinuationKind) -> tuple[str, str | None]:
    """Splits a continuation kind into its lower-case name and its tag."""
    if isinstance(kind, dict):
        name, tag = next(iter(kind.items()), ("Initial", None))
        return name.lower(), None if tag is None else tag.tag or None
    return ("Initial" if kind is None else kind).lower(), None
