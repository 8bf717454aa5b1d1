"""What somebody who looks on sees: rows that change on a terminal, a line for each finished session, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from otel_phi.cli.live.view import LiveView
from otel_phi.cli.live.work import MAX_AT_WORK, AtWork
from otel_phi.pipeline import spans
from tests import golden
from tests.cli.conftest import Start
from tests.cli.streams import Event, a_session, lines_of

if sys.platform == "win32":
    pytest.skip("terminals", allow_module_level=True)

from tests.cli.live.terminals import Terminal, append

Opened = Callable[..., Terminal]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\")


def cut(events: list[Event]) -> tuple[bytes, bytes]:
    """Returns a session without its end, and its end."""
    return lines_of(events[:-1]), lines_of(events[-1:])


def lines(seen: str) -> list[str]:
    return [line.strip() for line in re.split(r"[\r\n]+", _ESCAPES.sub("", seen)) if line.strip()]


@pytest.mark.parametrize("door", ["watch", "pipe"])
def test_a_session_at_work_is_a_row_that_changes_and_a_finished_one_a_line(
    door: str, tmp_path: Path, opened: Opened
) -> None:
    log = tmp_path / "logs" / "a.jsonl"
    log.parent.mkdir()
    begun, end = cut(a_session(session_id="worker", turns=3, failing=(1,), tool="compile"))
    flags = ("--file", "-", "--trace-url", "http://j/{trace_id}")
    columns = 140 if door == "watch" else 90
    command = ("watch", log.parent) if door == "watch" else ("pipe", "--show")
    terminal = opened(*command, *flags, columns=columns)

    def give(content: bytes) -> None:
        if door == "watch":
            append(log, content)
        else:
            terminal.write(content)

    if door == "watch":
        terminal.until(lambda seen: "watching" in seen)
    first, *rest = begun.split(b'{"type": "TurnStart", "turn_index": 1')
    give(first)
    terminal.until(lambda seen: "1 turn " in seen and "worker" in seen)
    give(b'{"type": "TurnStart", "turn_index": 1' + rest[0])
    seen = terminal.until(lambda seen: "3 turns" in seen)
    row = next(line for line in lines(seen) if "3 turns" in line)
    assert row.startswith("worker")
    assert "303→60" in row
    assert "compile" in row
    assert "tool_error" in row
    assert ("http://j/" in row) == (door == "watch")
    assert "\x1b]8;id=" in seen
    assert ";http://j/" in seen
    assert "1 session at work · 0 finished" in seen
    give(end)
    seen = terminal.until(lambda seen: "0 sessions at work · 1 finished" in seen)
    assert any(line.startswith("worker") and "9.00 s" in line for line in lines(seen))
    assert terminal.end(signal.SIGINT if door == "watch" else None) == 0
    assert terminal.seen.count("\x1b[?25l") == terminal.seen.count("\x1b[?25h") > 0  # the cursor is back
    assert max(cell_len(line) for line in lines(terminal.seen)) <= columns


def test_quiet_says_nothing_but_what_is_wrong(tmp_path: Path, opened: Opened) -> None:
    log = tmp_path / "a.jsonl"
    log.write_bytes(lines_of(a_session()) + b"{bad\n")
    terminal = opened("watch", "--once", "--quiet", log, "--file", "-")
    assert terminal.end() == 0
    assert [line.partition(": ")[0] for line in lines(terminal.seen)] == ["otel-phi"]
    assert "a.jsonl:9" in terminal.seen


def test_elsewhere_each_finished_session_is_a_plain_line(tmp_path: Path, start: Start) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("one", "two"):
        (logs / f"{name}.jsonl").write_bytes(lines_of(a_session(session_id=name, turns=2)))
    process = start("watch", logs, "--file", "-", stdout=os.open(os.devnull, os.O_WRONLY))
    assert process.stderr is not None
    said: list[str] = []
    while sum("2 turns" in line for line in said) < 2:
        line = process.stderr.readline().decode()
        assert line, said
        said.append(line)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    shown = [line for line in said if "2 turns" in line]
    assert sorted(line.split()[0] for line in shown) == ["one", "two"]
    assert not any("\x1b" in line for line in said)
    assert "at work" not in "".join(said)


def test_pipe_says_no_lines_unless_it_is_asked(start: Start) -> None:
    content = lines_of(a_session(session_id="one", turns=2))
    _, silent = start("pipe", "--file", os.devnull).communicate(content)
    _, shown = start("pipe", "--show", "--file", os.devnull).communicate(content)
    assert b"2 turns" not in silent
    assert b"2 turns" in shown


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_rows_fit_and_are_clean_whatever_comes(columns: int) -> None:
    evil = "evil\x1b[31m\u202e" + "漢字" * 20
    found = list(spans(lines_of(a_session(session_id=evil, tool=evil, model=evil, turns=2)).splitlines()))
    at_work = AtWork()
    for span in found[:-1]:
        at_work.add(span)
    (work,) = at_work.sessions.values()
    for finished in (True, False):
        text = work.line(columns, "http://j/{trace_id}", finished=finished).plain
        assert cell_len(text) <= columns
        assert not {"\x1b", "\u202e"} & set(text)
        assert "http://j/" in work.line(None, "http://j/{trace_id}", finished=finished).plain


def test_every_golden_session_that_ends_is_a_line_once_a_loop_of_its_own() -> None:
    for name, events in golden.small_streams().items():
        out = io.StringIO()
        view = LiveView(None, plain=True, console=Console(file=out, width=200))
        with view:
            for span in spans(events):
                view.add(span)
        ended = {line.split()[0] for line in out.getvalue().splitlines()}
        assert bool(ended) == any(type(event).__name__ == "AgentStart" for event in events), name


def test_sessions_at_work_are_bounded() -> None:
    at_work = AtWork()
    for number in range(MAX_AT_WORK + 5):
        for span in list(spans(lines_of(a_session(session_id=f"s{number}")).splitlines()))[:-1]:
            at_work.add(span)
    assert (len(at_work.sessions), at_work.forgotten) == (MAX_AT_WORK, 5)
    assert "s5" in at_work.sessions
