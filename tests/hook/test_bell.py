"""The bell: while events flow nobody is woken; who sleeps is, and misses nothing."""

from __future__ import annotations

import threading
import time

import pytest

from otel_phi.hook import bell
from otel_phi.hook.bell import LINGER_S, LOOK_S, Bell
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.waiting import until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Gives the bell's time, to be set."""
    now = [100.0]
    monkeypatch.setattr(bell, "monotonic", lambda: now[0])
    return now


def never() -> bool:
    raise AssertionError("nobody looks twice while events flow")


def test_while_events_flow_nobody_has_to_ring(clock: list[float]) -> None:
    one = Bell()
    one.ring()  # as the first event does
    one.wait(60.0)
    one.flowing()
    clock[0] += LINGER_S / 2
    one.sleep(0.0, never)
    assert not one.asleep


def test_when_nothing_came_for_a_while_it_sleeps_and_is_to_be_woken(clock: list[float]) -> None:
    one, seen = Bell(), []

    def look() -> bool:
        seen.append(one.asleep)
        return True

    one.flowing()
    clock[0] += LINGER_S
    one.sleep(60.0, look)  # would wait for a minute if it did not look first
    assert seen == [True]
    assert not one.asleep


def test_a_ring_wakes_the_sleeper() -> None:
    one = Bell()
    sleeper = threading.Thread(target=one.sleep, args=(60.0, lambda: False))
    sleeper.start()
    one.ring()
    sleeper.join(30.0)
    assert not sleeper.is_alive()
    assert not one.asleep


def test_what_is_told_to_a_hook_that_has_rested_leaves_without_a_flush(install: Install, receiver: Receiver) -> None:
    hook, events = install(), loop_of("one")
    hook(events[0])
    until(lambda: bool(receiver.spans))
    time.sleep(LINGER_S + 4 * LOOK_S)
    for event in events[1:]:
        hook(event)
    until(lambda: arrived(receiver) == expected(events))
