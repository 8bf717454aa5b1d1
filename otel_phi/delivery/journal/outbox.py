"""The outbox: the folder of all journals of a machine's user, one folder a process, sorted by destination.

    STATE/outbox/localhost-4318-v1-traces-http-protobuf-1f6a09b2c3/
      4711-8c21f0aa5b7d3e90/     a process's folder: see `journal`
      4809-03be77d19a4412fe/

Rule 1: who lives is told by the lock alone. A lock of this very process is never opened, closing it would free it: only one
        that it let go again, of a journal that it closed with something left in it.
Rule 2: a living process makes a removed lock again within a second; so a folder without one is dead after five.
Rule 3: a folder whose format is not ours, or whose head says nothing, is left alone, and named.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from otel_phi.clock import monotonic, wall_ns
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.facts import FORMAT, Destination, Head
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.private import make_folder
from otel_phi.delivery.journal.segment_file import RESERVE_SUFFIX, SUFFIX, read_head, segment_name, segment_numbers

LOCK = "lock"
_NAME = re.compile(r"(\d{1,10})-([0-9a-f]{8})([0-9a-f]{8})")
_NO_IDENTITY = "0" * 8  # where the platform does not say when a process began
_TRIES = 10


class ProcessName(NamedTuple):
    """A process name is what the name of a folder says of its process."""

    pid: int
    identity: str

    @property
    def is_own(self) -> bool:
        """Tells whether it is of this process; where the platform cannot tell, of one with the same number."""
        return self.pid == os.getpid() and self.identity in (_NO_IDENTITY, identity())


def parse_name(name: str) -> ProcessName | None:
    """Reads a folder's name; None where it is no process's."""
    found = _NAME.fullmatch(name)
    return ProcessName(int(found[1]), found[2]) if found else None


def identity() -> str:
    """Returns what tells this process from an earlier one with the same number: when it began, on which boot."""
    try:
        # The second field, the command, may hold blanks and brackets; the start time is the 22nd.
        began = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except (OSError, IndexError):
        return _NO_IDENTITY
    return hashlib.blake2b(boot + began, digest_size=4).hexdigest()


def make_process_folder(parent: Path) -> tuple[Path, FileLock]:
    """Makes a folder for this process, locked.

    Raises:
        OSError: it cannot be made, or the file system knows no locks.
    """
    for _ in range(_TRIES):
        folder = parent / f"{os.getpid()}-{identity()}{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        try:
            lock = filelock.acquire(folder / LOCK)
        except BaseException:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
            raise
        if lock is not None:
            return folder, lock
    raise OSError(f"{parent}: no lock of ours stays ours")


FOLDER = "outbox"
DEAD_LETTERS = "dead"
MAX_BYTES = 256 << 20
MAX_AGE_S = 7 * 86_400.0
_LOCK_MISSING_S = 5.0
_NS = 1_000_000_000


class Place(msgspec.Struct, frozen=True):
    """A place is where a process makes its journal.

    Attributes:
        folder: the destination's folder in the outbox.
        destination: the destination.
    """

    folder: Path
    destination: Destination


class Found(msgspec.Struct, frozen=True):
    """A found journal is that of a dead process, locked by us: for `Journal.adopt`, or to be given back by `lock.release()`.

    Attributes:
        folder: the process's folder.
        head: what its journal says of itself.
        lock: ours, on it.
    """

    folder: Path
    head: Head
    lock: FileLock


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder says what can be seen of a process's folder from outside.

    Attributes:
        path: the folder.
        destination: its destination; of one whose head cannot be read, the folder's name alone.
        head: what its journal says of itself, None where that cannot be read.
        pid: the process's id.
        alive: its owner lives.
        own: its owner is this process.
        bytes: size of its files, dead letters left out.
        dead_letters: bytes of dead letters in it.
        segments: numbers and sizes of its segments, oldest first.
        since_ns: when its oldest segment was begun, 0 where there is none.
        until_ns: when its newest segment was written to last, 0 where there is none.
        problem: why it is left alone: another format's number, a head that cannot be read; "" where all is well.
    """

    path: Path
    destination: Destination
    head: Head | None = None
    pid: int = 0
    alive: bool = False
    own: bool = False
    bytes: int = 0
    dead_letters: int = 0
    segments: tuple[tuple[int, int], ...] = ()
    since_ns: int = 0
    until_ns: int = 0
    problem: str = ""


class Excess(msgspec.Struct, frozen=True):
    """An excess is what must go for the outbox to keep within its bounds.

    Attributes:
        folder: a dead process's folder, whole, or this process's own.
        segment: the own segment up to which everything must go, None for a whole folder.
        bytes: what it frees.
        reason: `size` or `age`.
    """

    folder: Path
    segment: int | None
    bytes: int
    reason: str


class Outbox:
    """An outbox is the outbox of one state folder. Nothing is made before `place`.

    Args:
        state_dir: the state folder, private to this user.
    """

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / FOLDER
        self._missing_since: dict[Path, float] = {}

    def place(self, destination: Destination) -> Place:
        """Returns where a process's journal for a destination belongs.

        Raises:
            OSError: the folder cannot be made, or is not private.
        """
        make_folder(self.folder)
        folder = self.folder / destination.name
        folder.mkdir(mode=0o700, exist_ok=True)
        return Place(folder, destination)

    def folders(self) -> list[Folder]:
        """Returns every process's folder, the oldest first."""
        found = [_look(path, name) for path, name in self._paths()]
        return sorted(found, key=lambda one: (one.since_ns, one.path))

    def _paths(self, destination: str | None = None) -> Iterator[tuple[Path, ProcessName]]:
        for parent in [self.folder / destination] if destination is not None else _entries(self.folder):
            for path in _entries(parent):
                name = parse_name(path.name)
                if name is not None and path.is_dir() and not path.is_symlink():
                    yield path, name

    def adoptable(self, destination: Destination | None, credentials_match: Callable[[Head], bool]) -> Iterator[Found]:
        """Yields journals of dead processes, each locked, oldest first.

        Args:
            destination: whose; None for any.
            credentials_match: tells whether a head's credentials are ours; see `destination.credentials_match`.
        """
        found = [_look(path, name) for path, name in self._paths(destination.name if destination else None)]
        for one in sorted(found, key=lambda one: (one.since_ns, one.path)):
            if one.own or one.alive or one.problem or one.head is None or not one.segments:
                continue
            if not self._has_been_dead(one.path) or not credentials_match(one.head):
                continue
            lock = _lock(one.path)
            if lock is None:
                continue
            if segment_numbers(one.path):
                yield Found(one.path, one.head, lock)
            else:  # another process adopted it meanwhile, and is done
                _remove_empty(one.path, lock)

    def take(self, folder: Path) -> Found | None:
        """Locks a dead process's folder, whoever its spans are for, to be dropped; None where it cannot be had."""
        name = parse_name(folder.name)
        found = None if name is None else _look(folder, name)
        if found is None or found.own or found.alive or found.head is None or not self._has_been_dead(folder):
            return None
        lock = _lock(folder)
        return None if lock is None else Found(folder, found.head, lock)

    def _has_been_dead(self, path: Path) -> bool:
        if (path / LOCK).exists():
            self._missing_since.pop(path, None)
            return True
        now = monotonic()
        return now - self._missing_since.setdefault(path, now) >= _LOCK_MISSING_S

    def keep_within(self, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S) -> list[Excess]:
        """Returns what must go: dead processes' folders first, then this process's own segments, oldest first.

        Args:
            max_bytes: bound of all folders' journals together.
            max_age_s: bound of the age of what was written last in a folder, or in a segment of one's own.
        """
        folders = self.folders()
        over = sum(one.bytes for one in folders) - max_bytes
        oldest_ns = wall_ns() - int(max_age_s * _NS)
        going: list[Excess] = []
        for one in folders:
            if one.own or one.alive or not one.segments:
                continue
            if one.until_ns < oldest_ns or over > 0:
                over -= one.bytes
                going.append(Excess(one.path, None, one.bytes, "age" if one.until_ns < oldest_ns else "size"))
        for one in (one for one in folders if one.own):
            for number, size in one.segments[:-1]:  # the last one is being written to
                old = _written_ns(one.path / segment_name(number)) < oldest_ns
                if old or over > 0:
                    over -= size
                    going.append(Excess(one.path, number, size, "age" if old else "size"))
        return going


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _lock(folder: Path) -> FileLock | None:
    with contextlib.suppress(OSError):
        return filelock.acquire(folder / LOCK)
    return None


def _remove_empty(folder: Path, lock: FileLock) -> None:
    for path in folder.glob(f"*{RESERVE_SUFFIX}"):
        with contextlib.suppress(OSError):
            path.unlink()
    lock.release(remove=True)
    with contextlib.suppress(OSError):  # dead letters are in it
        folder.rmdir()


def _look(path: Path, name: ProcessName) -> Folder:
    own = filelock.is_ours(path / LOCK) or (name.is_own and not filelock.was_ours(path / LOCK))
    numbers = segment_numbers(path)
    sizes = [(number, _size(path / segment_name(number))) for number in numbers]
    head, format_, since_ns = read_head(path)
    problem = ""
    if numbers and head is None:
        problem = f"format {format_} is not ours ({FORMAT})" if format_ not in (None, FORMAT) else "its head is damaged"
    return Folder(
        path=path,
        destination=head.destination if head is not None else Destination(path.parent.name),
        head=head,
        pid=name.pid,
        alive=own or not _is_free(path / LOCK),
        own=own,
        bytes=sum(_size(one) for one in _entries(path) if one.suffix in (SUFFIX, RESERVE_SUFFIX)),
        dead_letters=_size(path / DEAD_LETTERS),
        segments=tuple(sizes),
        since_ns=since_ns,
        until_ns=_written_ns(path / segment_name(numbers[-1])) if numbers else 0,
        problem=problem,
    )


def _is_free(lock: Path) -> bool:
    try:
        return filelock.is_free(lock)
    except OSError:
        return False  # what cannot be locked cannot be adopted


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _written_ns(path: Path) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime_ns  # noqa: PTH116  # one call
    return 0
