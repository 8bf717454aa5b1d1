"""Standard input as it comes, passed on if asked, until it ends, its reader goes or a signal says stop.

Rule 1: nothing waits: what has arrived is passed on and handed over at once, however little it is.
Rule 2: nothing is lost: what was read is handed over before the end is reported, and a signal ends the reading between two
        reads, never within one. After a signal the agent has a moment to write its last lines.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_READ_BYTES = 1 << 16  # what a pipe holds on Linux
# An agent that got the same Ctrl-C writes AgentEnd and goes; then input ends by itself. These bound the wait for others.
_QUIET_S = 0.5
_LONGEST_S = 5.0


class Intake:
    """Reads a descriptor; has the `read` of a binary stream.

    Args:
        source: descriptor to read from.
        target: descriptor to pass everything on to, None for none.
        stop: descriptor that becomes readable when reading is to end, None where select cannot watch pipes.

    Attributes:
        ended_by: why the reading ended: `end`, `signal` or `reader`.
    """

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal ended the reading."""
        return self._until is not None

    def __init__(self, source: int, target: int | None = None, stop: int | None = None) -> None:
        self._source, self._target, self._stop = source, target, stop
        self._until: float | None = None
        self.ended_by = ""

    def read(self, _size: int = -1, /) -> bytes:
        """Returns what has come, empty at the end."""
        if self.ended_by or not self._wait():
            self.ended_by = self.ended_by or "signal"
            return b""
        chunk = os.read(self._source, _READ_BYTES)
        if not chunk:
            self.ended_by = "end"
        elif self._target is not None and not _write(self._target, chunk):
            self.ended_by = "reader"
        return chunk

    def _wait(self) -> bool:
        """Waits for input; false when a signal says that no more is to be read."""
        if self._stop is None:
            return True
        if self._until is None:
            ready = select.select([self._source, self._stop], [], [])[0]
            if self._stop not in ready:
                return True
            self._until = time.monotonic() + _LONGEST_S
        rest_s = min(self._until - time.monotonic(), _QUIET_S)
        return rest_s > 0 and bool(select.select([self._source], [], [], rest_s)[0])


def _write(target: int, chunk: bytes) -> bool:
    """Writes everything; false if nobody reads there any more."""
    rest = memoryview(chunk)
    while rest:
        try:
            rest = rest[os.write(target, rest) :]
        except BrokenPipeError:  # noqa: PERF203  # the loop runs once, but for a reader that is slow
            return False
        except BlockingIOError:  # whoever gave us the descriptor made it so
            select.select([], [target], [])
    return True


@contextmanager
def stop_signals() -> Iterator[int | None]:
    """Turns the first Ctrl-C or SIGTERM into a readable descriptor; a second one interrupts as usual."""
    if os.name == "nt":
        yield None
        return
    reader, writer = os.pipe()

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        os.write(writer, b"!")

    # A shell starts background jobs with SIGINT ignored: it stays so.
    caught = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in caught}
    try:
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
