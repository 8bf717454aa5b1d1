"""Dead letters that a person wants sent again: the file `dead` under another name, read by whoever claims it first.

    dead ─ status --retry: renamed ─▶ retry-1f6a09b2 ─ claimed by a lock beside it ─▶ sent, blanked line by line, deleted

Rule 1: any process of the destination and its credentials may claim it, whose folder it lies in does not matter.
Rule 2: a letter that is refused again becomes a dead letter again, in the folder it lies in.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.append import Descriptor
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.destination import Sealed
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.lines import LineReader, frame
from otel_phi.delivery.journal.outbox import DEAD_LETTERS, LOCK
from otel_phi.delivery.journal.segment_file import FLAGS, segment_numbers
from otel_phi.hook.ready_spans import ReadySpan

PREFIX, LOCK_SUFFIX = "retry-", ".lock"
_BLANK = b"null"
_decoder = msgspec.json.Decoder(DeadLetter | None)


def retry(folder: Path) -> bool:
    """Lets a process folder's dead letters be sent again; False where there are none.

    Raises:
        OSError: the file cannot be renamed.
    """
    try:
        (folder / DEAD_LETTERS).rename(folder / f"{PREFIX}{secrets.token_hex(4)}")
    except FileNotFoundError:
        return False
    return True


def retry_files(folder: Path) -> list[Path]:
    """Returns a process folder's files of letters that are to be sent again."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if path.suffix != LOCK_SUFFIX)


class RetryFile:
    """A retry file is claimed by this process: a source of ready spans.

    Args:
        path: the file.
        lock: the claim.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self._path, self._lock = path, lock
        self._file = Descriptor(os.open(path, os.O_RDWR | FLAGS))
        self._reader = LineReader(self._file.number, 0)
        self._letters: dict[int, tuple[int, DeadLetter]] = {}  # by the line's start: its body's length, and it

    def read(self, max_bytes: int) -> list[ReadySpan]:
        """Returns the next letters."""
        found: list[ReadySpan] = []
        while not found and (some := self._reader.read(max_bytes, closed=True)).moved:
            for start, letter, length in _letters(some.lines):
                self._letters[start] = (length, letter)
                found.append(ReadySpan(start, letter.entry, letter.envelope))
        return found

    def forget(self, numbers: Sequence[int]) -> None:
        """Blanks settled letters where they stand."""
        for number in numbers:
            length, _ = self._letters.pop(number)
            with contextlib.suppress(OSError):
                os.pwrite(self._file.number, frame(_BLANK.ljust(length)), number)

    def refused(self, number: int, reason: str) -> bool:
        """Makes a dead letter of a letter again."""
        _, letter = self._letters[number]
        again = msgspec.structs.replace(letter, reason=reason, at_ns=wall_ns())
        return DeadLetters(self._path.parent).append(again)

    def is_gone(self, number: int) -> bool:
        """Tells whether a letter was blanked meanwhile."""
        length, _ = self._letters.get(number, (0, None))
        blank = frame(_BLANK.ljust(length))
        return os.pread(self._file.number, len(blank), number) == blank

    def close(self, *, delete: bool) -> None:
        """Lets the claim go. A letter that came by the old name after all was read stays, for the next to claim it."""
        if delete and not self.read(1 << 20):
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._lock.release(remove=True)
        if delete:
            _remove_if_done(self._path.parent)


def _letters(lines: Sequence[tuple[int, int, bytes]]) -> Iterator[tuple[int, DeadLetter, int]]:
    for start, _, body in lines:
        with contextlib.suppress(msgspec.MsgspecError):
            letter = _decoder.decode(body)
            if letter is not None:
                yield start, letter, len(body)


def claim(path: Path, ours: Callable[[Sealed], bool]) -> RetryFile | None:
    """Claims a retry file; None where another has it, it is not ours to send, or it cannot be had now."""
    letter = next(iter(DeadLetters(path.parent, path.name).read()), None)
    if letter is not None and not ours(letter):
        return None
    lock: FileLock | None = None
    with contextlib.suppress(OSError):
        lock = filelock.acquire(path.with_name(path.name + LOCK_SUFFIX))
    if lock is None:
        return None
    try:
        return RetryFile(path, lock)
    except OSError:  # another was done with it just now
        lock.release(remove=not path.exists())
        return None


def _remove_if_done(folder: Path) -> None:
    """Removes a dead process's folder that holds nothing any more."""
    if segment_numbers(folder) or filelock.is_ours(folder / LOCK):
        return
    if (folder / LOCK).exists():
        with contextlib.suppress(OSError):
            lock = filelock.acquire(folder / LOCK)
            if lock is not None:
                lock.release(remove=not segment_numbers(folder))
    with contextlib.suppress(OSError):
        folder.rmdir()
