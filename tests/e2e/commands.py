"""What a user runs: otel-phi's commands, and an agent with the hook, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.agent import SEND_WITHIN_S
from tests.e2e.collector import Collector
from tests.e2e.processes import WITH_US
from tests.e2e.trees import SERVICE

_OWN = ("--service-name", SERVICE, "--profile", "jaeger")
_WITHIN_S = 300.0  # for what takes two seconds on an idle machine


def export(*arguments: object, **environment: str) -> str:
    """Runs `otel-phi export` as the service of the tests, for Jaeger, with nothing held back; returns its stdout.

    Args:
        *arguments: as typed.
        **environment: variables on top of ours.

    Raises:
        AssertionError: it did not end with 0.
    """
    command = _command("export", "--final", *arguments)
    own = {**os.environ, **environment}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def watching(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Runs `otel-phi watch` as the service of the tests until the block ends; then by SIGTERM, and with 0.

    Raises:
        AssertionError: it ended otherwise, and not because the block killed it.
    """
    command = [*WITH_US, *_command("watch", *arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
        killed = process.poll() is not None
        process.terminate()
        _, said = process.communicate(timeout=60.0)
        assert killed or process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()


@contextmanager
def agent(otelcol: Collector, state: Path, protocol: str = "http/protobuf") -> Iterator[Agent]:
    """Runs an agent whose hook sends to a Collector, until the block ends."""
    endpoint = otelcol.grpc if protocol == "grpc" else otelcol.http
    command = [*WITH_US, sys.executable, "-m", "tests.e2e.agent", endpoint, protocol, str(state)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Agent(process)
    finally:
        process.kill()
        process.communicate()


class Agent:
    """Is a running agent.

    Args:
        process: of `tests.e2e.agent`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def works_through(self, stream: Path) -> None:
        """Gives it a stream, and returns when its hook has taken every event."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{stream}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def ends(self) -> dict[str, Any]:
        """Lets it end when all it has is sent; returns what it says of its spans."""
        said, _ = self._process.communicate(timeout=SEND_WITHIN_S + 60)
        told: dict[str, Any] = json.loads(said)
        return told


def _command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "otel_phi.cli", name, *_OWN, *map(str, arguments)]
