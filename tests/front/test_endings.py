"""How a loop ends: a crash, a cancellation, a hang-up, in each place: red with the right word, and the exception goes on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

import otel_phi
from otel_phi.events import AgentEnd, MessageEnd, SideCall
from tests.front.told import Told

PLACES = ("loop", "call", "tool", "between")


def agent(place: str, error: BaseException | None) -> None:
    """Runs a loop with a call and a tool, and raises in one place."""

    def here(name: str) -> None:
        if name == place and error is not None:
            raise error

    with otel_phi.loop(session="s") as loop:
        here("loop")
        with loop.model_call():
            here("call")
        with loop.tool("weather", "c1"):
            here("tool")
        here("between")


class ToolBrokeError(Exception):
    pass


class trio_Cancelled(BaseException):  # noqa: N801
    pass


trio_Cancelled.__name__ = "Cancelled"

CANCELLATIONS: list[BaseException] = [
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
    KeyboardInterrupt(),
    GeneratorExit(),
    trio_Cancelled(),
    SystemExit(0),
    SystemExit(None),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_crash_is_the_error_of_what_it_left_and_goes_on(place: str, told: Told) -> None:
    error = ToolBrokeError("a secret")
    with pytest.raises(ToolBrokeError) as caught:
        agent(place, error)
    assert caught.value is error
    red = {
        "loop": {},
        "call": {"chat": "ToolBrokeError", "turn": "ToolBrokeError"},
        "tool": {"tool weather": "ToolBrokeError"},
        "between": {},
    }[place]
    assert told.errors() == {"loop": "ToolBrokeError", **red}
    assert "secret" not in repr(told)
    assert told.broken() == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", CANCELLATIONS, ids=lambda error: type(error).__name__)
def test_a_cancellation_is_cancelled_in_each_place(place: str, error: BaseException, told: Told) -> None:
    with pytest.raises(type(error)):
        agent(place, error)
    red = {
        "loop": {},
        "call": {"chat": "cancelled", "turn": "cancelled"},
        "tool": {"tool weather": "cancelled"},
        "between": {},
    }[place]
    assert told.errors() == {"loop": "cancelled", **red}
    assert told.broken() == []


def test_an_exit_with_a_code_is_an_error(told: Told) -> None:
    with pytest.raises(SystemExit):
        agent("loop", SystemExit(3))
    assert told.errors() == {"loop": "SystemExit"}


def test_what_goes_well_is_not_red(told: Told) -> None:
    agent("nowhere", None)
    assert told.errors() == {}
    assert told.one(AgentEnd).outcome == "ok"


def test_a_failure_that_the_agent_survives_is_red_alone(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with contextlib.suppress(ValueError), loop.model_call():
            raise ValueError
        with contextlib.suppress(KeyError), loop.tool("weather"):
            raise KeyError
        with loop.model_call():
            pass
        with contextlib.suppress(OSError), loop.tool("weather"):
            raise OSError
    assert [span.get("error.type") for span in told.spans if span.name.startswith("invoke_agent")] == [None]
    assert {"chat": "ValueError", "turn": "ValueError"}.items() <= told.errors().items()
    assert [tool.error_type for tool in told.tools] == ["KeyError", "OSError"]
    assert told.broken() == []


def test_what_fails_without_an_exception_can_say_so(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with loop.model_call() as call:
            call.fail("rate_limited")
        with loop.tool("weather") as tool:
            tool.fail()
        loop.fail("execution_limit")
    assert told.errors() == {
        "chat": "rate_limited",
        "turn": "rate_limited",
        "tool weather": "tool_error",
        "loop": "execution_limit",
    }


def test_an_exception_says_more_than_fail(told: Told) -> None:
    with contextlib.suppress(ValueError), otel_phi.loop(session="s") as loop:
        loop.fail("execution_limit")
        raise ValueError
    assert told.errors() == {"loop": "ValueError"}


@pytest.mark.parametrize("where", ["before", "call", "tool"])
def test_a_cancelled_task_is_cancelled_where_it_was(where: str, told: Told) -> None:
    async def work() -> None:
        async with otel_phi.loop(session="s") as loop:
            if where == "before":
                await asyncio.sleep(30)
            async with loop.model_call():
                if where == "call":
                    await asyncio.sleep(30)
            async with loop.tool("weather"):
                await asyncio.sleep(30)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    red = {"before": {}, "call": {"chat": "cancelled", "turn": "cancelled"}, "tool": {"tool weather": "cancelled"}}[
        where
    ]
    assert told.errors() == {"loop": "cancelled", **red}


def test_a_timeout_is_cancelled_inside_and_a_timeout_outside(told: Told) -> None:
    async def main() -> None:
        async with otel_phi.loop(session="s") as loop:
            await asyncio.wait_for(slow(loop), 0.001)

    async def slow(loop: otel_phi.Loop) -> None:
        async with loop.tool("slow"):
            await asyncio.sleep(30)

    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        asyncio.run(main())
    assert told.errors() == {"tool slow": "cancelled", "loop": "TimeoutError"}


def streaming() -> Iterator[int]:
    with otel_phi.loop(session="s") as loop, loop.model_call() as call:
        for number in range(9):
            call.response({"choices": [{"delta": {"content": str(number)}}]})
            yield number


def closed(work: Generator[int]) -> None:
    work.close()


def dropped(work: Generator[int]) -> None:
    del work


@pytest.mark.parametrize("left", [closed, dropped])
def test_a_stream_whose_reader_hangs_up_is_cancelled_and_partial(left: Callable[[Any], None], told: Told) -> None:
    def consumer() -> None:
        work = streaming()
        next(work)
        left(work)

    consumer()
    gc.collect()
    _nothing_is_current()
    assert told.errors() == {"chat": "cancelled", "turn": "cancelled", "loop": "cancelled"}
    assert told.answers[0].usage.partial is True


def _nothing_is_current() -> None:
    """A plain generator's `with` is current for its reader too, until it is closed; see docs/own-agent.md."""
    assert otel_phi.current_loop().id == ""


def test_a_loop_that_is_garbage_before_it_was_left_is_cancelled(told: Told) -> None:
    import contextvars

    def forgotten() -> None:
        loop = otel_phi.loop(session="s").__enter__()
        loop.model_call().__enter__()
        loop.tool("weather").__enter__()

    contextvars.copy_context().run(forgotten)
    gc.collect()
    assert told.one(AgentEnd).outcome == "cancelled"
    assert told.one(MessageEnd).message.stop_reason == "aborted"
    assert told.broken() == []


def test_what_is_open_when_its_loop_ends_is_ended_with_it_and_says_nothing_later(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        call, tool, beside = loop.model_call(), loop.tool("slow", "c1"), loop.model_call()
        call.__enter__()
        tool.__enter__()
        beside.__enter__()
    ended = len(told)
    tool.__exit__(ValueError, ValueError(), None)
    call.__exit__(None, None, None)
    beside.__exit__(None, None, None)
    assert len(told) == ended
    assert told.tools[0].outcome == "detached"
    assert told.answers[0].stop_reason == "aborted"
    assert told.one(SideCall).stop_reason == "aborted"
    assert told.errors() == {"chat": "aborted", "turn": "aborted"}
    assert told.broken() == []


def test_what_begins_in_a_loop_that_has_ended_is_not_told_and_is_one_hint(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    with otel_phi.loop(session="s") as loop:
        pass
    before = len(told)
    for _ in range(2):
        with loop.model_call() as call:
            call.response({})
        with loop.tool("weather") as tool:
            tool.result(1)
        with loop:
            pass
    assert len(told) == before
    assert len(caplog.records) == 4  # a call, a tool, the loop itself; and a response that is none


def test_a_loop_can_be_entered_twice_and_ends_with_the_outer_one(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        with loop:
            pass
        with loop.model_call():
            pass
    assert told.kinds == "AgentStart TurnStart TurnRequest MessageEnd TurnEnd AgentEnd"
