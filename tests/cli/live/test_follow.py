"""`show --follow`: the tree as the file grows on a terminal, a line for each turn elsewhere; until Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Start
from tests.cli.streams import a_session, lines_of

if sys.platform == "win32":
    pytest.skip("terminals", allow_module_level=True)

from tests.cli.live.terminals import Terminal, append

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TURN = b'{"type": "TurnStart", "turn_index": 1'


@pytest.fixture
def story() -> tuple[bytes, bytes]:
    """A session of two turns: up to the second one, and the rest."""
    first, second = lines_of(a_session(session_id="story", turns=2, failing=(1,))).split(_TURN)
    return first, _TURN + second


def test_the_tree_grows_with_the_file_and_stays_when_it_is_interrupted(
    story: tuple[bytes, bytes], tmp_path: Path, opened: Callable[..., Terminal]
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(story[0])
    terminal = opened("show", "--follow", path, out=subprocess.PIPE)
    seen = terminal.until(lambda seen: "turn 0" in seen)
    assert "turn 1" not in seen
    assert "aborted" not in seen
    append(path, story[1])
    terminal.until(lambda seen: "turn 1" in seen and "tool_error" in seen)
    assert terminal.end(signal.SIGINT) == -signal.SIGINT
    left = _ESCAPES.sub("", terminal.seen).replace("\r", "\n")
    tree = left[left.rindex("story") :]
    assert "turn 0" in tree
    assert "turn 1" in tree


def test_elsewhere_each_turn_is_a_line_once(story: tuple[bytes, bytes], tmp_path: Path, start: Start) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(story[0])
    process = start("show", "--follow", path)
    assert process.stdout is not None
    assert process.stdout.readline().decode().split("  ") == ["story", "turn 0", "2.90 s", "100→20", "bash\n"]
    append(path, story[1])
    assert process.stdout.readline().decode().split("  ") == ["story", "turn 1", "2.90 s", "101→20", "bash\n"]
    path.unlink()  # a log that is rotated is away for a moment
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (-signal.SIGINT, b"", b"")


def test_what_cannot_be_followed_is_usage(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session()))
    for more in (("--json",), ("--svg", tmp_path / "x.svg"), ("--errors=timeout",)):
        assert run("show", "--follow", path, *more).exit_code == 2
    assert run("show", "--follow", "-", input="").exit_code == 2
    assert run("show", "--follow", tmp_path / "none").exit_code == 2
