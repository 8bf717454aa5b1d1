"""The frame of every span: the attributes all carry, times in order, extra attributes last."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import msgspec

from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_service
from otel_phi.mapping.attributes import Pair, table
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Attributes, Span, SpanEvent, SpanKind, SpanLink
from otel_phi.mapping.status import status

# OTLP times are unsigned 64-bit; backends read them as signed. The year 2262 is far enough.
MAX_TIME_NS = 2**63 - 2
# What says which kind of span it is. Without OpenInference's word Phoenix and MLflow show turns and roots as unknown.
_OPERATIONS: dict[str, Attributes] = {
    operation: ((s.OPERATION, operation), (s.OPENINFERENCE_KIND, kind))
    for operation, kind in (
        ("invoke_workflow", "CHAIN"),
        ("invoke_agent", "AGENT"),
        ("agent_step", "CHAIN"),
        ("chat", "LLM"),
        ("execute_tool", "TOOL"),
    )
}
_UNSET = status(None)


def clamp_time(time_ns: int) -> int:
    """Returns a time that OTLP can carry, as a plain `int`: an encoder need not know our `Instant`."""
    return int(min(max(time_ns, 0), MAX_TIME_NS))


def clamp_times(started_ns: int, ended_ns: int) -> tuple[int, int]:
    """Returns a start and an end that OTLP can carry, at least 1 ns apart; what lay inside still does."""
    start = clamp_time(started_ns)
    return start, int(max(min(ended_ns, MAX_TIME_NS + 1), start + 1))


def inside(started_ns: int, ended_ns: int, turn_started_ns: int, turn_ended_ns: int) -> tuple[int, int]:
    """Clamps a chat's or tool's times into its turn, at least 1 ns long."""
    start = int(min(max(started_ns, turn_started_ns), turn_ended_ns - 1))
    return start, int(min(max(ended_ns, start + 1), turn_ended_ns))


@functools.lru_cache(maxsize=1_024)  # asked again for every span of a session
def _session_pairs(session_id: str, agent: str | None, loop_id: str | None, max_bytes: int) -> Attributes:
    pairs = [(s.CONVERSATION_ID, session_id), (s.SESSION_ID, session_id), (s.AGENT_NAME, agent), (s.LOOP_ID, loop_id)]
    return table(max_bytes, pairs)


def session_pairs(
    session_id: str, options: MappingOptions, agent: str | None, loop_id: str | None = None
) -> Attributes:
    """Returns the attributes that every span of a session carries, and what names the loop for those within one.

    Args:
        session_id: of the session.
        options: how to map.
        agent: name of the agent, None where only the service may name it.
        loop_id: for spans within a loop.
    """
    return _session_pairs(session_id, agent or of_service(options), loop_id, options.max_attribute_bytes)


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame is what places a span.

    Attributes:
        title: its name.
        operation: `gen_ai.operation.name`.
        common: attributes it shares with its siblings, `session_pairs` first.
        place: its trace and span id.
        parent: its parent's span id, 0 for none.
        times: start and end, as `clamp_times` or `inside` gave them.
        extras: pairs that its source chose, for keys that it has not got.
    """

    title: str
    operation: str
    common: Attributes
    place: SpanRef
    parent: int
    times: tuple[int, int]
    extras: Attributes = ()


def span(
    frame: Frame,
    pairs: Iterable[Pair],
    options: MappingOptions,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    error: str | None = None,
    events: Iterable[SpanEvent] = (),
    links: tuple[SpanLink, ...] = (),
    dropped: int = 0,
) -> Span:
    """Builds a span.

    Args:
        frame: what places it.
        pairs: the attributes of its own.
        options: how to map.
        kind: OTLP kind.
        error: error word, None where all went well.
        events: its events.
        links: its links.
        dropped: events that a bound left out.
    """
    attributes = _OPERATIONS[frame.operation] + frame.common + table(options.max_attribute_bytes, pairs)
    code, message = _UNSET
    if error is not None:
        attributes += ((s.ERROR_TYPE, error),)
        code, message = status(error)
    if options.mlflow_trace_name and not frame.parent:
        attributes += table(options.max_attribute_bytes, ((s.MLFLOW_TRACE_NAME, frame.title),))
    if frame.extras:
        attributes = _with_extras(attributes, frame.extras, options)
    if options.attributes:
        attributes = _with_extras(attributes, options.attributes, options)
    return Span(
        frame.title,
        *frame.place,
        frame.parent,
        kind,
        *frame.times,
        attributes,
        tuple(events),
        links,
        code,
        message,
        dropped_events_count=dropped,
    )


def _with_extras(attributes: Attributes, given: Attributes, options: MappingOptions) -> Attributes:
    taken = {key for key, _ in attributes}
    extras = [(key, value) for key, value in dict(given).items() if key not in taken]
    return attributes + options.bounded(extras)
