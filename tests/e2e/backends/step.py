"""One step of getting a backend: a process that is watched, with signs of life, its words kept. Knows neither Go nor pip.

Rule 1: what a machine lacks (a compiler, an index) is CannotBuild, a reason to skip. Whatever else fails is BuildError.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

Say = Callable[[str], None]

STEP_LIMIT_S = 1800.0  # the Collector takes 5 minutes on two idle cores; a machine six times slower still makes it
STILL_EVERY_S = 20.0  # a sign of life, so that nobody takes a cold build for a hang


# Seconds since the epoch, in the environment: CI ends a run that takes too long as failed, and says nothing. A build that is not done by then is
# skipped instead, with the reason.
UNTIL = "OTEL_PHI_E2E_BUILD_UNTIL"


class CannotBuild(Exception):  # noqa: N818  # no error: the machine lacks something
    """Says what this machine lacks: a reason to skip, in words for people."""


class BuildError(Exception):
    """Says how a build failed that should not have."""


class Absent(NamedTuple):
    """Is how a tool says that a machine lacks something.

    Attributes:
        what: for people, as `no module proxy answers`.
        said: what the tool prints then.
    """

    what: str
    said: re.Pattern[str]


def time_left_s(what: str) -> float:
    """Returns how many seconds there are until the time that the environment names, `math.inf` if it names none.

    Raises:
        CannotBuild: none.
    """
    until = os.environ.get(UNTIL)
    left = math.inf if until is None else float(until) - time.time()
    if left <= 0:
        raise CannotBuild(f"{what} is not built, and the time for that is over ({UNTIL}={until})")
    return left


def run(
    what: str,
    arguments: Sequence[str | Path],
    folder: Path,
    log: Path,
    say: Say,
    *,
    environment: Mapping[str, str],
    absent: Sequence[Absent],
) -> None:
    """Runs a command in `folder`; its output goes to `log`.

    Args:
        what: its name in progress lines and errors.
        arguments: the command.
        folder: where it runs.
        log: what it prints.
        say: takes progress lines.
        environment: all of it.
        absent: what makes a failure a reason to skip; the first that was said.

    Raises:
        CannotBuild: it failed, and said what one of `absent` says; or there is no time left.
        BuildError: it failed for another reason, or took longer than `STEP_LIMIT_S`.
    """
    time_left_s(what)
    say(f"{what} ...")
    began = time.monotonic()
    with log.open("ab") as output:
        said_before = output.tell()
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # compilers are its children: they end with it
        )
        try:
            code = _watched(process, what, began, say)
        finally:
            _end(process)
    if code != 0:
        _raise(what, log.read_bytes()[said_before:].decode(errors="replace"), absent)
    say(f"{what}: {time.monotonic() - began:.0f} s")


def _watched(process: subprocess.Popen[bytes], what: str, began: float, say: Say) -> int:
    while (code := _code(process)) is None:
        time_left_s(what)
        took = time.monotonic() - began
        if took > STEP_LIMIT_S:
            raise BuildError(f"{what}: not done after {took:.0f} s")
        say(f"{what}: still at it, {took:.0f} s")
    return code


def _code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(STILL_EVERY_S)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _raise(what: str, said: str, absent: Sequence[Absent]) -> None:
    for each in absent:
        found = each.said.search(said)
        if found:
            line = said[said.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            raise CannotBuild(f"{each.what} ({line.strip()[-300:]})")
    raise BuildError(f"{what} failed:\n{said[-4000:]}")
