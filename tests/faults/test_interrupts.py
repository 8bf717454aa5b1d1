"""Interrupts at any instruction of ours: the exception is the agent's, what was recorded leaves once, the hook works on."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

import otel_phi
from otel_phi.events import AgentEvent
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import arrived, as_bytes, as_dict, expected, loop_of

SOAK = bool(os.environ.get("OTEL_PHI_SOAK"))
# Everything beneath a call is interrupted, the standard library's locks among it, but for the threads' own making.
NOT_TRACED = {__file__}
# A call is interrupted at each so-many-th instruction; the first is drawn anew for each exception.
EVERY = 1 if SOAK else 7
ENOUGH = 2_000 if SOAK else 100  # interrupts by signals


class Interrupt(BaseException):
    """Raised by a signal's handler."""


class Alarm(Exception):  # noqa: N818  # it names what happened
    """Likewise, and an Exception."""


ERRORS = [Interrupt, Alarm, TimeoutError, ValueError, MemoryError, RecursionError, KeyboardInterrupt]


def interrupted_at(instruction: int, act: Callable[[], object], error: type[BaseException]) -> bool:
    """Raises at the so-many-th instruction of ours, as a signal's handler would; False if there are fewer."""
    left = [instruction]

    def handler() -> None:
        raise error("the agent's own")

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename in NOT_TRACED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                handler()
        return trace

    before = sys.gettrace()
    gc.disable()  # a callback of the collector, Hypothesis's say, is nobody's call: what is raised there goes to nobody
    sys.settrace(trace)
    try:
        act()
    except error as raised:
        return str(raised) == "the agent's own"
    finally:
        sys.settrace(before)
        gc.enable()
    assert left[0] > 0, "the agent's own exception was swallowed"
    return False


FORMS: dict[str, Callable[[AgentEvent], Any]] = {"event": lambda event: event, "bytes": as_bytes, "dict": as_dict}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("error", ERRORS)
def test_an_interrupt_at_any_instruction_of_a_call(
    error: type[BaseException], form: str, install: Install, receiver: Receiver
) -> None:
    """Of the event that opens a loop, which asks for the caller and wakes the live thread, and of the one that ends it."""
    hook = install()
    told = Told(hook, form)
    for which in (0, -1):
        instruction = random.Random(f"{error} {form} {which}").randrange(EVERY) + 1
        while told.loop(instruction, which, error):
            instruction += EVERY
        assert instruction > 100, "the interrupts reached the call"
    told.check(receiver)


class Told:
    """Gives loops of two events, one of which is interrupted, and knows what must have arrived."""

    def __init__(self, hook: otel_phi.Hook, form: str) -> None:
        self.hook = hook
        self.form = FORMS[form]
        self.whole: list[str] = []
        self.cut: list[str] = []

    def loop(self, instruction: int, which: int, error: type[BaseException]) -> bool:
        """Interrupts the first event of a loop, or its last; the agent tries that again."""
        name = f"{which} {instruction}"
        events = [self.form(event) for event in loop_of(name, turns=0)]
        cut = False
        for number, event in enumerate(events):
            if number == which % len(events):
                cut = interrupted_at(instruction, lambda event=event: self.hook(event), error)  # type: ignore[misc]  # a default binds
                if cut:
                    self.hook(event)
            else:
                self.hook(event)
        (self.cut if cut else self.whole).append(name)
        return cut

    def check(self, receiver: Receiver) -> None:
        assert self.hook.flush(30.0)
        wanted = expected(*(loop_of(name, turns=0) for name in (*self.whole, *self.cut)))
        assert arrived(receiver) == wanted, "what was given twice is a repeated start or end: known, and ignored"
        stats = self.hook.stats()
        assert (stats.failed, stats.lost, stats.undecodable, stats.troubles) == (0, {}, 0, {})
        assert stats.balanced()


@pytest.mark.parametrize("error", [Interrupt, Alarm])
def test_an_interrupt_at_any_instruction_of_a_flush_or_of_the_counts(
    error: type[BaseException], install: Install, receiver: Receiver
) -> None:
    hook = install()
    story = loop_of("one")
    for event in story[:-1]:
        hook(event)
    for act in (lambda: hook.flush(20.0), hook.stats):
        instruction = 1
        while interrupted_at(instruction, act, error):
            instruction += EVERY
        assert instruction > 50
    hook(story[-1])
    assert hook.flush(20.0)
    assert arrived(receiver) == expected(story)
    assert hook.stats().balanced()


@pytest.mark.parametrize("step", range(0, 600, 1 if SOAK else 97))
def test_a_shutdown_that_is_interrupted_can_be_repeated_and_delivers(
    step: int, install: Install, receiver: Receiver
) -> None:
    hook = install()
    for event in loop_of("one"):
        hook(event)
    interrupted_at(step + 1, lambda: hook.shutdown(20.0), Interrupt)
    assert hook.shutdown(20.0)
    assert arrived(receiver) == expected(loop_of("one"))
    hook(loop_of("two")[0])
    assert hook.stats().lost == {"after_shutdown": 1}


@pytest.mark.parametrize("step", range(0, 4_000, 53 if SOAK else 797))
def test_an_install_that_is_interrupted_can_be_repeated(step: int, install: Install, receiver: Receiver) -> None:
    interrupted_at(step + 1, install, Interrupt)
    hook = install()
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(20.0)
    assert arrived(receiver) == expected(loop_of("one"))


# --- by signals ------------------------------------------------------------------------------------------------------------


@contextmanager
def alarms(error: type[BaseException]) -> Iterator[None]:
    """Has SIGALRM raise; none comes after it."""

    def interrupt(*_: object) -> None:
        raise error("the agent's own")

    before = signal.signal(signal.SIGALRM, interrupt)
    # A collection runs callbacks and finalizers of anybody's between two instructions: what is raised there Python swallows.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def came(error: type[BaseException], seconds: float, act: Callable[[], None]) -> bool:
    """Says whether an alarm came while something was done."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        act()
        signal.setitimer(signal.ITIMER_REAL, 0)
        for _ in range(3):
            pass  # one that is pending comes now
    except error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return True
    return False


@pytest.mark.parametrize("error", [Interrupt, Alarm, TimeoutError, MemoryError])
def test_signals_at_random_moments(error: type[BaseException], install: Install, receiver: Receiver) -> None:
    """What returned is there once; what was cut short is there as far as it came, and nothing twice."""
    hook = install()
    whole, cut = list[str](), list[str]()
    draw = random.Random(error.__name__)
    with alarms(error):
        while len(cut) < ENOUGH:
            name = f"loop {len(whole) + len(cut)}"
            events = loop_of(name, turns=1)
            hit = came(error, draw.uniform(1e-6, 5e-4), lambda events=events: give(hook, events))  # type: ignore[misc]  # a default binds
            (cut if hit else whole).append(name)
    assert hook.flush(30.0)
    found = arrived(receiver)
    assert expected(*(loop_of(name, turns=1) for name in whole)) - found == Counter()
    assert set(found.values()) == {1}
    assert (hook.stats().failed, hook.stats().lost, hook.stats().undecodable) == (0, {}, 0)


def give(hook: otel_phi.Hook, events: list[AgentEvent]) -> None:
    for event in events:
        hook(event)
