"""What a loop, turn or group leaves if its process is lost before it ends: the same ids, and only what was known when it opened.

Rule 1: whoever finds it may lengthen it to the latest of its children; here it lasts 1 ns.
Rule 2: no count and no sum: nobody knows them.
"""

from __future__ import annotations

import msgspec
from typing_extensions import assert_never

from otel_phi.mapping import semconv as s
from otel_phi.mapping.build import span
from otel_phi.mapping.loop import group_frame, group_pairs, loop_frame, start_pairs
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import branch_link, loop_links
from otel_phi.mapping.sources import resource_pairs, source_of
from otel_phi.mapping.span import Span
from otel_phi.mapping.status import PROCESS_LOST
from otel_phi.mapping.turn import trigger_word, turn_frame
from otel_phi.recorder.notices import GroupOpened, LoopOpened, TurnOpened


def opened_span(opened: LoopOpened | TurnOpened | GroupOpened, options: MappingOptions) -> Span:
    """Returns the span of a loop, turn or group as if its process were lost now."""
    made = _opened(opened, options)
    source = source_of(opened)
    return made if source is None else msgspec.structs.replace(made, resource=resource_pairs(source, options))


def _opened(opened: LoopOpened | TurnOpened | GroupOpened, options: MappingOptions) -> Span:
    match opened:
        case LoopOpened():
            return _loop(opened, options)
        case TurnOpened():
            return _turn(opened, options)
        case GroupOpened():
            return _group(opened, options)
        case _:
            assert_never(opened)


def _loop(opened: LoopOpened, options: MappingOptions) -> Span:
    start = opened.loop
    return span(
        loop_frame(start, start.identity.started_ns + 1, options),
        [*start_pairs(start), (s.LOOP_STATUS, "aborted"), (s.TIME_INFERRED, True)],
        options,
        error=PROCESS_LOST,
        links=loop_links(start, options),
    )


def _turn(opened: TurnOpened, options: MappingOptions) -> Span:
    return span(
        turn_frame(opened, opened.started_ns + 1, options),
        [(s.TIME_INFERRED, True), (s.TURN_TRIGGER, trigger_word(opened.triggered_by))],
        options,
        error=PROCESS_LOST,
    )


def _group(opened: GroupOpened, options: MappingOptions) -> Span:
    return span(
        group_frame(opened, options),
        [*group_pairs(opened), (s.TIME_INFERRED, True)],
        options,
        error=PROCESS_LOST,
        links=tuple(branch_link(branch, options) for branch in opened.branches),
    )
