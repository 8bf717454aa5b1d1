"""Attributes that whoever runs an agent gives a session: asked for at the door, and kept with the loop that begins it.

Rule 1: the function is asked on the caller's thread; its time is the caller's.
Rule 2: a function that raises, or gives no mapping, costs its attributes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET

from otel_phi.policy import parts
from otel_phi.wire.events import AgentEvent, AgentStart

AttributesFor = Callable[[str], Mapping[str, str | bool | int | float]]


def with_given(event: AgentEvent, asked: AttributesFor | None, failed: Callable[[Exception], object]) -> AgentEvent:
    """Returns an AgentStart that says what is given for its session, any other event as it is.

    Args:
        event: as it may be said.
        asked: gives the attributes of a session by its id, None for none.
        failed: gets the exception of a function that raised, or a TypeError where it gave no mapping.
    """
    if asked is None or not isinstance(event, AgentStart):
        return event
    try:
        kept = parts.attributes(dict(asked(event.session_id)))
    except Exception as error:  # noqa: BLE001  # rule 2: whatever it was, it came out of the function
        failed(error)
        return event
    if event.session_attributes is not UNSET:
        kept = {**kept, **event.session_attributes}  # a source knows its own session
    return msgspec.structs.replace(event, session_attributes=kept) if kept else event
