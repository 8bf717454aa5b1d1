"""What processes know together: each session's root leaves once, a loop is found by who never saw it, no agent waits for it."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import otel_phi
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.journal import known
from otel_phi.delivery.journal.facts import RootClaimed
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.known import Known
from otel_phi.events import AgentEvent
from otel_phi.mapping import semconv as s
from otel_phi.testing import Receiver
from tests.hook.children import alive, fork, hooked, lost, run, wait_for
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of, session
from tests.hook.test_adoption import adopt
from tests.laws import role
from tests.streams import end, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and record locks are POSIX's")
STORY = loop_of("one")


def roles(receiver: Receiver) -> list[str]:
    return sorted(role(span) for span in receiver.spans)


def sends(endpoint: str, state: Path, *streams: list[AgentEvent]) -> Callable[[], None]:
    """Returns what a process does that records streams and sees them sent."""

    def agent() -> None:
        hook = hooked(endpoint, state, *streams)
        assert hook.flush(60.0)
        assert hook.stats().balanced()
        assert hook.shutdown(20.0)

    return agent


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Keeps the table of all processes locked, as another process that writes does."""

    def hold() -> None:
        Known(state).claim_root("", "", "")
        other = sqlite3.connect(state / known.FILE, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        held.append(other)

    held: list[sqlite3.Connection] = []
    state.mkdir(mode=0o700, exist_ok=True)
    with alive(hold):
        yield


# --- roots -----------------------------------------------------------------------------------------------------------------


def test_of_many_processes_with_one_session_one_sends_the_root(receiver: Receiver, tmp_path: Path) -> None:
    streams = [loop_of("one", number, first_ms=1_000 * number) for number in range(1, 5)]
    wait_for(*(fork(sends(receiver.endpoint, tmp_path, stream)) for stream in streams))
    assert roles(receiver).count("root") == 1
    assert roles(receiver).count("loop") == 4


def test_those_that_find_the_table_locked_wait_and_send_one_root(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not their agents: what these record is in their journals, and the calls return."""
    monkeypatch.setattr(known, "_WAIT_S", 60.0)
    tell, told = os.pipe()

    def agent(number: int) -> Callable[[], None]:
        def work() -> None:
            hook = hooked(receiver.endpoint, tmp_path, loop_of("one", number, first_ms=1_000 * number))
            os.write(told, b".")
            assert hook.flush(60.0)
            assert hook.shutdown(20.0)

        return work

    with locked(tmp_path):
        agents = [fork(agent(number)) for number in (1, 2)]
        assert os.read(tell, 1) + os.read(tell, 1) == b".."
        assert receiver.spans == ()
    wait_for(*agents)
    assert roles(receiver).count("root") == 1
    assert roles(receiver).count("loop") == 2
    os.close(tell)
    os.close(told)


def test_destinations_do_not_share_roots(install: Install, receiver: Receiver) -> None:
    with Receiver() as other:
        for each in (receiver, other):
            hook = install(endpoint=each.endpoint)
            for event in STORY:
                hook(event)
            assert hook.shutdown(20.0)
        assert arrived(receiver) == arrived(other) == expected(STORY)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_as_it_claims(step: str) -> None:
    """Has this process killed at a step of a root's claim."""
    claim, write = Known.claim_root, Journal.write

    def claims(self: Known, *given: str) -> bool:
        if step == "before the claim":
            die()
        won = claim(self, *given)
        if step == "claimed":
            die()
        return won

    def writes(self: Journal, fact: Any) -> bool:
        done = write(self, fact)
        if step == "written down" and isinstance(fact, RootClaimed):
            die()
        return done

    Known.claim_root, Journal.write = claims, writes  # type: ignore[method-assign,assignment]  # a forked process of its own
    if step == "sent":
        HttpExporter.send = die  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("step", ["before the claim", "claimed", "written down", "sent"])
def test_a_root_whose_process_died_is_sent_by_its_adopter_and_by_nobody_else(
    step: str, receiver: Receiver, tmp_path: Path
) -> None:
    def agent() -> None:
        dies_as_it_claims(step)
        hooked(receiver.endpoint, tmp_path, STORY).flush(60.0)

    _, status = os.waitpid(fork(agent), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert receiver.spans == ()
    run(adopt(receiver.endpoint, tmp_path))
    assert arrived(receiver) == expected(STORY)
    run(sends(receiver.endpoint, tmp_path, loop_of("one", 2, first_ms=1_000)))
    assert roles(receiver).count("root") == 1


def test_a_root_that_another_journal_claimed_is_not_sent_by_the_adopter(receiver: Receiver, tmp_path: Path) -> None:
    lost(receiver.endpoint, tmp_path, loop_of("one", 1), destination_name="elsewhere")
    lost(receiver.endpoint, tmp_path, loop_of("one", 2, first_ms=1_000))
    run(sends(receiver.endpoint, tmp_path, loop_of("one", 3, first_ms=2_000)))
    assert roles(receiver).count("root") == 1
    assert roles(receiver).count("loop") == 2


def make_unreadable(state: Path, harm: str) -> None:
    """Puts something in the way of the table, or harms it."""
    state.mkdir(mode=0o700, exist_ok=True)
    path = state / known.FILE
    match harm:
        case "damaged":
            path.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
            path.chmod(0o600)
        case "newer":
            sqlite3.connect(path).execute("PRAGMA user_version=99").connection.close()
            path.chmod(0o600)
        case "others may write to it":
            path.touch()
            path.chmod(0o666)
        case "no file":
            path.mkdir()
        case "a link":
            path.symlink_to(state / "elsewhere")


HARMS = ["damaged", "newer", "others may write to it", "no file", "a link"]


@pytest.mark.parametrize("harm", HARMS)
def test_a_table_that_cannot_be_read_costs_no_root_and_one_warning(
    harm: str, install: Install, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_unreadable(tmp_path / "state", harm)
    hook = install()
    streams = [loop_of("one"), loop_of("two"), loop_of("one", 2, first_ms=1_000)]
    for stream in streams:
        for event in stream:
            hook(event)
    assert hook.flush(60.0)
    assert hook.shutdown(20.0)
    assert roles(receiver).count("root") == 2
    assert roles(receiver).count("loop") == 3
    assert [known.FILE in record.getMessage() for record in caplog.records] == [True]


def test_a_table_that_stays_locked_costs_no_root_and_no_agent_waits(
    install: Install, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_WAIT_S", 0.01)
    with locked(tmp_path / "state"):
        hook = install()
        for event in STORY:
            hook(event)
        assert hook.flush(60.0)
        assert arrived(receiver) == expected(STORY)


def test_a_table_that_stays_locked_fails_no_flush_and_is_told_later(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    """The live thread waits for it a second, and then for nine in which it asks for nothing there."""
    names = [f"one of many {number}" for number in range(100)]
    hook = install()
    with locked(tmp_path / "state"):
        for name in names:
            for event in loop_of(name):
                hook(event)
        assert hook.flush(60.0), "each root and each loop would be waited for else, for three minutes"
        assert arrived(receiver) == expected(*map(loop_of, names))
    assert hook.shutdown(20.0)
    other = Known(tmp_path / "state")
    assert [other.loop(f"{session(name)}.agent.1") is None for name in names] == [False] * 100
    other.close()


# --- loops -----------------------------------------------------------------------------------------------------------------


def child_of(parent: list[AgentEvent], name: str, number: int, first_ms: int = 5_000) -> list[AgentEvent]:
    """Returns a loop that says which one it goes on from."""
    events = loop_of(name, number, first_ms=first_ms)
    parent_id: Any = parent[0].loop_id  # type: ignore[union-attr]  # it is an AgentStart
    events[0] = msgspec.structs.replace(events[0], parent_loop_id=parent_id)
    return events


def loops(receiver: Receiver) -> dict[str, Any]:
    return {str(span.get(s.LOOP_ID)): span for span in receiver.spans if role(span) == "loop"}


def test_a_loop_is_known_to_processes_that_never_saw_it(install: Install, receiver: Receiver, tmp_path: Path) -> None:
    """An id of their own tells nobody whose it is, but for the table."""
    state = tmp_path / "state"
    odd: list[AgentEvent] = [start(0, "odd", session=session("one")), end(9, "odd")]
    below, aside = child_of(odd, "one", 2), child_of(odd, "two", 3)
    unknown = child_of([start(0, "never seen")], "three", 4)
    for events in (odd, below, aside, unknown):
        run(sends(receiver.endpoint, state, events))
    assert arrived(receiver) == expected([*odd, *below, *aside], unknown), "as one process would have sent them"
    found = loops(receiver)
    assert found[f"{session('one')}.agent.2"].parent_span_id == found["odd"].span_id
    assert len(found[f"{session('two')}.agent.3"].links) == 1
    assert found[f"{session('three')}.agent.4"].links == ()


def test_what_a_lookup_found_stands_in_the_journal_for_whoever_sends_it_again(
    receiver: Receiver, tmp_path: Path
) -> None:
    """The table is gone when the adopter comes: the same bytes all the same."""
    run(sends(receiver.endpoint, tmp_path, STORY))
    below = child_of(STORY, "one", 2)

    def agent() -> None:
        HttpExporter.send = die  # type: ignore[method-assign,assignment]  # a forked process of its own
        hooked(receiver.endpoint, tmp_path, below).flush(60.0)

    os.waitpid(fork(agent), 0)
    for path in tmp_path.glob("known*"):
        path.unlink()
    run(adopt(receiver.endpoint, tmp_path))
    found = loops(receiver)
    assert found[f"{session('one')}.agent.2"].parent_span_id == found[f"{session('one')}.agent.1"].span_id
    assert roles(receiver).count("root") == 1


def test_a_fork_s_child_knows_the_loops_of_its_parent(install: Install, receiver: Receiver) -> None:
    odd: list[AgentEvent] = [start(0, "odd", session=session("one")), end(9, "odd")]
    aside = child_of(odd, "two", 7)
    hook = install()
    hook(odd[0])
    assert hook.flush(60.0)

    def child() -> None:
        for event in aside:
            hook(event)
        assert hook.shutdown(20.0)

    run(child)
    hook(odd[1])
    assert hook.flush(60.0)
    assert arrived(receiver) == expected([*odd, *aside])
    assert len(loops(receiver)[f"{session('two')}.agent.7"].links) == 1


def test_a_fork_leaves_the_table_in_use_by_both(install: Install, receiver: Receiver) -> None:
    hook = install()
    for number in range(3):
        for event in loop_of(f"parent {number}"):
            hook(event)
        run(lambda number=number: _records(hook, number))  # type: ignore[misc]  # a default binds it
    assert hook.flush(60.0)
    names = [f"{who} {number}" for who in ("parent", "child") for number in range(3)]
    assert arrived(receiver) == expected(*map(loop_of, names))


def _records(hook: otel_phi.Hook, number: int) -> None:
    for event in loop_of(f"child {number}"):
        hook(event)
    assert hook.shutdown(20.0)
