"""What a loop or turn leaves whose process is lost: the same ids, and nothing that was not known when it opened."""

from __future__ import annotations

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span, StatusCode
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import LoopOpened, TurnOpened
from tests.laws import role
from tests.streams import LOOP, SESSION, said, start, tool, turn, turn_end, user, whole_loop, whole_turn

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def both(events: list[object], options: MappingOptions) -> tuple[dict[int, Span], dict[int, Span]]:
    """Returns the spans by id as they were when they opened, and as they closed."""
    core = RecorderCore()
    opened: dict[int, Span] = {}
    closed: dict[int, Span] = {}
    for notice in (notice for event in events for notice in core.on_event(event)):  # type: ignore[arg-type]
        if isinstance(notice, LoopOpened | TurnOpened):
            span = opened_span(notice, options)
            opened[span.span_id] = span
        closed |= {span.span_id: span for span in spans_of(notice, options)}
    closed |= {span.span_id: span for notice in core.flush() for span in spans_of(notice, options)}
    return opened, closed


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("scope", ["session", "loop"])
def test_an_open_loop_or_turn_has_the_place_name_start_and_links_it_will_have_when_it_closes(
    scope: str, join: bool
) -> None:
    options = MappingOptions(trace_scope="loop", join=join) if scope == "loop" else MappingOptions(agent_name="a")
    events: list[object] = [
        *whole_loop(0),
        start(20, f"{SESSION}.2", parent_loop_id=LOOP),
        *whole_turn(21, 0, f"{SESSION}.2"),
        turn(40, 1, f"{SESSION}.2"),
        said(45, f"{SESSION}.2"),
    ]
    opened, closed = both(events, options)
    assert len(opened) == 5
    for span_id, span in opened.items():
        later = closed[span_id]
        assert (span.trace_id, span.parent_span_id, span.name) == (later.trace_id, later.parent_span_id, later.name)
        assert (span.start_ns, span.links, span.kind) == (later.start_ns, later.links, later.kind)
        known_later = dict(later.attributes)
        new = {s.ERROR_TYPE, s.TIME_INFERRED, s.LOOP_STATUS}
        assert {k: v for k, v in span.attributes if k not in new}.items() <= known_later.items()


def test_it_is_an_error_process_lost_one_nanosecond_long_and_counts_nothing() -> None:
    opened, _ = both([start(0), turn(1)], MappingOptions())
    for span in opened.values():
        assert (span.get(s.ERROR_TYPE), span.status) == ("process_lost", StatusCode.ERROR)
        assert (span.end_ns - span.start_ns, span.get(s.TIME_INFERRED)) == (1, True)
        assert not {s.LOOP_TURNS, s.LOOP_TOOLS, s.TURN_TOOLS, s.TURN_MESSAGES} & {key for key, _ in span.attributes}


@pytest.mark.parametrize(
    ("events", "indexes"),
    [
        ([turn(1), turn(1)], [0]),
        ([turn(1), turn(5, 1)], [0, 1]),
        ([tool()], [0]),
        ([said(5)], [0]),
        ([turn_end(5)], [0]),
        ([user("hello")], []),
        ([*whole_turn(1), tool()], [0, 1]),
    ],
    ids=["repeated", "cut", "tool", "answer", "end", "user", "after"],
)
def test_each_turn_opens_once_however_it_came_to_be(events: list[object], indexes: list[int]) -> None:
    core = RecorderCore()
    found = [notice for event in [start(0), *events] for notice in core.on_event(event)]  # type: ignore[arg-type]
    assert [notice.index for notice in found if isinstance(notice, TurnOpened)] == indexes


def test_a_loop_opens_with_its_caller() -> None:
    core = RecorderCore()
    notices = core.on_event(start(0), CALLER)
    (span,) = [opened_span(notice, MappingOptions()) for notice in notices if isinstance(notice, LoopOpened)]
    assert (role(span), [dict(link.attributes)[s.LINK_KIND] for link in span.links]) == ("loop", ["caller"])
