"""examples/shell: the scripts run, and so does every line of the README."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.examples.conftest import Environment, script
from tests.examples.streams import SPANS, server_sent

FOLDER = golden.PROJECT / "examples" / "shell"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ONE_LINERS = [
    line.partition("  #")[0].strip() for line in README.partition("```sh\n")[2].partition("```")[0].splitlines()
]
FROM_LOGS = SPANS - 1  # event logs know no parallel group
SESSION = "3f9a1c7e5b424d0e8c6192d7e4ab10f5"

Ran = subprocess.CompletedProcess[str]


def ran(command: list[str], environment: Environment, folder: Path) -> Ran:
    """Returns how it ended, in a folder with the demo's logs and its events as `run.jsonl`."""
    shutil.copytree(golden.DEMO_LOGS, folder / "logs")
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def spans(count: int) -> Callable[[Ran, Receiver, Path], None]:
    def check(_: Ran, receiver: Receiver, __: Path) -> None:
        assert len(receiver.spans) == count

    return check


def kept(_: Ran, receiver: Receiver, folder: Path) -> None:
    assert len(receiver.spans) == SPANS
    assert (folder / "run.jsonl").read_bytes() == golden.DEMO.read_bytes()


def in_a_file(_: Ran, receiver: Receiver, folder: Path) -> None:
    assert receiver.spans == ()
    assert (folder / "traces.jsonl").read_text(encoding="utf-8").count('"spanId"') >= FROM_LOGS


def shown(done: Ran, receiver: Receiver, _: Path) -> None:
    assert receiver.spans == ()
    assert f"trace {SESSION}" in done.stdout


EXPECTED = {
    "my-agent --pipe | otel-phi pipe": spans(SPANS),
    "my-agent --pipe | otel-phi pipe --tee > run.jsonl": kept,
    "curl -sN http://localhost:8080/events | otel-phi pipe": spans(SPANS),
    "otel-phi export logs/": spans(FROM_LOGS),
    "otel-phi watch --once logs/": spans(FROM_LOGS),
    "otel-phi export logs/ --file traces.jsonl": in_a_file,
    "otel-phi show run.jsonl": shown,
}


@pytest.mark.parametrize("line", ONE_LINERS)
def test_a_line_of_the_readme_does_what_it_says(
    line: str, receiver: Receiver, environment: Environment, tmp_path: Path
) -> None:
    if "curl" in line and shutil.which("curl") is None:
        pytest.skip("SKIPPED, NOT PASSED: no curl on PATH")
    shutil.copy(golden.DEMO, tmp_path / "run.jsonl")
    go_on = threading.Event()
    go_on.set()
    with server_sent(go_on) as url:
        done = ran(["sh", "-c", line.replace("http://localhost:8080/events", url)], environment, tmp_path)
    EXPECTED[line](done, receiver, tmp_path)


def test_every_expectation_is_of_a_line_there_is() -> None:
    assert sorted(ONE_LINERS) == sorted(EXPECTED)


def test_the_script_pipe(receiver: Receiver, environment: Environment, tmp_path: Path) -> None:
    done = ran([str(FOLDER / "pipe.sh"), "my-agent", "--pipe"], environment, tmp_path)
    assert done.stdout == ""
    assert len(receiver.spans) == SPANS


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("command", "code"),
    [("my-agent", 0), ("failing-agent", 9), ("nosuch", 127)],
)
def test_the_script_pipe_ends_with_the_agents_exit_code(
    receiver: Receiver, environment: Environment, tmp_path: Path, shell: str, command: str, code: int
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"SKIPPED, NOT PASSED: no {shell} on PATH")
    script(tmp_path / "bin" / "failing-agent", f'cat "{golden.DEMO}"; exit 9')
    done = _pipe(shell, command, environment, tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert ("not found" in done.stderr) == (command == "nosuch")
    assert len(receiver.spans) == (0 if command == "nosuch" else SPANS)


def test_the_script_pipe_ends_with_otel_phis_exit_code_where_that_failed(
    environment: Environment, tmp_path: Path
) -> None:
    script(tmp_path / "bin" / "otel-phi", "cat > /dev/null; exit 3")
    script(tmp_path / "bin" / "failing-agent", f'cat "{golden.DEMO}"; exit 9')
    assert _pipe("sh", "failing-agent", environment, tmp_path).returncode == 3


def _pipe(shell: str, command: str, environment: Environment, folder: Path) -> Ran:
    run = [shell, str(FOLDER / "pipe.sh"), command]
    return subprocess.run(run, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("paths", [[], ["logs"]], ids=["no-name", "name"])
def test_the_script_import(paths: list[str], receiver: Receiver, environment: Environment, tmp_path: Path) -> None:
    done = ran([str(FOLDER / "import.sh"), *paths], environment, tmp_path)
    assert re.search(SESSION, done.stdout)
    assert len(receiver.spans) == FROM_LOGS


def test_a_script_tells_by_its_exit_code_that_something_stayed(environment: Environment, tmp_path: Path) -> None:
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://collector:4318/path?=oops"
    done = subprocess.run(
        [str(FOLDER / "import.sh"), "nowhere"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
