"""Many threads, tasks and interruptions: nothing lost, none twice, in order, and nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import otel_phi
from otel_phi.events import AgentEvent
from otel_phi.hook import backlog
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.streams import start

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


# --- the backlog ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(hook: otel_phi.Hook) -> Iterator[None]:
    """Holds the hook's lock, as a thread does that records."""
    with hook._lock:
        yield


def test_an_event_waits_5_ms_for_another_thread_and_then_follows_from_the_backlog_in_order(
    install: Install, receiver: Receiver
) -> None:
    hook = install()
    with held(hook):
        begin = time.perf_counter()
        hook(STORY[0])
        waited = time.perf_counter() - begin
        begin = time.perf_counter()
        for event in STORY[1:-1]:
            hook(event)  # behind the first, without a wait of their own
        rest = time.perf_counter() - begin
        assert (len(hook._backlog), receiver.requests) == (len(STORY) - 1, [])
    assert 0.004 <= waited < 0.1
    assert rest < 0.1
    hook(STORY[-1])
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    stats = hook.stats()
    assert (stats.deferred, stats.recorded, stats.waiting) == (len(STORY), len(STORY), 0)


def test_what_is_in_the_backlog_leaves_with_a_flush_too(install: Install, receiver: Receiver) -> None:
    hook = install()
    with held(hook):
        for event in STORY:
            hook(event)
        assert hook.stats().waiting == len(STORY)
        assert hook.stats().balanced()
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)


@pytest.mark.parametrize("bound", ["MAX_EVENTS", "MAX_BYTES"])
def test_past_its_bounds_events_are_not_taken_and_counted(
    bound: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, bound, 3 if bound == "MAX_EVENTS" else 3 * 1024)
    hook = install()
    with held(hook):
        for _ in range(50):
            hook(STORY[0])
    stats = hook.stats()
    assert stats.lost["backlog_full"] + stats.waiting == 50
    assert 0 < stats.waiting <= 6
    assert stats.balanced()


def test_catching_up_takes_5_ms_of_an_events_time_and_the_next_goes_on(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_phi.hook.hook.CATCH_UP_S", 0.0)
    hook = install()
    with held(hook):
        for event in STORY:
            hook(event)
    more = loop_of("two")
    for event in more:
        hook(event)
    assert hook.stats().waiting == len(STORY)  # one in, one out
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY, more)


# --- interruptions -------------------------------------------------------------------------------------------------------


def feed(hook: otel_phi.Hook, events: Iterable[AgentEvent]) -> None:
    for event in events:
        hook(event)


class Interrupt(BaseException):
    """Is raised by a signal handler."""


def test_a_base_exception_passes_and_leaves_the_hook_working(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = install()

    def interrupted(*_: Any) -> None:
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr("otel_phi.hook.recording.RecorderCore.on_event", interrupted)
        with pytest.raises(Interrupt):
            hook(start(0))
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY)
    assert hook.stats().failed == 1


def test_a_signal_handler_that_calls_the_hook_while_it_records_is_not_stuck(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = install()
    inside = loop_of("inside")
    from otel_phi.recorder.core import RecorderCore

    real = RecorderCore.on_event

    def slow(self: RecorderCore, event: AgentEvent, caller: str | None = None) -> Any:
        if event is STORY[2]:
            signal.raise_signal(signal.SIGUSR1)
        return real(self, event, caller)

    before = signal.signal(signal.SIGUSR1, lambda *_: feed(hook, inside))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(RecorderCore, "on_event", slow)
            for event in STORY:
                hook(event)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert hook.flush(5.0)
    assert arrived(receiver) == expected(STORY, inside)
    assert hook.stats().deferred > 0


def test_a_burst_of_many_threads_beyond_the_backlog_loses_nothing(install: Install, receiver: Receiver) -> None:
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
