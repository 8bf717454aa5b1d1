"""Purge: a session's lines are blanked where they stand, in a living process's journal too.

Rule 1: the same length, the same frame: whoever reads beside it sees the line before, or the blank. A reader that meets
        half of each looks again.
Rule 2: a living process is told by a fact in its journal, so that its sender drops what it has in memory.
Rule 3: which loop belongs to which session stands in the lines; of loops that began in a segment that is gone, in the
        first snapshot, which only the caller can read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Raw

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.adoption import remove_folder
from otel_phi.delivery.journal.append import Descriptor
from otel_phi.delivery.journal.counting import counts_as_event
from otel_phi.delivery.journal.dead_letters import DeadLetters
from otel_phi.delivery.journal.facts import (
    Called,
    Carried,
    Fact,
    LookedUp,
    Purge,
    Purged,
    RootClaimed,
    Snapshot,
    decode_fact,
    encode_fact,
)
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.lines import LineReader, frame
from otel_phi.delivery.journal.outbox import LOCK
from otel_phi.delivery.journal.preamble import PREAMBLE_BYTES
from otel_phi.delivery.journal.segment_file import FLAGS, INTERNAL, OWN, segment_name, segment_numbers
from otel_phi.wire.events import AgentStart, ParallelLoopEnd, ParallelLoopStart, ProgressMessage, ToolExecutionStart

SessionsOf = Callable[[bytes], Mapping[str, str]]
Without = Callable[[bytes, str | None], bytes]
_READ_BYTES = 1 << 20
_BLANK, _OWN_BLANK = encode_fact(Purged()), encode_fact(Purged(own=True))
_TRIES = 10  # a living process rolls every 8 MiB


def purge(
    folder: Path, session: str | None, sessions_of: SessionsOf = lambda _: {}, *, without: Without | None = None
) -> int:
    """Removes a session from a process's folder, its dead letters too.

    Args:
        folder: the process's folder.
        session: the session; None for all.
        sessions_of: reads a snapshot's state: the sessions of the loops that were open then, by loop id.
        without: returns a state without a session, no longer than it was; without it snapshots stay as they are, and go
            with their segment.

    Returns:
        How many events and letters were blanked, or were in the files where a dead process's folder went as a whole.

    Raises:
        OSError: it cannot be read or written to.
    """
    lock = _lock(folder)
    try:
        blanks = _Blanks(session, sessions_of, without)
        numbers = segment_numbers(folder)
        count = sum(blanks.file(folder / segment_name(number)) for number in numbers)
        letters = DeadLetters(folder)
        count += letters.remove(lambda letter: session is None or letter.session_id == session)
        if lock is None:
            _tell(folder, session)
            return count
        letters.clear()
        if session is None:
            remove_folder(folder, lock)
        return count
    finally:
        if lock is not None:
            lock.release()


def _lock(folder: Path) -> FileLock | None:
    """Takes a dead process's lock, so that nobody adopts the folder meanwhile; None where its owner lives."""
    with contextlib.suppress(OSError):
        return filelock.acquire(folder / LOCK)
    return None


def _tell(folder: Path, session: str | None) -> None:
    """Appends the fact to the segment that is written to now; one that was rolled meanwhile may be read already."""
    line = frame(encode_fact(Purge(session=session)))
    for _ in range(_TRIES):
        numbers = segment_numbers(folder)
        if not numbers:
            return
        file = Descriptor(os.open(folder / segment_name(numbers[-1]), os.O_WRONLY | os.O_APPEND | FLAGS))
        if os.write(file.number, line) == len(line) and segment_numbers(folder)[-1:] == numbers[-1:]:
            return


class _Blanks:
    """Blanks the lines of one session, file after file, oldest first."""

    def __init__(self, session: str | None, sessions_of: SessionsOf, without: Without | None) -> None:
        self._session = session
        self._sessions_of = sessions_of
        self._without = without
        self._loops: dict[str, str] = {}
        self._tools: dict[str, str] = {}

    def file(self, path: Path) -> int:
        """Blanks a segment's lines and returns how many events were in them."""
        file, count = Descriptor(os.open(path, os.O_RDWR | FLAGS)), 0
        for start, body in list(_lines(file)):
            blanked, lines = self._blanked(body)
            if lines or blanked != body:
                os.pwrite(file.number, frame(blanked), start)
                count += lines
        return count

    def _blanked(self, body: bytes) -> tuple[bytes, int]:
        """Returns a line's body as it is to be, of the same length, and how many events of the session were in it."""
        fact = decode_fact(body)
        if body.startswith(INTERNAL):
            return self._internal(fact, body)
        blank = _OWN_BLANK if body.startswith(OWN) else _BLANK
        if isinstance(fact, Purge | Purged) or len(body) < len(blank):
            return body, 0
        found = self._session_of(fact)
        if self._session is None or found == self._session:
            return blank.ljust(len(body)), int(counts_as_event(fact))
        return body, 0

    def _internal(self, fact: Fact, body: bytes) -> tuple[bytes, int]:
        match fact:
            case Carried(lines=lines):
                some = [self._blanked(bytes(line)) for line in lines]
                shorn = msgspec.structs.replace(fact, lines=tuple(Raw(line) for line, _ in some))
                return encode_fact(shorn), sum(count for _, count in some)
            case Snapshot(state=state):
                self._loops.update(self._sessions_of(state))
                if self._without is not None:
                    shorter = encode_fact(Snapshot(state=self._without(state, self._session)))
                    return (shorter.ljust(len(body)), 0) if len(shorter) <= len(body) else (body, 0)
        return body, 0

    def _session_of(self, fact: Fact) -> str | None:
        """Returns the session of a fact, None where it cannot be told."""
        match fact:
            case Called(event=event):
                return self._session_of(event)
            case AgentStart(loop_id=loop_id, session_id=session):
                self._loops[loop_id] = session
                return session
            case ParallelLoopStart(session_id=session) | ParallelLoopEnd(session_id=session):
                return session
            case RootClaimed(session=session):
                return session
            case LookedUp(loop_id=loop_id, session_id=session):
                return session or self._loops.get(loop_id)
            case ProgressMessage(loop_id="", tool_call_id=tool):
                return self._tools.get(tool)
            case ToolExecutionStart(loop_id=loop_id, tool_call_id=tool):
                self._tools[tool] = self._loops.get(loop_id, "")
        return self._loops.get(getattr(fact, "loop_id", None) or "")


def _lines(file: Descriptor) -> Iterator[tuple[int, bytes]]:
    reader = LineReader(file.number, PREAMBLE_BYTES)
    while (found := reader.read(_READ_BYTES, closed=True)).moved:
        yield from ((start, body) for start, _, body in found.lines)
