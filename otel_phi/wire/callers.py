"""Who called the agent, as an AgentStart's metadata says it."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from otel_phi.wire.events import AgentStart
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL

# W3C Trace Context.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
_LENGTH = 55  # what a later version puts behind is not ours to pass on


class _Metadata(msgspec.Struct):
    traceparent: str | None = None


_metadata = msgspec.json.Decoder(_Metadata)


def well_formed(traceparent: str | None) -> str | None:
    """Returns a W3C `traceparent` as far as it is known to be one, None for what is none."""
    return traceparent[:_LENGTH] if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def traceparent_of(event: AgentStart) -> str | None:
    """Returns the W3C trace context in an AgentStart's metadata, None for none."""
    metadata = bytes(event.metadata)
    if metadata == b"null":
        return None
    try:
        return well_formed(_metadata.decode(metadata).traceparent)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return None


def traceparent_alone(event: AgentStart) -> Raw:
    """Returns an AgentStart's metadata without anything but a well-formed trace context; `NULL` without one."""
    found = traceparent_of(event)
    return NULL if found is None else Raw(b'{"traceparent":"%s"}' % found.encode())
