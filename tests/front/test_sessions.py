"""Loops and their sessions: the next one, one inside a tool, one inside a loop, in the same session and in another."""

from __future__ import annotations

import asyncio
import uuid

import otel_phi
from otel_phi.events import AgentStart, TurnStart
from tests.front.told import Told


def starts(told: Told) -> list[AgentStart]:
    return [event for event in told if isinstance(event, AgentStart)]


def test_a_session_not_given_is_a_new_uuid(told: Told) -> None:
    for _ in range(2):
        with otel_phi.loop():
            pass
    one, other = (start.session_id for start in starts(told))
    assert uuid.UUID(one) != uuid.UUID(other)


def test_a_session_may_be_a_uuid_or_a_number(told: Told) -> None:
    given = uuid.uuid4()
    with otel_phi.loop(session=given):
        pass
    with otel_phi.loop(session=7):
        pass
    assert [start.session_id for start in starts(told)] == [str(given), "7"]


def test_another_loop_of_the_session_is_its_next_root_loop(told: Told) -> None:
    for _ in range(3):
        with otel_phi.loop(session="s"):
            pass
    assert [start.parent_loop_id for start in starts(told)] == [None] * 3
    root = next(span for span in told.spans if span.name == "invoke_workflow phi.session")
    loops = [span for span in told.spans if span.name.startswith("invoke_agent")]
    assert {span.parent_span_id for span in loops} == {root.span_id}


def test_a_loop_inside_a_tool_of_the_same_session_is_under_the_tool(told: Told) -> None:
    with (
        otel_phi.loop(session="s") as loop,
        loop.tool("ask", "c1"),
        otel_phi.loop(agent="sub") as sub,
        sub.model_call(),
    ):
        pass
    tool = next(span for span in told.spans if span.name == "execute_tool ask")
    inner = next(span for span in told.spans if span.name == "invoke_agent sub")
    assert inner.parent_span_id == tool.span_id
    assert tool.get("phi.child.loop_id") == sub.id
    assert [event.triggered_by for event in told if isinstance(event, TurnStart)] == ["User", "SubAgent"]
    assert told.broken() == []


def test_a_loop_inside_a_tool_of_another_session_is_linked_both_ways(told: Told) -> None:
    with otel_phi.loop(session="chat-1") as loop, loop.tool("ask", "c1"), otel_phi.loop(session="chat-2"):
        pass
    here, there = (
        next(span for span in told.spans if span.name.startswith(name)) for name in ("execute_tool", "invoke_agent")
    )
    roots = {span.trace_id: span for span in told.spans if span.name == "invoke_workflow phi.session"}
    assert len(roots) == 2
    (out,), (back,) = here.links, there.links
    assert (out.span_id, dict(out.attributes)["phi.link.kind"]) == (roots[there.trace_id].span_id, "spawned")
    assert (back.span_id, dict(back.attributes)["phi.link.kind"]) == (roots[here.trace_id].span_id, "spawned_by")
    assert told.broken() == []


def test_a_loop_inside_a_loop_is_a_child_of_it(told: Told) -> None:
    with otel_phi.loop(session="s") as outer:
        with otel_phi.loop() as inner:
            pass
        with otel_phi.loop(session="other") as other:
            pass
    assert [start.parent_loop_id for start in starts(told)] == [None, outer.id, outer.id]
    assert (inner.session, other.session) == ("s", "other")
    assert told.broken() == []


def test_a_thread_without_the_context_uses_the_methods_of_the_loop_and_the_tool(told: Told) -> None:
    import threading

    with otel_phi.loop(session="s") as loop, loop.tool("ask", "c1") as tool:

        def work() -> None:
            assert otel_phi.current_loop().id == ""
            with tool.start_loop(agent="sub") as sub, sub.model_call():
                assert otel_phi.current_loop() is sub
            with loop.start_loop("other", agent="far"):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [start.agent_name for start in starts(told)][1:] == ["sub", "far"]
    assert starts(told)[1].parent_tool_call_id == "c1"
    assert starts(told)[2].parent_session_id == "s"
    assert told.broken() == []


def test_tasks_of_one_loop_and_concurrent_sessions_keep_apart(told: Told) -> None:
    async def session(name: str) -> None:
        async with otel_phi.loop(session=name, agent=name) as loop:
            async with loop.model_call():
                await asyncio.sleep(0)
            await asyncio.gather(*(work(name, number) for number in range(3)))

    async def work(name: str, number: int) -> None:
        loop = otel_phi.current_loop()
        assert loop.session == name
        async with loop.tool("ask", f"c{number}"):
            await asyncio.sleep(0)
            async with otel_phi.loop(agent="sub") as sub, sub.model_call():
                await asyncio.sleep(0)
                assert otel_phi.current_loop() is sub
            assert otel_phi.current_loop() is loop

    async def main() -> None:
        await asyncio.gather(session("s1"), session("s2"), session("s3"))

    asyncio.run(main())
    assert len(starts(told)) == 12
    assert told.errors() == {}
    assert told.broken() == []


def test_a_task_that_outlives_its_loop_finds_nothing_current(told: Told) -> None:
    async def late() -> None:
        await asyncio.sleep(0)
        assert otel_phi.current_loop().id == ""
        async with otel_phi.loop(session="later"):
            pass

    async def main() -> None:
        with otel_phi.loop(session="s"):
            task = asyncio.create_task(late())
        await task

    asyncio.run(main())
    assert starts(told)[1].parent_loop_id is None


def test_what_the_loop_says_of_itself(told: Told) -> None:
    with otel_phi.loop(session="s", agent="planner", attributes={"tenant": "t1", "vip": True}, traceparent="00-1"):
        pass
    assert told.traceparents[0] == "00-1"
    (loop,) = [span for span in told.spans if span.name == "invoke_agent planner"]
    assert (loop.get("gen_ai.agent.name"), loop.get("tenant"), loop.get("vip")) == ("planner", "t1", True)
