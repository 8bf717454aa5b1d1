"""Fork: our locks are taken before and freed after, so that a child finds nothing half done; it begins anew.

Rule 1: a child never touches what was open in its parent, not even to close it: closing would free the parent's locks,
and what SQLite remembers of the files came along with the fork. A reference is kept, so that nothing is finalised.
Rule 2: a lock that cannot be had in time does not hold up the fork; the child makes its own in any case.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterable
from typing import Protocol

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.otlp.imports import importing

_LOCK_WAIT_S = 1.0  # our holders need milliseconds; a disk that hangs must not hang the fork


class Lock(Protocol):
    """Is any of threading's locks."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes it."""

    def release(self) -> None:
        """Frees it."""


class Forkable(Protocol):
    """Is what must know of forks."""

    def fork_locks(self) -> Iterable[Lock]:
        """Returns its locks, outermost first."""

    def before_fork(self) -> None:
        """Gets ready; all locks are held."""

    def after_fork_in_child(self) -> None:
        """Begins anew."""


_living: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Lock] = []
_inherited: list[object] = []


def register(one: Forkable) -> None:
    """Tells `one` of forks while it lives."""
    _living.add(one)


def keep_for_ever(*inherited: object) -> None:
    """Keeps what a child must not finalise."""
    _inherited.extend(inherited)


def _before() -> None:
    locks = [lock for one in list(_living) for lock in one.fork_locks()]
    _held.extend(lock for lock in (importing, *locks, filelock.guard) if lock.acquire(timeout=_LOCK_WAIT_S))
    for one in list(_living):
        with contextlib.suppress(Exception):
            one.before_fork()


def _in_parent() -> None:
    while _held:
        _held.pop().release()


def _in_child() -> None:
    filelock.after_fork_in_child()
    _in_parent()
    for one in list(_living):
        with contextlib.suppress(Exception):
            one.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
