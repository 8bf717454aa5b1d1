"""Backoff on a clock of numbers: waits grow, are capped, are as asked, and end."""

from __future__ import annotations

import math

import pytest

from otel_phi.delivery.sending.backoff import LONGEST_WAIT_S, Backoff


def fail(
    backoff: Backoff, now: float, *, started: float | None = None, retry_after_s: float | None = None, mis: bool = False
) -> float:
    """Notes a failure at `now` and returns the wait."""
    backoff.failed(now if started is None else started, now, "down", retry_after_s=retry_after_s, misconfigured=mis)
    return backoff.not_before - now


def steady(**options: float) -> Backoff:
    """Makes one whose jitter is none."""
    return Backoff(**options, chance=lambda: 0.5)


def test_waits_double_up_to_a_cap() -> None:
    backoff, now, waits = steady(give_up_after_s=math.inf), 100.0, []
    for _ in range(11):
        waits.append(round(fail(backoff, now), 6))
        now += waits[-1]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


def test_jitter_is_a_fifth() -> None:
    assert fail(Backoff(60, 60, lambda: 0.0), 0.0) == pytest.approx(0.08)
    assert fail(Backoff(60, 60, lambda: 1.0), 0.0) == pytest.approx(0.12)


def test_a_thousand_failures_overflow_nothing() -> None:
    backoff = steady(give_up_after_s=math.inf)
    for number in range(2000):
        assert fail(backoff, number * 100.0) <= LONGEST_WAIT_S


def test_failures_of_one_moment_count_once() -> None:
    backoff = steady(give_up_after_s=60.0)
    for number in range(4):
        fail(backoff, 10.0 + number / 100, started=9.0)
    assert backoff.not_before == pytest.approx(10.13)


def test_success_ends_the_trouble() -> None:
    backoff = steady(give_up_after_s=60.0)
    fail(backoff, 10.0)
    backoff.succeeded(11.0, 11.5)
    assert backoff.trouble is None
    assert fail(backoff, 20.0) == pytest.approx(0.1)


def test_a_success_that_began_before_the_failure_does_not_shorten_the_wait() -> None:
    backoff = steady(give_up_after_s=60.0)
    fail(backoff, 10.0, retry_after_s=30.0)
    backoff.succeeded(9.0, 10.1)
    assert backoff.trouble == "down"
    assert backoff.not_before == 40.0


def test_it_ends_after_the_time_without_progress_and_tries_a_last_time_right_then() -> None:
    backoff, now = steady(give_up_after_s=10.0), 0.0
    attempts = []
    while not backoff.exhausted(now):
        now += fail(backoff, now)
        attempts.append(now)
        assert len(attempts) < 20
    assert attempts[-1] == 10.0


def test_waits_we_were_asked_for_do_not_count_however_long() -> None:
    backoff = steady(give_up_after_s=10.0)
    assert fail(backoff, 0.0, retry_after_s=86_400.0) == 86_400.0
    assert not backoff.exhausted(86_400.0)
    fail(backoff, 86_400.0)
    assert backoff.exhausted(86_411.0)


def test_four_requests_asked_the_same_wait_count_once() -> None:
    backoff = steady(give_up_after_s=10.0)
    for _ in range(4):
        fail(backoff, 5.0, started=4.0, retry_after_s=30.0)
    assert backoff.not_before == 35.0
    assert backoff.exhausted(45.0)


def test_a_misconfiguration_is_probed_slower_and_given_up_sooner() -> None:
    backoff = steady(give_up_after_s=60.0, misconfigured_give_up_after_s=5.0)
    assert fail(backoff, 0.0, mis=True) == 1.0
    assert fail(backoff, 1.0, mis=True) == 2.0
    assert not backoff.exhausted(4.9)
    assert backoff.exhausted(5.0)


def test_an_infinite_time_never_ends() -> None:
    backoff = steady(give_up_after_s=math.inf, misconfigured_give_up_after_s=math.inf)
    fail(backoff, 0.0)
    assert not backoff.exhausted(1e12)
