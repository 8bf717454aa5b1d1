"""Process folders: `{pid}-{identity}{random}` in a destination's folder, and whose they are.

Rule 1: the identity is of the running process, not of its number: in a container each start has the same number, and the
folder of the one before must not be taken for one's own.
Rule 2: the lock comes first, the rest after it; a folder that is seen without one is young, or its lock was removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.filelock import FileLock

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
