"""The disk is full or read-only: nothing is raised, spans wait in memory, and all arrive.

On a small tmpfs where the machine lets us mount one, and with the same error injected in SQLite everywhere: the test's id
says which.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from otel_phi.delivery.live import LiveDelivery

from otel_phi.testing import Receiver
from tests.delivery.live_agent import work
from tests.faults.collectors import once

Open = Callable[..., LiveDelivery]


def mount(*words: object) -> bool:
    """Runs `mount` or `umount`; False where the machine does not allow it."""
    if sys.platform != "linux":
        return False
    try:
        return subprocess.run([*map(str, words)], capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    """Gives a file system of its own; the test is skipped where it cannot be mounted."""
    path.mkdir()
    if not mount("mount", "-t", "tmpfs", "-o", options, "tmpfs", path):
        pytest.skip("no tmpfs can be mounted here; the injected form runs")
    try:
        yield path
    finally:
        assert mount("umount", "-l", path)


def execute(delivery: LiveDelivery, statement: str) -> None:
    """Makes the outbox's own connection obey."""
    outbox = delivery._store.outbox
    assert outbox is not None
    with outbox.lock:
        outbox._connection.execute(statement)


def fill(delivery: LiveDelivery, receiver: Receiver) -> list[int]:
    """Commits 4 MB in 800 spans while nothing leaves, and sees that what the disk does not take is in memory."""
    numbers = list(range(1, 801))
    for number in numbers:
        delivery.commit([work(number, text="x" * 5_000)])
    stats = delivery.stats()
    assert stats.deferred > 200
    assert stats.queued + stats.deferred == 800
    assert stats.balanced()
    assert receiver.spans == ()
    return numbers


def full_disk(delivery: LiveDelivery, receiver: Receiver, free: Callable[[], Any]) -> None:
    numbers = fill(delivery, receiver)
    free()
    delivery.commit([work(900)])
    assert delivery.flush(15.0)
    assert once(receiver) == [*numbers, 900]
    assert (delivery.stats().acknowledged, delivery.stats().deferred, delivery.stats().in_memory) == (801, 0, "")


def away(receiver: Receiver) -> None:
    receiver.answer(status=503, headers={"Retry-After": "2"}, times=1)


def test_full_disk_tmpfs(receiver: Receiver, open_live: Open, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=1m") as disk:
        away(receiver)
        delivery = open_live(state=disk / "state")
        full_disk(delivery, receiver, lambda: mount("mount", "-o", "remount,size=32m", disk))
        assert delivery.shutdown(2.0)


def test_full_disk_injected(receiver: Receiver, open_live: Open) -> None:
    away(receiver)
    delivery = open_live()
    execute(delivery, "PRAGMA max_page_count=100")
    full_disk(delivery, receiver, lambda: execute(delivery, "PRAGMA max_page_count=1000000"))


def test_full_disk_at_start_tmpfs(receiver: Receiver, open_live: Open, tmp_path: Path) -> None:
    """Nothing can be made on it: memory, one warning."""
    with tmpfs(tmp_path / "full", "size=64k") as disk:
        (disk / "filler").write_bytes(b"x" * 60_000)
        delivery = open_live(state=disk / "state")
        numbers = list(range(1, 101))
        for number in numbers:
            delivery.commit([work(number)])
        assert delivery.flush(10.0)
        assert once(receiver) == numbers
        assert delivery.shutdown(2.0)


def test_read_only_disk_tmpfs(
    receiver: Receiver, open_live: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tmpfs(tmp_path / "fixed", "size=1m,ro") as disk:
        delivery = open_live(state=disk / "state")
        numbers = list(range(1, 101))
        for number in numbers:
            delivery.commit([work(number)])
        assert delivery.flush(10.0)
        assert once(receiver) == numbers
        assert "Read-only" in delivery.stats().in_memory
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_read_only_disk_in_mid_run_injected(receiver: Receiver, open_live: Open) -> None:
    """SQLite's own error for it, on every write of the outbox, what was sent included: it leaves once all the same."""
    delivery = open_live()
    delivery.commit([work(1)])
    assert delivery.flush(5.0)
    execute(delivery, "PRAGMA query_only=1")
    numbers = list(range(2, 102))
    for number in numbers:
        delivery.commit([work(number)])
    assert delivery.stats().deferrals == 100
    receiver.wait_for(101)
    execute(delivery, "PRAGMA query_only=0")
    assert delivery.flush(10.0)
    assert once(receiver) == [1, *numbers]
    assert len(receiver.spans) == 101
