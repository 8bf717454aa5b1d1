"""Lock files: who lives. The operating system frees a lock when its process ends, however it ends.

Rule 1: POSIX record locks, which a forked child does not inherit; so a child never keeps a dead parent's file locked.
Rule 2: such a lock is lost when its process closes *any* descriptor of the file: what this process holds is remembered,
and never opened a second time.
Rule 3: a forked child leaves alone what its ancestors held: SQLite's memory of those files came with the fork.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_O_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

guard = threading.Lock()  # held across a fork, so that the child finds the sets whole
_held: set[str] = set()
_inherited: set[str] = set()


class FileLock:
    """Is a lock this process holds; made by `acquire`.

    Args:
        path: the lock file.
        descriptor: its open descriptor.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def release(self, *, remove: bool = False) -> None:
        """Frees the lock. Repeatable.

        Args:
            remove: remove the file first, so that nobody locks what is about to vanish.
        """
        with guard:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor < 0:
                return
            if remove:
                with contextlib.suppress(OSError):
                    self.path.unlink(missing_ok=True)
            _held.discard(_name(self.path))
            os.close(descriptor)


def acquire(path: Path) -> FileLock | None:
    """Takes the lock if it is free, without waiting; None if a process that lives, this one too, holds it.

    Raises:
        OSError: the file cannot be made, or the file system knows no locks.
    """
    if sys.platform == "win32":
        raise OSError("this platform has no record locks")
    with guard:
        name = _name(path)
        if name in _held or name in _inherited:
            return None
        descriptor = os.open(path, _O_FLAGS, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = path.stat().st_ino == os.fstat(descriptor).st_ino  # it may have been removed meanwhile
        except (BlockingIOError, PermissionError, FileNotFoundError):
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        if not current:
            os.close(descriptor)
            return None
        _held.add(name)
        return FileLock(path, descriptor)


def is_free(path: Path) -> bool:
    """Tells whether no process that lives holds the lock; a file that does not exist is free."""
    if not path.exists():
        return True
    lock = acquire(path)
    if lock is None:
        return False
    lock.release()
    return True


def after_fork_in_child() -> None:
    """Remembers what the parent holds as not ours. Called with `guard` held, or alone in the child."""
    _inherited.update(_held)
    _held.clear()


def _name(path: Path) -> str:
    return os.path.realpath(path)
