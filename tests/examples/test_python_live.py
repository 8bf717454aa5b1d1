"""examples/python-live: whichever way the events come, the hook sees them while the agent is at work."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.e2e.processes import free_ports
from tests.examples.conftest import Environment, script
from tests.examples.streams import FIRST, FIRST_SPANS, SECOND, SPANS, server_sent

EXAMPLE = golden.PROJECT / "examples" / "python-live" / "live.py"
WAIT_S = 60
TOOLS = {"bash: done", "read_file: done", "edit_file: failed", "edit_file: done", "search: done", "researcher: done"}


def start(environment: Environment, *source: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), *source], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )


def ended(process: subprocess.Popen[bytes], receiver: Receiver) -> None:
    output, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, error) == (0, b"")
    assert set(output.decode().splitlines()) == TOOLS
    assert len(receiver.wait_for(SPANS, WAIT_S)) == SPANS


def test_a_process_that_prints_events(receiver: Receiver, environment: Environment, tmp_path: Path) -> None:
    for name, part in (("first", FIRST), ("second", SECOND)):
        (tmp_path / name).write_bytes(part)
    script(
        tmp_path / "bin" / "my-agent",
        f'cd "{tmp_path}"; cat first; until [ -e go-on ]; do sleep 0.05; done; cat second',
    )
    with start(environment, "my-agent", "--pipe") as process:
        receiver.wait_for(FIRST_SPANS, WAIT_S)
        (tmp_path / "go-on").touch()
        ended(process, receiver)


def test_standard_input(receiver: Receiver, environment: Environment) -> None:
    with start(environment) as process:
        assert process.stdin is not None
        process.stdin.write(FIRST)
        process.stdin.flush()
        receiver.wait_for(FIRST_SPANS, WAIT_S)
        process.stdin.write(SECOND)
        ended(process, receiver)


def test_server_sent_events(receiver: Receiver, environment: Environment) -> None:
    go_on = threading.Event()
    with server_sent(go_on) as url, start(environment, url) as process:
        receiver.wait_for(FIRST_SPANS, WAIT_S)
        go_on.set()
        ended(process, receiver)


def test_what_is_no_event_costs_itself(receiver: Receiver, environment: Environment) -> None:
    with start(environment) as process:
        output, error = process.communicate(FIRST + b"cargo says hello\n\n" + SECOND, timeout=WAIT_S)
    assert set(output.decode().splitlines()) == TOOLS
    assert process.returncode == 0
    assert b"Traceback" not in error
    assert len(receiver.wait_for(SPANS, WAIT_S)) == SPANS


@pytest.mark.parametrize(("ending", "code"), [("exit 3", 3), ("kill -TERM $$", 128 + 15)])
def test_the_exit_code_is_the_agents_and_its_work_has_arrived(
    receiver: Receiver, environment: Environment, tmp_path: Path, ending: str, code: int
) -> None:
    script(tmp_path / "bin" / "my-agent", f'cat "{golden.DEMO}"; {ending}')
    with start(environment, "my-agent") as process:
        output, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, error) == (code, b"")
    assert set(output.decode().splitlines()) == TOOLS
    assert len(receiver.wait_for(SPANS, WAIT_S)) == SPANS


def test_a_command_or_an_address_that_is_not_there_is_one_line(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "no-program").touch()
    (port,) = free_ports(1)
    expected = {
        "nosuch": (127, "No such file or directory: 'nosuch'"),
        f"{tmp_path}/no-program": (126, f"Permission denied: '{tmp_path}/no-program'"),
        f"http://127.0.0.1:{port}/events": (1, "Connection refused>"),
    }
    for source, (code, reason) in expected.items():
        with start(environment, source) as process:
            _, error = process.communicate(timeout=WAIT_S)
        (line,) = error.decode().splitlines()
        assert process.returncode == code
        assert line.startswith("live.py: ")
        assert line.endswith(reason)


@pytest.mark.parametrize("name", ["python-live/live.py", "own-agent/by_events.py"])
def test_an_example_is_short(name: str) -> None:
    lines = (golden.PROJECT / "examples" / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 45
