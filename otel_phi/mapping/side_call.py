"""A model call outside turns to its span: a chat under the open loop it belongs to, else under the root, else alone."""

from __future__ import annotations

from otel_phi.mapping import ids
from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_loop
from otel_phi.mapping.attributes import name
from otel_phi.mapping.build import Frame, clamp_times, head, span
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import loop_place, root_place
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.mapping.status import answer_error
from otel_phi.mapping.turn import answered_pairs, asked_pairs, used_pairs
from otel_phi.recorder.notices import Request, SideCallMade


def side_call_span(call: SideCallMade, options: MappingOptions) -> Span:
    """Returns the span of a model call outside turns."""
    start, answer, most = call.loop, call.answer, options.max_attribute_bytes
    said = (answer.model, answer.provider)
    marks = (call.inferred, False, answer.streamed)
    request = Request(answer.model, None, None, None, None)  # it has none of its own, and need not ask the loop's model
    asked, before, after = asked_pairs(start.config if start else None, request, said, marks, most)
    loop_id, agent = (start.identity.loop_id, of_loop(start, options)) if start else (None, options.agent_name)
    parent = _parent(call, options)
    return span(
        Frame(
            name("chat", asked),
            (
                head("chat", call.session_id, options, agent, loop_id),
                before + after + answered_pairs(answer.model, answer.stop_reason, asked, most),
            ),
            SpanRef(parent.trace_id, ids.side_span(*parent, call.id)),
            parent.span_id,
            clamp_times(call.started_ns, call.ended_ns),
            start.session_attributes if start else (),
            SpanKind.CLIENT,
        ),
        ((s.SIDE_CALL_ID, call.id), (s.SIDE_CALL_KIND, call.purpose), *used_pairs(answer)),
        options,
        error=answer_error(answer),
    )


def _parent(call: SideCallMade, options: MappingOptions) -> SpanRef:
    """Returns trace and parent; the span id is 0 for a call that stands in a trace of its own."""
    if call.loop is not None:
        return loop_place(call.loop.identity, options)
    if call.in_session and options.trace_scope == "session":
        return root_place(call.session_id, options)
    return SpanRef(ids.side_trace(call.session_id, call.id, call.started_ns), 0)
