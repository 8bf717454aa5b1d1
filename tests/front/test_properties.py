"""Any nesting and interleaving of loops, calls and tools, over contexts, threads and tasks, gives a trace that holds the laws.

A program is a list of steps. Each is made in one of three contexts, as three tasks would make theirs between each other's; a
step opens something, on what is current or on anything that was opened before, or ends anything, in any order, from any
context, well or with an exception; or begins a context anew as a copy of another one, as a task begins.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otel_phi
from otel_phi.events import AgentEnd, AgentStart
from otel_phi.front.loops import loop_of
from tests.front.answers import CHAT, CHUNKS, STREAMED
from tests.front.told import Told
from tests.laws import role

SESSIONS = ["a", "b", "0f8b7c1e-2d4a-4c59-9e1b-6a7d3f2c8b10", None]
ERRORS: list[BaseException | None] = [None, None, None, ValueError(), asyncio.CancelledError(), GeneratorExit()]
PIECES: list[Any] = [CHAT, CHUNKS[1], CHUNKS[-1], STREAMED[0], STREAMED[5], None]

step = st.tuples(
    st.sampled_from(["loop", "loop", "call", "call", "tool", "tool", "child", "beside", "response", "fail", "end", "end", "end", "copy"]),
    st.integers(0, 2),  # the context
    st.integers(0, 99),  # which of the things opened before
    st.integers(0, 99),  # whatever else is to be chosen
)  # fmt: skip
programs = st.lists(step, max_size=40)


class Machine:
    """Runs a program."""

    def __init__(self) -> None:
        self.contexts = [contextvars.Context() for _ in range(3)]
        self.open: list[Any] = []
        self.loops: dict[str, str | None] = {}  # id -> that of the loop it was begun in
        self.begun = {"chat": 0, "tool": 0}

    def run(self, program: list[tuple[str, int, int, int]]) -> None:
        for what, context, which, choice in program:
            if what == "copy":
                self.contexts[context] = self.contexts[choice % 3].copy()
            else:
                self.contexts[context].run(self.step, what, which, choice)

    def step(self, what: str, which: int, choice: int) -> None:
        chosen = self.open[which % len(self.open)] if self.open else None
        match what:
            case "loop":
                self.enter(otel_phi.loop(SESSIONS[choice % 4], model="m", agent="x" if choice % 3 else None))
            case "call":
                self.enter(otel_phi.current_loop().model_call())
            case "tool":
                self.enter(otel_phi.current_loop().tool("t", ["c1", "c2", None][choice % 3]))
            case "child" if isinstance(chosen, otel_phi.Loop | otel_phi.Tool):
                self.enter(chosen.start_loop(SESSIONS[choice % 4]))
            case "beside" if isinstance(chosen, otel_phi.Loop):
                self.enter(chosen.model_call() if choice % 2 else chosen.tool("u"))
            case "response" if isinstance(chosen, otel_phi.ModelCall):
                chosen.response(PIECES[choice % len(PIECES)])
            case "fail" if chosen is not None:
                chosen.fail("broken")
            case "end" if chosen is not None:
                self.open.remove(chosen)
                self.leave(chosen, ERRORS[choice % len(ERRORS)])

    def enter(self, scope: Any) -> None:
        if isinstance(scope, otel_phi.Loop) and scope.id:
            self.loops[scope.id] = None if scope.outer is None else loop_of(scope.outer).id
        scope.__enter__()
        self.begun["chat"] += isinstance(scope, otel_phi.ModelCall) and scope.began_ns > 0
        self.begun["tool"] += isinstance(scope, otel_phi.Tool) and not scope.ended
        self.open.append(scope)

    def leave(self, scope: Any, error: BaseException | None) -> None:
        scope.__exit__(None if error is None else type(error), error, None)

    def leave_all(self) -> None:
        for scope in reversed(self.open):
            self.contexts[0].run(self.leave, scope, None)
        self.open.clear()


def loops_told(told: Told) -> tuple[int, int]:
    return sum(isinstance(one, AgentStart) for one in told), sum(isinstance(one, AgentEnd) for one in told)


@given(program=programs)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_program_gives_a_trace_that_holds_the_laws(program: list[tuple[str, int, int, int]], told: Told) -> None:
    told.clear()
    machine = Machine()
    machine.run(program)
    machine.leave_all()
    assert told.broken() == []
    assert loops_told(told) == (len(machine.loops), len(machine.loops))
    found = [role(span) for span in told.spans]
    assert {kind: found.count(kind) for kind in ("chat", "tool")} == machine.begun
    loops = {
        str(span.get("phi.loop.id")): span.get("phi.loop.parent_id") for span in told.spans if role(span) == "loop"
    }
    assert loops == machine.loops
    assert {span.get("phi.loop.status") for span in told.spans if role(span) == "loop"} <= {
        "completed",
        "error",
        "cancelled",
    }


@given(program=programs)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_a_program_leaves_open_is_ended_when_it_is_garbage(
    program: list[tuple[str, int, int, int]], told: Told
) -> None:
    told.clear()
    machine = Machine()
    machine.run(program)
    loops = len(machine.loops)
    del machine
    gc.collect()
    assert loops_told(told) == (loops, loops)
    assert told.broken() == []


def together(work: list[Callable[[], None]]) -> None:
    """Runs functions in threads that begin at once."""
    barrier = threading.Barrier(len(work))
    failed: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        barrier.wait()
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # told to the test
            failed.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@given(programs=st.lists(programs, min_size=2, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_programs_in_threads_that_share_a_loop_hold_the_laws(
    programs: list[list[tuple[str, int, int, int]]], told: Told
) -> None:
    told.clear()
    shared = otel_phi.loop(session="shared")
    with shared:
        machines = [Machine() for _ in programs]
        for machine in machines:
            machine.open.append(shared)

        def work(machine: Machine, program: list[tuple[str, int, int, int]]) -> Callable[[], None]:
            def run() -> None:
                # The shared loop is the test's to end; everything else is done to it, by all at once.
                machine.run([one for one in program if one[0] not in ("end", "fail")])
                machine.open.remove(shared)
                machine.leave_all()

            return run

        together([work(machine, program) for machine, program in zip(machines, programs, strict=True)])
    assert told.broken() == []
    total = 1 + sum(len(machine.loops) for machine in machines)
    assert loops_told(told) == (total, total)


def test_many_tools_and_calls_in_threads_are_each_told_once(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:

        def work() -> None:
            for _ in range(50):
                with loop.tool("t"), loop.start_loop(agent="sub") as sub, sub.model_call():
                    pass
                with loop.model_call():
                    pass

        together([work] * 4)
    assert len(told.tools) == 200
    assert told.broken() == []
    chats = [span for span in told.spans if role(span) == "chat"]
    assert len(chats) == 400
