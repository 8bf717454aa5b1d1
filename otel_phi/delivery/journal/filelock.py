"""Lock files: who lives. The operating system frees a lock when its process ends, however it ends.

Rule 1: POSIX record locks, which a forked child does not inherit; so a child never keeps a dead parent's file locked.
Rule 2: such a lock is lost when its process closes *any* descriptor of the file: what this process holds is remembered,
and never opened a second time.
Rule 3: a child that C code forked is told by nobody: the process id is looked at.
Rule 4: a forked child leaves alone what its ancestors held: SQLite's memory of those files came with the fork.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_O_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

guard = threading.Lock()  # of the sets; nobody holds it across a fork: a child has one of its own
_held: set[str] = set()
_inherited: set[str] = set()
_released: set[str] = set()
_pid = os.getpid()


class FileLock:
    """A file lock is a lock this process holds; made by `acquire`.

    Args:
        path: the lock file.
        descriptor: its open descriptor.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def is_there(self) -> bool:
        """Tells whether the locked file is still the one at its path."""
        try:
            return self._descriptor >= 0 and os.path.samestat(self.path.lstat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def renew(self) -> bool:
        """Makes and locks the file again where somebody removed it; False if another process was quicker.

        Raises:
            OSError: it cannot be made.
        """
        _begin_anew_if_forked()
        if self.is_there:
            return True
        with guard:
            descriptor = _locked(self.path)
            if descriptor is None:
                return False
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = descriptor
            _held.add(_name(self.path))
            return True

    def release(self, *, remove: bool = False, noted: bool = True) -> None:
        """Frees the lock. Repeatable.

        Args:
            remove: remove the file first, so that nobody locks what is about to vanish.
            noted: remember that it was ours, unless the file is gone; not where it was only looked at.
        """
        _begin_anew_if_forked()
        with guard:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor < 0:
                return
            name = _name(self.path)
            if remove and name in _held:  # never a parent's
                with contextlib.suppress(OSError):
                    self.path.unlink(missing_ok=True)
            _held.discard(name)
            if noted and not remove:
                _released.add(name)
            os.close(descriptor)


def acquire(path: Path) -> FileLock | None:
    """Takes the lock if it is free, without waiting; None if a process that lives, this one too, holds it.

    Raises:
        OSError: the file cannot be made, or the file system knows no locks.
    """
    if sys.platform == "win32":
        raise OSError("this platform has no record locks")
    _begin_anew_if_forked()
    with guard:
        name = _name(path)
        if name in _held or name in _inherited:
            return None
        descriptor = _locked(path)
        if descriptor is None:
            return None
        _held.add(name)
        _released.discard(name)
        return FileLock(path, descriptor)


def _locked(path: Path) -> int | None:
    """Returns a descriptor that holds the lock, None if another process has it, or has just removed the file."""
    descriptor = os.open(path, _O_FLAGS, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        current = os.path.samestat(path.stat(), os.fstat(descriptor))  # it may have been removed meanwhile
    except (BlockingIOError, PermissionError, FileNotFoundError):
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    if not current:
        os.close(descriptor)
        return None
    return descriptor


def is_ours(path: Path) -> bool:
    """Tells whether this process holds the lock."""
    _begin_anew_if_forked()
    with guard:
        return _name(path) in _held


def was_ours(path: Path) -> bool:
    """Tells whether this process held the lock and let it go: who lives is then told by the lock, as of anybody's."""
    _begin_anew_if_forked()
    with guard:
        return _name(path) in _released


def is_free(path: Path) -> bool:
    """Tells whether no process that lives holds the lock; a file that does not exist is free.

    Raises:
        OSError: it cannot be told.
    """
    if not path.exists():
        return True
    was = was_ours(path)
    try:
        lock = acquire(path)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return _is_free_to_read(path)
    if lock is None:
        return False
    lock.release(noted=was)
    return True


def _is_free_to_read(path: Path) -> bool:
    """Tells the same of a file that this process may only read: a shared lock is had where nobody has the exclusive one."""
    with guard:
        if _name(path) in _held or _name(path) in _inherited:
            return False
        descriptor = os.open(path, _READ_FLAGS)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


def after_fork_in_child() -> None:
    """Remembers what the parent holds as not ours. Called in the child, before anything else here."""
    global _pid  # noqa: PLW0603  # one process, one set of locks
    _inherited.update(_held)
    _held.clear()
    _released.clear()
    _pid = os.getpid()


def _begin_anew_if_forked() -> None:
    """Does so in a child, whoever forked it: its guard may be held by a thread it has not."""
    global guard  # noqa: PLW0603  # as above
    if os.getpid() != _pid:
        guard = threading.Lock()
        after_fork_in_child()


def _name(path: Path) -> str:
    return os.path.realpath(path)
