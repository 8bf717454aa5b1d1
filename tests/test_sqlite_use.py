"""SQLite over forks: a child whose parent had a thread in it uses none of it, waits for nothing, and harms nothing."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_phi import sqlite_use
from otel_phi.delivery.journal import known as module
from otel_phi.delivery.journal.known import FILE, Known

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks are POSIX's")
A, B = "dest/1-a", "dest/2-b"
forks = pytest.mark.parametrize("how", ["python", "c"])


def forked(how: str, child: Callable[[], bool]) -> int:
    """Forks as Python does, or as C code does; returns the child's exit code: 0 where it found what it should."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of threads; they are the point
        pid = os.fork() if how == "python" else ctypes.PyDLL(None).fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if child() else 2
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextlib.contextmanager
def inside(known: Known, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has a thread stand in the midst of a claim, the table locked, until it is over."""
    claimed, there, over = module._claimed, threading.Event(), threading.Event()

    def claims(row: tuple[str, bytes, str, int], table: sqlite3.Connection) -> str:
        table.execute("BEGIN EXCLUSIVE")
        first = claimed(row, table)
        there.set()
        over.wait()
        table.execute("COMMIT")
        return first

    with monkeypatch.context() as patched:
        patched.setattr(module, "_claimed", claims)
        thread = threading.Thread(target=known.claim_root, args=("dest", "under way", A))
        thread.start()
        there.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


@forks
def test_a_child_forked_while_a_thread_is_in_the_table_answers_at_once_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """SQLite's memory says there for ever that the table is locked: whoever waits for it waits in vain, for ten minutes here."""
    known = Known(tmp_path)
    known.remember("loop", "session", 1)

    def child() -> bool:
        monkeypatch.setattr(module, "_WAIT_S", 600.0)
        good = all(one.claim_root("dest", "child", B) for one in (known, Known(tmp_path)))
        other = Known(tmp_path)
        other.remember("loop", "other", 2)
        good = good and other.loop("loop") == ("other", 2) and known.loop("unknown") is None
        other.close()
        return good and "forked" in known.broken and "forked" in other.broken

    with inside(known, monkeypatch):
        if how == "python":
            monkeypatch.setattr(module, "_WAIT_S", 0.01)
            known.before_fork()  # somebody is in it for too long
        assert forked(how, child) == 0
        known.after_fork()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as table:
        assert table.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not Known(tmp_path).claim_root("dest", "under way", B), "the parent's claim is there"
    assert Known(tmp_path).claim_root("dest", "child", A), "the child's is not"
    assert known.loop("loop") == ("session", 1)
    assert known.broken == ""
    known.close()


def test_its_own_children_use_none_of_it_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(tmp_path)

    def grandchild() -> bool:
        one = Known(tmp_path)
        return one.claim_root("dest", "below", B) and "forked" in one.broken

    with inside(known, monkeypatch):
        assert forked("c", lambda: forked("c", grandchild) == 0) == 0
    known.close()


@forks
def test_a_child_forked_while_nobody_is_in_it_uses_it(tmp_path: Path, how: str) -> None:
    known = Known(tmp_path)
    known.claim_root("dest", "parent", A)
    known.before_fork()

    def child() -> bool:
        one = Known(tmp_path)
        return not one.claim_root("dest", "parent", B) and one.broken == ""

    assert forked(how, child) == 0
    known.after_fork()
    known.close()


def mutex() -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """Returns the mutex that SQLite takes whenever it opens or closes a file, and the library."""
    with Path("/proc/self/maps").open() as maps:
        paths = {line.split()[-1] for line in maps if "libsqlite3" in line}
    if not paths:
        pytest.skip("SQLite is part of the interpreter here")
    library = ctypes.CDLL(paths.pop())
    library.sqlite3_mutex_alloc.restype = ctypes.c_void_p
    return library, ctypes.c_void_p(library.sqlite3_mutex_alloc(11))  # SQLITE_MUTEX_STATIC_VFS1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells where SQLite is")
@forks
def test_a_child_whose_parents_own_thread_was_in_sqlite_is_not_held_up(tmp_path: Path, how: str) -> None:
    """The agent uses SQLite too, and leaves no note: the mutex that its thread held is held for ever."""
    known = Known(tmp_path)
    known.claim_root("dest", "parent", A)
    library, held = mutex()
    there, over = threading.Event(), threading.Event()

    def agent() -> None:
        library.sqlite3_mutex_enter(held)
        there.set()
        over.wait()
        library.sqlite3_mutex_leave(held)

    def child() -> bool:
        one = Known(tmp_path)
        good = one.claim_root("dest", "child", B) and "does not answer" in one.broken
        return good and forked(how, lambda: "forked" in used(Known(tmp_path))) == 0

    thread = threading.Thread(target=agent)
    gc.collect()
    gc.disable()  # another test's connection that is collected now would wait for the mutex in this very thread
    thread.start()
    there.wait()
    try:
        assert forked(how, child) == 0
    finally:
        over.set()
        thread.join()
        gc.enable()
    known.close()


def used(known: Known) -> str:
    known.claim_root("dest", "session", B)
    return known.broken


def test_whoever_waits_for_the_turn_in_vain_goes_on_and_the_next_one_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who had it may be gone for good."""
    used: list[bool] = []

    def use() -> None:
        with sqlite_use.in_sqlite():
            used.append(True)

    assert sqlite_use.hold(60.0)
    for most_s in (0.01, 600.0):
        monkeypatch.setattr(sqlite_use, "_MOST_S", most_s)
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    sqlite_use.let_go()  # by whoever has not got it any more
    assert used == [True, True]


def test_a_fork_waits_for_whoever_is_in_sqlite_and_not_for_ever() -> None:
    there, over = threading.Event(), threading.Event()

    def use() -> None:
        with sqlite_use.in_sqlite():
            there.set()
            over.wait()

    thread = threading.Thread(target=use)
    thread.start()
    there.wait()
    assert not sqlite_use.hold(0.01)
    sqlite_use.let_go()
    over.set()
    thread.join()
    assert sqlite_use.hold(60.0)
    sqlite_use.let_go()
