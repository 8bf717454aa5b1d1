"""The decorators: every kind of function, its signature, its arguments and results."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from typing import Any, cast

import pytest

import otel_phi
from otel_phi.events import AgentStart, ToolExecutionStart
from tests.front.told import Told


@otel_phi.tool
def weather(city: str, *, days: int = 1) -> str:
    """Says how warm it is."""
    return f"{city}: {20 + days}"


@otel_phi.tool(name="search")
async def find(words: list[str]) -> int:
    await asyncio.sleep(0)
    return len(words)


@otel_phi.agent
def plan(goal: str) -> str:
    return weather(goal)


@otel_phi.agent(name="chatter", model="m", provider="openai", session_from="chat_id")
async def chat(text: str, chat_id: str | None = None) -> int:
    return await find([text])


class Kit:
    @otel_phi.tool
    def hammer(self, nail: str) -> str:
        return nail

    @classmethod
    @otel_phi.tool
    def saw(cls, board: str) -> str:
        return board

    @staticmethod
    @otel_phi.tool
    def drill(wall: str) -> str:
        return wall


def test_a_call_is_a_tool_of_the_current_loop_and_a_loop(told: Told) -> None:
    assert plan("Lima") == "Lima: 21"
    assert asyncio.run(chat("hi", "chat-1")) == 1
    assert [(start.agent_name, start.session_id == "chat-1") for start in told if isinstance(start, AgentStart)] == [
        ("plan", False),
        ("chatter", True),
    ]
    assert [tool.tool_name for tool in told.tools] == ["weather", "search"]
    assert told.broken() == []


def test_a_session_argument_may_be_left_out_or_none(told: Told) -> None:
    asyncio.run(chat("hi"))
    asyncio.run(chat("hi", chat_id=None))
    with otel_phi.loop(session="s"):
        asyncio.run(chat("hi"))
    sessions = [event.session_id for event in told if isinstance(event, AgentStart)]
    assert len(set(sessions)) == 3
    assert sessions[2:] == ["s", "s"]


def test_a_tool_outside_any_loop_is_only_called(told: Told) -> None:
    assert weather("Lima") == "Lima: 21"
    assert asyncio.run(find(["a"])) == 1
    assert list(told) == []


def test_what_raises_raises(told: Told) -> None:
    with pytest.raises(TypeError), otel_phi.loop(session="s"):
        cast("Any", weather)("Lima", weeks=1)
    assert [tool.error_type for tool in told.tools] == ["TypeError"]


def test_the_function_keeps_its_name_signature_and_kind() -> None:
    assert (weather.__name__, weather.__doc__) == ("weather", "Says how warm it is.")
    assert str(inspect.signature(weather)) == "(city: 'str', *, days: 'int' = 1) -> 'str'"
    assert inspect.iscoroutinefunction(find)
    assert inspect.iscoroutinefunction(chat)


def test_methods_of_every_kind(with_content: Told) -> None:
    with otel_phi.loop(session="s"):
        assert (Kit().hammer("n"), Kit.saw("b"), Kit.drill("w")) == ("n", "b", "w")
    asked = [json.loads(bytes(event.args)) for event in with_content if isinstance(event, ToolExecutionStart)]
    assert asked == [{"nail": "n"}, {"board": "b"}, {"wall": "w"}]


def test_what_is_no_plain_function_too(told: Told) -> None:
    with otel_phi.loop(session="s"):
        assert otel_phi.tool(functools.partial(weather, "Lima"))() == "Lima: 21"
        assert otel_phi.tool(len)([1]) == 1

        class Called:
            def __call__(self) -> int:
                return 7

        assert otel_phi.tool(Called())() == 7
    assert [tool.tool_name for tool in told.tools] == ["weather", "weather", "len", "Called"]


@pytest.mark.parametrize(
    "what", [classmethod(lambda _: 7), staticmethod(len), 7], ids=["classmethod", "staticmethod", "int"]
)
def test_what_cannot_be_decorated_says_what_to_do(what: Any) -> None:
    with pytest.raises(TypeError, match="cannot be decorated"):
        otel_phi.tool(what)


def test_a_session_parameter_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError, match="has no parameter 'chat'"):
        otel_phi.agent(session_from="chat")(weather)


def test_type_checkers_see_the_decorated_signature() -> None:
    # mypy checks this file in CI: without the parameters, or with an Any for them, a comment below would be unused.
    def wrong() -> None:
        weather(7)  # type: ignore[arg-type]
        weather("Lima", weeks=1)  # type: ignore[call-arg]
        len(plan("x"))
        plan("x").missing  # type: ignore[attr-defined]  # noqa: B018
        len(asyncio.run(chat("hi")))  # type: ignore[arg-type]

    assert callable(wrong)
