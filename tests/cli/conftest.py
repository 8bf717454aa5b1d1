"""A terminal of 80 columns, no environment of the developer's, a receiver, and ways to run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_phi.cli import main
from otel_phi.testing import Receiver
from tests.cli.lost import ROOT, Alive
from tests.cli.streams import a_session, lines_of

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy") or name in {"TRACEPARENT", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OTEL_PHI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("OTEL_PHI_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def run() -> Run:
    """Runs a command in this process; whatever it raises that is no exit fails the test."""

    def run(*arguments: object, **options: str) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], **options)  # type: ignore[arg-type]
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts commands as processes of their own; none survives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object, **options: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "otel_phi.cli", *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        started.append(subprocess.Popen(command, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def alive(request: pytest.FixtureRequest) -> Alive:
    """Starts an agent that has recorded a session and lives on."""

    def alive(endpoint: str, *, talks: bool = False) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.cli.lost", "talk" if talks else "live", endpoint]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        request.addfinalizer(process.communicate)
        request.addfinalizer(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines_of(a_session(session_id="living")))
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == b"ready\n"
        return process

    return alive


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A collector on the loopback."""
    with Receiver() as receiver:
        yield receiver
