"""The outbox: the folder of all journals of a machine's user, one folder a process, sorted by destination."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from otel_phi.delivery.journal.facts import Destination, Head
from otel_phi.delivery.journal.filelock import FileLock

MAX_BYTES = 256 << 20
MAX_AGE_S = 7 * 86_400.0


class Place(msgspec.Struct, frozen=True):
    """Is where a process makes its journal.

    Attributes:
        folder: the destination's folder in the outbox.
        destination: the destination.
    """

    folder: Path
    destination: Destination


class Found(msgspec.Struct, frozen=True):
    """Is the journal of a dead process, locked by us: for `Journal.adopt`, or to be given back by `lock.release()`.

    Attributes:
        folder: the process's folder.
        head: what its journal says of itself.
        lock: ours, on it.
    """

    folder: Path
    head: Head
    lock: FileLock


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """Is what can be said of a process's folder from outside.

    Attributes:
        path: the folder.
        destination: its destination; of one whose head cannot be read, the folder's name alone.
        head: what its journal says of itself, None where that cannot be read.
        pid: the process's id.
        alive: its owner lives.
        own: its owner is this process.
        bytes: size of its files.
        dead_letters: bytes of dead letters in it.
        segments: how many.
        since_ns: when its oldest segment was begun, 0 where there is none.
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
    segments: int = 0
    since_ns: int = 0
    problem: str = ""


class Excess(msgspec.Struct, frozen=True):
    """Is what must go for the outbox to keep within its bounds.

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
    """Is the outbox of one state folder. Nothing is made before `place`.

    Args:
        state_dir: the state folder, private to this user.
    """

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "outbox"

    def place(self, destination: Destination) -> Place:
        """Returns where a process's journal for a destination belongs.

        Raises:
            OSError: the folder cannot be made, or is not private.
        """
        raise NotImplementedError

    def folders(self) -> list[Folder]:
        """Returns every process's folder, oldest first."""
        raise NotImplementedError

    def adoptable(self, destination: Destination | None, credentials_match: Callable[[Head], bool]) -> Iterator[Found]:
        """Yields journals of dead processes, each locked, oldest first.

        Args:
            destination: whose; None for any.
            credentials_match: tells whether its credentials are ours; see `destination.credentials_match`.
        """
        raise NotImplementedError

    def keep_within(self, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S) -> list[Excess]:
        """Returns what must go: dead processes' folders first, then this process's own segments, oldest first."""
        raise NotImplementedError
