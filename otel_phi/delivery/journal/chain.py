"""The chain: a journal's segments as files: published, rolled, sealed, mended where somebody removed them, deleted.

    ┌───────────┐   ┌───────────┐   ┌───────────┐   ┌ ─ ─ ─ ─ ─ ┐
    │ 1 sealed  │ ─ │ 2 sealed? │ ─ │ 3 current │ ─   4 reserve
    └───────────┘   └─────▲─────┘   └─────▲─────┘   └ ─ ─ ─ ─ ─ ┘
                  calls that began      `append`, as published
                  before the roll

Rule 1: only the sender's thread changes a chain; agents' threads hold an appender and nothing else.
Rule 2: a segment is sealed when nobody holds its appender any more, never by its number or its size.
Rule 3: what its memory holds then is carried over: it comes before the next segment's own lines.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Raw

from otel_phi.clock import monotonic
from otel_phi.delivery.journal.append import Write, write_for
from otel_phi.delivery.journal.facts import Carried, Head, encode_fact
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.lines import frame
from otel_phi.delivery.journal.private import make_folders
from otel_phi.delivery.journal.segment import Segment
from otel_phi.delivery.journal.segment_file import INTERNAL, RESERVE_SUFFIX, is_segment, make_segment, segment_name

SEGMENT_BYTES = 8 << 20
MEMORY_BYTES = 16 << 20
# A call takes microseconds; on a machine with both cores burning the longest wait measured was 20 ms.
_SEAL_WAIT_S = 0.05
_SEAL_LOOK_S = 0.0005
# Held for so long, it is by a kept traceback, which writes nothing any more. Should it after all, see `_late`.
_PINNED_S = 5.0
_LEAST_MEMORY = 16  # of the bound: so much a new segment has, whatever still waits to be written

Publish = Callable[[Callable[[bytes], bool]], None]


class Chain:
    """A chain is the segments of one process's folder. For the sender's thread.

    Args:
        folder: the process's folder, there and private.
        lock: ours, on it.
        head: what segments begin with.
        segments: those that are there, oldest first.
        publish: takes the function that appends from now on.
        segment_bytes: a segment of this size is full.
        memory_bytes: bound of what files refused.

    Attributes:
        gone: the current segment was removed.
        state_bytes: size of the last snapshot.
    """

    def __init__(
        self,
        folder: Path,
        lock: FileLock,
        head: Head,
        segments: list[Segment],
        publish: Publish,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.folder = folder
        self.lock = lock
        self.head = head
        self.segments = segments
        self.gone = False
        self.state_bytes = 0
        self._publish = publish
        self._segment_bytes = segment_bytes
        self._memory_bytes = memory_bytes
        self._write: Write = write_for(folder)
        self._reserve: int | None = None
        self._to_sync: list[Segment] = []
        self._folder_changed = True

    @property
    def current(self) -> Segment:
        """Returns the segment that is appended to."""
        return self.segments[-1]

    def open(self) -> None:
        """Publishes the newest segment, and makes the next one's file ahead.

        Raises:
            OSError: the newest cannot be appended to.
        """
        self._publish(self.current.publish(self._write, self._memory_bytes).append)
        self.reserve()

    def due(self) -> bool:
        """Tells whether it is time to roll."""
        current = self.current
        return self.gone or bool(current.memory) or current.size >= self._segment_bytes + current.preamble.head_end

    def reserve(self) -> bool:
        """Makes the next segment's file ahead, unless that is done; tells whether it is there."""
        number = self.current.number + 1
        path = self._reserve_path(number)
        if self._reserve != number:
            try:
                if not is_segment(path, self.head):
                    make_segment(path, self.head, self.state_bytes)
            except OSError:
                return False
            self._reserve = number
        return True

    def _reserve_path(self, number: int) -> Path:
        return self.folder / f"{number:08d}{RESERVE_SUFFIX}"

    def roll(self) -> bool:
        """Publishes a new segment; False where the one before is not sealed yet, or no file can be."""
        if len(self.segments) > 1 and not self.sealed(self.segments[-2]):
            return False
        try:
            new = self._next()
            limit = self._memory_bytes - sum(len(body) for one in self.segments for body in one.unwritten)
            appender = new.publish(self._write, max(limit, self._memory_bytes // _LEAST_MEMORY))
        except OSError:
            return False
        before = self.current
        self.segments.append(new)
        self._publish(appender.append)
        del appender
        before.rolled_at = monotonic()
        self.gone = False
        self._to_sync.append(before)
        self.sealed(before, _SEAL_WAIT_S)
        self.reserve()
        return True

    def _next(self) -> Segment:
        number = self.current.number + 1
        path, reserve = self.folder / segment_name(number), self._reserve_path(number)
        if self._reserve != number or not reserve.exists():
            make_segment(reserve, self.head, self.state_bytes)
        self._reserve = None
        reserve.rename(path)
        self._folder_changed = True
        new = Segment(path, number)
        new.begin_now()
        return new

    def sealed(self, segment: Segment, wait_s: float = 0.0) -> bool:
        """Tells whether nothing is written to a segment any more; carries its memory over when that is so at last."""
        if segment.sealed or segment.rolled_at is None:
            return segment.sealed
        until = monotonic() + wait_s
        while segment.appender() is not None:
            if monotonic() >= until:
                if until - segment.rolled_at < _PINNED_S:
                    return False
                break
            time.sleep(_SEAL_LOOK_S)
        segment.sealed = True
        following = self.segments[self.segments.index(segment) + 1]
        following.carried = _emptied(segment)
        lines = tuple(Raw(body) for body in following.carried)
        following.keep(encode_fact(Carried(lines=lines, end=segment.size)))
        return True

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Has the disk take what was written; what it refuses it is asked again."""
        for segment in (*self._to_sync, self.current):
            with contextlib.suppress(OSError):
                _sync(segment.descriptor.number)
        self._to_sync.clear()
        if self._folder_changed:
            with contextlib.suppress(OSError):
                _sync_folder(self.folder)
            self._folder_changed = False

    def write_unwritten(self) -> None:
        """Writes snapshots and carried lines that a full disk did not take before."""
        for segment in self.segments:
            segment.write_unwritten()

    def mend(self, remake: Callable[[], tuple[Path, FileLock]]) -> bool:
        """Makes anew what somebody removed, folder, lock or files; tells whether something was.

        Args:
            remake: makes another folder for this process, where the lock became somebody else's.

        Raises:
            OSError: it cannot be made now.
        """
        there = self.folder.is_dir()
        if there and self.lock.is_there and all(segment.is_there for segment in self.segments):
            return False
        if not there:
            make_folders(self.folder)
            self._reserve = None
        if not self.lock.is_there and not self.lock.renew():
            self._move(*remake())
        if not self.current.is_there:
            self.gone = True
            self.roll()
        for segment in self.segments[:-1]:
            if not segment.is_there and self.sealed(segment):
                segment.copy_to(self.folder / segment_name(segment.number))
                self._folder_changed = True
        return True

    def _move(self, folder: Path, lock: FileLock) -> None:
        self.lock.release()
        self.folder, self.lock = folder, lock
        self._reserve = None
        self.gone = True
        for segment in self.segments:
            segment.path = folder / segment_name(segment.number)

    def drop_first(self) -> None:
        """Deletes the oldest segment; a line that came to it late is appended again."""
        first = self.segments.pop(0)
        late = [body for _, _, body in first.reader.read(self._segment_bytes, closed=True).lines] + _emptied(first)
        for body in late:
            if not body.startswith(INTERNAL):
                self._append_again(body)
        if first.is_there:
            with contextlib.suppress(OSError):
                first.path.unlink()
        self._folder_changed = True

    def _append_again(self, body: bytes) -> None:
        appender = self.current.appender()
        if appender is not None:
            appender.append(body)

    def close(self, closed: Callable[[bytes], bool], *, delete: bool) -> None:
        """Ends appending and frees the folder; files go, or what memory holds goes into the last one."""
        self._publish(closed)
        self._publish = (
            _to_nobody  # a journal that nobody holds any more closes its files then, and not at a collection
        )
        current = self.current
        until = monotonic() + 1.0
        while current.appender() is not None and monotonic() < until:
            time.sleep(_SEAL_LOOK_S)
        if delete:
            self._delete()
        else:
            self.write_unwritten()
            with contextlib.suppress(OSError):
                while current.memory and current.append(frame(current.memory[0])):
                    current.memory.popleft()
            self.sync()
        self.lock.release(remove=delete)
        if delete:
            with contextlib.suppress(OSError):  # dead letters are in it
                self.folder.rmdir()

    def _delete(self) -> None:
        """Deletes oldest first: whoever finds what a crash left here finds the newest marks."""
        paths = [segment.path for segment in self.segments if segment.is_there]
        for path in (*paths, *self.folder.glob(f"*{RESERVE_SUFFIX}"), *self.folder.glob("*.part")):
            with contextlib.suppress(OSError):
                path.unlink()


def _to_nobody(append: Callable[[bytes], bool]) -> None:
    """Takes the place of a journal that is closed."""


def _emptied(segment: Segment) -> list[bytes]:
    found: list[bytes] = []
    while segment.memory:
        found.append(segment.memory.popleft())
    return found


def _sync(descriptor: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
