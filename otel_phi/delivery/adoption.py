"""Adoption: files that dead processes left are sent by whoever finds them first, what they held open as aborted.

Rule 1: dead is whose lock the operating system has freed. Of two that find a file, one gets the lock.
Rule 2: only files of the same destination, which their name tells.
Rule 3: what cannot be read is set aside, named once, and never opened again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from otel_phi.delivery import outbox_schema, unsaid
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.outbox import LOCK_SUFFIX, Outbox
from otel_phi.delivery.outbox_recovery import abort_open
from otel_phi.delivery.outbox_schema import SUFFIX, UnusableError

_LOCK_AGE_S = 60.0


class Adoption:
    """Looks for files of dead processes.

    Args:
        folder: the outbox folder.
        destination: the destination's name.
    """

    def __init__(self, folder: Path, destination: str) -> None:
        self._folder = folder
        self._destination = destination
        self._only_dead: dict[str, int] = {}  # files that hold dead letters alone, by name, with their time

    def scan(self, room: int) -> tuple[list[Outbox], bool]:
        """Takes the files of dead processes that hold spans, newest first.

        Args:
            room: how many at most.

        Returns:
            The files, and whether there may be more.
        """
        found: list[Outbox] = []
        more = False
        for path in by_age(self._folder, f"{self._destination}-*{SUFFIX}")[::-1]:
            if len(found) >= room:
                more = True
                break
            if self._only_dead.get(path.name) == written_ns(path):
                continue
            lock = _lock_of(path)
            if lock is None:
                continue
            outbox = take(path, lock)
            if outbox is None:
                continue
            if outbox.rows:
                found.append(outbox)
            elif not outbox.close():
                self._only_dead[path.name] = written_ns(path)
        self._sweep_locks()
        return found, more

    def is_dead(self, name: str) -> bool:
        """Tells whether the process whose file has this name lives no longer."""
        return filelock.is_free(self._folder / (name + LOCK_SUFFIX))

    def _sweep_locks(self) -> None:
        """Removes locks of files that are gone; a young one may be of a process that is about to make its file."""
        oldest_ns = time.time_ns() - int(_LOCK_AGE_S * 1e9)
        for path in self._folder.glob(f"{self._destination}-*{LOCK_SUFFIX}"):
            if path.with_suffix(SUFFIX).exists() or not 0 < written_ns(path) < oldest_ns:
                continue
            if lock := _acquired(path):
                lock.release(remove=not path.with_suffix(SUFFIX).exists())


def take(path: Path, lock: FileLock) -> Outbox | None:
    """Opens a dead process's file and makes aborted spans of what it held open; None if it cannot be used, now or ever."""
    try:
        if not path.exists():
            lock.release(remove=True)  # another adopted it, and is done
            return None
        connection = outbox_schema.connect(path)
        try:
            abort_open(connection)
            return Outbox(path, lock, connection)
        except Exception:
            connection.close()
            raise
    except sqlite3.Error as error:
        if outbox_schema.is_damage(error):
            _set_aside(path, lock, f"damaged: {error}")
        else:
            lock.release()  # a full disk, say: later
    except UnusableError as error:
        if error.args:
            _set_aside(path, lock, str(error))
        else:
            outbox_schema.remove(path)
            lock.release(remove=True)
    except Exception as error:  # noqa: BLE001  # SQLite has no sums of its content: what is in a row may be anything
        _set_aside(path, lock, f"damaged: {type(error).__name__}")
    return None


def by_age(folder: Path, pattern: str) -> list[Path]:
    """Returns the files of a folder that match, the oldest first."""
    return sorted(folder.glob(pattern), key=lambda path: (written_ns(path), path.name))


def _set_aside(path: Path, lock: FileLock, reason: str) -> None:
    target = outbox_schema.set_aside(path)
    lock.release(remove=True)
    unsaid.warn("%s is set aside as %s: %s", path, target.name, reason)


def _lock_of(path: Path) -> FileLock | None:
    return _acquired(path.with_suffix(LOCK_SUFFIX))


def _acquired(path: Path) -> FileLock | None:
    try:
        return filelock.acquire(path)
    except OSError:
        return None


def written_ns(path: Path) -> int:
    """Returns when a file was last written, in ns; 0 for one that vanished."""
    latest = 0
    for name in (path.name, path.name + "-wal"):
        with contextlib.suppress(OSError):
            latest = max(latest, path.with_name(name).stat().st_mtime_ns)
    return latest


def unheld(path: Path) -> tuple[int, int] | None:
    """Removes a file that no living process holds, whoever its spans were for, or one that was set aside.

    Returns:
        How many spans it held and how many bytes; None if it is held, or no outbox.
    """
    size = outbox_schema.size_bytes(path)
    if path.name.endswith(outbox_schema.SET_ASIDE):
        outbox_schema.remove(path)
        return 0, size
    if "-" not in path.name:
        return None  # the table of all processes
    lock = _lock_of(path)
    if lock is None:
        return None
    spans = 0
    with contextlib.suppress(sqlite3.Error, UnusableError):
        connection = outbox_schema.connect(path)
        with contextlib.closing(connection):
            spans = connection.execute("SELECT count(*) FROM span").fetchone()[0]
    outbox_schema.remove(path)
    lock.release(remove=True)
    return spans, size


def rows_in(path: Path) -> int:
    """Returns how many spans wait in a file of others, dead or alive; 0 if it cannot be read now, or was set aside."""
    if not path.name.endswith(outbox_schema.SUFFIX):
        return 0
    try:
        with contextlib.closing(outbox_schema.connect(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM span").fetchone()[0])
    except (OSError, sqlite3.Error, UnusableError):
        return 0


def shrink(path: Path) -> int:
    """Moves a dead process's write-ahead log into its file, ten times smaller often, and returns the bytes won."""
    if not path.name.endswith(outbox_schema.SUFFIX) or "-" not in path.name:
        return 0
    lock = _lock_of(path)
    if lock is None:
        return 0
    before = outbox_schema.size_bytes(path)
    with contextlib.suppress(sqlite3.Error, UnusableError):
        outbox_schema.connect(path).close()
    lock.release()
    return before - outbox_schema.size_bytes(path)
