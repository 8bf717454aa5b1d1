"""Append: the one thing an agent's thread does to a journal. One write(2), no lock, nothing to be left half done.

    body ─▶ memory empty? ──yes──▶ write(2) ──whole──▶ in the file: True
                  │                    └──short, refused, forbidden──┐
                  └──no────────────────────────────────────────────▶ memory: False

Rule 1: what the file refuses waits in this appender's memory, and so does all behind it: each thread's order is kept
        without a flag. The sender rolls to another segment and carries the memory over.
Rule 2: the write keeps the interpreter: one that lets it go waits for it again, 5 ms beside a thread that computes.
Rule 3: whoever is in a call holds the appender; once nobody does, nothing can be written to its file any more. So no
        traceback may hold it: `self` is dropped on every way out.
Rule 4: a forked child, also one that C code forked, finds out before it writes.
Rule 5: an interrupt is the agent's: it passes. What it cut short may be in the file, never twice.
"""

from __future__ import annotations

import ctypes
import mmap
import operator
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from zlib import crc32

from otel_phi.errors import OtelPhiError

Write = Callable[[int, bytes, int], int]

# What statfs(2) says of file systems behind a network or another program, where a write can take seconds: nfs, smb, cifs,
# smb2, fuse, 9p, coda, afs, ceph, lustre, gpfs, vboxsf.
_WIPE_ON_FORK = 18  # <asm-generic/mman-common.h>; Python has no name for it


class ProcessMark(Protocol):
    """A process mark has a first item that is true in the process that made it, and false in every other."""

    def __getitem__(self, index: int, /) -> int:
        """Returns 1 or 0."""


class _NumberMark:
    """A mark for where no page can be wiped: the process's number is asked for each time."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _: int, /) -> int:
        return int(os.getpid() == self._pid)


_made: list[ProcessMark] = []


def process_mark() -> ProcessMark:
    """Returns this process's mark; a forked child that asks gets one of its own."""
    if not _made or not _made[-1][0]:
        _made[:] = [_new_mark()]
    return _made[-1]


def _new_mark() -> ProcessMark:
    if not sys.platform.startswith("linux"):
        return _NumberMark()
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (OSError, ValueError):
        return _NumberMark()
    page[0] = 1
    return page


_REMOTE = frozenset(
    {
        0x6969, 0x517B, 0xFF534D42, 0xFE534D42, 0x65735546, 0x01021997, 0x73757245, 0x5346414F, 0x00C36400, 0x0BD00BD0,
        0x47504653, 0x786F4256,
    }
)  # fmt: skip
_STATFS_BYTES = 512  # the structure has 120 on Linux
_ALL = 1 << 62


class Forked(OtelPhiError):  # noqa: N818  # it names what happened, not a fault
    """Says that a journal is another process's: this one was forked from it, and makes one of its own."""


class Descriptor:
    """A descriptor is an open file's number, closed when nobody holds it any more: so nobody writes into a stranger's file.

    Args:
        number: from `os.open`.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class Tally:
    """Counts, from any thread, without a lock: one C call adds, another reads."""

    __slots__ = ("_from", "_left", "add")

    def __init__(self) -> None:
        self._from = _ALL
        self._left: Iterator[int] = iter(range(_ALL))
        self.add: Callable[[], int] = self._left.__next__

    @property
    def count(self) -> int:
        """Returns how often `add` was called since the last `reset`."""
        return self._from - operator.length_hint(self._left)

    def reset(self) -> None:
        """Begins at nothing again, as a forked child does; `add` stays the same."""
        self._from = operator.length_hint(self._left)


class Appender:
    """Appends to one segment. It is published, used by all threads, and replaced by the sender when it rolls.

    Args:
        descriptor: the file, opened with O_APPEND; None where there is none: all waits in memory.
        write: `keeping_write` or `releasing_write`.
        limit_bytes: bound of the memory.

    Attributes:
        memory: bodies that the file did not take, in order.
        used: bytes that went into the memory; about, where threads race.
        taken: bytes that the sender took out of it.
        given: how many lines were kept, in the file or in memory.
        facts: how many of these are the sender's own.
        fragments: how many writes were short, and left the beginning of a line in the file.
        lost: how many lines the memory had no room for.
    """

    __slots__ = (
        "__weakref__", "_count", "_descriptor", "_limit", "_mark", "_number", "_write", "facts", "fragments", "given", "lost",
        "memory", "taken", "used",
    )  # fmt: skip

    def __init__(self, descriptor: Descriptor | None, write: Write, limit_bytes: int) -> None:
        self.memory: deque[bytes] = deque()
        self.used = 0
        self.taken = 0
        self.given, self.facts, self.fragments, self.lost = Tally(), Tally(), Tally(), Tally()
        self._descriptor = descriptor
        self._number = -1 if descriptor is None else descriptor.number
        self._write = write if descriptor is not None else _no_file
        self._limit = limit_bytes
        self._mark = process_mark()
        self._count = self.given.add

    def append(self, body: bytes) -> bool:
        """Appends a line; True if it is in the file, False if it waits in memory or is lost and counted.

        Raises:
            Forked: this is a forked child; nothing was written.
        """
        try:
            if not self._mark[0]:
                raise Forked("a forked process begins a journal of its own")
            if not self.memory:
                line = b"\n%08x %d %b" % (crc32(body), len(body), body)
                length = len(line)
                done = self._write(self._number, line, length)
                if done == length:
                    self._count()
                    return True
                if done > 0:
                    self.fragments.add()
            if self.used - self.taken + len(body) > self._limit:
                self.lost.add()
                return False
            self.memory.append(body)
            self.used += len(body)
            self._count()
            return False
        finally:
            del self  # rule 3

    def append_fact(self, body: bytes) -> bool:
        """Appends a line of the sender's own, which is no event given."""
        lost = self.lost.count
        done = self.append(body)
        if done or self.lost.count == lost:
            self.facts.add()
        return done


class Closed:
    """Stands for the appender of a journal that is closed: what comes now is lost, and counted.

    Attributes:
        lost: how many lines came.
    """

    def __init__(self) -> None:
        self.lost = Tally()

    def append(self, body: bytes) -> bool:  # noqa: ARG002  # the appender's shape
        """Counts a line as lost; returns False."""
        self.lost.add()
        return False


def _no_file(descriptor: int, line: bytes, length: int) -> int:  # noqa: ARG001  # a Write
    return -1


def releasing_write(descriptor: int, line: bytes, length: int) -> int:  # noqa: ARG001  # a Write
    """Writes with `os.write`, which lets other threads go on meanwhile; -1 where the file refuses.

    Whatever the call itself raises is a refusal, a library's that forbids blocking calls too. `extend` and `map` are C:
    between the write and its result nothing else can run, so what is raised with a result is somebody's interrupt.
    """
    done: list[int] = []
    attempt = map(os.write, (descriptor,), (line,))
    try:
        done.extend(attempt)
    except Exception:
        if done:
            raise
        return -1
    return done[0]


def _c_write() -> Write | None:
    try:
        found = ctypes.PyDLL(None).write
    except (OSError, AttributeError, TypeError):  # Windows has no such library
        return None
    # No `argtypes`: to check them costs a fifth of the call. Unasked, ctypes passes a bytes as its pointer and an int as a C int,
    # which the calling conventions widen; a line is shorter than 2 GiB.
    return found


keeping_write = _c_write()


def write_for(folder: Path) -> Write:
    """Returns how to write to files of a folder: with the interpreter kept where that is known to be quick."""
    return releasing_write if keeping_write is None or _is_remote(folder) else keeping_write


def _is_remote(folder: Path) -> bool:
    """Tells whether a folder lies behind a network or another program; where that is unknown it does."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        statfs = ctypes.PyDLL(None).statfs
        answer = ctypes.create_string_buffer(_STATFS_BYTES)
        if statfs(os.fsencode(folder), answer) != 0:
            return True
    except (OSError, AttributeError, ValueError):
        return True
    kind = ctypes.cast(answer, ctypes.POINTER(ctypes.c_ulong))[0]
    return kind & 0xFFFFFFFF in _REMOTE
