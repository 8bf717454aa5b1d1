"""Every command ends with the codes that docs/exit-codes.md says, each ending tried; its help says the same codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from otel_phi.cli.group import COMMANDS
from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run, Start
from tests.cli.lost import lose
from tests.cli.streams import a_session, lines_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, pipes, journals")
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
WAIT_S = 60


class World(msgspec.Struct):
    """A world is what a command finds: a session, a collector, a folder of its own."""

    run: Run
    start: Start
    receiver: Receiver
    folder: Path
    good: Path

    def gone(self) -> Path:
        return self.folder / "gone.jsonl"

    def refusing(self) -> str:
        self.receiver.answer(rejected=1, message="no", times=50)
        return self.receiver.endpoint

    def piped(self, *arguments: object, stdin: bytes | None = None, stdout: int = subprocess.PIPE) -> int:
        """Runs a command as a process, with a session on standard input."""
        process = self.start(*arguments, stdout=stdout)
        process.communicate(self.good.read_bytes() if stdin is None else stdin, timeout=WAIT_S)
        return process.returncode

    def into_full(self, *arguments: object) -> int:
        with Path("/dev/full").open("wb") as full:
            return self.piped(*arguments, stdout=full.fileno())

    def into_nobody(self, *arguments: object) -> int:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            return self.piped(*arguments, stdout=writer)
        finally:
            os.close(writer)


Ending = Callable[[World], int]


def ran(*arguments: object) -> Ending:
    """Returns the ending of a command in this process; `GOOD` and `GONE` stand for files, `THERE` and `REFUSING` for collectors."""

    def end(world: World) -> int:
        stand: dict[str, Callable[[], object]] = {
            "GOOD": lambda: world.good,
            "GONE": world.gone,
            "THERE": lambda: world.receiver.endpoint,
            "REFUSING": world.refusing,
        }
        return world.run(*(stand[one]() if one in stand else one for one in map(str, arguments))).exit_code

    return end


def flushed(flags: tuple[object, ...], world: World) -> int:
    return world.run("flush", *flags).exit_code


def damaged(world: World) -> int:
    world.receiver.answer(status=503, times=99)
    lose(world.receiver.endpoint, a_session(session_id="damaged"))
    world.receiver.forget_script()
    (segment,) = (world.folder / "state").rglob("*.journal")
    segment.write_bytes(segment.read_bytes().replace(b'"tool_name":"bash"', b'"tool_name":"ba\0h"', 1))
    return flushed(("--endpoint", world.receiver.endpoint), world)


def left_behind(world: World) -> int:
    lose(NOWHERE, a_session())
    return flushed(("--endpoint", NOWHERE, "--give-up-after", "0"), world)


def refused(world: World) -> int:
    world.receiver.answer(status=503, times=99)
    lose(world.receiver.endpoint, a_session())
    world.receiver.forget_script()
    return flushed(("--endpoint", world.refusing()), world)


def unended(world: World) -> int:
    lines = world.good.read_bytes().splitlines(keepends=True)
    world.good.write_bytes(b"".join(lines[:-1]))
    return world.run("check", world.good).exit_code


def broken(world: World) -> int:
    world.good.write_bytes(world.good.read_bytes() + b"words\n")
    return world.run("check", world.good).exit_code


def left_alone(world: World) -> int:
    lose(NOWHERE, a_session())
    with mock.patch("otel_phi.cli.outbox.changing._purged", side_effect=PermissionError(13, "Permission denied")):
        return world.run("status", "--purge", "--yes").exit_code


TABLE: dict[tuple[str, int], list[Ending]] = {
    ("demo", 0): [ran("demo")],
    ("demo", 1): [lambda world: world.into_full("demo")],
    ("demo", 2): [ran("demo", "--nothing")],
    ("ls", 0): [ran("ls", "GOOD"), ran("ls", "GOOD", "--session", "none")],
    ("ls", 1): [ran("ls", "GOOD", "GONE"), lambda world: world.into_full("ls", world.good)],
    ("ls", 2): [ran("ls", "GONE"), ran("ls", "GOOD", "--sort", "beauty")],
    ("show", 0): [ran("show", "GOOD")],
    ("show", 1): [ran("show", "GOOD", "GONE"), ran("show", "GOOD", "--svg", "/dev/full")],
    ("show", 2): [ran("show", "GONE"), ran("show", "GOOD", "--session", "none"), ran("show")],
    ("export", 0): [ran("export", "GOOD", "--endpoint", "THERE")],
    ("export", 1): [
        ran("export", "GOOD", "GONE", "--endpoint", "THERE"),
        lambda world: world.into_full("export", world.good, "--file", "-"),
    ],
    ("export", 2): [ran("export", "GONE"), ran("export", "GOOD", "--endpoint", "nonsense")],
    ("export", 3): [ran("export", "GOOD", "GONE", "--endpoint", "REFUSING")],
    ("export", 4): [ran("export", "GOOD", "GONE", "--endpoint", NOWHERE, "--give-up-after", "0")],
    ("pipe", 0): [lambda world: world.piped("pipe", "--endpoint", world.receiver.endpoint)],
    ("pipe", 1): [lambda world: world.into_full("pipe", "--file", "-")],
    ("pipe", 2): [
        ran("pipe", "--tee", "--file", "-"),
        lambda world: world.piped("pipe", "--endpoint", world.receiver.endpoint, stdin=b"words\n"),
    ],
    ("pipe", 3): [lambda world: world.piped("pipe", "--endpoint", world.refusing())],
    ("pipe", 4): [lambda world: world.piped("pipe", "--endpoint", NOWHERE, "--give-up-after", "0")],
    ("watch", 0): [ran("watch", "--once", "GOOD", "--endpoint", "THERE")],
    ("watch", 1): [lambda world: world.into_full("watch", "--once", world.good, "--file", "-")],
    ("watch", 2): [ran("watch", "/nowhere/at/all"), ran("watch", "GOOD", "--endpoint", "nonsense")],
    ("watch", 3): [ran("watch", "--once", "GOOD", "--endpoint", "REFUSING")],
    ("watch", 4): [ran("watch", "--once", "GOOD", "--endpoint", NOWHERE, "--give-up-after", "0")],
    ("check", 0): [ran("check", "GOOD")],
    ("check", 1): [lambda world: world.into_full("check", world.good)],
    ("check", 2): [ran("check", "GONE"), ran("check", "GOOD", "--endpoint", "nonsense")],
    ("check", 5): [unended],
    ("check", 6): [broken],
    ("status", 0): [ran("status")],
    ("status", 1): [left_alone, lambda world: world.into_full("status")],
    ("status", 2): [ran("status", "--retry", "--purge", "--yes")],
    ("flush", 0): [ran("flush", "--endpoint", "THERE")],
    ("flush", 1): [damaged],
    ("flush", 2): [ran("flush", "--endpoint", "nonsense")],
    ("flush", 3): [refused],
    ("flush", 4): [left_behind],
    ("completion", 0): [ran("completion", "fish")],
    ("completion", 1): [lambda world: world.into_full("completion", "bash")],
    ("completion", 2): [ran("completion", "tcsh")],
    ("help", 0): [ran("help", "ls")],
    ("help", 1): [lambda world: world.into_full("help")],
    ("help", 2): [ran("help", "nothing")],
}


def documented() -> set[tuple[str, int]]:
    text = (golden.PROJECT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    found = set()
    for command, *cells in re.findall(r"^\| `(\w+)` \|" + r"(.*?)\|" * 7 + "$", text, re.MULTILINE):
        found |= {(command, code) for code, cell in enumerate(cells) if cell.strip() or code == 0}
    return found


@pytest.fixture
def world(run: Run, start: Start, receiver: Receiver, tmp_path: Path) -> World:
    good = tmp_path / "good.jsonl"
    good.write_bytes(lines_of(a_session(session_id="good")))
    return World(run, start, receiver, tmp_path, good)


@pytest.mark.parametrize(("command", "code"), TABLE, ids=str)
def test_a_command_ends_as_the_table_says(command: str, code: int, world: World) -> None:
    for ending in TABLE[command, code]:
        assert ending(world) == code


def test_the_table_has_every_command_and_every_code_of_it_is_tried() -> None:
    assert documented() == set(TABLE)
    assert {command for command, _ in TABLE} == set(COMMANDS)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in {"completion", "help", "demo"}])
def test_a_command_s_help_says_its_codes(command: str, run: Run) -> None:
    said = " ".join(run("help", command).stdout.split())
    sentence = re.search(r"Exit codes?: (.*?)(?:Options:|$)", said)
    assert sentence is not None
    codes = {int(number) for number in re.findall(r"(?<![\w.-])([0-9])(?= |;|,|:)", sentence[1])}
    assert codes == {code for name, code in documented() if name == command}


ANSWERS: list[tuple[object, ...]] = [
    ("show", golden.DEMO),
    ("ls", golden.DEMO),
    ("ls", golden.DEMO, "--json"),
    ("export", golden.DEMO, "--file", "-"),
    ("watch", golden.DEMO, "--file", "-"),
    ("pipe", "--file", "-"),
    ("status", "--json"),
    ("help",),
    ("--version",),
    ("completion", "zsh"),
]


@pytest.mark.parametrize("arguments", ANSWERS, ids=lambda arguments: " ".join(map(str, arguments[::2])))
def test_an_output_that_nobody_reads_ends_every_command_quietly_with_141(
    arguments: tuple[object, ...], world: World
) -> None:
    assert world.into_nobody(*arguments) == 141


def test_ctrl_c_in_a_reading_ends_by_the_signal_and_says_nothing(world: World) -> None:
    reader, writer = os.pipe()  # a pipe that nobody reads from holds up whoever prints
    large = world.folder / "large.jsonl"
    large.write_bytes(lines_of(a_session(turns=3_000)))
    process = world.start("show", large, "--json", stdout=writer)
    os.close(writer)
    os.read(reader, 1)  # it prints: it is past loading
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == -signal.SIGINT
    os.close(reader)
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_watch_that_is_ended_with_spans_unsent_is_4(world: World) -> None:
    process = world.start("watch", world.good, "--endpoint", NOWHERE)
    assert process.stderr is not None
    said = b""
    while b"refused" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 4
