"""The frame of every span: the attributes all carry, times in order, extra attributes last."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import cast

import msgspec

from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_service
from otel_phi.mapping.attributes import Pair, table
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Attributes, Parts, Run, Runs, Span, SpanEvent, SpanKind, SpanLink
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
    if 0 <= started_ns < ended_ns <= MAX_TIME_NS:
        return int(started_ns), int(ended_ns)
    start = clamp_time(started_ns)
    return start, int(max(min(ended_ns, MAX_TIME_NS + 1), start + 1))


def inside(started_ns: int, ended_ns: int, turn_started_ns: int, turn_ended_ns: int) -> tuple[int, int]:
    """Clamps a chat's or tool's times into its turn, at least 1 ns long."""
    if turn_started_ns <= started_ns < ended_ns <= turn_ended_ns:
        return int(started_ns), int(ended_ns)
    start = int(min(max(started_ns, turn_started_ns), turn_ended_ns - 1))
    return start, int(min(max(ended_ns, start + 1), turn_ended_ns))


def head(
    operation: str, session_id: str, options: MappingOptions, agent: str | None, loop_id: str | None = None
) -> Run:
    """Returns the attributes that spans of one operation and session begin with, and what names the loop for those within one.

    Args:
        operation: `gen_ai.operation.name`.
        session_id: of the session.
        options: how to map.
        agent: name of the agent, None where only the service may name it.
        loop_id: for spans within a loop.
    """
    return _head(operation, session_id, agent or of_service(options), loop_id, options.max_attribute_bytes)


@functools.lru_cache(maxsize=1_024)  # asked again for every span of a session
def _head(operation: str, session_id: str, agent: str | None, loop_id: str | None, max_bytes: int) -> Run:
    pairs = [(s.CONVERSATION_ID, session_id), (s.SESSION_ID, session_id), (s.AGENT_NAME, agent), (s.LOOP_ID, loop_id)]
    return Run(_OPERATIONS[operation] + table(max_bytes, pairs))


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame is what places a span.

    Attributes:
        title: its name.
        shared: attributes that others have too, `head` first.
        place: its trace and span id.
        parent: its parent's span id, 0 for none.
        times: start and end, as `clamp_times` or `inside` gave them.
        extras: pairs that its source chose, for keys that it has not got.
        kind: its OTLP kind.
    """

    title: str
    shared: Parts
    place: SpanRef
    parent: int
    times: tuple[int, int]
    extras: Attributes = ()
    kind: SpanKind = SpanKind.INTERNAL


def span(
    frame: Frame,
    pairs: Iterable[Pair],
    options: MappingOptions,
    *,
    shared: Parts = (),
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
        shared: attributes before these, in which it is like others of its frame's kind.
        error: error word, None where all went well.
        events: its events.
        links: its links.
        dropped: events that a bound left out.
    """
    parts = frame.shared + shared
    if pairs:
        parts += (table(options.max_attribute_bytes, pairs),)
    code, message = _UNSET
    if error is not None:
        parts += (((s.ERROR_TYPE, error),),)
        code, message = status(error)
    if options.mlflow_trace_name and not frame.parent:
        parts += (table(options.max_attribute_bytes, ((s.MLFLOW_TRACE_NAME, frame.title),)),)
    attributes = cast("Attributes", Runs(parts))  # to all but an encoder it is what a tuple of pairs is
    if frame.extras or options.attributes:
        attributes = _with_extras(_with_extras(tuple(attributes), frame.extras, options), options.attributes, options)
    (trace_id, span_id), (start_ns, end_ns) = frame.place, frame.times
    return Span(
        frame.title,
        trace_id,
        span_id,
        frame.parent,
        frame.kind,
        start_ns,
        end_ns,
        attributes,
        tuple(events) if events else (),
        links,
        code,
        message,
        dropped_events_count=dropped,
    )


def _with_extras(attributes: Attributes, given: Attributes, options: MappingOptions) -> Attributes:
    taken = {key for key, _ in attributes}
    extras = [(key, value) for key, value in dict(given).items() if key not in taken]
    return attributes + options.bounded(extras)
