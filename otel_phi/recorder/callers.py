"""Who called the agent, as an AgentStart says it."""

from __future__ import annotations

import msgspec

from otel_phi.wire.events import AgentStart


class _Metadata(msgspec.Struct):
    traceparent: str | None = None


_metadata = msgspec.json.Decoder(_Metadata)


def traceparent_of(event: AgentStart) -> str | None:
    """Returns the W3C trace context in an AgentStart's metadata, None for none."""
    metadata = bytes(event.metadata)
    if metadata == b"null":
        return None
    try:
        return _metadata.decode(metadata).traceparent
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
