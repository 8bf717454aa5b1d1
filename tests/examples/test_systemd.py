"""examples/systemd: the unit is one that systemd takes, and its environment file one that otel-phi takes."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.examples.conftest import Environment, script
from tests.examples.streams import SPANS

FOLDER = golden.PROJECT / "examples" / "systemd"
UNIT = FOLDER / "otel-phi-watch.service"
LINES = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Z]\w+=", line)]
SETTINGS = dict(line.split("=", 1) for line in LINES)
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="SKIPPED, NOT PASSED: no systemd-analyze on PATH to check the unit with",
)


def verified(unit: Path, home: Path) -> tuple[int, list[str]]:
    """Returns the exit code of `systemd-analyze verify --user` and what it says of the unit."""
    (home / ".local" / "bin").mkdir(parents=True)
    script(home / ".local" / "bin" / "otel-phi", "exit 0")
    (home / "run").mkdir(mode=0o700)
    done = subprocess.run(
        [str(shutil.which("systemd-analyze")), "verify", "--user", str(unit)],
        env={"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]


@needs_systemd
def test_systemd_takes_every_line_of_the_unit(tmp_path: Path) -> None:
    assert verified(UNIT, tmp_path) == (0, [])


@needs_systemd
@pytest.mark.parametrize(
    ("good", "bad"), [("Restart=on-failure", "Restart=sometimes"), ("bin/otel-phi", "bin/otel_phi")]
)
def test_a_unit_with_a_mistake_would_be_noticed(good: str, bad: str, tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(good, bad), encoding="utf-8")
    code, words = verified(unit, tmp_path)
    assert code != 0 or words


def test_a_stop_is_a_sigterm_and_waits_longer_than_otel_phi_takes() -> None:
    assert SETTINGS["KillSignal"] == "SIGTERM"
    assert int(SETTINGS["TimeoutStopSec"]) > 2
    assert SETTINGS["Restart"] == "on-failure"


def test_the_environment_file_holds_variables_otel_phi_reads() -> None:
    named = re.findall(r"^#?(OTEL_\w+)=", (FOLDER / "watch.env").read_text(encoding="utf-8"), re.MULTILINE)
    ours = {
        name
        for path in (golden.PROJECT / "otel_phi").rglob("*.py")
        for name in re.findall(r"OTEL_\w+", path.read_text("utf-8"))
    }
    assert len(named) == 5
    # The unit itself names the folders; the exporter's variables are put together from a prefix.
    assert {name for name in named if not name.startswith("OTEL_EXPORTER_OTLP_")} - ours == {"OTEL_PHI_LOGS"}


def test_its_command_follows_the_logs_and_ends_by_its_signal(
    receiver: Receiver, environment: Environment, tmp_path: Path
) -> None:
    """As systemd would run it, but for the sandbox: its specifiers and variables filled in, in an empty home."""
    shutil.copytree(golden.DEMO_LOGS, tmp_path / "logs")
    (tmp_path / ".local").mkdir()
    (tmp_path / "bin").rename(tmp_path / ".local" / "bin")
    fill = partial(re.sub, "%[hS]", lambda found: str({"%h": tmp_path, "%S": tmp_path / "state"}[found.group()]))
    variables = dict(fill(line).split("=", 2)[1:] for line in LINES if line.startswith("Environment="))
    command = [variables[word[1:]] if word[0] == "$" else fill(word) for word in SETTINGS["ExecStart"].split()]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment | variables, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until = time.monotonic() + 120
            while len(receiver.spans) < SPANS - 1 and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            process.send_signal(signal.Signals[SETTINGS["KillSignal"]])
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert len(receiver.spans) == SPANS - 1, "event logs know no parallel group"
    assert (tmp_path / "state" / "otel-phi").is_dir()
