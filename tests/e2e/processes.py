"""A backend's process: started, waited for, killed and ended by its pid, its words kept in a file. Knows no backend."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Ends a process with the thread that started it: a run of pytest that is killed leaves none behind, on Linux.
WITH_US = [path, "--pdeathsig", "KILL"] if (path := shutil.which("setpriv")) else []

READY_WITHIN_S = 120.0  # a second when idle; the builders of others may have both cores
END_WITHIN_S = 20.0  # after SIGTERM; then SIGKILL
_TAIL_LINES = 60


class Backend:
    """Is a process that serves on the loopback.

    Args:
        name: for people.
        command: program and arguments.
        log: where its words go; appended to when it is started again.
        ready: whether it serves, asked until it says yes; gets what it has said since it was started.
        environment: all of it; None for ours.
        ready_within_s: seconds it has to serve.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        ready: Callable[[str], bool],
        environment: Mapping[str, str] | None = None,
        ready_within_s: float = READY_WITHIN_S,
    ) -> None:
        self.name = name
        self._ready_within_s = ready_within_s
        self.log = log
        self._command = [*WITH_US, *(str(part) for part in command)]
        self._ready = ready
        self._environment = None if environment is None else dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    @property
    def pid(self) -> int:
        """The pid of the running process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def start(self, **environment: str) -> None:
        """Starts it and returns when it serves; after `kill` or `stop`, on the same ports again.

        Args:
            **environment: variables that are others in this life.
        """
        assert self._process is None, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._said_before = len(self.words())
        with self.log.open("ab") as log:
            # A group of its own: Ctrl-C in the terminal is for pytest, which then ends this one and its children.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**(os.environ if self._environment is None else self._environment), **environment},
                start_new_session=True,
            )
        wait_for(self._serves, f"{self.name} serves", self._ready_within_s)

    def kill(self) -> None:
        """Ends it at once, by SIGKILL, and every process it started."""
        if self._process is not None:
            _kill_group(self._process.pid)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ends it by SIGTERM, and by SIGKILL where that does not do. Repeatable."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_WITHIN_S)
            self.kill()

    def words(self) -> str:
        """Returns what it has said so far, in all its lives."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        """Returns its last words."""
        return "\n".join(self.words().splitlines()[-_TAIL_LINES:])

    def _serves(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            code = self._process.returncode
            self.kill()
            raise AssertionError(f"{self.name} ended with {code}:\n{self.tail()}")
        return self._ready(self.words()[self._said_before :])


def _kill_group(leader: int) -> None:
    """Ends a process that leads a group of its own, as `start` makes it, and what it left behind there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def wait_for(fact: Callable[[], T], what: str, within_s: float = 60.0, every_s: float = 0.05) -> T:
    """Returns what `fact` returns once that is true; it is asked every `every_s` seconds.

    Raises:
        AssertionError: it was not within `within_s` seconds; the message holds `what` and what it was last.
    """
    until = time.monotonic() + within_s
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s:.0f} s: {what}; last seen: {found!r}")
        time.sleep(every_s)


def free_ports(count: int) -> list[int]:
    """Returns free loopback ports below the range from which systems take those of clients: nobody gets one by chance meanwhile."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found
