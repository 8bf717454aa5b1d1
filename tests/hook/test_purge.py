"""What is purged beside a living process does not leave, whatever that process has in its memory already."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import otel_phi
from otel_phi.cli.outbox.changing import purge
from otel_phi.testing import Receiver
from tests.hook.children import journals, lost
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of, session
from tests.hook.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks are POSIX's")


def waiting(install: Install, receiver: Receiver, *names: str, turns: int = 2) -> otel_phi.Hook:
    """Returns a hook that recorded loops of some sessions, the first of them in a request that waits to be sent again."""
    receiver.answer(times=100_000, status=503, headers={"Retry-After": "0"})
    hook = install()
    for name in names:
        for event in loop_of(name, turns=turns):
            hook(event)
    until(lambda: hook.stats().delivery.retries > 0 and hook.stats().waiting == 0)
    return hook


def purged(hook: otel_phi.Hook) -> int:
    assert hook.stats().balanced()
    return dict(hook.stats().delivery.dropped).get("purged", 0)


def then(hook: otel_phi.Hook, receiver: Receiver) -> None:
    """Has the collector answer and one more session come."""
    receiver.forget_script()
    for event in loop_of("later"):
        hook(event)
    assert hook.flush(60.0)
    assert hook.stats().delivery.queued == 0


def test_what_is_purged_while_a_request_waits_to_be_sent_again_never_leaves(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    hook = waiting(install, receiver, "one", "two")
    assert purge(tmp_path / "state") == (2 * len(loop_of("one")), [])
    until(lambda: hook.stats().waiting == 0 and purged(hook) > 0)
    then(hook, receiver)
    assert arrived(receiver) == expected(loop_of("later"))
    assert purged(hook) == 2 * expected(loop_of("one")).total()


def test_of_a_request_s_sessions_the_others_are_sent(install: Install, receiver: Receiver, tmp_path: Path) -> None:
    hook = waiting(install, receiver, "one", "two", "three")
    assert purge(tmp_path / "state", session("two")) == (len(loop_of("two")), [])
    until(lambda: hook.stats().waiting == 0 and purged(hook) > 0)
    then(hook, receiver)
    assert arrived(receiver) == expected(loop_of("one"), loop_of("three"), loop_of("later"))
    assert purged(hook) == expected(loop_of("two")).total()


def test_what_had_no_room_in_the_request_is_looked_at_too(install: Install, receiver: Receiver, tmp_path: Path) -> None:
    hook = waiting(install, receiver, "one", "two", turns=300)  # a request holds 256 kB
    assert purge(tmp_path / "state", session("one"))[0] == len(loop_of("one", turns=300))
    until(lambda: hook.stats().waiting == 0 and purged(hook) > 0)
    then(hook, receiver)
    assert arrived(receiver) == expected(loop_of("two", turns=300), loop_of("later"))
    assert purged(hook) == expected(loop_of("one", turns=300)).total()


def test_an_hour_of_retry_after_does_not_keep_what_was_purged(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(times=100_000, status=503, headers={"Retry-After": "3600"})
    hook = install()
    for event in loop_of("one"):
        hook(event)
    until(lambda: hook.stats().delivery.retries > 0 and hook.stats().waiting == 0)
    purge(tmp_path / "state")
    until(lambda: purged(hook) == expected(loop_of("one")).total() and hook.stats().delivery.queued == 0)


def test_of_what_is_open_nothing_leaves_later(install: Install, receiver: Receiver, tmp_path: Path) -> None:
    hook = waiting(install, receiver, "one")
    two, three = loop_of("two"), loop_of("three")
    for event in (*two[:8], *three[:8]):
        hook(event)
    until(lambda: hook.stats().open_loops == 2)
    purge(tmp_path / "state", session("two"))
    until(lambda: hook.stats().open_loops == 1)
    for event in (*two[8:], *three[8:]):
        hook(event)
    then(hook, receiver)
    assert hook.shutdown(10.0)
    assert arrived(receiver) == expected(loop_of("one"), loop_of("three"), loop_of("later"))


def test_no_byte_of_it_is_left(install: Install, tmp_path: Path) -> None:
    """Of a dead process's: one session is blanked, the rest goes as a whole."""
    state = tmp_path / "state"
    lost("http://127.0.0.1:9", state, loop_of("one"), loop_of("two"))
    (path,) = journals(state)
    names = [session(name).encode() for name in ("one", "two")]
    assert [name in path.read_bytes() for name in names] == [True, True]
    assert purge(state, "another session") == (0, [])
    assert purge(state, session("one"))[0] == len(loop_of("one"))
    assert [name in path.read_bytes() for name in names] == [False, True]
    assert purge(state)[0] > 0
    assert [path for path in (state / "outbox").rglob("*") if path.is_file()] == []
