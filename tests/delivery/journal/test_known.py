"""What processes know together: one owner a root, loops of others, bounds, and answers where there is no table."""

from __future__ import annotations

import ctypes
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal import known as module
from otel_phi.delivery.journal.known import FILE, Known
from tests.golden import PROJECT

A, B = "dest/1-a", "dest/2-b"
forks = pytest.mark.parametrize("how", ["python", "c"])


def test_the_first_owner_has_the_root_and_has_it_again(tmp_path: Path) -> None:
    one, other = Known(tmp_path), Known(tmp_path)
    assert one.claim_root("dest", "session", A)
    assert one.claim_root("dest", "session", A)
    assert not other.claim_root("dest", "session", B)
    assert not other.claim_root("dest", "session", B)
    assert Known(tmp_path).claim_root("dest", "session", A), "whoever adopted its journal"
    assert other.claim_root("other", "session", B), "another destination has a root of its own"
    assert other.claim_root("dest", "session \ud800", B)
    for known in (one, other):
        known.close()


def test_a_loop_is_known_to_others_the_latest_of_an_id(tmp_path: Path) -> None:
    one, other = Known(tmp_path), Known(tmp_path)
    assert other.loop("a.b.1") is None
    one.remember("a.b.1", "session \ud800", 17)
    assert other.loop("a.b.1") == ("session \ud800", 17)
    other.remember("a.b.1", "session", 2**80)
    assert one.loop("a.b.1") == ("session", 2**63 - 1)
    one.close()
    assert one.loop("a.b.1") == ("session", 2**63 - 1), "it opens again by itself"
    one.close()
    other.close()


_CLAIMS = """
import sys
from pathlib import Path
from otel_phi.delivery.journal.known import Known
known = Known(Path(sys.argv[1]))
print(sum(known.claim_root("dest", str(session), sys.argv[2]) for session in range(300)))
"""


def test_of_many_processes_each_root_has_one_owner(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", _CLAIMS, tmp_path, str(number)], stdout=subprocess.PIPE, cwd=PROJECT)
        for number in range(4)
    ]
    won = [int(run.communicate()[0]) for run in runs]
    assert sum(won) == 300


def test_where_there_can_be_no_table_it_answers_from_memory_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    known = Known(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert known.claim_root("dest", "session", A)
        assert known.claim_root("dest", "session", A)
        assert not known.claim_root("dest", "session", B)
        known.remember("loop", "session", 5)
        assert known.loop("loop") == ("session", 5)
        assert known.loop("other") is None
        known.sweep()
    assert known.broken
    assert len(caplog.records) == 1
    assert FILE in caplog.text


class Clock:
    """Stands for the monotonic clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    return made


@contextmanager
def held(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Has another process hold the table, for whoever waits for it in vain for a second; gives how often somebody did."""
    waits: list[int] = []

    def connect(*given: object, **options: Any) -> sqlite3.Connection:
        waits.append(1)
        clock.now += 1.0
        return connected(*given, **{**options, "timeout": 0.0})  # type: ignore[call-overload,no-any-return]  # as it was called

    connected = sqlite3.connect
    holder = connected(folder / FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", connect)
        yield waits
    holder.execute("ROLLBACK")
    holder.close()


def test_a_table_that_another_holds_is_told_and_asked_later(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = Known(tmp_path), Known(tmp_path)
    known.remember("one", "session", 1)
    known.close()
    with held(tmp_path, clock, monkeypatch):
        assert known.loop("one") == ("session", 1), "from memory"
        assert known.claim_root("dest", "held", A)
        known.remember("two", "session \ud800", 2)
        assert known.loop("two") == ("session \ud800", 2)
        assert "locked" in known.broken
    clock.now += 9.0
    assert known.claim_root("dest", "free", A)
    assert known.broken == ""
    assert [other.claim_root("dest", session, B) for session in ("held", "free")] == [False, False]
    assert other.loop("two") == ("session \ud800", 2)
    known.close()
    other.close()


def test_a_table_that_another_holds_for_long_costs_a_tenth_of_the_time_at_most(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(tmp_path)
    known.remember("one", "session", 1)
    known.close()
    with held(tmp_path, clock, monkeypatch) as waits:
        for number in range(1_000):
            assert known.claim_root("dest", f"session {number}", A)
            known.remember(f"loop {number}", "session", number)
            clock.now += 0.1
        assert clock.now > 100.0
        assert len(waits) <= clock.now / 10 + 1
    clock.now += 9.0
    other = Known(tmp_path)
    known.loop("one")
    assert [other.loop(f"loop {number}") for number in (0, 500, 999)] == [None, ("session", 500), None], (
        "a hundred at once"
    )
    known.close()
    assert [other.loop(f"loop {number}") for number in (0, 500, 999)] == [None, ("session", 500), ("session", 999)]
    assert not other.claim_root("dest", "session 999", B)
    other.close()


def test_what_could_not_be_told_is_told_when_it_is_closed(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(tmp_path)
    known.remember("one", "session", 1)
    known.close()
    with held(tmp_path, clock, monkeypatch):
        assert known.claim_root("dest", "held", A)
        known.close()
    known.close()
    assert not Known(tmp_path).claim_root("dest", "held", B)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE loop SET session = 5",
        "UPDATE loop SET session = x'ff'",
        "UPDATE loop SET started_ns = 'x'",
        "DROP TABLE loop",
        "ALTER TABLE loop RENAME COLUMN session TO other",
    ],
)
def test_whatever_stands_in_a_row_nothing_raises(tmp_path: Path, harm: str) -> None:
    known = Known(tmp_path)
    known.remember("one", "session", 1)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as table:
        table.execute(harm)
    assert Known(tmp_path).loop("one") is None
    assert known.loop("one") == ("session", 1)
    assert known.claim_root("dest", "session", A)
    assert known.broken == ""
    known.close()
    assert not Known(tmp_path).claim_root("dest", "session", B)


def test_of_two_that_find_it_damaged_one_sets_it_aside(tmp_path: Path) -> None:
    one, other = Known(tmp_path), Known(tmp_path)
    for known in (one, other):
        known.remember("before", "session", 1)
    with (tmp_path / FILE).open("r+b") as file:
        file.write(b"\xff" * file.seek(0, 2))
    assert one.claim_root("dest", "one", A)
    assert not other.claim_root("dest", "one", B), "it is asked in the new one, which stays where it is"
    assert other.claim_root("dest", "other", B)
    assert not one.claim_root("dest", "other", A)
    for known in (one, other):
        known.close()


@pytest.mark.parametrize("damage", [b"no database at all " * 100, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_damaged_table_is_set_aside_and_begun_anew(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    known = Known(tmp_path)
    assert known.claim_root("dest", "session", A)
    known.close()
    (tmp_path / FILE).write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert known.claim_root("dest", "new", A)
    assert known.broken == ""
    assert (tmp_path / f"{FILE}.damaged").exists()
    assert "set aside" in caplog.text
    assert known.claim_root("dest", "session", A), "this process remembers its own"
    assert not Known(tmp_path).claim_root("dest", "new", B)
    known.close()


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as table:
        table.execute("PRAGMA user_version=99")
    table.close()
    (tmp_path / FILE).chmod(0o600)
    known = Known(tmp_path)
    assert known.claim_root("dest", "session", A)
    assert "newer" in known.broken
    assert not (tmp_path / f"{FILE}.damaged").exists()


def test_a_file_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    (tmp_path / FILE).chmod(0o666)
    known = Known(tmp_path)
    assert known.claim_root("dest", "session", A)
    assert "written to by everyone" in known.broken


def test_a_removed_table_is_begun_anew(tmp_path: Path) -> None:
    known = Known(tmp_path)
    assert known.claim_root("dest", "one", A)
    (tmp_path / FILE).unlink()
    assert known.claim_root("dest", "two", A)
    assert not Known(tmp_path).claim_root("dest", "two", B)
    known.close()


def test_what_is_older_than_a_month_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(tmp_path)
    known.claim_root("dest", "old", A)
    known.remember("old", "session", 1)
    now = wall_ns()
    monkeypatch.setattr(module, "wall_ns", lambda: now + 29 * 86_400 * 10**9)
    known.claim_root("dest", "young", A)
    known.remember("young", "session", 1)
    monkeypatch.setattr(module, "wall_ns", lambda: now + 31 * 86_400 * 10**9)
    known.sweep()
    other = Known(tmp_path)
    assert [other.claim_root("dest", session, B) for session in ("old", "young")] == [True, False]
    assert (other.loop("old"), other.loop("young")) == (None, ("session", 1))
    known.close()
    other.close()


def test_the_file_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    bound = 256 << 10
    known = Known(tmp_path, bound)
    for number in range(6000):
        assert known.claim_root("dest", f"session {number}", A)
        known.remember(f"loop {number}", "session", number)
    assert known.broken == ""
    assert (tmp_path / FILE).stat().st_size <= bound
    other = Known(tmp_path, bound)
    assert other.loop("loop 5999") == ("session", 5999)
    assert not other.claim_root("dest", "session 5999", B)
    assert other.loop("loop 0") is None
    assert other.claim_root("dest", "session 0", B)
    known.close()
    other.close()


def test_the_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEMORY", 10)
    known = Known(tmp_path)
    for number in range(100):
        known.claim_root("dest", str(number), A)
        known.remember(str(number), "session", number)
    assert len(known._roots) == len(known._loops) == 10
    known.close()


@forks
def test_a_forked_child_uses_the_table_and_its_parent_goes_on(tmp_path: Path, how: str) -> None:
    known = Known(tmp_path)
    assert known.claim_root("dest", "parent", A)
    fork = os.fork if how == "python" else ctypes.PyDLL(None).fork
    pid = fork()
    if pid == 0:
        good = not known.claim_root("dest", "parent", B)
        good = good and not Known(tmp_path).claim_root("dest", "parent", B)
        good = good and known.claim_root("dest", "child", B) and known.broken == ""
        known.close()
        os._exit(0 if good else 1)
    for number in range(200):
        assert known.claim_root("dest", str(number), A)
    assert os.waitpid(pid, 0)[1] == 0
    assert not known.claim_root("dest", "child", A)
    assert known.claim_root("dest", "after", A)
    assert known.broken == ""
    known.close()


def test_before_a_fork_it_is_closed_and_nobody_opens_it_until_after(tmp_path: Path) -> None:
    known = Known(tmp_path)
    known.claim_root("dest", "one", A)
    known.before_fork()
    assert known._connection is None
    asked = threading.Thread(target=known.claim_root, args=("dest", "two", A))
    asked.start()
    asked.join(0.05)
    assert asked.is_alive()
    known.after_fork()
    asked.join()
    known.after_fork()
    assert known.claim_root("dest", "three", A)
    known.close()


def test_an_idle_connection_holds_no_lock(tmp_path: Path) -> None:
    known = Known(tmp_path)
    known.claim_root("dest", "one", A)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, timeout=0)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("ROLLBACK")
    other.close()
    known.close()
