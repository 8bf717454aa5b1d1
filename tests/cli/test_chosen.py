"""The filters of `ls` hold for `show` and `export`: the same sessions, whole, with the spans that reading everything gives. And `-`."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run, Start
from tests.cli.index.test_index import CONTENTS
from tests.cli.streams import a_session, lines_of

FILTERS: list[tuple[object, ...]] = [
    ("--since", "2026-01-02"),
    ("--until", "2026-01-02"),
    ("--errors",),
    ("--errors=tool_error",),
    ("--errors=none_such",),
    ("--tool", "bash"),
    ("--model", "M-1"),
    ("--agent", "none such"),
    ("--session", "s1"),
    ("--open",),
    ("--errors", "--tool", "bash", "--since", "2026-01-01"),
    ("--errors", "--no-cache"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "logs"
    place.mkdir()
    shutil.copy(golden.DEMO, place / "demo.jsonl")
    for number, content in enumerate(CONTENTS[:7]):
        (place / f"{number}.jsonl").write_bytes(content(number))
    return place


def shown(run: Run, *arguments: object) -> list[dict[str, Any]]:
    result = run("show", *arguments, "--json")
    found: list[dict[str, Any]] = json.loads(result.stdout or "[]")
    assert result.exit_code == (0 if found else 2)
    return found


def session_of(span: dict[str, Any]) -> str:
    given = span["attributes"]
    return str(given.get("session.id") or given.get("gen_ai.conversation.id") or given.get("phi.parallel.session_id"))


def in_order(spans: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(span) for span in spans)


@pytest.mark.parametrize("flags", FILTERS, ids=lambda flags: " ".join(map(str, flags)))
def test_show_and_export_mean_the_sessions_that_ls_means(
    flags: tuple[object, ...], folder: Path, run: Run, receiver: Receiver
) -> None:
    listed = [json.loads(line)["session_id"] for line in run("ls", folder, *flags, "--json").stdout.splitlines()]
    everything = shown(run, folder)
    assert in_order(shown(run, folder, *flags)) == in_order([one for one in everything if session_of(one) in listed])
    exported = run("export", folder, *flags, "--endpoint", receiver.endpoint, "--final")
    assert exported.exit_code == 0
    assert len(receiver.spans) == sum(session_of(one) in listed for one in everything)


def test_a_path_behind_errors_is_a_path(folder: Path, run: Run) -> None:
    assert in_order(shown(run, "--errors", folder)) == in_order(shown(run, folder, "--errors"))


def test_what_cannot_be_read_is_said_once_where_filters_read_twice(folder: Path, run: Run) -> None:
    (folder / "gone").symlink_to("nowhere")
    (folder / "bad.jsonl").write_bytes(lines_of(a_session(session_id="bad", failing=(0,))) + b"{bad\n")
    for command in (("show",), ("export", "--file", os.devnull, "--final")):
        result = run(*command, folder, "--errors")
        assert result.exit_code == 1
        assert result.stderr.count("a link to nothing") == 1
        assert result.stderr.count("bad.jsonl:") == 1


def test_a_copy_is_sent_without_what_another_session_had_first_though_that_is_not_meant(
    tmp_path: Path, run: Run
) -> None:
    one, other = tmp_path / "x" / "a.jsonl", tmp_path / "y" / "b.jsonl"
    for path, content in ((one, CONTENTS[4](0)), (other, CONTENTS[5](1))):
        path.parent.mkdir()
        path.write_bytes(content)
    everything = shown(run, tmp_path)
    copied = "00000000-0000-4000-8000-00000000000b"
    found = shown(run, tmp_path, "--session", copied, "--since", "2000-01-01")
    assert in_order(found) == in_order([span for span in everything if session_of(span) == copied])
    assert found


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("command", [("show",), ("ls",), ("export", "--file", "-")], ids=lambda command: command[0])
def test_a_dash_is_standard_input(command: tuple[str, ...], zipped: bool, tmp_path: Path, start: Start) -> None:
    content = lines_of(a_session(session_id="piped", ended=False))
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))
    by_name, _ = start(*command, path).communicate()
    process = start(*command, "-")
    out, error = process.communicate(gzip.compress(content) if zipped else content)
    assert (process.returncode, b"piped" in out) == (0, True), error
    assert out == by_name
    assert b"otel-phi-" not in error


def test_standard_input_is_said_as_a_dash_and_nothing_of_it_is_left(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = run("ls", "-", input=lines_of(a_session()).decode() + "{bad\n")
    assert result.exit_code == 0
    assert "otel-phi: -:9 (byte " in result.stderr
    result = run("show", "-", input="words\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("otel-phi: -: this is no file of AgentEvents")
    assert not list(tmp_path.glob("otel-phi-*"))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_of_standard_input_nothing_is_left_after_ctrl_c_and_an_unread_output(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    reader, writer = os.pipe()
    process = start("show", "-", "--json", stdout=writer)
    os.close(writer)
    assert process.stdin is not None
    process.stdin.write(lines_of(a_session(turns=2_000)))
    process.stdin.close()
    process.stdin = None
    os.read(reader, 1)  # it prints, and waits for who reads
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT
    os.close(reader)
    assert not list(tmp_path.glob("otel-phi-*"))
    process = start("export", "-", "--file", "-", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    process.communicate(lines_of(a_session(turns=2_000)))
    assert process.returncode == 141
    assert not list(tmp_path.glob("otel-phi-*"))
