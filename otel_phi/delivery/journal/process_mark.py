"""The process mark: tells a process from those that were forked from it, also by C code, at the cost of one look.

A page of memory that the kernel wipes in a forked child (`MADV_WIPEONFORK`, Linux 4.14) holds a 1. Looking at it takes 30 ns,
where asking for the process's number takes 200: an agent's thread asks for every fact.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Protocol

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
