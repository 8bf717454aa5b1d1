"""What all live processes know together: one root a session, and when a loop of another process started."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests.delivery.live_agent import delivery_for, work
from tests.delivery.test_live import adopt, ids, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


def test_of_many_processes_with_one_session_one_sends_the_root(receiver: Receiver, tmp_path: Path) -> None:
    agents = [run(receiver, tmp_path, "root", 9) for _ in range(4)]
    outs = [agent.communicate(timeout=30)[0].splitlines() for agent in agents]
    assert sorted(out[0] for out in outs) == ["False", "False", "False", "True"]
    assert all(out[1] == "True True" for out in outs)
    assert ids(receiver) == [9]


def test_a_root_whose_process_died_is_sent_by_another(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=503, times=1000)
    with run(receiver, tmp_path, "root", 9, "die") as agent:
        assert agent.communicate()[0] == "True\n"
    receiver.forget_script()
    with run(receiver, tmp_path, "root", 9) as agent:
        assert agent.communicate()[0] == "False\nTrue True\n"
    assert ids(receiver) == [9]
    assert adopt(receiver, tmp_path) == "True 0 True\n"


def test_thousands_of_roots_that_wait_all_leave(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=503, headers={"Retry-After": "1"})
    delivery = delivery_for(receiver.endpoint, tmp_path)
    taken = sum(delivery.claim_root(work(number)) for number in range(1, 2_501))
    assert delivery.flush(30)
    assert (taken, delivery.stats().acknowledged, delivery.stats().queued) == (2_500, 2_500, 0)
    assert ids(receiver) == list(range(1, 2_501))
    assert delivery.shutdown(1)


def test_destinations_do_not_share_roots(receiver: Receiver, tmp_path: Path) -> None:
    with Receiver() as other:
        for each in (receiver, other):
            delivery = delivery_for(each.endpoint, tmp_path)
            assert delivery.claim_root(work(1))
            assert not delivery.claim_root(work(1))
            assert delivery.shutdown(5)
            assert delivery.stats().balanced()
        assert ids(receiver) == ids(other) == [1]


def test_a_loop_is_known_to_processes_that_never_saw_it(receiver: Receiver, tmp_path: Path) -> None:
    first, second = (delivery_for(receiver.endpoint, tmp_path) for _ in range(2))
    first.remember_loop("a.b.1", "session \ud800", 17)
    first.remember_loop("a.b.1", "session \ud800", 18)
    assert first.known_loop("a.b.1") == ("session \ud800", 18), "at once here, for others with the next round"
    assert first.flush(5)
    assert second.known_loop("a.b.1") == ("session \ud800", 18)
    assert second.known_loop("never") is None
    for delivery in (first, second):
        assert delivery.shutdown(1)


@pytest.mark.parametrize("harm", ["damaged", "newer"])
def test_a_table_that_cannot_be_read_is_set_aside_and_roots_still_leave(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    (tmp_path / "outbox").mkdir(mode=0o700)
    path = tmp_path / "outbox" / "known.sqlite3"
    if harm == "damaged":
        path.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=99")
        connection.close()
    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.claim_root(work(1))
    assert delivery.claim_root(work(2))
    delivery.claim_root(work(2))  # True where the machine is busy: it is found out, and dropped, before it leaves
    assert delivery.flush(30)
    assert ids(receiver) == [1, 2]
    assert (delivery.stats().accepted, delivery.stats().acknowledged) == (2, 2)
    assert delivery.shutdown(5)
    assert caplog.text.count("set aside as known.sqlite3.set-aside") == 1


def test_another_process_that_keeps_the_table_locked_costs_milliseconds(receiver: Receiver, tmp_path: Path) -> None:
    import time

    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.claim_root(work(1))
    other = sqlite3.connect(tmp_path / "outbox" / "known.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert delivery.claim_root(work(2)), "it takes the outbox"
    delivery.remember_loop("a.b.1", "s", 1)
    assert time.monotonic() - started < 0.2
    other.execute("ROLLBACK")
    other.close()
    assert delivery.flush(5)
    assert ids(receiver) == [1, 2]
    assert delivery.stats().balanced()
    assert delivery.shutdown(1)
