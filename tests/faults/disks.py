"""Disks that are small, full or fixed: real ones where the machine lets us mount them, and a write that refuses elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_phi.delivery.journal.append import Write, write_for


def mount(*words: object) -> bool:
    """Runs `mount` or `umount`; False where the machine does not allow it."""
    if sys.platform != "linux":
        return False
    try:
        return subprocess.run([*map(str, words)], capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    """Gives a file system of its own; the test is skipped where it cannot be mounted."""
    path.mkdir()
    if not mount("mount", "-t", "tmpfs", "-o", options, "tmpfs", path):
        pytest.skip("SKIPPED, NOT PASSED: no tmpfs can be mounted here; the injected form runs")
    try:
        yield path
    finally:
        assert mount("umount", "-l", path)


def remount(disk: Path, options: str) -> None:
    """Changes a disk under whoever uses it."""
    assert mount("mount", "-o", f"remount,{options}", disk)


class Disk:
    """A disk whose appends can be made to fail.

    Attributes:
        error: what an append raises, None for a refusal by the system; with `works` it is not looked at.
        works: whether appends are let through.
    """

    def __init__(self) -> None:
        self.works = True
        self.error: Exception | None = None

    def write_for(self, folder: Path) -> Write:
        """Stands in for the journal's own."""
        real = write_for(folder)

        def write(descriptor: int, line: bytes, length: int) -> int:
            if self.works:
                return real(descriptor, line, length)
            if self.error is not None:
                raise self.error
            return -1

        return write
