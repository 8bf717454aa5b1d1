"""What an agent's thread waits for: 5 ms an event for all locks and disks together, none for a fork, none for a logging handler."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from otel_phi.delivery.known import Known
from otel_phi.delivery.live import LiveDelivery
from otel_phi.delivery.store import WAIT_S

from otel_phi.delivery.exporters.open import resource_of
from otel_phi.errors import ConfigError
from otel_phi.testing import Receiver
from tests.delivery.live_agent import config_for, delivery_for, gone, opened, work
from tests.delivery.test_live import files, fork, ids
from tests.delivery.test_spill import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


@pytest.fixture
def delivery(receiver: Receiver, tmp_path: Path) -> Iterator[LiveDelivery]:
    """Gives a live delivery whose courier does not run: nothing happens but what a test does."""
    found = delivery_for(receiver.endpoint, tmp_path)
    found._courier.wake = lambda: None  # type: ignore[method-assign]
    yield found
    assert found.stats().balanced()
    found.shutdown(5)
    assert found.stats().balanced()


class Taken:
    """Is a lock that another thread has and does not give back; it notes how long one was ready to wait."""

    def __init__(self, waits: list[float]) -> None:
        self._waits = waits

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        assert blocking
        assert timeout >= 0
        self._waits.append(timeout)
        time.sleep(timeout)
        return False


def start_a_loop(delivery: LiveDelivery, number: int) -> None:
    """Does what an AgentStart with an unknown parent brings about."""
    delivery.known_loop("nobody.1")
    delivery.remember_loop(f"a.{number}", "s", number)
    delivery.claim_root(work(number))
    delivery.commit([], [opened(number + 1, number)])


def test_an_event_waits_5_ms_for_all_it_needs_together(delivery: LiveDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    store, waits = delivery._store, list[float]()
    with monkeypatch.context() as patch:
        patch.setattr(store.known, "lock", Taken(waits))
        patch.setattr(store.outbox, "lock", Taken(waits))
        start_a_loop(delivery, 1)
        assert len(waits) == 4, "the look-up, the claim, the root that it could not have, the loop"
        assert waits[0] == WAIT_S
        assert sum(waits[1:]) < WAIT_S / 2, "what the first left"
        start_a_loop(delivery, 3)
        assert waits[4] == WAIT_S, "the next event has its own"
    assert delivery.stats().deferred == 2


def test_after_something_slow_the_table_is_left_alone_for_a_while(
    delivery: LiveDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def slow(_: Known, name: str, **__: Any) -> None:
        asked.append(name)
        time.sleep(0.06)

    monkeypatch.setattr(Known, "loop", slow)
    monkeypatch.setattr(Known, "claim", lambda *_, **__: asked.append("claim"))
    delivery.remember_loop("mine.1", "s", 1)
    assert delivery.known_loop("other.1") is None
    assert delivery.known_loop("other.2") is None
    assert delivery.known_loop("mine.1") == ("s", 1), "what this process remembers needs no disk"
    delivery.claim_root(work(1))
    delivery.commit([work(2)])
    assert asked == ["other.1"]
    assert delivery.stats().deferred == 2


def test_the_table_is_made_opened_and_written_to_before_the_first_event(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = delivery_for(receiver.endpoint, tmp_path)
    path = tmp_path / "outbox" / "known.sqlite3"
    assert path.exists()
    assert path.with_name("known.sqlite3-wal").stat().st_size > 0, "SQLite waits for the disk with a log's first write"
    monkeypatch.setattr("otel_phi.delivery.outbox_schema.connect", lambda *_: pytest.fail("opened again"))
    start_a_loop(delivery, 1)
    monkeypatch.undo()
    assert delivery.shutdown(5)


def test_a_fork_leaves_the_tables_log_as_it_is_and_the_next_use_finds_all(
    delivery: LiveDelivery, receiver: Receiver, tmp_path: Path
) -> None:
    log = tmp_path / "outbox" / "known.sqlite3-wal"
    start_a_loop(delivery, 1)
    before = log.stat().st_size
    child = fork(lambda: None)
    assert os.waitpid(child, 0)[1] == 0
    assert log.stat().st_size == before, "to move it into the file waits for the disk"
    known = delivery._store.known
    assert known is not None
    assert known._connection is None
    assert not delivery.claim_root(work(1))
    assert delivery.claim_root(work(5))
    known.write_loops()
    del delivery._store.loops["a.1"]
    assert delivery.known_loop("a.1") == ("s", 1)
    delivery.shutdown(5)
    assert not log.exists(), "the last to close tidies up"


def test_a_child_knows_the_loops_of_its_parent_at_once(delivery: LiveDelivery) -> None:
    delivery.remember_loop("a.1", "s", 7)

    def in_child() -> None:
        assert delivery.known_loop("a.1") == ("s", 7)

    assert os.waitpid(fork(in_child), 0)[1] == 0


# --- logging -------------------------------------------------------------------------------------------------------------


def test_no_lock_is_held_while_a_warning_is_logged(tmp_path: Path) -> None:
    config = config_for(gone(), tmp_path)
    live = LiveDelivery(config, resource_of(config))

    class Handler(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []
            self.held: list[str] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.said.append(record.getMessage())
            for lock in live.fork_locks():
                if lock.acquire(timeout=5.0):  # another thread's for a moment, perhaps, but not this one's for good
                    lock.release()
                else:
                    self.held.append(self.said[-1])

    handler = Handler()
    logging.getLogger("otel_phi").addHandler(handler)
    try:
        live.commit([work(1)])
        destination = files(tmp_path)[0].name.split("-")[0]
        (tmp_path / "outbox" / f"{destination}-1-aa.sqlite3").write_bytes(b"no database, but long enough for one" * 100)
        (tmp_path / "outbox" / f"{destination}-1-aa.sqlite3").chmod(0o600)
        outbox, known = live._store.outbox, live._store.known
        assert outbox is not None
        assert known is not None
        outbox.failed(sqlite3.DatabaseError("malformed"))
        with known.lock:
            known._set_aside("malformed")
        live._upkeep.hurry()
        live.commit([work(2)])
        wait_until(lambda: sum("set aside" in text for text in handler.said) == 3)
        wait_until(lambda: any("tried again" in text for text in handler.said))  # the destination's trouble
        assert handler.held == []
        live.shutdown(1)
    finally:
        logging.getLogger("otel_phi").removeHandler(handler)


# --- a destination that cannot be opened -------------------------------------------------------------------------------


def test_a_child_that_cannot_open_its_destination_says_so_once_keeps_all_and_sends_when_it_can(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is gone when the child looks; the error is injected where it is read."""
    monkeypatch.setattr("otel_phi.delivery.courier._MAKE_AGAIN_S", 0.05)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    made, broken = delivery._courier._make_sender, [True]

    def make(settled: Any) -> Any:
        if broken[0]:
            raise ConfigError("certificate ca.pem cannot be used as trusted CA: no such file")
        return made(settled)

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("otel_phi").addHandler(handler)
    try:
        delivery._courier._make_sender = make
        delivery.commit([work(1)])
        wait_until(lambda: delivery.stats().trouble is not None)
        assert "ca.pem" in str(delivery.stats().trouble)
        assert not delivery.flush(0.3)
        assert delivery.stats().queued == 1
        broken[0] = False
        assert delivery.flush(10)
        assert delivery.stats().trouble is None
        assert len([text for text in said if "ca.pem" in text]) == 1
    finally:
        logging.getLogger("otel_phi").removeHandler(handler)
    assert ids(receiver) == [1]
    assert delivery.shutdown(2)
