"""Parents, children, spawns and parallel evaluations of a SessionRecorder, and the tree they make: phi-core's, quirk by quirk."""

from __future__ import annotations

import msgspec

from otel_phi.events import (
    ParallelLoopEnd,
    ParallelLoopStart,
    ToolExecutionEnd,
    ToolResult,
    Usage,
)
from otel_phi.session.parts import ChildLoopRef, ParallelGroupRecord, SpawnRef
from otel_phi.session.recorder import SessionRecorder
from tests.recorder.fed import fed, only_loop, only_session
from tests.streams import (
    LOOP,
    OTHER,
    SESSION,
    TOKENS,
    end,
    start,
    tool_end,
    whole_loop,
)

SECOND = f"{SESSION}.mock.2"
CHILD = f"{OTHER}.sub.1"


def spawning(call: str = "c1", name: str = "researcher") -> ToolExecutionEnd:
    return ToolExecutionEnd(loop_id=LOOP, tool_call_id=call, tool_name=name, result=ToolResult(child_loop_id=CHILD))


# --- links -----------------------------------------------------------------------------------------------------------------


def test_a_child_is_noted_once_with_the_first_ended_parent_of_that_id() -> None:
    child = {"parent_loop_id": LOOP}
    session = only_session(
        fed(*whole_loop(0), *whole_loop(20), *whole_loop(40, SECOND, **child), *whole_loop(60, SECOND, **child))
    )
    assert [record.children_loop_ids for record in session.loops] == [[SECOND], [], [], []]


def test_a_child_that_ends_before_its_parent_is_noted_and_stands_before_it() -> None:
    session = only_session(fed(start(0), start(1, SECOND, parent_loop_id=LOOP), end(2, SECOND), end(3)))
    assert [record.loop_id for record in session.loops] == [SECOND, LOOP]
    assert session.loops[1].children_loop_ids == [SECOND]


def test_an_aborted_child_and_a_child_of_another_session_are_not_noted() -> None:
    recorder = fed(
        start(0),
        start(1, SECOND, parent_loop_id=LOOP),
        start(1, CHILD, session=OTHER, parent_loop_id=LOOP),
        end(2, CHILD),
    )
    recorder.flush()
    assert {
        child for session in recorder.sessions() for record in session.loops for child in record.children_loop_ids
    } == set()


def test_a_spawned_session_is_explained_by_the_first_tool_that_names_it() -> None:
    recorder = fed(start(0), *whole_loop(1, CHILD, session=OTHER, parent_loop_id=LOOP))
    spawned = recorder.get_session(OTHER)
    assert spawned is not None
    assert spawned.parent_spawn_ref == SpawnRef(parent_session_id=SESSION, parent_loop_id=LOOP)
    recorder.checkpoint()
    fed(spawning("c1"), spawning("c2"), end(30), recorder=recorder)
    assert spawned.parent_spawn_ref == SpawnRef(
        parent_session_id=SESSION, parent_loop_id=LOOP, tool_call_id="c1", tool_name="researcher"
    )
    parent = recorder.get_session(SESSION)
    assert parent is not None
    assert parent.loops[0].child_loop_refs[0] == ChildLoopRef(
        tool_call_id="c1", tool_name="researcher", child_loop_id=CHILD, child_session_id=OTHER
    )


def test_only_the_results_own_child_counts_and_only_while_the_parent_runs() -> None:
    record = only_loop(fed(start(0), tool_end(child=CHILD), end(3), spawning()))
    assert record.child_loop_refs == []


def test_any_parent_without_the_sessions_id_makes_it_spawned_even_by_itself() -> None:
    session = only_session(fed(*whole_loop(0, "bare-uuid"), *whole_loop(20, parent_loop_id="bare-uuid")))
    assert session.parent_spawn_ref == SpawnRef(parent_session_id="bare-uuid", parent_loop_id="bare-uuid")


def test_a_parallel_evaluation_marks_running_and_ended_loops_wherever_they_are() -> None:
    recorder = fed(ParallelLoopStart(session_id=SESSION, loop_ids=(LOOP, SECOND)), *whole_loop(0), start(1, SECOND))
    recorder.checkpoint()
    fed(*whole_loop(0, LOOP, session=OTHER), *whole_loop(20, LOOP, session=OTHER), recorder=recorder)
    chosen = ParallelLoopEnd(
        session_id="any", selected_loop_id=SECOND, selected_config_index=1, evaluation_usage=TOKENS
    )
    fed(chosen, end(40, SECOND), recorder=recorder)
    groups = [(record.loop_id, record.parallel_group) for session in recorder.sessions() for record in session.loops]
    expected = ParallelGroupRecord(
        all_loop_ids=(LOOP, SECOND), selected_loop_id=SECOND, selected_config_index=1, evaluation_usage=TOKENS
    )
    won = msgspec.structs.replace(expected, is_selected=True)
    assert groups == [(LOOP, expected), (SECOND, won), (LOOP, expected), (LOOP, None)]
    siblings = next(recorder.sessions()).parallel_siblings(SECOND)
    assert [record.loop_id for record in siblings] == [LOOP, SECOND]


def test_a_parallel_end_without_its_start_is_a_group_of_one() -> None:
    record = only_loop(fed(start(0), ParallelLoopEnd(session_id=SESSION, selected_loop_id=LOOP), end(1)))
    assert record.parallel_group == ParallelGroupRecord(all_loop_ids=(LOOP,), selected_loop_id=LOOP, is_selected=True)


def test_the_first_announcement_of_a_loop_wins() -> None:
    announced = [ParallelLoopStart(session_id=SESSION, loop_ids=ids) for ids in ((LOOP, "a"), (LOOP, "b"))]
    record = only_loop(fed(*announced, start(0), ParallelLoopEnd(session_id=SESSION, selected_loop_id=LOOP), end(1)))
    assert record.parallel_group is not None
    assert record.parallel_group.all_loop_ids == (LOOP, "a")


# --- the tree --------------------------------------------------------------------------------------------------------------


def test_the_tree_of_a_session_can_be_walked() -> None:
    third = f"{SESSION}.mock.3"
    session = only_session(
        fed(
            *whole_loop(0),
            *whole_loop(20, SECOND, parent_loop_id=LOOP),
            *whole_loop(40, third, parent_loop_id=SECOND),
            recorder=SessionRecorder(),
        )
    )
    assert [record.loop_id for record in session.root_loops()] == [LOOP]
    assert [record.loop_id for record in session.children_of(LOOP)] == [SECOND]
    assert list(session.children_of("nobody")) == []
    assert session.loop_chain_to(third) == [LOOP, SECOND, third]
    assert session.loop_chain_to("nobody") == ["nobody"]
    assert list(session.parallel_siblings(LOOP)) == []
    found = session.get_loop(SECOND)
    session.loops.reverse()
    assert session.get_loop(SECOND) is found
    session.loops.pop()
    assert session.get_loop(LOOP) is None


def test_a_loop_that_is_its_own_parent_ends_its_chain() -> None:
    compaction = start(20, LOOP, parent_loop_id=LOOP, continuation_kind="Compaction")
    session = only_session(
        fed(*whole_loop(0, parent_loop_id=SECOND), *whole_loop(9, SECOND, parent_loop_id=LOOP), compaction, end(21))
    )
    assert session.loop_chain_to(LOOP) == [SECOND, LOOP]
    assert list(session.root_loops()) == []


def test_the_tokens_of_a_session_are_those_of_its_loops() -> None:
    used = Usage(1, 2, 3, 4, 5, 6)
    session = only_session(fed(start(0), end(1, usage=used), start(2, SECOND), end(3, SECOND, usage=used)))
    assert session.total_usage() == Usage(2, 4, 6, 8, 10, 12)
