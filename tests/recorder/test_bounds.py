"""Everything that outlives a call has a bound, and here each is reached: with what is left out, and who is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import (
    AgentEvent,
    CompactionStarted,
    InputRejected,
    ParallelLoopEnd,
    ParallelLoopStart,
    PrunApplied,
    TurnStart,
)
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import Pipeline, spans
from otel_phi.policy.content import without_content
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.groups import OpenGroups
from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.indexes import ClosedIndexes
from otel_phi.recorder.notices import GroupOpened, LoopClosed, SessionOpened, TurnClosed
from tests.laws import Run, role
from tests.streams import LOOP, SESSION, at, end, result, said, start, tool, tool_end, turn, turn_end, whole_loop


def notices(core: RecorderCore, *events: AgentEvent) -> list[object]:
    return [notice for event in events for notice in core.on_event(event)]


def test_past_the_open_loops_allowed_the_one_open_longest_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.core.MAX_OPEN_LOOPS", 2)
    core = RecorderCore()
    story: list[AgentEvent] = [start(0, "a"), start(1, "b"), turn(2, 0, "a"), start(3, "c")]
    closed = [notice for notice in notices(core, *story) if isinstance(notice, LoopClosed)]
    assert [(notice.loop.identity.loop_id, notice.aborted) for notice in closed] == [("a", True)]
    assert (core.open_loops, core.counts["evicted"]) == (2, 1)


def test_an_evicted_loops_turn_leaves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.core.MAX_OPEN_LOOPS", 1)
    found = notices(RecorderCore(), start(0, "a"), turn(1, 0, "a"), start(2, "b"))
    assert [type(notice) for notice in found if isinstance(notice, TurnClosed | LoopClosed)] == [TurnClosed, LoopClosed]


def test_a_forgotten_session_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.core.MAX_REMEMBERED_SESSIONS", 2)
    core = RecorderCore()
    story = [start(number, f"l{number}", session=name) for number, name in enumerate("abcaa")]
    opened = [notice.session_id for notice in notices(core, *story) if isinstance(notice, SessionOpened)]
    assert opened == ["a", "b", "c", "a"]


def test_a_session_in_use_is_not_the_one_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.core.MAX_REMEMBERED_SESSIONS", 2)
    core = RecorderCore()
    story = [start(number, f"l{number}", session=name) for number, name in enumerate("abaca")]
    opened = [notice.session_id for notice in notices(core, *story) if isinstance(notice, SessionOpened)]
    assert opened == ["a", "b", "c"]


def test_past_the_remembered_loops_a_parent_is_as_one_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.references.MAX_REMEMBERED_LOOPS", 1)
    story = [*whole_loop(0), *whole_loop(20, "x"), *whole_loop(40, "y", parent_loop_id=LOOP)]
    found = Run(story, MappingOptions())
    assert found.broken() == []
    roots = {span.span_id for span in found.spans if role(span) == "root"}
    assert all(span.parent_span_id in roots for span in found.spans if role(span) == "loop")


def announced(number: int, *loops: str) -> ParallelLoopStart:
    return ParallelLoopStart(session_id=SESSION, loop_ids=loops, timestamp=at(number))


def test_past_the_open_groups_allowed_the_oldest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.groups.MAX_OPEN_GROUPS", 2)
    story: list[AgentEvent] = [announced(number, f"g{number}") for number in range(3)]
    for number in range(3):
        story += whole_loop(10 + number, f"g{number}")
    story += [ParallelLoopEnd(session_id=SESSION, selected_loop_id=f"g{number}") for number in range(3)]
    groups = [span.get(s.PARALLEL_SELECTED) for span in spans(story) if role(span) == "group"]
    assert groups == ["g1", "g2"]


def test_a_group_given_up_with_its_winner_known_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.groups.MAX_OPEN_GROUPS", 1)
    story: list[AgentEvent] = [
        announced(0, "a", "b"),
        *whole_loop(1, "a"),
        start(2, "b"),
        ParallelLoopEnd(session_id=SESSION, selected_loop_id="a"),
        announced(20, "c"),
        end(30, "b"),
    ]
    run = Run(story, MappingOptions())
    assert run.broken() == []
    (group,) = [span for span in run.spans if role(span) == "group"]
    assert len(group.links) == 1


def test_groups_leave_nothing_behind() -> None:
    groups = OpenGroups()
    loop = LoopIdentity(SESSION, "a", 1)
    for number in range(3):
        groups.announced(announced(number, "a", "b"))
    groups.started(loop)
    groups.ended(loop, 5)
    groups.flush()
    assert len(groups) == 0
    assert not groups._by_loop
    assert not groups._by_branch


def test_an_open_group_tells_of_its_first_branches_and_one_too_large_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.groups.MAX_LINKED", 2)
    story: list[AgentEvent] = [announced(0, "a", "b", "c"), start(1, "a"), start(2, "b"), start(3, "c"), end(4, "a")]
    told = [notice for notice in notices(RecorderCore(), *story) if isinstance(notice, GroupOpened)]
    assert [len(group.branches) for group in told] == [1, 2, 2, 2]
    assert [group.ended_ns for group in told] == [at(1) + 1, at(1) + 1, at(1) + 1, at(4)]
    monkeypatch.setattr("otel_phi.recorder.groups.MAX_BRANCHES", 2)
    assert [notice for notice in notices(RecorderCore(), *story) if isinstance(notice, GroupOpened)] == []


def test_of_a_group_with_too_many_branches_the_first_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.groups.MAX_BRANCHES", 1)
    story: list[AgentEvent] = [announced(0, "a", "b"), *whole_loop(1, "a"), *whole_loop(2, "b")]
    story.append(ParallelLoopEnd(session_id=SESSION, selected_loop_id="a"))
    (group,) = [span for span in spans(story) if role(span) == "group"]
    assert len(group.links) == 1


def test_tools_past_the_bound_are_counted_as_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.turns.MAX_TOOLS", 2)
    story: list[AgentEvent] = [start(0), turn(1), said(2)]
    for number in range(5):
        story += [tool(str(number)), tool_end(str(number)), result(3, str(number))]
    found = list(spans([*story, turn_end(9), end(10)]))
    (only,) = [span for span in found if role(span) == "turn"]
    assert sum(role(span) == "tool" for span in found) == 2
    assert (len(only.events), only.dropped_events_count) == (2, 6)


def test_happenings_past_the_bound_are_counted_as_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.turns.MAX_HAPPENED", 2)
    pruned = [PrunApplied(loop_id=LOOP, timestamp=at(number)) for number in range(2, 7)]
    in_turn = list(spans([start(0), turn(1), *pruned, tool(), turn_end(9), end(10)]))
    (only,) = [span for span in in_turn if role(span) == "turn"]
    assert (len(only.events), only.dropped_events_count) == (3, 3)  # tools are never dropped for them
    (loop,) = [span for span in spans([start(0), *pruned, end(10)]) if role(span) == "loop"]
    assert (len(loop.events), loop.dropped_events_count) == (2, 3)


def test_a_compaction_that_never_ended_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = [CompactionStarted(loop_id=LOOP, estimated_tokens=number, timestamp=at(number)) for number in (2, 3)]
    (only,) = [span for span in spans([start(0), turn(1), *begun, turn_end(9), end(10)]) if role(span) == "turn"]
    assert [dict(event.attributes)[s.COMPACTION_TOKENS] for event in only.events] == [2, 3]


def test_of_texts_that_tell_errors_apart_words_alone_are_kept() -> None:
    core = RecorderCore()
    story: list[AgentEvent] = [
        start(0),
        turn(1),
        said(2, stop_reason="error", error_message="x" * 10_000),
        tool(),
        tool_end(error="y" * 10_000),
        turn_end(5),
        end(9),
    ]
    (closed,) = [notice for notice in notices(core, *map(without_content, story)) if isinstance(notice, TurnClosed)]
    assert closed.chat is not None
    assert closed.chat.answer is not None
    assert (closed.chat.answer.error_type, closed.tools[0].error_type) == ("_OTHER", "tool_error")
    assert "xxx" not in repr(closed)
    assert "yyy" not in repr(closed)


def test_after_flush_nothing_is_open_and_the_next_stream_starts_clean() -> None:
    road = Pipeline(MappingOptions())
    story: list[AgentEvent] = [start(0), turn(1), announced(2, LOOP)]
    for event in story:
        road.feed(event)
    assert road.open_loops == 1
    road.finish()
    assert road.open_loops == 0
    assert road.finish() == []
    assert [role(span) for event in whole_loop(50, "next") for span in road.feed(event)] == ["turn", "chat", "loop"]


@given(story=st.lists(st.integers(-3, 12), max_size=40), gaps=st.integers(1, 4))
def test_turn_indexes_in_any_order_number_every_turn_once(story: list[int], gaps: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("otel_phi.recorder.indexes.MAX_GAPS", gaps)
        indexes = ClosedIndexes()
        seen = set()
        for index in story:
            turn_name = (index, indexes.repeat(index))
            assert turn_name not in seen
            seen.add(turn_name)
            indexes.close(index)
            assert index in indexes
            assert len(indexes._sparse) <= gaps
            assert indexes.next() not in indexes


def test_turn_indexes_in_order_cost_no_memory() -> None:
    indexes = ClosedIndexes()
    for index in range(10_000):
        indexes.close(index)
    assert not indexes._sparse
    assert indexes.next() == 10_000


def test_a_million_quiet_turns_do_not_grow_the_core() -> None:
    core = RecorderCore()
    notices(core, start(0))
    for index in range(2_000):
        notices(core, TurnStart(loop_id=LOOP, turn_index=index, timestamp=at(index)), turn_end(index + 0.5, index))
    (loop,) = core._open.values()
    assert not loop._closed._sparse
    assert loop.happenings.items == []
    assert loop.turn is None


def test_refused_input_is_remembered_for_the_loops_error() -> None:
    (loop,) = [
        span for span in spans([start(0), InputRejected(loop_id=LOOP, reason="no"), end(2)]) if role(span) == "loop"
    ]
    assert loop.get(s.ERROR_TYPE) == "input_rejected"


def test_an_open_loop_that_is_no_longer_remembered_is_not_opened_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.references.MAX_REMEMBERED_LOOPS", 4)
    others = [event for n in range(9) for event in (start(n + 1, f"other {n}"), end(n + 2, f"other {n}"))]
    found = list(spans([start(0), *others, start(0), end(99)]))
    assert len({(span.trace_id, span.span_id) for span in found}) == len(found)
    (loop,) = (span for span in found if span.get(s.LOOP_ID) == LOOP)
    assert loop.get(s.LOOP_STATUS) == "completed"
