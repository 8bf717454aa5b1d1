"""What is answered before anything is loaded, help, colors, and how an interrupted or unread command ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from otel_phi.cli import main
from otel_phi.cli.entry import SHELLS, completion
from otel_phi.cli.group import COMMANDS
from otel_phi.version import __version__
from tests import golden
from tests.cli.conftest import Run, Start

_LOADED = "import sys; sys.argv[1:] = {arguments!r}; from otel_phi.cli.entry import run; run(); print(*sys.modules, file=sys.stderr)"


def _loaded_by(*arguments: str) -> tuple[str, set[str]]:
    code = _LOADED.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=golden.PROJECT)
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_said_before_click_is_loaded(flag: str) -> None:
    said, loaded = _loaded_by(flag)
    assert said == f"otel-phi {__version__}\n"
    assert loaded & {"click", "typing", "re", "msgspec", "rich"} == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_is_said_before_click_is_loaded_and_is_clicks_own(shell: str) -> None:
    said, loaded = _loaded_by("completion", shell)
    makers: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    assert (
        said
        == completion(shell)
        == makers[shell](main, {}, "otel-phi", "_OTEL_PHI_COMPLETE").source().rstrip("\n") + "\n"
    )
    assert loaded & {"click", "msgspec", "rich"} == set()


def test_completing_a_command_offers_those_there_are(start: Start) -> None:
    environment = {**os.environ, "_OTEL_PHI_COMPLETE": "bash_complete", "COMP_WORDS": "otel-phi sh", "COMP_CWORD": "1"}
    code = "import sys; sys.argv[:] = ['otel-phi']; from otel_phi.cli.entry import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=golden.PROJECT, check=False
    )
    assert done.stdout.split() == ["plain,show"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_its_help_flag_s_with_an_example_and_its_line_is_its_own(name: str, run: Run) -> None:
    by_flag, by_name = run(name, "--help"), run("help", name)
    assert by_flag.exit_code == by_name.exit_code == 0
    assert by_flag.output == by_name.output
    assert "Examples" in by_flag.output
    command = main.get_command(None, name)  # type: ignore[arg-type]  # it is not asked for
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name]


def test_help_without_a_command_is_the_whole_and_of_none_is_usage(run: Run) -> None:
    assert run("help").output == run("--help").output
    assert run("help", "nothing").exit_code == 2


def test_the_help_loads_no_command() -> None:
    said, loaded = _loaded_by("help")
    assert "Send stored sessions" in said
    assert not [name for name in loaded if name.startswith("otel_phi.cli.commands.")]
    assert "msgspec" not in loaded


@pytest.mark.parametrize(("when", "colored"), [("always", True), ("never", False), ("auto", False)])
def test_colors_come_as_asked_for(when: str, colored: bool, start: Start) -> None:
    out, _ = start("--color", when, "show", golden.DEMO).communicate()
    assert (b"\x1b[" in out) == colored


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_while_it_loads_is_quiet_and_ends_by_the_signal() -> None:
    code = (
        "import sys, os, signal, importlib.abc\n"
        "class Interrupted(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "sys.argv[1:] = ['status']\n"
        "from otel_phi.cli.entry import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=golden.PROJECT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
@pytest.mark.parametrize(
    "arguments", [["show", golden.DEMO, "--json"], ["show", golden.DEMO], ["export", golden.DEMO, "--file", "-"]]
)
def test_an_output_that_nobody_reads_any_more_ends_it_quietly_with_141(arguments: list[object], start: Start) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*arguments, stdout=writer)
    os.close(writer)
    assert process.wait(60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written_is_said_and_ends_with_1(start: Start) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("show", golden.DEMO, "--json", stdout=full.fileno())
        assert process.wait(60) == 1
    assert process.stderr is not None
    assert b"No space left" in process.stderr.read()
