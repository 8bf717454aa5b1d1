"""Generators and contexts: what is current for a generator's work is not for its reader, whoever closes it, wherever."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

import otel_phi
from otel_phi.events import AgentEnd, AgentStart
from tests.front.told import Told


@otel_phi.agent(model="m")
def answers(count: int) -> Iterator[int]:
    for number in range(count):
        with otel_phi.model_call():
            assert otel_phi.current_loop().agent == "answers"
            yield number


@otel_phi.agent(model="m")
async def answers_async(count: int) -> AsyncIterator[int]:
    for number in range(count):
        async with otel_phi.model_call():
            await asyncio.sleep(0)
            assert otel_phi.current_loop().agent == "answers_async"
            yield number


@otel_phi.tool
def pages(count: int) -> Iterator[int]:
    got = None
    for number in range(count):
        got = yield (number if got is None else got)


def ends(told: Told) -> list[str]:
    return [str(event.outcome) for event in told if isinstance(event, AgentEnd)]


def test_a_generators_loop_is_not_current_for_its_reader(told: Told) -> None:
    for _ in answers(2):
        assert otel_phi.current_loop().id == ""
    assert ends(told) == ["ok"]
    assert told.broken() == []


def test_two_generators_read_in_turn_are_two_loops_side_by_side(told: Told) -> None:
    assert list(zip(answers(2), answers(2), strict=False)) == [(0, 0), (1, 1)]
    assert [event.parent_loop_id for event in told if isinstance(event, AgentStart)] == [None, None]
    assert sorted(ends(told)) == ["cancelled", "ok"]  # `zip` never asks the second one for its end
    assert told.broken() == []


def test_a_generator_that_its_reader_leaves_is_cancelled(told: Told) -> None:
    for _ in answers(5):
        break
    assert ends(told) == ["cancelled"]
    assert told.broken() == []


def test_what_is_sent_thrown_and_returned_passes_through(told: Told) -> None:
    with otel_phi.loop(session="s"):
        work = pages(3)
        assert (next(work), work.send(7)) == (0, 7)  # type: ignore[attr-defined]
        with pytest.raises(KeyError):
            work.throw(KeyError())  # type: ignore[attr-defined]
    assert [tool.error_type for tool in told.tools] == ["KeyError"]

    @otel_phi.tool
    def handles() -> Generator[int, None, str]:
        try:
            yield 1
        except KeyError:
            yield 2
        return "done"

    def outer() -> Iterator[int]:
        assert (yield from handles()) == "done"

    with otel_phi.loop(session="s"):
        work = outer()
        assert (next(work), work.throw(KeyError())) == (1, 2)  # type: ignore[attr-defined]
        assert list(work) == []
    assert told.broken() == []


def test_an_asynchronous_generators_loop_is_not_current_for_its_reader(told: Told) -> None:
    async def main() -> None:
        async for _ in answers_async(2):
            assert otel_phi.current_loop().id == ""
        one, other = answers_async(2), answers_async(2)
        assert [await anext(one), await anext(other), await anext(one), await anext(other)] == [0, 0, 1, 1]
        await one.aclose()  # type: ignore[attr-defined]
        with pytest.raises(KeyError):
            await other.athrow(KeyError())  # type: ignore[attr-defined]

    asyncio.run(main())
    assert ends(told) == ["ok", "cancelled", "error"]
    assert [event.parent_loop_id for event in told if isinstance(event, AgentStart)] == [None] * 3
    assert told.broken() == []


def test_an_asynchronous_generator_closed_in_another_task_is_cancelled_and_raises_nothing(told: Told) -> None:
    async def main() -> None:
        work = answers_async(5)
        await anext(work)
        await asyncio.create_task(work.aclose())  # type: ignore[attr-defined]
        assert otel_phi.current_loop().id == ""

    asyncio.run(main())
    assert ends(told) == ["cancelled"]
    assert told.broken() == []


def test_a_with_that_is_left_in_another_context_raises_nothing(told: Told) -> None:
    loop = otel_phi.loop(session="s")
    contextvars.copy_context().run(loop.__enter__)
    contextvars.copy_context().run(loop.__exit__, None, None, None)
    assert ends(told) == ["ok"]


def test_loops_left_in_another_order_than_entered_leave_nothing_current(told: Told) -> None:
    one, other = otel_phi.loop(session="one"), otel_phi.loop(session="other")
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert otel_phi.current_loop() is other
    other.__exit__(None, None, None)
    assert otel_phi.current_loop().id == ""
    assert told.broken() == []
