"""How this process uses SQLite: whether it may, whether a thread of ours is in it when a fork comes, what an error means.

SQLite remembers in its process's memory what its connections have locked, and has mutexes. A fork copies both as they stand: a child
whose parent had a thread in SQLite just then finds a file that nobody holds locked for ever, or waits for a mutex for ever.

    a thread of ours    in_sqlite(): it takes the turn, and notes that it is inside
    os.fork             hold(): it waits for the turn, so that nobody of ours is inside; let_go() in the parent
    C code's fork       nobody is asked: the child reads the note

Rule 1: a child that was forked while a thread of ours was inside uses no SQLite, and neither do its own children.
Rule 2: threads that are not ours leave no note. So in a forked child a thread made for it opens the file first: while SQLite
        does not answer that one, nobody else asks.
Rule 3: nobody waits for the turn without a bound, and an interrupt of whoever forks leaves it with nobody.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

# A turn takes milliseconds, and a second where another process has the file. Past that whoever waits goes on without: SQLite is
# made for threads, only a fork that comes just then has a child without it.
_MOST_S = 5.0
_INSIDE = "this process was forked while a thread of its parent used SQLite"
_SILENT = "SQLite does not answer in this forked process: another thread of its parent may have been in it"


class _Process:
    """What one process knows of itself.

    Attributes:
        pid: whose this is.
        turn: held by whoever is inside, and by whoever forks.
        inside: one entry for each thread of ours that is inside.
        why_not: why SQLite is not used here, "" where it may be.
        answers: whether SQLite is known to answer here.
        trial: held until SQLite answered the thread that tries; None as long as there is none.
    """

    def __init__(self, why_not: str = "", *, answers: bool = True) -> None:
        self.pid = os.getpid()
        self.turn = threading.RLock()  # its owner is part of it: an interrupt cannot come between lock and note
        self.inside: list[None] = []
        self.why_not = why_not
        self.answers = answers
        self.trial: _thread.LockType | None = None

    def child(self) -> _Process:
        """Returns what a forked child knows of itself; this is its parent's."""
        tries = self.trial is not None and not self.answers
        busy = self.inside or tries
        return _Process(self.why_not or (_INSIDE if busy else ""), answers=False)

    def tries(self, path: Path, wait_s: float) -> bool:
        """Has a thread open a file, the first time; tells whether SQLite has answered it by now."""
        if self.trial is None:
            trial = _thread.allocate_lock()
            trial.acquire()
            try:  # it leaves signals to others, as the live thread does that starts it
                _thread.start_new_thread(_open_once, (path, trial))
            except RuntimeError:  # no thread can be had
                return False
            self.trial = trial
        self.answers = self.trial.acquire(timeout=wait_s)
        return self.answers


_now = _Process()


def _this() -> _Process:
    """Returns this process's state, a new one in a forked child, whoever forked it."""
    global _now  # noqa: PLW0603  # one process, one SQLite
    if _now.pid != os.getpid():
        _now = _now.child()
    return _now


@contextlib.contextmanager
def in_sqlite() -> Iterator[None]:
    """Notes that this thread is in SQLite; a function may be decorated with it."""
    process = _this()
    turn = process.turn
    had = turn.acquire(timeout=_MOST_S)
    if not had:
        process.turn = threading.RLock()  # whoever has it may be gone: the next one waits for nobody
    process.inside.append(None)
    try:
        yield
    finally:
        process.inside.pop()
        if had:
            turn.release()


def hold(wait_s: float) -> bool:
    """Takes the turn before a fork; False where it cannot be had in time: the child will use no SQLite."""
    return _this().turn.acquire(timeout=wait_s)


def let_go() -> None:
    """Gives the turn back in the parent, if this thread has it."""
    with contextlib.suppress(RuntimeError):
        _this().turn.release()


def check_usable(path: Path, wait_s: float) -> None:
    """Checks that SQLite may be used here. To be called before a file is opened.

    Args:
        path: a database that is to be opened; nobody in this process has it open.
        wait_s: how long to wait for SQLite's answer, in a forked child whose first use this is.

    Raises:
        sqlite3.OperationalError: it may not be used, or not yet.
    """
    process = _this()
    if process.why_not:
        raise sqlite3.OperationalError(process.why_not)
    if not process.answers and not process.tries(path, wait_s):
        raise sqlite3.OperationalError(_SILENT)


def keep_for_ever(inherited: object) -> None:
    """Keeps what a forked child has of its parent from ever being finalised, at the interpreter's end too.

    To close a connection there would roll back what its parent is about to commit, or wait for a mutex for ever.
    """
    with contextlib.suppress(AttributeError):  # not CPython's
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def is_damage(error: BaseException) -> bool:
    """Tells whether an error speaks of a file's content; a full disk or a busy file is an OperationalError."""
    return type(error) is sqlite3.DatabaseError or str(error).startswith(("no such table", "no such column"))


def _open_once(path: Path, trial: _thread.LockType) -> None:
    try:
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.execute("PRAGMA user_version").fetchone()
    finally:
        trial.release()
