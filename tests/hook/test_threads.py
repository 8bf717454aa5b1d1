"""Many threads, tasks and interruptions: nothing lost, none twice, in order, and nobody waits."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_phi.events import AgentEvent
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.waiting import until
from tests.streams import SESSION, start, tool

STORY = loop_of("one")


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def interleaved(streams: list[list[AgentEvent]], seed: int) -> Iterator[AgentEvent]:
    """Yields the events of several loops in one order of many, each loop's own kept."""
    left = [list(reversed(stream)) for stream in streams]
    choice = random.Random(seed)
    while left := [stream for stream in left if stream]:
        yield choice.choice(left).pop()


def test_eight_threads_with_interleaved_loops_lose_nothing_and_send_nothing_twice(
    install: Install, receiver: Receiver
) -> None:
    hook = install()
    streams = {n: [loop_of(f"{n}-{loop}", turns=3) for loop in range(12)] for n in range(8)}

    def agent(number: int) -> None:
        for event in interleaved(streams[number], number):
            hook(event)

    run([threading.Thread(target=agent, args=(number,)) for number in streams])
    assert hook.flush(10.0)
    assert arrived(receiver) == expected(*(stream for found in streams.values() for stream in found))
    stats = hook.stats()
    assert stats.balanced()
    assert stats.recorded == stats.events == sum(len(stream) for found in streams.values() for stream in found)


def test_a_hundred_tasks_do_neither(install: Install, receiver: Receiver) -> None:
    hook = install()
    streams = [loop_of(f"task-{number}") for number in range(100)]

    async def agent(events: list[AgentEvent]) -> None:
        for event in events:
            hook(event)
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*map(agent, streams))

    asyncio.run(all_of_them())
    assert hook.flush(10.0)
    assert arrived(receiver) == expected(*streams)


def test_loops_of_one_session_in_several_threads_have_one_root(install: Install, receiver: Receiver) -> None:
    hook = install()
    streams = [loop_of("shared", number, first_ms=number) for number in range(8)]
    hook(streams[0][0])  # the session's root has this start, whoever comes next

    def agent(events: list[AgentEvent]) -> None:
        for event in events:
            hook(event)

    run([threading.Thread(target=agent, args=(stream,)) for stream in streams])
    assert hook.flush(10.0)
    assert arrived(receiver) == expected([event for stream in streams for event in stream])


# --- nobody waits --------------------------------------------------------------------------------------------------------


class Slow(Mapping[str, Any]):
    """A mapping whose reader waits until it is let go."""

    def __init__(self) -> None:
        self.read, self.go = threading.Event(), threading.Event()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self.read.set()
        assert self.go.wait(60)
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_thread_that_is_held_up_in_the_hook_holds_up_nobody_else(install: Install, receiver: Receiver) -> None:
    hook = install()
    slow = Slow()
    thread = threading.Thread(target=hook, args=(slow,))
    thread.start()
    assert slow.read.wait(30)
    try:
        for event in STORY:
            hook(event)
        assert hook.flush(10.0)
        assert arrived(receiver) == expected(STORY)
        assert hook.stats().balanced()
    finally:
        slow.go.set()
        thread.join()
    assert hook.stats().undecodable == 1


def test_a_collector_that_does_not_answer_holds_up_nobody_and_what_happened_is_known(
    install: Install, receiver: Receiver
) -> None:
    """The live thread maps ahead of what is under way."""
    receiver.answer(times=10_000, delay_s=60.0, status=503)
    hook = install(timeout_s=60)
    begin = time.thread_time()
    for number in range(50):
        for event in loop_of(f"loop {number}")[:-1]:
            hook(event)
    assert time.thread_time() - begin < 1.0
    until(lambda: hook.stats().open_loops == 50)
    assert hook.stats().delivery.acknowledged == 0
    receiver.forget_script()


def test_a_signal_handler_that_calls_the_hook_while_it_records_is_not_stuck(
    install: Install, receiver: Receiver
) -> None:
    """At random moments of a call, many times."""
    hook = install()
    inside = itertools.count()
    names = [f"outside {number}" for number in range(100)]

    def record(*_: object) -> None:
        for event in loop_of(f"inside {next(inside)}", turns=1):
            hook(event)

    before = signal.signal(signal.SIGALRM, record)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for name in names:
            for event in loop_of(name):
                hook(event)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hook.flush(30.0)
    came = next(inside)
    assert came > 0
    within = (loop_of(f"inside {number}", turns=1) for number in range(came))
    assert arrived(receiver) == expected(*map(loop_of, names), *within)


# --- much at once --------------------------------------------------------------------------------------------------------


def test_a_burst_of_many_threads_loses_nothing(install: Install, receiver: Receiver) -> None:
    hook = install()
    names = [f"burst-{number}" for number in range(8 * 100)]

    def agent(mine: list[str]) -> None:
        for name in mine:
            for event in loop_of(name):
                hook(event)

    threads = [threading.Thread(target=agent, args=(names[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hook.flush(60.0)
    stats = hook.stats()
    assert (stats.lost, stats.open_loops, stats.ignored) == ({}, 0, {})
    assert len(receiver.spans) == len(names) * 8
    assert len({(span.trace_id, span.span_id) for span in receiver.spans}) == len(names) * 8


def test_what_finds_no_file_and_memory_full_is_counted_and_costs_no_other(
    install: Install, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder can be made, the collector does not answer, and an agent goes on for longer than memory lasts."""
    (tmp_path / "no folder").write_text("a file")
    monkeypatch.setattr("otel_phi.hook.journal_export.AHEAD_BYTES", 100_000)
    receiver.answer(times=10_000, delay_s=60.0, status=503)
    hook = install(state_dir=tmp_path / "no folder", timeout_s=60)
    for number in range(2_000):
        hook(start(0, f"{SESSION}.agent.{number}"))
        hook(tool("x" * 30_000, "bash", f"{SESSION}.agent.{number}"))  # an id is kept whole
    stats = hook.stats()
    assert "no folder" in stats.delivery.in_memory
    assert stats.balanced()
    assert stats.lost["memory full"] + stats.recorded == stats.events == 4_000
    assert stats.lost["memory full"] > 0
