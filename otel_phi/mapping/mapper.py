"""The door of the room: one notice in, its finished spans out."""

from __future__ import annotations

import msgspec
from typing_extensions import assert_never

from otel_phi.mapping.loop import group_span, loop_span, root_span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.side_call import side_call_span
from otel_phi.mapping.sources import resource_pairs, source_of
from otel_phi.mapping.span import Span
from otel_phi.mapping.turn import turn_spans
from otel_phi.recorder.notices import (
    GroupClosed,
    GroupGivenUp,
    GroupOpened,
    LoopClosed,
    LoopOpened,
    Notice,
    SessionOpened,
    SideCallMade,
    TurnClosed,
    TurnOpened,
)


def spans_of(notice: Notice, options: MappingOptions) -> list[Span]:
    """Returns the spans that are complete with a notice, parents before children; what has opened has none yet."""
    spans, source = _spans_of(notice, options), source_of(notice)
    if source is None:
        return spans
    resource = resource_pairs(source, options)
    return [msgspec.structs.replace(span, resource=resource) for span in spans]


def _spans_of(notice: Notice, options: MappingOptions) -> list[Span]:
    match notice:
        case TurnClosed():
            return turn_spans(notice, options)
        case LoopClosed():
            return [loop_span(notice, options)]
        case SessionOpened():
            return [root_span(notice, options)] if options.trace_scope == "session" else []
        case GroupClosed():
            return [group_span(notice, options)]
        case SideCallMade():
            return [side_call_span(notice, options)]
        case LoopOpened() | TurnOpened() | GroupOpened() | GroupGivenUp():
            return []
        case _:
            assert_never(notice)
