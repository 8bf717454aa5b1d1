"""Where a span stands: its trace, its own id, its parent, its links, in both trace scopes and both loop layouts."""

from __future__ import annotations

import functools

from otel_phi.mapping import ids
from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import Pair, table
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import SpanLink
from otel_phi.recorder.identities import UNKNOWN, Foreign, LoopIdentity, ToolPlace
from otel_phi.recorder.notices import LoopStart

# How a loop came out of its parent, as the link says it. phi-core's Default, and an Initial with a parent, continue it.
_LINK_KINDS = {"rerun": "rerun", "branch": "branch", "compaction": "compaction", "subagent": "sub_agent"}


def loop_place(loop: LoopIdentity, options: MappingOptions) -> SpanRef:
    """Returns the trace and span id of a loop that this stream has seen begin."""
    joined = joined_span(loop, options)
    return _loop_place(loop, options.trace_scope, options.trace_namespace, joined.trace_id if joined else 0)


@functools.lru_cache(maxsize=1_024)  # asked again for every turn of a loop
def _loop_place(loop: LoopIdentity, scope: str, namespace: str, joined: int) -> SpanRef:
    trace = joined or (ids.loop_trace(loop) if scope == "loop" else ids.session_trace(loop.session_id, namespace))
    return SpanRef(trace, ids.loop_span(trace, loop))


def tool_place(tool: ToolPlace, options: MappingOptions) -> SpanRef:
    """Returns the trace and span id of a tool execution of a loop that this stream has seen begin."""
    loop = loop_place(tool.loop, options)
    turn = ids.turn_span(loop.trace_id, loop.span_id, tool.turn_index, tool.turn_repeat)
    return SpanRef(loop.trace_id, ids.tool_span(loop.trace_id, turn, tool.call_id, tool.repeat))


def joined_span(loop: LoopIdentity, options: MappingOptions) -> SpanRef | None:
    """Returns the caller's span that a loop is a child of, None for a loop that stands in a trace of its own.

    A caller whose trace is not sampled is not joined: it never arrives, and the loop would hang under nothing.
    """
    if not options.join or options.trace_scope != "loop":
        return None
    given = loop.caller if ids.parse_traceparent(loop.caller) else options.caller
    return ids.parse_traceparent(given) if ids.sampled(given) else None


def _known_place(loop: LoopIdentity, options: MappingOptions) -> SpanRef | None:
    """Returns the place of a loop to link to; None where it may have joined a trace that this stream does not know."""
    return None if options.join and loop.caller == UNKNOWN else loop_place(loop, options)


def session_trace(session_id: str, options: MappingOptions) -> int:
    """Returns the trace id of a session."""
    return ids.session_trace(session_id, options.trace_namespace)


def root_place(session_id: str, options: MappingOptions) -> SpanRef:
    """Returns the trace and span id of a session's root."""
    trace = session_trace(session_id, options)
    return SpanRef(trace, ids.session_root(trace))


def loop_parent(start: LoopStart, options: MappingOptions) -> int:
    """Returns the span id of a loop's parent: where each loop is a trace of its own, 0 or the caller it joins."""
    if options.trace_scope == "loop":
        joined = joined_span(start.identity, options)
        return joined.span_id if joined else 0
    if start.tool is not None and options.tool_spans and options.loop_layout == "tree":
        return tool_place(start.tool, options).span_id
    if start.parent is not None and options.loop_layout == "tree":
        return loop_place(start.parent, options).span_id
    return root_place(start.identity.session_id, options).span_id


def loop_links(start: LoopStart, options: MappingOptions) -> tuple[SpanLink, ...]:
    """Returns a loop's links: to the loop it continues, to the session that spawned it, to its caller."""
    links: list[SpanLink] = []
    place = None if start.parent is None else _known_place(start.parent, options)
    if start.parent is not None and place is not None:
        kind = _LINK_KINDS.get(start.kind, "continuation")
        pairs: list[Pair] = [(s.LINK_LOOP, start.parent.loop_id), (s.LINK_TAG, start.tag)]
        links.append(_link(place, kind, pairs, options))
    if start.spawner is not None:
        links += _foreign_link(start.spawner, "spawned_by", None, options)
    if joined_span(start.identity, options) is not None:
        return tuple(links)  # the caller is its parent
    ref = ids.parse_traceparent(start.identity.caller)
    if ref is None and start.parent is None and start.spawner is None:
        ref = ids.parse_traceparent(options.caller)
    if ref is not None:
        links.append(_link(ref, "caller", [], options))
    return tuple(links)


def spawn_links(child: Foreign, call_id: str, options: MappingOptions) -> tuple[SpanLink, ...]:
    """Returns the link from a tool to the session it spawned; none where its id does not tell."""
    return tuple(_foreign_link(child, "spawned", call_id, options))


def group_place(session_id: str, loop_ids: tuple[str, ...], started_ns: int, options: MappingOptions) -> SpanRef:
    """Returns the trace and span id of a parallel group: known as soon as its first branch has started."""
    if options.trace_scope == "loop":
        trace = ids.group_trace(session_id, loop_ids, started_ns)
    else:
        trace = session_trace(session_id, options)
    return SpanRef(trace, ids.group_span(trace, loop_ids, started_ns))


def branch_link(branch: LoopIdentity, options: MappingOptions) -> SpanLink:
    """Returns the link from a parallel group to one of its branches, which this stream has seen begin."""
    return _link(loop_place(branch, options), "parallel", [(s.LINK_LOOP, branch.loop_id)], options)


def _foreign_link(target: Foreign, kind: str, call_id: str | None, options: MappingOptions) -> list[SpanLink]:
    pairs: list[Pair] = [
        (s.LINK_SESSION, target.session_id),
        (s.LINK_LOOP, target.loop_id),
        (s.LINK_TOOL_CALL, call_id),
    ]
    if options.trace_scope == "loop":
        place = None if target.loop is None else _known_place(target.loop, options)
        return [] if place is None else [_link(place, kind, pairs, options)]
    if target.session_id is None:
        return []
    return [_link(root_place(target.session_id, options), kind, pairs, options)]


def _link(ref: SpanRef, kind: str, pairs: list[Pair], options: MappingOptions) -> SpanLink:
    return SpanLink(ref.trace_id, ref.span_id, table(options.max_attribute_bytes, [(s.LINK_KIND, kind), *pairs]))
