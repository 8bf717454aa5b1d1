"""Which loop an id means: spawns told from continuations (quirk 4), compaction passes (quirk 5), repeated ids (quirk 6)."""

from __future__ import annotations

import pytest

from otel_phi.events import AgentEvent, AgentStart, ParallelLoopEnd, ParallelLoopStart
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.references import Ahead, References, ahead_of
from otel_phi.wire.uuids import is_uuid
from tests import golden
from tests.laws import role
from tests.streams import (
    LOOP,
    OTHER,
    SESSION,
    at,
    end,
    start,
    tool,
    tool_end,
    turn,
    turn_end,
    whole_loop,
)


def loops(events: list[AgentEvent], options: MappingOptions | None = None) -> list[Span]:
    return [span for span in spans(events, options) if role(span) == "loop"]


def link_kinds(span: Span) -> list[object]:
    return [dict(link.attributes)[s.LINK_KIND] for link in span.links]


# --- quirk 4: phi-core's recorder takes these for sessions spawned by themselves ---------------------------------------------


@golden.needed
def test_a_bare_uuid_parent_of_the_same_session_is_a_parent_and_no_spawn() -> None:
    first, second = loops(golden.edge("e12"))
    assert second.parent_span_id == first.span_id
    assert (link_kinds(second), second.get(s.SPAWN_SESSION)) == (["continuation"], None)


@golden.needed
def test_a_dotted_session_id_spawns_nothing_of_its_own() -> None:
    for span in loops(golden.edge("e13")):
        assert "spawned_by" not in link_kinds(span)
        assert span.get(s.SPAWN_SESSION) is None


@golden.needed
def test_a_foreign_parent_that_tells_no_session_is_named_on_its_loop_and_makes_no_spawn_of_the_session() -> None:
    first, second = loops(golden.edge("e27"))
    assert (second.get(s.LOOP_PARENT_ID), second.links) == ("s.c.1", ())
    assert first.parent_span_id == second.parent_span_id


def test_a_foreign_parent_of_a_sessions_second_loop_is_a_spawn_of_that_loop_alone() -> None:
    first, second = loops([*whole_loop(0), *whole_loop(20, f"{SESSION}.mock.2", parent_loop_id=f"{OTHER}.c.1")])
    assert (link_kinds(first), link_kinds(second)) == ([], ["spawned_by"])


@pytest.mark.parametrize("session", ["dotted.session.id", "s", OTHER])
def test_an_own_loop_never_seen_is_no_foreign_one(session: str) -> None:
    (found,) = loops(whole_loop(0, f"{session}.cfg.2", session=session, parent_loop_id=f"{session}.cfg.1"))
    assert (found.links, found.get(s.SPAWN_SESSION)) == ((), None)
    assert found.get(s.LOOP_PARENT_ID) == f"{session}.cfg.1"


def test_a_sub_agent_that_runs_in_its_parents_session_is_a_child_and_no_spawn() -> None:
    child = f"{SESSION}.sub.1"
    story: list[AgentEvent] = [
        start(0),
        turn(1),
        tool(),
        *whole_loop(2, child, parent_loop_id=LOOP),
        tool_end(child=child),
        turn_end(20),
        end(21),
    ]
    found = list(spans(story))
    assert [link_kinds(span) for span in found if role(span) == "loop"] == [["continuation"], []]
    (execution,) = [span for span in found if role(span) == "tool"]
    assert (execution.get(s.CHILD_LOOP), execution.get(s.CHILD_SESSION), execution.links) == (child, None, ())


# --- spawns ------------------------------------------------------------------------------------------------------------------

CHILD = f"{OTHER}.sub.1"
SPAWN: list[AgentEvent] = [
    start(0),
    turn(1),
    tool(),
    *whole_loop(2, CHILD, session=OTHER, parent_loop_id=LOOP),
    tool_end(child=CHILD),
    turn_end(20),
    end(21),
]


@pytest.mark.parametrize("scope", ["session", "loop"])
def test_a_spawn_is_linked_both_ways(scope: str) -> None:
    options = MappingOptions(trace_scope="session" if scope == "session" else "loop")
    found = list(spans(SPAWN, options))
    (execution,) = [span for span in found if role(span) == "tool"]
    child = next(span for span in found if span.get(s.LOOP_ID) == CHILD and role(span) == "loop")
    target = {(span.trace_id, span.span_id): span for span in found}
    (down,), (up,) = execution.links, child.links
    kind = "root" if scope == "session" else "loop"
    assert role(target[down.trace_id, down.span_id]) == role(target[up.trace_id, up.span_id]) == kind
    assert target[down.trace_id, down.span_id].get(s.SESSION_ID) == OTHER
    assert target[up.trace_id, up.span_id].get(s.SESSION_ID) == SESSION
    assert dict(down.attributes)[s.LINK_TOOL_CALL] == "c1"


def test_without_tool_spans_the_turn_carries_the_link() -> None:
    turns = [span for span in spans(SPAWN, MappingOptions(tool_spans=False)) if role(span) == "turn"]
    assert sorted(link_kinds(span) for span in turns) == [[], ["spawned"]]


def test_in_loop_scope_a_child_never_seen_is_attributes_and_no_link() -> None:
    story: list[AgentEvent] = [start(0), turn(1), tool(), tool_end(child=CHILD), turn_end(20), end(21)]
    (execution,) = [span for span in spans(story, MappingOptions(trace_scope="loop")) if role(span) == "tool"]
    assert (execution.links, execution.get(s.CHILD_SESSION)) == ((), OTHER)


@golden.needed
@pytest.mark.parametrize("name", ["19_sub_agent", "19b_sub_agent_parent_set"])
def test_a_stock_sub_agents_session_is_named_though_nobody_recorded_it(name: str) -> None:
    (execution,) = [span for span in spans(golden.scenario(name)) if span.get(s.CHILD_LOOP)]
    assert execution.get(s.CHILD_SESSION) == str(execution.get(s.CHILD_LOOP)).partition(".")[0]
    assert link_kinds(execution) == ["spawned"]


# --- quirk 5: a compaction pass has its parent's own id ------------------------------------------------------------------------


def test_a_compaction_pass_is_a_child_of_the_loop_whose_id_it_repeats() -> None:
    first, again, third = loops(
        [
            *whole_loop(0),
            start(20, parent_loop_id=LOOP, continuation_kind="Compaction"),
            end(21),
            start(30, parent_loop_id=LOOP, continuation_kind="Compaction"),
            end(31),
        ]
    )
    assert (again.parent_span_id, third.parent_span_id) == (first.span_id, again.span_id)
    assert link_kinds(again) == ["compaction"]
    assert len({first.span_id, again.span_id, third.span_id}) == 3


def test_a_compaction_pass_whose_loop_was_never_seen_stands_under_the_root_without_a_link() -> None:
    for parent in (LOOP, "compaction"):
        (found,) = loops([start(0, parent, parent_loop_id=parent, continuation_kind="Compaction"), end(1, parent)])
        assert found.links == ()
        assert found.get(s.SPAWN_SESSION) is None


@golden.needed
@pytest.mark.parametrize("events", [golden.scenario, golden.edge], ids=["live 21", "edge e19"])
def test_the_golden_compaction_passes_are_children(events: object) -> None:
    assert callable(events)
    found = loops(events("21_compaction_pass" if events is golden.scenario else "e19"))
    passes = [span for span in found if span.get(s.LOOP_KIND) == "compaction"]
    assert passes
    known = {span.span_id for span in found}
    assert all(span.parent_span_id in known for span in passes)


# --- repeated ids -----------------------------------------------------------------------------------------------------------


@golden.needed
def test_two_parallel_calls_with_the_same_ids_are_four_loops_and_two_groups() -> None:
    found = list(spans(golden.scenario("17b_parallel_twice_duplicate_ids")))
    branches = [span for span in found if role(span) == "loop"]
    groups = [span for span in found if role(span) == "group"]
    assert len({span.span_id for span in branches}) == 4
    assert len({span.get(s.LOOP_ID) for span in branches}) == 2
    assert sorted(link.span_id for group in groups for link in group.links) == sorted(s_.span_id for s_ in branches)


@golden.needed
def test_a_session_continued_by_a_new_process_repeats_its_loop_id_and_not_its_span() -> None:
    log = golden.FOLDER / "eventlog" / "logs" / "6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a01.events.jsonl"
    lines = b"\n".join(b'{"type"' + line.partition(b'{"type"')[2][:-1] for line in log.read_bytes().splitlines())
    found = loops(golden.lines_to_events(lines))
    repeated = [span for span in found if str(span.get(s.LOOP_ID)).endswith("mock-large.1")]
    assert len(repeated) == len({span.span_id for span in repeated}) == 2


# --- the table itself ------------------------------------------------------------------------------------------------------------


def test_references_forget_the_loop_seen_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.references.MAX_REMEMBERED_LOOPS", 3)
    table = References()
    for number in range(5):
        table.remember(LoopIdentity("s", str(number), number))
    table.remember(LoopIdentity("s", "2", 99))
    table.remember(LoopIdentity("s", "5", 5))
    assert len(table) == 3
    assert [table.find(str(number), 100) is not None for number in range(6)] == [False, False, True, False, True, True]


def test_of_one_id_the_latest_occurrences_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.references.MAX_OCCURRENCES", 2)
    table = References()
    for number in range(4):
        table.remember(LoopIdentity("s", "l", number))
    assert [table.knows(LoopIdentity("s", "l", number)) for number in range(4)] == [False, False, True, True]


def test_reading_ahead_orders_occurrences_by_start_and_spells_a_session_as_its_first_loop_does() -> None:
    ahead = ahead_of([start(9, session=SESSION.upper()), start(3), start(5, session="other")])
    assert [(loop.session_id, loop.started_ns) for loop in ahead.starts[LOOP]] == [
        (SESSION, start(3).timestamp),
        ("other", start(5).timestamp),
        (SESSION, start(9).timestamp),
    ]
    assert ahead.sessions[SESSION].timestamp == start(3).timestamp


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (SESSION, True),
        (SESSION.upper(), True),
        (SESSION.replace("-", ""), False),
        (f"{{{SESSION}}}", False),
        (f"urn:uuid:{SESSION}", False),
        (SESSION + "\n", False),
        (SESSION.replace("0", "\u0660"), False),
        ("", False),
    ],
)
def test_a_uuid_is_the_36_character_form_in_any_case(text: str, known: bool) -> None:
    assert is_uuid(text) is known


# --- one instant, and any case ---------------------------------------------------------------------------------------------


def ahead(events: list[AgentEvent]) -> Ahead:
    return ahead_of([event for event in events if isinstance(event, AgentStart)])


@pytest.mark.parametrize("read_ahead", [False, True])
def test_a_reference_means_the_loop_that_started_at_the_same_instant_too(read_ahead: bool) -> None:
    events: list[AgentEvent] = [
        start(1, "l"), end(2, "l"), start(5, "l"), start(5, "child", parent_loop_id="l"), end(6, "child"), end(7, "l"),
    ]  # fmt: skip
    found = list(spans(events, ahead=ahead(events) if read_ahead else None))
    (child,) = (span for span in found if span.get(s.LOOP_ID) == "child")
    (parent,) = (span for span in found if span.span_id == child.parent_span_id)
    assert parent.start_ns == at(5)


def test_two_loops_of_one_instant_that_name_each_other_form_no_circle() -> None:
    events: list[AgentEvent] = [
        start(5, "a", parent_loop_id="b"),
        start(5, "b", parent_loop_id="a"),
        end(6, "a"),
        end(6, "b"),
    ]
    by_id = {span.get(s.LOOP_ID): span for span in spans(events, ahead=ahead(events))}
    assert by_id["b"].parent_span_id == by_id["a"].span_id
    assert by_id["a"].parent_span_id == by_id[None].span_id


def test_a_group_is_found_in_whatever_case_its_session_is_spelled() -> None:
    upper, ids = SESSION.upper(), ("a", "b")
    events: list[AgentEvent] = [
        start(0, "first"),
        end(1, "first"),
        ParallelLoopStart(session_id=upper, loop_ids=ids),
        *(start(2, loop, session=upper) for loop in ids),
        *(end(3, loop) for loop in ids),
        ParallelLoopEnd(session_id=upper, selected_loop_id="b", selected_config_index=1),
    ]
    (group,) = (span for span in spans(events) if role(span) == "group")
    assert group.get(s.SESSION_ID) == SESSION
