"""Calls and tools of a loop as turns: what closes one, what stands beside it, what outlives it."""

from __future__ import annotations

import pytest

import otel_phi
from otel_phi.events import AgentStart, SideCall, ToolExecutionStart, TurnRequest, TurnStart
from tests.front.told import Told

ANSWER = {
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "model": "m-1",
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}


def test_a_call_opens_a_turn_that_lasts_until_the_next_one(told: Told) -> None:
    with otel_phi.loop(session="s", model="m", provider="openai") as loop:
        for _ in range(2):
            with loop.model_call() as call:
                call.response(ANSWER)
            with loop.tool("weather", "c1"):
                pass
    assert told.kinds == (
        "AgentStart TurnStart TurnRequest MessageEnd ToolExecutionStart ToolExecutionEnd "
        "TurnEnd TurnStart TurnRequest MessageEnd ToolExecutionStart ToolExecutionEnd TurnEnd AgentEnd"
    )
    starts = [event for event in told if isinstance(event, TurnStart)]
    assert [(start.turn_index, start.triggered_by) for start in starts] == [(0, "User"), (1, "Continuation")]
    assert told.broken() == []


def test_the_model_is_the_calls_own_or_the_loops(told: Told) -> None:
    with otel_phi.loop(session="s", model="big", provider="openai") as loop:
        with loop.model_call():
            pass
        with loop.model_call("small", "anthropic"):
            pass
    asked = [event.payload for event in told if isinstance(event, TurnRequest)]
    assert [payload.model_id for payload in asked if payload] == ["big", "small"]
    assert [answer.provider for answer in told.answers] == ["openai", "anthropic"]
    assert told.one(AgentStart).config_snapshot.model == "big"


def test_a_tool_before_any_call_has_a_turn_of_its_own(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with loop.tool("retrieve"):
            pass
        with loop.model_call():
            pass
    assert told.errors() == {}
    assert [span.name for span in told.spans].count("turn") == 2
    assert told.broken() == []


def test_a_call_beside_another_stands_beside_the_turns_and_counts(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with loop.model_call("big") as call, loop.model_call("small") as beside:
            call.response(ANSWER)
            beside.response(ANSWER)
        with loop.model_call():
            pass
    side = told.one(SideCall)
    assert (side.model, side.usage.input, side.loop_id) == ("m-1", 7, loop.id)
    (span,) = [span for span in told.spans if span.name.startswith("invoke_agent")]
    assert (span.get("phi.usage.input_tokens"), span.get("phi.loop.turn_count")) == (14, 2)
    assert told.broken() == []


def test_a_tool_still_running_when_its_turn_is_over_is_detached(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with loop.model_call():
            pass
        with loop.tool("background", "c1"):
            with loop.model_call():
                pass
            with otel_phi.loop(agent="sub"):
                pass
    (tool,) = told.tools
    assert (tool.outcome, tool.is_error) == ("detached", False)
    assert told.errors() == {}
    assert told.broken() == []


def test_the_times_of_tools_are_their_own(told: Told) -> None:
    with otel_phi.loop(session="s") as loop, loop.tool("weather"):
        pass
    began, ended = told.one(ToolExecutionStart).timestamp, told.tools[0].timestamp
    (span,) = [span for span in told.spans if span.name == "execute_tool weather"]
    assert (span.start_ns, span.end_ns) == (began, max(ended, began + 1))
    assert span.get("phi.time.inferred") is None


def test_calls_without_an_id_get_one_each(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        for _ in range(2):
            with loop.tool("weather"):
                pass
    assert len({tool.tool_call_id for tool in told.tools}) == 2


def test_one_tool_can_be_entered_again(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        tool = loop.tool("weather", "c1")
        for _ in range(2):
            with tool:
                pass
    assert len(told.tools) == 2
    assert told.broken() == []


def test_a_call_outside_any_loop_is_a_loop_of_one_turn(told: Told) -> None:
    with otel_phi.model_call("m", "openai", session="s", agent="title") as call:
        call.response(ANSWER)
    assert told.kinds == "AgentStart TurnStart TurnRequest MessageEnd TurnEnd AgentEnd"
    assert (told.one(AgentStart).session_id, told.one(AgentStart).agent_name) == ("s", "title")
    with pytest.raises(ValueError, match="x"), otel_phi.model_call("m"):
        raise ValueError("x")
    assert told.errors() == {"chat": "ValueError", "turn": "ValueError", "loop": "ValueError"}


def test_a_call_of_the_current_loop_needs_no_loop_in_hand(told: Told) -> None:
    with otel_phi.loop(session="s", model="m") as loop:
        with otel_phi.model_call():
            pass
        with loop.tool("ask"), otel_phi.model_call("small"):
            pass
    assert {event.loop_id for event in told if isinstance(event, TurnRequest)} == {loop.id}


def test_counts_by_hand(told: Told) -> None:
    with otel_phi.loop(session="s", provider="anthropic") as loop, loop.model_call() as call:
        call.usage(input=10, output=2, cache_read=4, reasoning=1, model="m-2", stop_reason="length")
        call.usage(output=3)
    (answer,) = told.answers
    assert (answer.usage.input, answer.usage.output, answer.usage.cached) == (10, 3, "in")
    assert (answer.model, answer.stop_reason) == ("m-2", "length")
    (chat,) = [span for span in told.spans if span.name.startswith("chat")]
    assert chat.get("gen_ai.usage.input_tokens") == 10
