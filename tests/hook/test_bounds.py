"""Bounds of the outbox folder: what is over them goes, dead processes' first, then one's own, the oldest first, and is counted."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import otel_phi
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters, keep_within
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.outbox import MAX_BYTES, Outbox
from otel_phi.hook.housekeeping import Limits
from otel_phi.hook.journal_export import JournalExport
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests.faults.agents import rss_mb
from tests.faults.collectors import gone, receiver_at
from tests.faults.loops import LOOP_SCOPE, give, once
from tests.hook.children import alive, hooked, journals, lost, run
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.test_roots import sends
from tests.hook.waiting import until
from tests.laws import role
from tests.streams import end, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and record locks are POSIX's")
SOAK = bool(os.environ.get("OTEL_PHI_SOAK"))
SESSIONS = 1_000_000 if SOAK else 10_000
SEGMENT = 64 << 10
TEXT = "x" * 10_000  # seven loops fill a segment
Bound = Callable[[int], None]


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Bound:
    """Sets the bound of the folder, in segments of 64 kB beside all heads; it is looked at all the time."""
    monkeypatch.setattr("otel_phi.hook.housekeeping.SYNC_S", 0.01)
    monkeypatch.setattr("otel_phi.hook.housekeeping.BOUNDS_S", 0.01)
    create = functools.partial(Journal.create, segment_bytes=SEGMENT)
    monkeypatch.setattr("otel_phi.hook.housekeeping.Journal.create", create)

    def set_bound(segments: int) -> None:
        limits = Limits(bytes=segments * 2 * SEGMENT)  # a journal's head and its next one's file take as much again
        monkeypatch.setattr("otel_phi.hook.live.Limits", lambda: limits)

    return set_bound


def record(hook: otel_phi.Hook, numbers: range) -> None:
    """Records loops, not faster than the live thread takes new segments."""
    for number in numbers:
        give(hook, [number], TEXT)
        until(lambda: hook.stats().waiting == 0)
        time.sleep(0.002)


def dropped(hook: otel_phi.Hook, reason: str = "outbox_full") -> int:
    return dict(hook.stats().delivery.dropped).get(reason, 0)


def size(state: Path) -> int:
    found = 0
    for path in (state / "outbox").rglob("*.*"):
        with contextlib.suppress(FileNotFoundError):  # it went meanwhile
            found += path.stat().st_size
    return found


def settle(hook: otel_phi.Hook, endpoint: str) -> list[int]:
    """Has the collector come back; returns which loops arrive."""
    with receiver_at(endpoint) as receiver:
        assert hook.flush(60.0)
        assert hook.stats().balanced()
        assert hook.shutdown(10.0)
        return once(receiver)


def test_of_one_s_own_the_oldest_go_and_are_counted(install: Install, bound: Bound, tmp_path: Path) -> None:
    bound(4)
    endpoint = gone()
    hook = install(endpoint=endpoint, **LOOP_SCOPE)
    record(hook, range(1, 101))
    until(lambda: dropped(hook) > 0 and size(tmp_path / "state") <= 9 * SEGMENT)
    came = settle(hook, endpoint)
    assert came == list(range(101 - len(came), 101)), "the newest stay"
    assert len(came) >= 7
    assert dropped(hook) == 100 - len(came)


def test_an_hour_of_retry_after_keeps_nothing_over_the_bound(
    install: Install, receiver: Receiver, bound: Bound, tmp_path: Path
) -> None:
    receiver.answer(times=10_000, status=503, headers={"Retry-After": "3600"})
    bound(4)
    hook = install(**LOOP_SCOPE)
    record(hook, range(1, 8))
    until(lambda: hook.stats().delivery.retries > 0)
    record(hook, range(8, 101))
    until(lambda: dropped(hook) > 60 and size(tmp_path / "state") <= 9 * SEGMENT)
    assert (hook.stats().delivery.acknowledged, hook.stats().balanced()) == (0, True)


def test_a_dead_process_s_for_another_collector_count_too_and_go_first(
    install: Install, bound: Bound, tmp_path: Path
) -> None:
    bound(2)
    state, endpoint = tmp_path / "state", gone()
    lost("http://127.0.0.1:9", state, *(loop_of(f"dead {number}", turns=20) for number in range(9)))
    dead = journals(state)
    assert len(dead) == 1
    hook = install(endpoint=endpoint, **LOOP_SCOPE)
    record(hook, range(1, 6))
    until(lambda: dropped(hook) > 0)
    until(lambda: not dead[0].parent.exists())
    assert dropped(hook) == 9 * (2 + 3 * 20), "as a whole"
    assert settle(hook, endpoint) == [1, 2, 3, 4, 5]


def test_what_goes_of_an_adopted_journal_costs_nothing_of_one_s_own(
    install: Install, bound: Bound, tmp_path: Path
) -> None:
    state, endpoint = tmp_path / "state", gone()
    bound(1_000)

    def dies() -> None:
        record(hooked(endpoint, state, **LOOP_SCOPE), range(1, 31))

    run(dies)
    assert len(journals(state)) > 2
    bound(3)
    hook = install(endpoint=endpoint, **LOOP_SCOPE)
    record(hook, range(101, 106))
    until(lambda: hook.stats().delivery.adopted > 0 and dropped(hook) > 0)
    came = settle(hook, endpoint)
    assert came[-5:] == [101, 102, 103, 104, 105]
    assert came[:-5] == list(range(36 - len(came), 31)), "of the dead process's too the newest stay"
    assert dropped(hook) == 35 - len(came)


def test_what_is_too_old_goes_and_is_counted(install: Install, bound: Bound, tmp_path: Path) -> None:
    bound(1_000)
    state, endpoint, days_ago = tmp_path / "state", gone(), time.time() - 8 * 86_400
    lost("http://127.0.0.1:9", state, loop_of("dead"))
    dead = journals(state)[0]
    os.utime(dead, (days_ago, days_ago))
    hook = install(endpoint=endpoint, **LOOP_SCOPE)
    until(lambda: dropped(hook, "too_old") == expected(loop_of("dead")).total())
    record(hook, range(1, 31))
    until(lambda: len(journals(state)) >= 3)
    oldest = next(path for path in journals(state) if path != dead)
    os.utime(oldest, (days_ago, days_ago))
    until(lambda: not oldest.exists())
    came = settle(hook, endpoint)
    assert came == list(range(31 - len(came), 31))
    assert dropped(hook, "too_old") == expected(loop_of("dead")).total() + 30 - len(came)


def test_of_two_that_live_each_gives_of_its_own_alone(install: Install, bound: Bound, tmp_path: Path) -> None:
    bound(5)
    state, endpoint = tmp_path / "state", gone()
    with alive(lambda: record(hooked(endpoint, state, **LOOP_SCOPE), range(1, 22))):
        hook = install(endpoint=endpoint, **LOOP_SCOPE)
        record(hook, range(101, 151))
        until(lambda: dropped(hook) > 0 and size(state) <= 11 * SEGMENT)
        assert [len(one.segments) > 0 for one in Outbox(state).folders() if one.alive and not one.own] == [True]
        assert size(state) >= 5 * SEGMENT, "what must go, and little more"
    came = settle(hook, endpoint)
    own, other = [number for number in came if number > 100], [number for number in came if number < 100]
    assert other == list(range(22 - len(other), 22))
    assert own == list(range(151 - len(own), 151))
    assert len(own) >= 3
    assert hook.stats().delivery.accepted == 50 + hook.stats().delivery.adopted == len(came) + dropped(hook)


def test_what_is_over_the_bound_when_it_leaves_is_not_missed_by_its_neighbours(
    install: Install, receiver: Receiver, bound: Bound
) -> None:
    """A collector that answers: nothing waits, so nothing goes, however much there is in all."""
    bound(3)
    hook = install()
    names = [f"loop {number}" for number in range(60)]
    for name in names:
        for event in loop_of(name, turns=10):
            hook(event)
        assert hook.flush(30.0)
    assert hook.stats().delivery.dropped == ()
    assert arrived(receiver) == expected(*(loop_of(name, turns=10) for name in names))


def test_a_loop_that_is_open_longer_than_its_segment_lives_ends_well(
    install: Install, receiver: Receiver, bound: Bound, tmp_path: Path
) -> None:
    receiver.answer(times=10_000, status=503)
    bound(4)
    hook = install(**LOOP_SCOPE)
    long = loop_of("long")
    for event in long[:-1]:
        hook(event)
    first = journals(tmp_path / "state")[0]
    record(hook, range(1, 101))
    until(lambda: dropped(hook) > 60 and not first.exists())
    receiver.forget_script()
    hook(long[-1])
    assert hook.flush(60.0)
    (wanted,) = [
        span for span in spans(long, MappingOptions(service_name="test", trace_scope="loop")) if role(span) == "loop"
    ]
    assert wanted in receiver.spans


def test_what_is_dropped_claims_no_root(install: Install, bound: Bound, tmp_path: Path) -> None:
    """Another process, to which that destination answers, sends it."""
    bound(2)
    state, elsewhere = tmp_path / "state", gone()
    lost(elsewhere, state, loop_of("one"), *(loop_of(f"dead {number}", turns=20) for number in range(9)))
    hook = install(**LOOP_SCOPE, endpoint=gone())
    record(hook, range(1, 6))
    until(lambda: dropped(hook) > 9 * 60)
    hook.shutdown(5.0)
    bound(1_000)
    with receiver_at(elsewhere) as receiver:
        run(sends(elsewhere, state, loop_of("one", 2, first_ms=1_000)))
        assert sorted(map(role, receiver.spans)).count("root") == 1


def test_sessions_without_end_with_the_collector_down_are_bounded_and_counted_the_oldest_out(
    request: pytest.FixtureRequest,
    install: Install,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A million in the soak, with the bounds as they are. On the disk and in memory, and nothing is lost uncounted."""
    if not SOAK:
        request.getfixturevalue("bound")(20)
        monkeypatch.setattr("otel_phi.recorder.core.MAX_REMEMBERED_SESSIONS", 200)  # a segment's head holds them
        monkeypatch.setattr("otel_phi.recorder.references.MAX_REMEMBERED_LOOPS", 200)
    most = MAX_BYTES if SOAK else 2 * 20 * SEGMENT
    receiver.answer(times=10_000_000, status=503, headers={"Retry-After": "900"})
    hook = install()
    before = rss_mb("VmRSS")
    for number in range(SESSIONS):
        name = f"{number:036d}"
        hook(start(number, f"{name}.agent.1", session=name))
        hook(end(number + 1, f"{name}.agent.1"))
        if number % 1_000 == 0:
            until(lambda: size(tmp_path / "state") <= most * 1.5, 120.0)  # an agent opens some a second, not thousands

    def is_within() -> bool:
        time.sleep(0.5 if SOAK else 0.0)  # to look takes the live thread's time
        return dropped(hook) > 0 and size(tmp_path / "state") <= most * 1.1

    until(is_within, 600.0)
    stats = hook.stats()
    assert stats.balanced()
    assert (stats.recorded, stats.lost) == (2 * SESSIONS, {})
    assert stats.delivery.accepted == stats.delivery.queued + dict(stats.delivery.dropped)["outbox_full"]
    assert rss_mb("VmRSS") - before < 120


def test_a_reader_that_is_never_done_lets_segments_go(
    install: Install, bound: Bound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts that make no span, and what is dropped as it is read: no answer of a collector comes that would move the marks."""
    bound(1_000)
    monkeypatch.setattr(JournalExport, "push", lambda _: None)  # there is always something to read
    hook = install(trace_scope="loop")
    hook(loop_of("one")[0])
    first = journals(tmp_path / "state")[0]
    many = loop_of("one", turns=1)[2]
    for _ in range(3_000):
        hook(many)
        time.sleep(0)
    until(lambda: not first.exists())
    assert hook.stats().delivery.accepted == 0


def test_dead_letters_of_all_processes_have_a_bound_too_and_it_is_said(
    install: Install, bound: Bound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(1_000)
    state = tmp_path / "state"
    lost("http://127.0.0.1:9", state, loop_of("dead"))
    letters = DeadLetters(journals(state)[0].parent)
    assert letters.append(DeadLetter(at_ns=1))
    monkeypatch.setattr("otel_phi.hook.housekeeping.keep_within", functools.partial(keep_within, max_bytes=10))
    hook = install()
    until(lambda: not letters.path.exists())
    until(lambda: "dead_letters_full" in hook.stats().troubles)
