"""A session's root leaves once, also where the table of all processes is busy when it is claimed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from otel_phi.delivery.known import Known
from otel_phi.delivery.outbox import Outbox

from otel_phi.testing import Receiver
from tests.delivery.live_agent import delivery_for, say, work
from tests.delivery.test_live import adopt, fork, ids, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


@contextlib.contextmanager
def busy(state: Path) -> Iterator[None]:
    """Keeps the table of all processes locked, as another process that writes does."""
    other = sqlite3.connect(state / "outbox" / "known.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def make_table(receiver: Receiver, state: Path) -> None:
    assert delivery_for(receiver.endpoint, state).shutdown(1)


def test_two_processes_that_find_the_table_busy_send_one_root(receiver: Receiver, tmp_path: Path) -> None:
    make_table(receiver, tmp_path)
    with busy(tmp_path):
        agents = [run(receiver, tmp_path, "root", 9, "late") for _ in range(2)]
        for agent in agents:
            assert agent.stdout is not None
            assert agent.stdout.readline() == "True\n", "it is taken, and nobody waits for the table"
        assert ids(receiver) == [], "whether it is theirs they do not know"
    outs = [agent.communicate(timeout=60)[0].splitlines() for agent in agents]
    assert [out[0] for out in outs] == ["True True"] * 2
    assert ids(receiver) == [9]
    assert sorted(out[1] for out in outs) == ["0 0 0", "1 1 0"], "accepted, acknowledged and queued"


def test_one_that_is_late_drops_its_root_where_another_won(receiver: Receiver, tmp_path: Path) -> None:
    first, second = (delivery_for(receiver.endpoint, tmp_path) for _ in range(2))
    assert first.claim_root(work(9))
    with busy(tmp_path):
        assert second.claim_root(work(9))
        assert not second.claim_root(work(9)), "once is enough"
    for delivery, accepted in ((second, 0), (first, 1)):
        assert delivery.flush(20)
        stats = delivery.stats()
        assert (stats.accepted, stats.acknowledged, stats.queued, stats.dropped) == (accepted, accepted, 0, ())
        assert delivery.shutdown(2)
    assert ids(receiver) == [9]


STEPS = ["written", "claimed", "deleted", "read"]


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_while_its_claim_is_late_loses_no_root_and_repeats_none(
    receiver: Receiver, tmp_path: Path, step: str
) -> None:
    make_table(receiver, tmp_path)

    def die(*_: object, **__: object) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    def agent() -> None:
        delivery = delivery_for(receiver.endpoint, tmp_path)
        delete = Outbox.delete
        owner, name, dies = {
            "written": (Known, "claim", lambda *_, wait_s: None if wait_s < 0.01 else die()),
            "claimed": (Outbox, "delete", die),
            "deleted": (Outbox, "delete", lambda *given: delete(*given) and die()),
            "read": (delivery._transport, "send", die),
        }[step]
        setattr(owner, name, dies)
        with busy(tmp_path):
            assert delivery.claim_root(work(9))
        delivery.flush(20)
        say("it should be dead")

    _, status = os.waitpid(fork(agent), 0)
    assert os.WIFSIGNALED(status)
    assert ids(receiver) == []
    assert adopt(receiver, tmp_path).endswith(" True\n")
    assert ids(receiver) == [9]
    with delivery_for_again(receiver, tmp_path) as again:
        assert not again
    assert ids(receiver) == [9]


@contextlib.contextmanager
def delivery_for_again(receiver: Receiver, state: Path) -> Iterator[bool]:
    """Claims the same root once more."""
    delivery = delivery_for(receiver.endpoint, state)
    yield delivery.claim_root(work(9))
    assert delivery.shutdown(5)


def test_a_late_root_of_a_dead_process_is_claimed_by_whoever_adopts_it(receiver: Receiver, tmp_path: Path) -> None:
    make_table(receiver, tmp_path)
    with busy(tmp_path), run("http://127.0.0.1:9", tmp_path, "root", 9, "die") as other_destination:
        assert other_destination.communicate()[0] == "True\n"
    with busy(tmp_path), run(receiver, tmp_path, "root", 9, "die") as agent:
        assert agent.communicate()[0] == "True\n"
    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.claim_root(work(9)), "the first to find the table free"
    assert delivery.flush(20)
    stats = delivery.stats()
    assert (stats.accepted, stats.adopted, stats.acknowledged) == (1, 0, 1)
    assert stats.balanced()
    assert delivery.shutdown(2)
    assert ids(receiver) == [9]


def test_a_late_root_waits_in_memory_too_and_leaves_once(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (delivery_for(receiver.endpoint, tmp_path) for _ in range(2))
    assert first.claim_root(work(9))
    with monkeypatch.context() as disk:
        disk.setattr(Outbox, "write_locked", lambda *_: False)
        with busy(tmp_path):
            assert second.claim_root(work(9))
            assert second.stats().deferred == 1
    assert second.flush(20)
    assert (second.stats().accepted, second.stats().deferred, second.stats().queued) == (0, 0, 0)
    assert first.flush(20)
    assert ids(receiver) == [9]
    for delivery in (first, second):
        assert delivery.shutdown(2)


def test_where_there_can_be_no_table_a_late_root_leaves_like_any_span(receiver: Receiver, tmp_path: Path) -> None:
    delivery = delivery_for(receiver.endpoint, tmp_path)
    with busy(tmp_path):
        assert delivery.claim_root(work(9))
        assert delivery._store.known is not None
        delivery._store.known._broken = True
    assert delivery.flush(20)
    assert ids(receiver) == [9]
    assert (delivery.stats().accepted, delivery.stats().acknowledged) == (1, 1)
    assert delivery.shutdown(2)
