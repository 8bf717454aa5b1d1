"""A model call outside turns to its span: a chat under the turn that was open, else under the open loop, else the root, else alone."""

from __future__ import annotations

from otel_phi.mapping import ids
from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import name
from otel_phi.mapping.build import Frame, clamp_times, inside, session_pairs, span
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import loop_place, root_place
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.mapping.status import answer_error
from otel_phi.mapping.turn import answered_pairs, asked_pairs, turn_frame, used_pairs
from otel_phi.recorder.notices import Request, SideCallMade, TurnClosed

_NO_REQUEST = Request("", None, None, None, None)


def side_call_span(call: SideCallMade, options: MappingOptions) -> Span:
    """Returns the span of a model call outside turns."""
    return _span(call, _parent(call, options), clamp_times(call.started_ns, call.ended_ns), options)


def side_span_within(call: SideCallMade, turn: TurnClosed, options: MappingOptions) -> Span:
    """Returns the span of a model call made while a turn was open, beside its own: it stands under the turn."""
    frame = turn_frame(turn, turn.ended_ns, options)
    return _span(call, frame.place, inside(call.started_ns, call.ended_ns, *frame.times), options)


def _span(call: SideCallMade, parent: SpanRef, times: tuple[int, int], options: MappingOptions) -> Span:
    start, answer, most = call.loop, call.answer, options.max_attribute_bytes
    said = (answer.model, answer.provider)
    marks = (call.inferred, False, answer.streamed)
    asked, before, after = asked_pairs(start.config if start else None, _NO_REQUEST, said, marks, most)
    loop_id, agent = (start.identity.loop_id, start.agent_name) if start else (None, None)
    return span(
        Frame(
            name("chat", asked),
            "chat",
            session_pairs(call.session_id, options, loop_id, agent)
            + before
            + after
            + answered_pairs(answer.model, answer.stop_reason, asked, most),
            SpanRef(parent.trace_id, ids.side_span(*parent, call.id)),
            parent.span_id,
            times,
        ),
        ((s.SIDE_CALL_ID, call.id), (s.SIDE_CALL_KIND, call.purpose), *used_pairs(answer)),
        options,
        kind=SpanKind.CLIENT,
        error=answer_error(answer),
    )


def _parent(call: SideCallMade, options: MappingOptions) -> SpanRef:
    """Returns trace and parent; the span id is 0 for a call that stands in a trace of its own."""
    if call.loop is not None:
        return loop_place(call.loop.identity, options)
    if call.in_session and options.trace_scope == "session":
        return root_place(call.session_id, options)
    return SpanRef(ids.side_trace(call.session_id, call.id, call.started_ns), 0)
