"""The journal of one process: its durable, append-only log of facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from otel_phi.delivery.journal.facts import Entry, Fact, Head, LookedUp, Position, RootClaimed
from otel_phi.delivery.journal.outbox import Found, Place

SEGMENT_BYTES = 8 << 20
MEMORY_BYTES = 16 << 20
READ_BYTES = 1 << 20


class JournalStats(msgspec.Struct, frozen=True, kw_only=True):
    """Says what a journal holds and what was lost of it.

    Attributes:
        lines: lines given to `append` that are in a file or in memory.
        read: of these, how many `read` gave.
        waiting_bytes: bytes of the files behind what `read` gave.
        file_bytes: all bytes of the files.
        refused: lines that wait in memory because a file did not take them.
        lost: lines that were not kept, by reason.
        damaged_lines: lines that could not be read any more, each counted once.
        damaged_bytes: their bytes.
        missing_segments: files that are gone from the middle.
        messages: one a kind of damage, for a person.
        in_memory: why there is no file, "" if there is one.
    """

    lines: int = 0
    read: int = 0
    waiting_bytes: int = 0
    file_bytes: int = 0
    refused: int = 0
    lost: tuple[tuple[str, int], ...] = ()
    damaged_lines: int = 0
    damaged_bytes: int = 0
    missing_segments: int = 0
    messages: tuple[str, ...] = ()
    in_memory: str = ""


class Journal:
    """Is a process's own journal, or the adopted one of a dead process.

    `append` is for any thread. All else is for the sender's thread alone, but `lines` and `stats`, which anybody may ask.

    Attributes:
        append: takes a line's JSON. True: it is in the file. False: it waits in memory, or was lost and counted.
            Never raises for the disk; raises `Forked` in a forked child, before it writes. To be called as
            `journal.append(body)`: a bound method that is kept keeps a segment from being sealed.
        head: what every segment begins with.
        owner: `{destination}/{pid}-{nonce}`, the name other tables know it by.
        folder: where it lies, None in memory.
        position: end of what `read` gave.
        wants_snapshot: `read` goes on only after `snapshot` was called.
        acknowledged: at opening, by exporter: replay up to it and send nothing.
        restored: at opening: the state to restore before the first `read`, None for an empty one.
        looked_up: at adoption, by the position they are about: all such facts of the journal.
        claimed: at adoption, likewise.
    """

    append: Callable[[bytes], bool]
    head: Head
    owner: str
    folder: Path | None
    position: Position
    wants_snapshot: bool
    acknowledged: list[Position]
    restored: bytes | None
    looked_up: Mapping[Position, LookedUp]
    claimed: Mapping[Position, RootClaimed]

    @classmethod
    def create(
        cls, place: Place, head: Head, *, segment_bytes: int = SEGMENT_BYTES, memory_bytes: int = MEMORY_BYTES
    ) -> Journal:
        """Makes a journal of this process.

        Raises:
            OSError: no file can be made there.
        """
        raise NotImplementedError

    @classmethod
    def adopt(cls, found: Found) -> Journal:
        """Opens a dead process's journal, which is locked by us.

        Raises:
            OSError: it cannot be opened.
        """
        raise NotImplementedError

    @classmethod
    def in_memory(cls, head: Head, reason: str, *, memory_bytes: int = MEMORY_BYTES) -> Journal:
        """Makes a journal without files, for where none can be."""
        raise NotImplementedError

    @property
    def lines(self) -> int:
        """Returns how many lines were given to `append` and kept."""
        raise NotImplementedError

    def read(self, max_bytes: int = READ_BYTES) -> list[Entry]:
        """Returns the next entries in order; none where there is nothing new, or `wants_snapshot`.

        A `Snapshot` among them says that the log has a hole before it: restore it and go on.
        """
        raise NotImplementedError

    def write(self, fact: Fact) -> bool:
        """Appends a fact of the sender's own; as `append`."""
        raise NotImplementedError

    def due(self) -> bool:
        """Tells whether the current segment is full, refuses lines, or is gone: time to `roll`."""
        raise NotImplementedError

    def roll(self) -> bool:
        """Publishes a new segment; False where that cannot be now: try again later."""
        raise NotImplementedError

    def snapshot(self, state: bytes) -> None:
        """Writes down the state at `position`, as `wants_snapshot` asks."""
        raise NotImplementedError

    def acknowledge(self, position: Position, exporter: int = 0) -> None:
        """Marks all up to a position as settled for one exporter, and deletes segments nobody needs any more."""
        raise NotImplementedError

    def sync(self) -> None:
        """Syncs to the disk, and mends what was removed. To be called about once a second."""
        raise NotImplementedError

    def close(self, *, delete: bool) -> None:
        """Closes the files and frees the lock. Repeatable.

        Args:
            delete: all is settled; the folder goes, unless dead letters are in it.
        """
        raise NotImplementedError

    def stats(self) -> JournalStats:
        """Returns what it holds now."""
        raise NotImplementedError
