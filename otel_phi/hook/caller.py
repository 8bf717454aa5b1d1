"""Whose work an agent's loop is part of: the trace context given with its AgentStart, in its metadata, or current here."""

from __future__ import annotations

import sys

from otel_phi.mapping.ids import parse_traceparent
from otel_phi.wire.callers import traceparent_of, well_formed
from otel_phi.wire.events import AgentStart


def caller_of(event: AgentStart, given: str | None) -> str | None:
    """Returns the W3C `traceparent` of whoever called the agent, None for nobody; one that is none counts as not given."""
    for found in (given, traceparent_of(event)):
        if isinstance(found, str) and parse_traceparent(found) is not None:
            return well_formed(found)
    return current_traceparent()


def current_traceparent() -> str | None:
    """Returns the current OpenTelemetry span's `traceparent`, None where there is none.

    Nothing is imported: without `opentelemetry.trace` loaded there is no current span.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"
