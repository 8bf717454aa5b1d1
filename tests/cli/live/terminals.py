"""A terminal that a command's standard error is: what was printed there, as it comes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests import golden

WAIT_S = 60.0


class Terminal:
    """A terminal is a pty of some columns, with a command on it."""

    def __init__(self, *arguments: object, columns: int = 100, lines: int = 20, out: int = subprocess.DEVNULL) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "otel_phi.cli", *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=theirs if out == subprocess.PIPE else out,
            stderr=theirs,
            env=environment,
            cwd=golden.PROJECT,
        )
        os.close(theirs)
        self._seen = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65_536)
            except OSError:  # Linux says so when nobody has the other end any more
                return
            if not piece:
                return
            self._seen += piece

    @property
    def seen(self) -> str:
        """All that was printed so far."""
        return self._seen.decode("utf-8", "replace")

    def until(self, holds: Callable[[str], bool]) -> str:
        """Waits until what was printed holds something."""
        end = time.monotonic() + WAIT_S
        while not holds(self.seen):
            assert time.monotonic() < end, self.seen
            time.sleep(0.02)
        return self.seen

    def write(self, text: bytes) -> None:
        """Writes to the command's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self, number: int | None = None) -> int:
        """Ends the command by a signal, or its input; returns its code."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(WAIT_S)
        self._thread.join(WAIT_S)
        return code

    def close(self) -> None:
        """Kills the command and lets the terminal go."""
        self.process.kill()
        self.process.wait(WAIT_S)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self._thread.join(WAIT_S)
        os.close(self._ours)


def append(path: Path, content: bytes) -> None:
    """Writes behind what is there."""
    with path.open("ab") as stream:
        stream.write(content)
