"""The wall clock steps: no span lasts less than nothing, waits stay as long as they were told, nothing is lost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

import otel_phi
from otel_phi.testing import Receiver
from tests.faults.loops import give, once
from tests.hook.conftest import Install
from tests.hook.stories import loop_of
from tests.laws import times

REAL = time.time
HOUR = 3_600.0


def steps() -> Iterator[float]:
    """Returns what the clock says: an hour ahead, an hour behind, 1970, as it is."""
    for step in itertools.cycle((HOUR, -HOUR, None, 0.0)):
        yield 0.5 if step is None else REAL() + step


def step_clock(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock() * 1e9))


def test_clock_steps_with_events_out_of_time_order(
    receiver: Receiver, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock steps at every look, and the events' own times jump back an hour in mid-loop."""
    now = steps()
    step_clock(monkeypatch, lambda: next(now))
    receiver.answer(status=503, headers={"Retry-After": "1"})
    hook = install()
    events = loop_of("one", turns=4)
    back = loop_of("one", turns=4, first_ms=-3_600_000)
    for event in [*events[:10], *back[10:18], *events[18:]]:
        hook(event)
    assert hook.flush(10.0)
    first, second = (request.time_s for request in receiver.requests[:2])
    assert 1.0 <= second - first <= 1.4
    assert len(receiver.spans) == 1 + 1 + 4 * 3
    assert list(times(list(receiver.spans))) == []
    assert hook.stats().delivery.dropped == ()


def test_clock_steps_leave_deadlines_alone(
    receiver: Receiver, open_hook: Callable[..., otel_phi.Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = steps()
    step_clock(monkeypatch, lambda: next(now))
    receiver.answer(delay_s=2.0)
    hook = open_hook(timeout_s=0.5)
    numbers = give(hook, range(1, 101))
    began = time.monotonic()
    assert hook.flush(5.0)
    assert time.monotonic() - began < 2.0
    assert once(receiver) == numbers


@pytest.mark.parametrize("clock", [0.5, REAL() + HOUR], ids=["1970", "an hour ahead"])
def test_a_clock_that_is_set_right_costs_no_span(
    clock: float, receiver: Receiver, open_hook: Callable[..., otel_phi.Hook]
) -> None:
    """A small computer begins in 1970 and learns the time from the network: what it noted before is not 50 years old."""
    receiver.answer(status=503, headers={"Retry-After": "3"})
    with pytest.MonkeyPatch.context() as patch:
        step_clock(patch, lambda: clock)
        hook = open_hook(max_request_bytes=4_000)  # most of them wait, few are under way
        numbers = give(hook, range(1, 401))
        receiver.wait_for_requests(1)
    assert hook.flush(20.0)
    assert once(receiver) == numbers
