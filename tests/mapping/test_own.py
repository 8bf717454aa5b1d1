"""What agents of one's own and other sources say beyond phi-core: outcomes, names, own times, sub-agents, side calls."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from otel_phi.events import AgentEvent, SideCall, ToolExecutionEnd, ToolExecutionStart, Usage
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.core import MAX_REMEMBERED_SIDE_CALLS, RecorderCore
from otel_phi.tree import render_tree
from tests.conftest import Snapshots
from tests.laws import Run, role
from tests.streams import (
    LOOP,
    OTHER,
    OWN_CASES,
    SESSION,
    TOKENS,
    answer,
    at,
    end,
    said,
    start,
    turn,
    turn_end,
    user,
    whole_loop,
    whole_turn,
)

SUB = f"{SESSION}.sub.1"


def of(kind: str, events: list[AgentEvent], **options: Any) -> list[Span]:
    assert Run(events, MappingOptions(**options)).broken() == []
    return [span for span in spans(events, MappingOptions(**options)) if role(span) == kind]


def test_the_case_reads_as_reviewed(snapshots: Snapshots) -> None:
    snapshots.check("own-case", render_tree(spans(OWN_CASES["own agent"])))


# --- outcomes --------------------------------------------------------------------------------------------------------------

FAILED_TURN = [turn(1), turn_end(5, message=answer(4, 0, stop_reason="error", error_message="API error: 500"))]
LIMIT = [*whole_turn(1), user("[Agent stopped: Max turns reached (1/1)]", 12)]
GOOD = whole_turn(1)


@pytest.mark.parametrize(
    ("story", "given", "word"),
    [
        (GOOD, {}, None),
        (GOOD, {"outcome": "ok"}, None),
        (GOOD, {"outcome": "error"}, "_OTHER"),
        (GOOD, {"outcome": "error", "error_type": "KeyError"}, "KeyError"),
        (GOOD, {"outcome": "cancelled"}, "cancelled"),
        (FAILED_TURN, {}, "api_error"),
        (FAILED_TURN, {"outcome": "ok"}, None),
        (FAILED_TURN, {"outcome": "error"}, "api_error"),
        (FAILED_TURN, {"outcome": "cancelled"}, "cancelled"),
        (LIMIT, {}, "execution_limit"),
        (LIMIT, {"outcome": "ok"}, None),
        (GOOD, {"outcome": "ok", "rejection": ""}, "input_rejected"),
        (GOOD, {"outcome": "error", "error_type": "x", "rejection": "no"}, "input_rejected"),
    ],
)
def test_a_loops_word_is_its_rejection_then_its_outcome_then_what_its_turns_say(
    story: list[AgentEvent], given: dict[str, Any], word: str | None
) -> None:
    (loop,) = of("loop", [start(0), *story, end(20, **given)])
    assert loop.get(s.ERROR_TYPE) == word


def test_given_words_win_over_derived_ones() -> None:
    events: list[AgentEvent] = [
        start(0),
        turn(1),
        said(5, stop_reason="error", error_message="API error: 500", error_type="RateLimitError"),
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c"),
        ToolExecutionEnd(loop_id=LOOP, tool_call_id="c", is_error=True, error_type="KeyError"),
        turn_end(9, None, message=None, usage=Usage()),
        end(10),
    ]
    words = {role(span): span.get(s.ERROR_TYPE) for span in spans(events)}
    assert (words["chat"], words["turn"], words["loop"], words["tool"]) == (*["RateLimitError"] * 3, "KeyError")


# --- whose agent, and whose session ----------------------------------------------------------------------------------------


def test_the_loops_own_agent_is_on_all_its_spans() -> None:
    events = [start(0, agent_name="planner"), *whole_turn(1), end(12)]
    found = {role(span): span.get(s.AGENT_NAME) for span in spans(events, MappingOptions(agent_name="configured"))}
    assert found == {"root": "configured", "loop": "planner", "turn": "planner", "chat": "planner"}


def test_attributes_never_take_the_place_of_ours() -> None:
    (loop,) = of(
        "loop", [start(0, attributes={"tenant": "t", s.LOOP_ID: "x"}), end(2)], attributes=(("tenant", "all"),)
    )
    assert (loop.get("tenant"), loop.get(s.LOOP_ID)) == ("t", LOOP)


@pytest.mark.parametrize("named", ["chat-1", "ses_x.y", OTHER])
def test_a_session_that_is_named_is_linked_to_whatever_a_loop_id_says(named: str) -> None:
    """The same loop id is of another session here, and would be taken for that one's."""
    other = whole_loop(0, "x.1", session="elsewhere")
    (loop,) = [
        span
        for span in of("loop", [*other, start(20, parent_loop_id="x.1", parent_session_id=named), end(22)])
        if span.get(s.LOOP_ID) == LOOP
    ]
    (link,) = loop.links
    assert dict(link.attributes)[s.LINK_SESSION] == named
    assert loop.get(s.SPAWN_SESSION) == named
    child: list[AgentEvent] = [
        start(0),
        turn(1),
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c"),
        ToolExecutionEnd(loop_id=LOOP, tool_call_id="c", child_loop_id="x.1", child_session_id=named),
        turn_end(5),
        end(6),
    ]
    (tool,) = of("tool", [*whole_loop(0, "x.1", session="elsewhere"), *child])
    assert [dict(link.attributes)[s.LINK_SESSION] for link in tool.links] == [named]


# --- a sub-agent under its tool --------------------------------------------------------------------------------------------


def sub_agent(*, before: bool = False, tool_call_id: str = "c2") -> list[AgentEvent]:
    """Returns a loop whose second tool of two of one call id runs another; told before its tool or after."""
    child: list[AgentEvent] = [
        start(5, SUB, parent_loop_id=LOOP, parent_tool_call_id=tool_call_id, continuation_kind="SubAgent"),
        *whole_turn(6, 0, SUB),
    ]
    tools: list[AgentEvent] = [
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c2", timestamp=at(2)),
        ToolExecutionEnd(loop_id=LOOP, tool_call_id="c2", timestamp=at(3)),
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c2", timestamp=at(4)),
    ]
    opened = [*child, *tools] if before else [*tools, *child]
    over = ToolExecutionEnd(loop_id=LOOP, tool_call_id="c2", timestamp=at(20))
    return [start(0), turn(1), *opened, end(17, SUB), over, turn_end(21), end(22)]


@pytest.mark.parametrize("before", [False, True], ids=["told after its tool", "told before it"])
def test_a_sub_agent_is_under_its_own_execution_of_the_call(before: bool) -> None:
    events = sub_agent(before=before)
    tools = [span for span in of("tool", events) if span.start_ns == at(4)]
    (child,) = [span for span in of("loop", events) if span.get(s.LOOP_ID) == SUB]
    assert child.parent_span_id == tools[0].span_id
    assert [dict(link.attributes)[s.LINK_KIND] for link in child.links] == ["sub_agent"]


@pytest.mark.parametrize(
    ("events", "options"),
    [
        (sub_agent(tool_call_id="unknown"), {}),
        (sub_agent(), {"tool_spans": False}),
    ],
    ids=["an unknown call", "no tool spans"],
)
def test_without_its_tool_a_sub_agent_is_under_its_parent_loop(events: list[AgentEvent], options: Any) -> None:
    loops = {span.get(s.LOOP_ID): span for span in of("loop", events, **options)}
    assert loops[SUB].parent_span_id == loops[LOOP].span_id


def test_in_the_flat_layout_it_is_under_the_root() -> None:
    (root,) = of("root", sub_agent(), loop_layout="flat")
    assert {span.parent_span_id for span in of("loop", sub_agent(), loop_layout="flat")} == {root.span_id}


# --- a tool's own times ----------------------------------------------------------------------------------------------------


def test_a_tools_own_times_are_its_spans_and_nothing_is_inferred() -> None:
    events = [start(0), turn(1), said(3), *sub_agent()[2:4], turn_end(9), end(10)]
    (tool,) = of("tool", events)
    assert (tool.start_ns, tool.end_ns, tool.get(s.TIME_INFERRED)) == (at(2), at(3), None)


def test_a_tool_that_began_at_its_own_time_and_never_ended_ends_with_its_turn() -> None:
    begun = ToolExecutionStart(loop_id=LOOP, tool_call_id="c", timestamp=at(2))
    (tool,) = of("tool", [start(0), turn(1), begun, turn_end(9), end(10)])
    assert (tool.start_ns, tool.end_ns, tool.get(s.TIME_INFERRED)) == (at(2), at(9), True)
    assert tool.get(s.ERROR_TYPE) == "aborted"


# --- side calls ------------------------------------------------------------------------------------------------------------


def side(name: str = "t", loop: str | None = LOOP, session: str = SESSION, **more: Any) -> SideCall:
    given = {"start": at(3), "end": at(4), "model": "small", "usage": TOKENS, **more}
    return SideCall(id=name, session_id=session, loop_id=loop, **given)


def side_of(events: list[AgentEvent], **options: Any) -> Span:
    (found,) = [span for span in of("chat", events, **options) if span.get(s.SIDE_CALL_ID) is not None]
    return found


def test_a_side_call_stands_under_its_open_loop_and_counts_there() -> None:
    events = [start(0), *whole_turn(1), side(kind="title"), end(12)]
    (loop,) = of("loop", events)
    call = side_of(events)
    assert (call.name, call.parent_span_id, call.get(s.SIDE_CALL_KIND)) == ("chat small", loop.span_id, "title")
    assert (call.start_ns, call.end_ns) == (at(3), at(4))
    assert (loop.get(s.TOTAL_INPUT), loop.get(s.LOOP_TURNS)) == (20, 1)


@pytest.mark.parametrize("loop", [None, LOOP, "never seen"])
def test_a_side_call_whose_loop_is_not_open_stands_under_the_root(loop: str | None) -> None:
    events = [*whole_loop(0), side(loop=loop)]
    (root,) = of("root", events)
    assert side_of(events).parent_span_id == root.span_id
    assert side_of(events, trace_scope="loop").parent_span_id == 0


def test_a_side_call_of_a_session_never_seen_is_a_trace_of_its_own() -> None:
    one, other = side_of([side()]), side_of([side("u")])
    assert (one.parent_span_id, other.parent_span_id) == (0, 0)
    assert len({one.trace_id, other.trace_id}) == 2


def test_a_side_call_that_says_another_session_than_its_loop_is_of_its_own() -> None:
    events = [start(0), side(session=OTHER), *whole_turn(1), end(12)]
    assert side_of(events).get(s.SESSION_ID) == OTHER
    (loop,) = of("loop", events)
    assert loop.get(s.TOTAL_INPUT) == 10


def test_a_side_call_told_twice_is_one() -> None:
    run = Run([start(0), side(), side(), end(12)], MappingOptions())
    assert (run.broken(), run.counts["duplicate_side_call"]) == ([], 1)


def test_the_side_calls_remembered_are_bounded() -> None:
    core = RecorderCore()
    for number in range(MAX_REMEMBERED_SIDE_CALLS + 1):
        core.on_event(side(str(number)))
    assert len(core.on_event(side("0"))) == 1  # forgotten
    assert core.on_event(side(str(MAX_REMEMBERED_SIDE_CALLS))) == ()


@pytest.mark.parametrize(
    ("given", "word", "inferred"), [({"error_type": "Timeout"}, "Timeout", None), ({"end": None}, None, True)]
)
def test_how_a_side_call_went(given: dict[str, Any], word: str | None, inferred: bool | None) -> None:
    call = side_of([start(0), side(**given), end(12)])
    assert (call.get(s.ERROR_TYPE), call.get(s.TIME_INFERRED)) == (word, inferred)


# --- the numbers of an answer ----------------------------------------------------------------------------------------------


def chat_of(**fields: Any) -> Span:
    (found,) = of(
        "chat", [start(0), turn(1), said(5, **fields), turn_end(9, None, message=None, usage=Usage()), end(10)]
    )
    return found


def test_when_the_first_token_was_there_is_said_in_seconds() -> None:
    assert chat_of(first_token_ms=250).get(s.FIRST_CHUNK) == 0.25
    assert chat_of(first_token_ms=0, usage=Usage()).get(s.FIRST_CHUNK) == 0.0
    assert chat_of().get(s.FIRST_CHUNK) is None


@pytest.mark.parametrize(
    ("said_of_it", "streamed"),
    [
        ({}, None),
        ({"streamed": True}, True),
        ({"streamed": False}, None),
        ({"first_token_ms": 3}, True),
        ({"first_token_ms": 3, "streamed": False}, None),
    ],
)
def test_an_answer_was_streamed_only_where_the_source_says_so(
    said_of_it: dict[str, Any], streamed: bool | None
) -> None:
    assert chat_of(**said_of_it).get(s.REQUEST_STREAM) is streamed
    assert side_of([start(0), side(**said_of_it), end(9)]).get(s.REQUEST_STREAM) is streamed


def test_counts_of_an_answer_left_early_are_partial_and_none_are_no_zeros() -> None:
    chat = chat_of(usage=Usage(5, 1, partial=True))
    assert (chat.get(s.USAGE_PARTIAL), chat.get(s.USAGE_INPUT)) == (True, 5)
    chat = chat_of(usage=Usage(partial=True))
    assert (chat.get(s.USAGE_PARTIAL), chat.get(s.USAGE_INPUT)) == (True, None)


@pytest.mark.parametrize(("cached", "given"), [("in", 100), ("out", 130), (UNSET, 100)])
def test_whether_cached_tokens_are_part_of_the_input_the_usage_says_before_the_provider(
    cached: Any, given: int
) -> None:
    for provider in ("openai", "anthropic"):
        chat = chat_of(usage=Usage(100, 20, cache_read=30, cached=cached), provider=provider)
        expected = 130 if provider == "anthropic" and cached is UNSET else given
        assert chat.get(s.USAGE_INPUT) == expected
