"""Streams that do not behave: DESIGN section 4 states one outcome for each, and here each is shown as the tree it gives."""

from __future__ import annotations

from collections import Counter

import pytest

from otel_phi.events import (
    AgentEvent,
    CompactionStarted,
    GenericEvent,
    MessageUpdate,
    ParallelLoopEnd,
    ParallelLoopStart,
    ProgressMessage,
    RevertApplied,
    ToolExecutionUpdate,
    Usage,
)
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import Pipeline, spans
from otel_phi.recorder.references import ahead_of
from otel_phi.tree import render_tree
from tests.laws import Run, as_bytes, role
from tests.streams import (
    LOOP,
    OTHER,
    SESSION,
    at,
    end,
    listed,
    request,
    result,
    said,
    start,
    tool,
    tool_end,
    turn,
    turn_end,
    user,
    whole_loop,
    whole_turn,
)

TWO = f"{SESSION}.mock.2"


def tree(*events: AgentEvent) -> str:
    """Returns the tree below the session's root, without what is the same in all: agent ids and ok tool events."""
    run = Run(events, MappingOptions())
    assert run.broken() == []
    lines = render_tree(run.spans).replace(" agent=agent", "").splitlines()
    return "\n".join(line[4:] for line in lines[2:])


def counts(*events: AgentEvent) -> Counter[str]:
    return Run(events, MappingOptions()).counts


def of(kind: str, *events: AgentEvent) -> list[Span]:
    return [span for span in spans(events) if role(span) == kind]


# --- 2: references -----------------------------------------------------------------------------------------------------


def test_a_reference_means_the_latest_occurrence_seen() -> None:
    story: list[AgentEvent] = [*whole_loop(0), *whole_loop(20), *whole_loop(40, TWO, parent_loop_id=LOOP)]
    first, second, child = of("loop", *story)
    assert child.parent_span_id == second.span_id
    assert first.parent_span_id == second.parent_span_id


def test_with_a_pre_pass_it_means_the_latest_that_started_no_later_than_the_referrer() -> None:
    child = whole_loop(30, TWO, parent_loop_id=LOOP)
    first, second = whole_loop(0), whole_loop(50)
    ahead = ahead_of([first[0], second[0], child[0]])  # type: ignore[list-item]
    for story in ([*first, *second, *child], [*child, *second, *first]):
        loops = {span.start_ns: span for span in spans(story, ahead=ahead) if role(span) == "loop"}
        assert loops[at(30)].parent_span_id == loops[at(0)].span_id


def test_a_loop_is_never_its_own_parent() -> None:
    (loop,) = of("loop", start(0, parent_loop_id=LOOP), end(5))
    (root,) = of("root", start(0, parent_loop_id=LOOP), end(5))
    assert loop.parent_span_id == root.span_id
    assert loop.links == ()


def test_two_loops_that_name_each_other_form_no_circle() -> None:
    story: list[AgentEvent] = [
        start(0, LOOP, parent_loop_id=TWO),
        start(1, TWO, parent_loop_id=LOOP),
        end(2, TWO),
        end(3, LOOP),
    ]
    assert Run(story, MappingOptions()).broken() == []
    assert Run(story, MappingOptions(), ahead_of(story[:2])).broken() == []  # type: ignore[arg-type]


@pytest.mark.parametrize("foreign", ["nodots", "other.cfg.1", OTHER, "compaction"])
def test_a_foreign_id_without_a_uuid_before_its_dot_gives_attributes_only(foreign: str) -> None:
    (loop,) = of("loop", *whole_loop(0, parent_loop_id=foreign))
    assert loop.get(s.LOOP_PARENT_ID) == foreign
    assert (loop.links, loop.get(s.SPAWN_SESSION)) == ((), None)
    (tool_span,) = of("tool", start(0), turn(1), tool(), tool_end(child=foreign), turn_end(5), end(6))
    assert (tool_span.get(s.CHILD_LOOP), tool_span.links) == (foreign, ())


def test_a_foreign_id_with_a_uuid_before_its_dot_links_to_that_sessions_root() -> None:
    child = f"{OTHER}.sub.1"
    parents = whole_loop(0, child, session=OTHER, parent_loop_id=LOOP)
    (loop,) = of("loop", *parents)
    assert loop.get(s.SPAWN_SESSION) == SESSION
    (link,) = loop.links
    (root,) = of("root", *whole_loop(0))
    assert (link.trace_id, link.span_id) == (root.trace_id, root.span_id)


# --- 3: AgentStart of an open or closed identity -------------------------------------------------------------------------


def test_a_repeated_agent_start_of_an_open_loop_is_ignored_and_counted() -> None:
    story = whole_loop(0)
    assert tree(*story[:2], story[0], *story[2:]) == tree(*story)
    assert counts(story[0], *story)["duplicate_start"] == 1


def test_an_agent_start_of_an_open_id_with_another_time_aborts_the_old_loop_at_its_last_known_time() -> None:
    assert tree(start(0), turn(1), said(3), start(10), *whole_turn(11), end(22)) == (
        """\
invoke_agent mock.1  +0ms 3ms  kind=initial status=aborted turns=1 tools=0 finish=stop in=10 out=5 inferred=true  ! aborted
  turn 0  +1ms 2ms  trigger=user tools=0 inferred=true  ! aborted
    chat mock  +1ms 2ms  finish=stop in=10 out=5 inferred=true
invoke_agent mock.1  +10ms 12ms  kind=initial status=completed turns=1 tools=0 finish=stop in=10 out=5
  turn 0  +11ms 10ms  trigger=user tools=0
    chat mock  +12ms 8ms  finish=stop in=10 out=5"""
    )


def test_an_open_id_that_starts_in_another_session_aborts_the_old_loop_too() -> None:
    story: list[AgentEvent] = [start(0), start(0, session=OTHER), end(5)]
    assert [(loop.get(s.SESSION_ID), loop.get(s.LOOP_STATUS)) for loop in of("loop", *story)] == [
        (SESSION, "aborted"),
        (OTHER, "completed"),
    ]


def test_an_identity_already_closed_is_not_opened_again() -> None:
    story = whole_loop(0)
    assert tree(*story, *story) == tree(*story)
    counted = counts(*story, *story)
    assert counted["duplicate_start"] == 1
    assert counted["loop_not_open"] == len(story) - 1


# --- 4: events of loops that are not open ----------------------------------------------------------------------------------


def test_events_of_a_loop_that_is_not_open_give_no_span_and_are_counted() -> None:
    story: list[AgentEvent] = [turn(1), request(2), said(3), tool(), tool_end(), result(4), turn_end(5), end(6)]
    assert list(spans(story)) == []
    assert counts(*story)["loop_not_open"] == len(story)
    after: list[AgentEvent] = [*whole_loop(0), *story]
    assert as_bytes(spans(after)) == as_bytes(spans(whole_loop(0)))


def test_an_agent_end_without_an_agent_start_opens_no_session() -> None:
    assert list(spans([end(5)])) == []


def test_parallel_events_alone_open_no_session() -> None:
    story: list[AgentEvent] = [
        ParallelLoopStart(session_id=SESSION, loop_ids=(LOOP,), timestamp=at(0)),
        ParallelLoopEnd(session_id=SESSION, selected_loop_id=LOOP, timestamp=at(1)),
    ]
    assert list(spans(story)) == []


# --- 5: the last known time --------------------------------------------------------------------------------------------------


def test_the_last_known_time_is_the_latest_event_or_message_time() -> None:
    (loop,) = of("loop", start(0), turn(1), said(40), user("x", 30), request(20))
    assert loop.end_ns == at(40)


def test_updates_and_reverts_do_not_move_the_last_known_time_since_saved_sessions_lack_them() -> None:
    story: list[AgentEvent] = [start(0), turn(1), said(5)]
    late: list[AgentEvent] = [
        MessageUpdate(loop_id=LOOP),
        RevertApplied(loop_id=LOOP, category="failure", timestamp=at(90)),
        ProgressMessage(loop_id=LOOP),
        ToolExecutionUpdate(loop_id=LOOP),
    ]
    assert of("loop", *story, *late)[0].end_ns == of("loop", *story)[0].end_ns == at(5)


def test_events_without_a_time_take_the_last_known_one() -> None:
    assert tree(start(0), turn(None), said(7), turn_end(None), end(None)) == (
        """\
invoke_agent mock.1  +0ms 7ms  kind=initial status=completed turns=1 tools=0 finish=stop in=10 out=5 inferred=true
  turn 0  +0ms 7ms  trigger=user tools=0 inferred=true
    chat mock  +0ms 7ms  finish=stop in=10 out=5 inferred=true"""
    )


# --- 6: turns --------------------------------------------------------------------------------------------------------------


def test_a_repeated_turn_start_is_ignored() -> None:
    assert tree(start(0), turn(1), turn(1), *whole_turn(1), end(20)) == tree(start(0), *whole_turn(1), end(20))


def test_a_turn_start_while_another_turn_is_open_aborts_it_and_no_turn_is_lost() -> None:
    assert tree(start(0), turn(1), tool(), turn(5, 1), turn_end(9, 1), end(10)) == (
        """\
invoke_agent mock.1  +0ms 10ms  kind=initial status=completed turns=2 tools=1 finish=stop in=10 out=5
  turn 0  +1ms 1ns  trigger=user tools=1 inferred=true  ! aborted
      * phi.tool.execution +1ms name=bash call.id=c1 outcome=aborted duration_ms=0 error.type=aborted
    execute_tool bash  +1ms 1ns  inferred=true  ! aborted
  turn 1  +5ms 4ms  trigger=user tools=0
    chat mock  +5ms 4ms  finish=stop in=10 out=5 inferred=true"""
    )


def test_a_turn_end_whose_index_is_closed_is_ignored_and_counted() -> None:
    story = whole_loop(0)
    assert tree(*story[:-1], story[-2], story[-1]) == tree(*story)
    assert counts(*story[:-1], story[-2], story[-1])["turn_closed"] == 1


def test_a_turn_request_whose_index_is_closed_is_ignored() -> None:
    story = whole_loop(0)
    assert tree(*story[:-1], request(11), story[-1]) == tree(*story)


@pytest.mark.parametrize(
    "event",
    [request(5, 1), tool(), tool_end(), said(8), turn_end(9, 1), turn_end(9, None)],
    ids=lambda event: type(event).__name__,
)
def test_what_belongs_to_a_turn_opens_an_implicit_one_from_the_previous_turns_end(event: AgentEvent) -> None:
    turns = of("turn", start(0), turn(1), turn_end(3), event, end(20))
    assert [(span.get(s.TURN_INDEX), span.start_ns) for span in turns] == [(0, at(1)), (1, at(3))]
    assert turns[1].get(s.TIME_INFERRED) is True
    assert turns[1].get(s.TURN_TRIGGER) is None


def test_the_first_implicit_turn_begins_with_the_loop() -> None:
    (found,) = of("turn", start(0), tool(), end(9))
    assert found.start_ns == at(0)


@pytest.mark.parametrize(
    "event",
    [
        user("[Agent stopped: Max turns reached (1/1)]", 5),
        user("hello", 5),
        result(5),
        ToolExecutionUpdate(loop_id=LOOP),
        ProgressMessage(loop_id=LOOP),
        CompactionStarted(loop_id=LOOP, timestamp=at(5)),
        GenericEvent(type="Dreamt", loop_id=LOOP, timestamp=at(5)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_user_message_and_other_happenings_outside_a_turn_open_none(event: AgentEvent) -> None:
    assert len(of("turn", start(0), turn(1), turn_end(3), event, end(20))) == 1


def test_a_real_turn_with_the_index_of_an_implicit_one_has_an_id_of_its_own() -> None:
    turns = of("turn", start(0), tool("lost"), *whole_turn(5, 0), end(20))
    assert [span.get(s.TURN_INDEX) for span in turns] == [0, 0]
    assert len({span.span_id for span in turns}) == 2


def test_a_late_tool_end_after_the_last_turn_does_not_decide_how_the_loop_went() -> None:
    (loop,) = of("loop", *whole_loop(0)[:-1], tool_end("late"), end(20))
    assert (loop.get(s.ERROR_TYPE), loop.get(s.LOOP_STATUS)) == (None, "completed")


def test_a_turn_never_begins_before_its_loop_nor_a_loop_ends_before_its_turns() -> None:
    loop, only = of("loop", start(10), turn(5), turn_end(50), end(20)) + of(
        "turn", start(10), turn(5), turn_end(50), end(20)
    )
    assert (only.start_ns, only.end_ns) == (at(10), at(50))
    assert (loop.start_ns, loop.end_ns) == (at(10), at(50))


# --- tools of a turn -------------------------------------------------------------------------------------------------------


def tools(*events: AgentEvent) -> list[tuple[object, float, float, object]]:
    """Returns outcome, start, end (milliseconds into the story) and whether inferred, of each tool span."""
    found = of("tool", start(0), turn(1), request(2), said(10), *events, end(99))
    base = at(0)
    return [
        (span.get(s.TOOL_OUTCOME), (span.start_ns - base) / 1e6, (span.end_ns - base) / 1e6, span.get(s.TIME_INFERRED))
        for span in found
    ]


def test_a_tool_runs_from_the_answer_or_the_last_result_before_its_start_to_its_own_result() -> None:
    story: list[AgentEvent] = [
        tool("a"),
        tool_end("a"),
        result(20, "a"),
        tool("b"),
        tool_end("b"),
        result(35, "b"),
        turn_end(50),
    ]
    assert tools(*story) == [("ok", 10, 20, None), ("ok", 20, 35, None)]


def test_parallel_tools_all_start_with_the_answer() -> None:
    story: list[AgentEvent] = [
        tool("a"),
        tool("b"),
        tool_end("b"),
        result(20, "b"),
        tool_end("a"),
        result(35, "a"),
        turn_end(50),
    ]
    assert tools(*story) == [("ok", 10, 35, None), ("ok", 10.001, 20, None)]  # a microsecond apart, to keep their order


def test_a_repeated_call_id_is_matched_first_in_first_out() -> None:
    story: list[AgentEvent] = [tool(), tool(), tool_end(error="no"), tool_end(), result(20), result(30), turn_end(50)]
    assert tools(*story) == [("error", 10, 20, None), ("ok", 10.001, 30, None)]


def test_a_missing_result_is_looked_up_in_the_turns_end() -> None:
    assert tools(tool(), tool_end(), turn_end(50, tool_results=listed(("c1", 30)))) == [("ok", 10, 30, None)]


def test_it_is_looked_up_also_where_other_calls_results_came() -> None:
    story: list[AgentEvent] = [
        tool("a"),
        tool_end("a"),
        result(20, "denied"),
        turn_end(50, tool_results=listed(("a", 30), ("denied", 20))),
    ]
    assert tools(*story) == [("ok", 10, 30, None)]


def test_a_result_found_nowhere_is_the_turns_end_marked_inferred() -> None:
    assert tools(tool(), tool_end(), turn_end(50)) == [("ok", 10, 50, True)]


def test_a_start_without_an_end_is_aborted_and_an_end_without_a_start_is_an_execution() -> None:
    assert tools(tool("a"), turn_end(50)) == [("aborted", 10, 50, True)]
    assert tools(tool_end("a"), result(20, "a"), turn_end(50)) == [("ok", 10, 20, True)]


def test_a_result_that_was_never_executed_is_an_event_and_no_span() -> None:
    story: list[AgentEvent] = [start(0), turn(1), said(10), result(20), turn_end(50), end(60)]
    assert of("tool", *story) == []
    (event,) = of("turn", *story)[0].events
    assert dict(event.attributes)[s.TOOL_OUTCOME] == "not_executed"
    assert s.TOOL_DURATION_MS not in dict(event.attributes)


def test_of_a_turn_there_is_one_chat_the_first_answers() -> None:
    (chat,) = of("chat", start(0), turn(1), said(5), said(9, model="second"), turn_end(20), end(30))
    assert (chat.end_ns, chat.get(s.REQUEST_MODEL)) == (at(5), "mock")


def test_a_request_never_answered_is_an_aborted_chat_only_where_the_turn_is_aborted() -> None:
    (chat,) = of("chat", start(0), turn(1), request(2), end(9))
    assert (chat.get(s.ERROR_TYPE), chat.start_ns) == ("aborted", at(2))
    assert of("chat", start(0), turn(1), end(9)) == []


def test_a_turn_without_any_answer_or_usage_has_no_chat() -> None:
    assert of("chat", start(0), turn(1), turn_end(5, message=None, usage=Usage()), end(9)) == []


# --- 7: groups ---------------------------------------------------------------------------------------------------------------

ONE_A, TWO_B = f"{SESSION}.a.1", f"{SESSION}.b.2"
ANNOUNCED = ParallelLoopStart(session_id=SESSION, loop_ids=(ONE_A, TWO_B), timestamp=at(0))
DECIDED = ParallelLoopEnd(session_id=SESSION, selected_loop_id=TWO_B, selected_config_index=1, timestamp=at(50))


def test_a_group_lasts_from_its_first_branchs_start_to_its_last_branchs_end() -> None:
    (group,) = of("group", ANNOUNCED, *whole_loop(5, ONE_A), *whole_loop(7, TWO_B), DECIDED)
    assert (group.start_ns, group.end_ns) == (at(5), at(19))
    assert group.get(s.PARALLEL_SELECTED) == TWO_B


def test_branches_that_are_told_in_another_order_than_announced_change_no_byte_of_the_group() -> None:
    """Branches are tasks of a thread pool: phi-core 0.15 tells either first [run], a saved session the earlier one."""
    one, two = whole_loop(5, ONE_A), whole_loop(7, TWO_B)
    orders = ([*one, *two], [*two, *one], [two[0], one[0], *one[1:], *two[1:]])
    assert len({as_bytes(of("group", ANNOUNCED, *order, DECIDED)) for order in orders}) == 1


def test_a_group_decided_while_a_branch_is_open_closes_with_that_branch() -> None:
    road = Pipeline(MappingOptions())
    story: list[AgentEvent] = [ANNOUNCED, *whole_loop(5, ONE_A), start(7, TWO_B), DECIDED]
    assert [span for event in story for span in road.feed(event) if role(span) == "group"] == []
    assert [role(span) for span in road.feed(end(30, TWO_B))] == ["loop", "group"]


def test_a_group_with_a_branch_that_never_ends_closes_with_the_stream() -> None:
    (group,) = of("group", ANNOUNCED, *whole_loop(5, ONE_A), start(7, TWO_B), turn(8, 0, TWO_B), DECIDED)
    assert group.end_ns == at(17)


def test_a_branch_that_never_started_is_left_out_of_the_links() -> None:
    winner = ParallelLoopEnd(session_id=SESSION, selected_loop_id=ONE_A, timestamp=at(50))
    (group,) = of("group", ANNOUNCED, *whole_loop(5, ONE_A), winner)
    assert (len(group.links), group.get(s.PARALLEL_SIZE)) == (1, 2)


@pytest.mark.parametrize(
    "story",
    [
        [ANNOUNCED, DECIDED],
        [ANNOUNCED, *whole_loop(5, ONE_A), *whole_loop(7, TWO_B)],
        [ANNOUNCED, *whole_loop(5, ONE_A), DECIDED],
        [*whole_loop(5, ONE_A), *whole_loop(7, TWO_B), DECIDED],
        [*whole_loop(5, ONE_A), *whole_loop(7, TWO_B), ANNOUNCED, DECIDED],
    ],
    ids=["no branch", "no winner", "a winner that never started", "no announcement", "announced too late"],
)
def test_without_a_branch_or_a_known_winner_there_is_no_group(story: list[AgentEvent]) -> None:
    assert of("group", *story) == []


def test_a_repeated_announcement_or_verdict_changes_nothing() -> None:
    one, two = whole_loop(5, ONE_A), whole_loop(7, TWO_B)
    plain = [ANNOUNCED, *one, *two, DECIDED]
    for doubled in ([ANNOUNCED, *plain], [ANNOUNCED, *one, ANNOUNCED, *two, DECIDED], [*plain, DECIDED]):
        assert as_bytes(spans(doubled)) == as_bytes(spans(plain))


def test_two_groups_of_the_same_ids_have_branches_and_spans_of_their_own() -> None:
    again = ParallelLoopStart(session_id=SESSION, loop_ids=(ONE_A, TWO_B), timestamp=at(100))
    story: list[AgentEvent] = [ANNOUNCED, *whole_loop(5, ONE_A), *whole_loop(7, TWO_B), DECIDED]
    story += [again, *whole_loop(105, ONE_A), *whole_loop(107, TWO_B), DECIDED]
    one, two = of("group", *story)
    assert one.span_id != two.span_id
    assert {link.span_id for link in one.links}.isdisjoint({link.span_id for link in two.links})


def test_a_branch_carries_no_fact_of_its_group() -> None:
    branches = [*whole_loop(5, ONE_A), *whole_loop(7, TWO_B)]
    grouped = [span for span in spans([ANNOUNCED, *branches, DECIDED]) if role(span) != "group"]
    assert as_bytes(grouped) == as_bytes(spans(branches))


# --- 8: nothing that only some sources know --------------------------------------------------------------------------------------


def test_events_that_only_some_sources_hold_change_no_byte() -> None:
    story = whole_loop(0)
    noise: list[AgentEvent] = [
        MessageUpdate(loop_id=LOOP),
        ToolExecutionUpdate(loop_id=LOOP, tool_call_id="c1"),
        ProgressMessage(loop_id=LOOP, text="x"),
        ProgressMessage(loop_id=""),
    ]
    woven = [event for quiet in story for event in (quiet, *noise)]
    assert as_bytes(spans(woven)) == as_bytes(spans(story))
