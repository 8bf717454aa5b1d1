"""What was open when its process was lost leaves through the path of all that closes, with all that is known, and says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import AgentEvent, ParallelLoopEnd, ParallelLoopStart, Usage
from otel_phi.mapping import semconv as s
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span, StatusCode
from otel_phi.mapping.status import WORDS
from otel_phi.pipeline import spans
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import GroupClosed, LoopOpened, TurnOpened
from tests import golden, laws
from tests.laws import role
from tests.recorder.cuts import FULL, GROUP, OPTIONS, REST, fed
from tests.streams import (
    LOOP,
    SESSION,
    SMALL_CASES,
    Mutilated,
    at,
    end,
    mutilated,
    request,
    result,
    said,
    start,
    tool,
    tool_end,
    turn,
    whole_loop,
    whole_turn,
    wild_streams,
)

STREAMS = {**golden.small_streams(), **SMALL_CASES, "full": [*FULL, *REST]}
CHILD = f"{SESSION}.sub.1"


def lost_spans(events: list[AgentEvent], options: MappingOptions | None = None) -> tuple[list[Span], list[Span]]:
    """Returns what leaves while the process lives, and what leaves when it is lost after these events."""
    core, options = RecorderCore(), options or MappingOptions()
    before = [span for notice in fed(core, events) for span in spans_of(notice, options)]
    lost = [span for notice in core.flush(lost=True) for span in spans_of(notice, options)]
    assert core.open_work() == (0, 0, 0)
    return before, lost


def only(kind: str, found: list[Span]) -> Span:
    (span,) = [span for span in found if role(span) == kind]
    return span


def errors(found: list[Span]) -> list[tuple[str, object]]:
    return [(role(span), span.get(s.ERROR_TYPE)) for span in found]


# --- loops and turns -----------------------------------------------------------------------------------------------------


def test_a_loop_and_its_turn_leave_as_lost_at_the_last_known_time_with_all_that_is_known() -> None:
    before, lost = lost_spans([start(0), *whole_turn(1), turn(20, 1), request(21, 1), said(25)])
    assert errors(lost) == [("turn", "process_lost"), ("chat", None), ("loop", "process_lost")]
    loop, open_turn = only("loop", lost), only("turn", lost)
    assert (loop.end_ns, open_turn.end_ns) == (at(25), at(25))
    assert (loop.status, loop.status_message) == (StatusCode.ERROR, WORDS["process_lost"])
    assert (loop.get(s.LOOP_STATUS), loop.get(s.LOOP_TURNS), loop.get(s.TIME_INFERRED)) == ("aborted", 2, True)
    assert loop.get(s.TOTAL_INPUT) == 20
    assert (open_turn.get(s.TURN_MESSAGES), open_turn.get(s.TIME_INFERRED)) == (1, True)
    assert {role(span) for span in before} == {"root", "turn", "chat"}


def test_a_call_without_an_answer_and_a_tool_without_an_end_are_lost_and_the_others_are_what_they_were() -> None:
    _, unanswered = lost_spans([start(0), turn(1), request(2)])
    assert errors(unanswered)[1] == ("chat", "process_lost")
    ended: list[AgentEvent] = [
        tool(),
        tool_end(),
        result(6),
        tool("c2"),
        tool_end("c2", error="Tool exceeded timeout"),
        tool("c3"),
    ]
    _, found = lost_spans([start(0), turn(1), request(2), said(5), *ended])
    assert [error for kind, error in errors(found) if kind == "tool"] == [None, "timeout", "process_lost"]
    told = [dict(event.attributes).get(s.ERROR_TYPE) for event in only("turn", found).events]
    assert sorted(told, key=str) == [None, "process_lost", "timeout"]
    outcomes = [span.get(s.TOOL_OUTCOME) for span in found if role(span) == "tool"]
    assert outcomes == ["ok", "error", "aborted"]


def test_an_answer_that_was_aborted_itself_stays_so() -> None:
    _, found = lost_spans([start(0), turn(1), request(2), said(5, stop_reason="aborted")])
    assert only("chat", found).get(s.ERROR_TYPE) == "aborted"


def test_what_a_process_shut_down_leaves_is_aborted_as_ever() -> None:
    _, found = lost_spans([start(0), turn(1), request(2), tool()])
    aborted = list(spans([start(0), turn(1), request(2), tool()]))[1:]
    assert {error for _, error in errors(aborted)} == {"aborted"}
    assert [(span.span_id, span.start_ns, span.end_ns) for span in found] == [
        (span.span_id, span.start_ns, span.end_ns) for span in aborted
    ]


def test_nothing_that_is_lost_ends_before_a_loop_below_it() -> None:
    sub: list[AgentEvent] = [start(10, CHILD, parent_loop_id=LOOP), *whole_turn(11, 0, CHILD)]
    story: list[AgentEvent] = [start(0), turn(1), said(5), tool()]
    for events, latest_ns in (([*story, *sub], at(21)), ([*story, *sub, end(30, CHILD)], at(30))):
        _, found = lost_spans(events)
        own = {span.end_ns for span in found if span.get(s.LOOP_ID) == LOOP and role(span) != "chat"}
        assert own == {latest_ns}


def test_a_chain_of_loops_ends_with_its_last() -> None:
    story: list[AgentEvent] = [start(0, "l0")]
    story += [start(number, f"l{number}", parent_loop_id=f"l{number - 1}") for number in range(1, 6)]
    story += [turn(50, 0, "l5"), said(60, "l5"), turn(40, 0, "l2")]
    _, found = lost_spans(story)
    assert {span.end_ns for span in found if role(span) == "loop"} == {at(60)}
    whole = spans(story)
    aborted = {span.get(s.LOOP_ID): span.end_ns for span in whole if role(span) == "loop"}
    assert aborted["l1"] == at(1) + 1, "only what is lost reaches that far"


def test_a_child_that_ended_before_a_cut_is_still_reached_after_it() -> None:
    core = RecorderCore()
    fed(core, [start(0), turn(1), *whole_loop(10, CHILD, parent_loop_id=LOOP)])
    after = RecorderCore.restore(core.snapshot())
    assert after.flush(lost=True) == core.flush(lost=True)


@pytest.mark.parametrize("parent", [LOOP, CHILD, "unknown"])
def test_a_loop_that_names_itself_or_nobody_reaches_nobody(parent: str) -> None:
    _, found = lost_spans([start(0), start(10, CHILD, parent_loop_id=parent), turn(20, 0, CHILD)])
    ends = {span.get(s.LOOP_ID): span.end_ns for span in found if role(span) == "loop"}
    assert ends[LOOP] == (at(20) + 1 if parent == LOOP else at(0) + 1)


# --- groups --------------------------------------------------------------------------------------------------------------

ANNOUNCED = ParallelLoopStart(session_id=SESSION, loop_ids=GROUP, timestamp=at(0))
VERDICT = ParallelLoopEnd(session_id=SESSION, selected_loop_id="g1", evaluation_usage=Usage(1, 2), timestamp=at(90))
BRANCHES: list[AgentEvent] = [*whole_loop(1, "g1"), start(20, "g2"), turn(21, 0, "g2"), said(25, "g2")]


@pytest.mark.parametrize("options", OPTIONS, ids=["session", "flat", "loop"])
@pytest.mark.parametrize(("events", "branches", "end_ns"), [(4, 1, at(11)), (6, 1, at(13)), (9, 2, at(25))])
def test_a_group_leaves_without_a_winner_under_the_id_it_would_have_had(
    events: int, branches: int, end_ns: int, options: MappingOptions
) -> None:
    """Lost in the first branch's turn, between the two, in the second's turn: it links to what is known so far."""
    _, found = lost_spans([ANNOUNCED, *BRANCHES[:events]], options)
    whole = only("group", list(spans([ANNOUNCED, *BRANCHES, end(40, "g2"), VERDICT], options)))
    lost = only("group", found)
    assert (lost.trace_id, lost.span_id, lost.parent_span_id) == (whole.trace_id, whole.span_id, whole.parent_span_id)
    assert (lost.name, lost.start_ns, lost.end_ns) == (whole.name, whole.start_ns, end_ns)
    assert (lost.get(s.ERROR_TYPE), lost.status, lost.get(s.TIME_INFERRED)) == ("process_lost", StatusCode.ERROR, True)
    assert (lost.get(s.PARALLEL_SELECTED), lost.get(s.PARALLEL_INDEX)) == (None, None)
    assert (lost.get(s.PARALLEL_LOOPS), lost.links) == (whole.get(s.PARALLEL_LOOPS), whole.links[:branches])


def test_a_group_whose_winner_is_known_keeps_it_though_a_branch_is_lost() -> None:
    _, found = lost_spans([ANNOUNCED, *BRANCHES, VERDICT])
    group = only("group", found)
    assert (group.get(s.ERROR_TYPE), group.get(s.PARALLEL_SELECTED)) == ("process_lost", "g1")
    assert len(group.links) == 2
    assert errors(found).count(("loop", "process_lost")) == 1


def test_a_group_that_no_branch_began_leaves_nothing_and_one_with_an_unknown_winner_leaves_as_lost() -> None:
    assert lost_spans([ANNOUNCED])[1] == []
    unknown = ParallelLoopEnd(session_id=SESSION, selected_loop_id="g3")
    _, found = lost_spans([ANNOUNCED, *BRANCHES, unknown])
    assert only("group", found).get(s.PARALLEL_SELECTED) is None


def test_a_group_that_is_not_lost_is_given_up_as_ever() -> None:
    core = RecorderCore()
    fed(core, [ANNOUNCED, *BRANCHES])
    assert not [notice for notice in core.flush() if isinstance(notice, GroupClosed)]


# --- any stream, lost anywhere -------------------------------------------------------------------------------------------


def check(events: list[AgentEvent]) -> None:
    """Asserts that the laws hold, that what opened leaves under its id, and that nothing which had left is touched."""
    core = RecorderCore()
    notices = fed(core, events)
    opened = [opened_span(notice, OPTIONS[0]) for notice in notices if isinstance(notice, LoopOpened | TurnOpened)]
    for options in (*OPTIONS[:2], MappingOptions(trace_scope="loop")):
        before, lost = lost_spans(events, options)
        found = [*before, *lost]
        assert [
            *laws.identity(found), *laws.family(found, options), *laws.times(found), *laws.links(found),
            *laws.attributes(found), *laws.tokens(found),
        ] == []  # fmt: skip
    before, lost = lost_spans(events, OPTIONS[0])
    left = {(span.trace_id, span.span_id) for span in before}
    still_open = {(span.trace_id, span.span_id) for span in opened} - left
    assert {(s_.trace_id, s_.span_id) for s_ in lost if role(s_) in {"loop", "turn"}} == still_open
    assert {span.get(s.ERROR_TYPE) for span in lost if role(span) in {"loop", "turn", "group"}} <= {"process_lost"}
    assert "process_lost" not in {span.get(s.ERROR_TYPE) for span in before}


@given(name=st.sampled_from(sorted(STREAMS)), cut=st.integers(0, 2_000))
def test_a_golden_stream_lost_anywhere_keeps_the_laws(name: str, cut: int) -> None:
    check(STREAMS[name][: cut % (len(STREAMS[name]) + 1)])


@given(events=wild_streams)
def test_a_wild_stream_lost_anywhere_keeps_the_laws(events: list[AgentEvent]) -> None:
    check(events)


@given(recipe=mutilated(STREAMS), cut=st.integers(0, 2_000))
def test_a_mutilated_stream_lost_anywhere_keeps_the_laws(recipe: Mutilated, cut: int) -> None:
    events = recipe.of(STREAMS)
    check(events[: cut % (len(events) + 1)])
