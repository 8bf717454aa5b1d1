"""What cannot be read among many is named, the rest goes on, the exit code tells; nothing blocks, and a bomb costs little."""

from __future__ import annotations

import gzip
import os
import resource
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_phi.sources.kinds import kind_of
from otel_phi.sources.stored import Stored
from tests import golden
from tests.cli.conftest import Run
from tests.cli.streams import a_session, lines_of

if sys.platform == "win32":
    pytest.skip("FIFOs, sockets, links", allow_module_level=True)

MB = 1 << 20


def _fifo(path: Path) -> str:
    os.mkfifo(path)
    return "a FIFO"


def _socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's name has 100 characters at most
        try:
            bound.bind(path.name)
        finally:
            os.chdir(before)
    return "a socket"


def _device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a device"


def _loop(path: Path) -> str:
    path.symlink_to(path.name)
    return "a loop of links"


def _dangling(path: Path) -> str:
    path.symlink_to("nowhere")
    return "no such file or folder"


def _bomb(path: Path) -> str:
    write_bomb(path, lines_of(a_session(session_id="bomb"))[:-1] + b" ")
    return "unpacks to more than 400 times its size"


def write_bomb(path: Path, begin: bytes) -> None:
    """Writes what 100 MB of blanks are packed to, behind a beginning."""
    with gzip.GzipFile(path, "wb", compresslevel=9) as stream:
        stream.write(begin)
        for _ in range(100):
            stream.write(b" " * MB)


UNREADABLE: dict[str, Callable[[Path], str]] = {
    "fifo": _fifo,
    "socket": _socket,
    "device": _device,
    "loop": _loop,
    "dangling": _dangling,
    "bomb": _bomb,
}
COMMANDS = [("show",), ("ls",), ("export", "--file", os.devnull)]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "good.jsonl"
    path.parent.mkdir()
    path.write_bytes(lines_of(a_session(session_id="good")))
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_one_that_cannot_be_read_is_named_the_other_is_read_and_the_exit_code_is_1(
    kind: str, command: tuple[str, ...], good: Path, run: Run
) -> None:
    bad = good.with_name("bad")
    words = UNREADABLE[kind](bad)
    result = run(*command, bad, good)
    assert result.exit_code == 1
    assert f"otel-phi: {bad}: " in result.stderr
    assert words in result.stderr
    assert "good" in result.stdout or command[0] == "export"
    assert "1 span" not in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_alone_it_is_an_error_of_usage_in_one_line(
    kind: str, command: tuple[str, ...], tmp_path: Path, run: Run
) -> None:
    bad = tmp_path / "bad"
    words = UNREADABLE[kind](bad)
    result = run(*command, bad)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"otel-phi: {bad}: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_in_a_folder_it_is_named_and_what_leads_nowhere_is_exit_1(
    kind: str, command: tuple[str, ...], good: Path, run: Run
) -> None:
    bad = good.with_name("bad")
    words = UNREADABLE[kind](bad)
    (good.parent / "notes.txt").write_text("words")
    result = run(*command, good.parent)
    assert result.exit_code == (0 if kind in {"fifo", "socket", "device"} else 1)
    named = next(line for line in result.stderr.splitlines() if str(bad) in line)
    assert (words if kind != "dangling" else "a link to nothing") in named
    assert "1 file of the folder left out: no agent events in them" in result.stderr


def test_watch_once_names_it_sends_the_rest_and_ends_with_1(
    good: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = good.with_name("bad.jsonl")
    good.with_name("notes.txt").write_text("words")
    bad.write_bytes(good.read_bytes().replace(b"good", b"evil"))
    real = kind_of

    def refusing(path: Path) -> str:
        if path == bad:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("otel_phi.watch.folder.kind_of", refusing)
    result = run("watch", "--once", good.parent, "--file", "-")
    assert result.exit_code == 1
    assert f"{bad}: cannot be read: Permission denied" in result.stderr
    assert "1 file of the folder left out" in result.stderr
    assert "good" in result.stdout


def test_all_that_cannot_be_read_is_exit_2_and_each_is_named(tmp_path: Path, run: Run) -> None:
    result = run("ls", tmp_path / "one", tmp_path / "two")
    assert result.exit_code == 2
    assert f"{tmp_path / 'one'}: no such file" in result.stderr
    assert f"{tmp_path / 'two'}: no such file" in result.stderr


def test_of_a_thousand_files_that_cannot_be_read_twenty_are_named(good: Path, run: Run) -> None:
    for number in range(30):
        good.with_name(f"{number}").symlink_to("nowhere")
    result = run("ls", good.parent)
    assert result.exit_code == 1
    assert result.stderr.count("a link to nothing") == 20
    assert "10 more files could not be read" in result.stderr


def test_a_folder_that_may_not_be_listed_is_named(good: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = good.parent / "locked"
    locked.mkdir()
    real = os.scandir

    def refusing(path: str) -> object:
        if os.fspath(path) == str(locked):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr("os.scandir", refusing)  # as root, who runs CI, reads everything
    result = run("ls", good.parent)
    assert result.exit_code == 1
    assert f"{locked}: cannot be listed: Permission denied" in result.stderr


def test_a_file_that_vanishes_between_two_looks_costs_itself_alone(good: Path) -> None:
    gone = good.with_name("a.jsonl")
    gone.write_bytes(good.read_bytes().replace(b"good", b"gone"))
    said: list[str] = []
    stored = Stored([good.parent], final=True, on_bad_line=lambda bad: said.append(str(bad)))
    gone.unlink()
    assert {getattr(event, "session_id", "good") for event in stored.events()} == {"good"}
    assert said == [f"{gone}: cannot be read: no such file or folder"]
    assert stored.unreadable == [gone]


BEGINNINGS = {
    "blanks": b"",
    "a session's lines": lines_of(a_session(session_id="bomb")),
    "one line": lines_of(a_session(session_id="bomb"))[:-1],
    "a saved session": b'{"session_id": "x", "agent_id": "y", "loops": [',
    "one string": b'{"session_id": "x", "agent_id": "',
    "other JSON": b'{"a": [',
    "Claude Code": b'{"type":"user","sessionId":"x","uuid":"y","timestamp":"2026-01-01T00:00:00Z","message":{"role":"user","content":"z"}}\n',
}
_READ = """
import resource, sys
from pathlib import Path
from otel_phi.errors import OtelPhiError
from otel_phi.sources.stored import Stored
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = []
try:
    list(Stored([Path(sys.argv[1]), Path(sys.argv[2])], final=True, on_bad_line=lambda bad: said.append(str(bad))).events())
except OtelPhiError as error:
    said.append(str(error))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(*said)
"""


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_gzip_bomb_of_any_kind_costs_at_most_64_mb_and_is_named(begin: str, good: Path) -> None:
    bomb = good.with_name("bomb.gz")
    write_bomb(bomb, BEGINNINGS[begin])
    assert resource.getpagesize()  # a POSIX machine
    done = subprocess.run(
        [sys.executable, "-c", _READ, bomb, good], capture_output=True, text=True, check=True, cwd=golden.PROJECT
    )
    grown, said = done.stdout.split("\n", 1)
    assert int(grown) * 1024 < 64 * MB
    assert str(bomb) in said
    assert "unpacks to more than 400 times its size" in said


def test_what_is_packed_as_well_as_a_long_session_can_be_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl.gz"
    delta = b'{"type":"MessageUpdate","loop_id":"good.a.1","message":{"role":"assistant","content":[]},"delta":{"Text":{"delta":"%d"}}}\n'
    first, *rest = lines_of(a_session(session_id="good")).splitlines(keepends=True)
    path.write_bytes(gzip.compress(first + b"".join(delta % number for number in range(150_000)) + b"".join(rest)))
    assert kind_of(path) == "events"
    assert len(list(Stored([path], final=True).events())) == len(a_session())


def test_a_picture_s_title_is_clean_whatever_the_file_is_called(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "evil\x1b[31m\u202e\uffff<&.jsonl"
    path.write_bytes(lines_of(a_session(session_id="s\uffff", tool="t\ufffe")))
    picture = tmp_path / "trace.svg"
    assert run("show", path, "--svg", picture).exit_code == 0
    text = picture.read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e", "\uffff", "\ufffe"} & set(text)
    assert "evil[31m" in "".join(ET.fromstring(text).itertext())
