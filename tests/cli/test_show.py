"""`show`: readable at any width, in any terminal, whatever the data; folded, never silent about a failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from otel_phi.cli.commands.show import draw
from otel_phi.mapping.options import MappingOptions, options_for
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.tree import clean
from tests import golden
from tests.cli.conftest import Run, Start
from tests.cli.streams import a_session, lines_of
from tests.conftest import Snapshots

TOLD = (
    "04_tool_vetoed",
    "07_input_rejected",
    "09_provider_error",
    "12_cancelled_during_tool",
    "13_execution_limit",
    "18_parallel_llm_judge",
    "19_sub_agent",
    "20_in_run_compaction",
    "21_compaction_pass",
    "22_revert",
    "23_prun",
)


def text_of(found: list[Span], width: int, *, whole: bool = False) -> str:
    return "".join(f"{line.plain}\n" for line in draw(found, width, whole=whole))


def all_cases() -> Iterator[tuple[str, list[Span]]]:
    for name, events in golden.small_streams().items():
        for scope in ("session", "loop"):
            yield f"{name} {scope}", list(spans(events, options_for(trace_scope=scope)))


def test_the_demo_reads_well_at_80_columns(run: Run, snapshots: Snapshots) -> None:
    result = run("show", golden.DEMO)
    assert result.exit_code == 0
    snapshots.check("cli/show_demo", result.stdout)


@golden.needed
@pytest.mark.parametrize(
    "name",
    TOLD,
)
def test_what_happened_is_told_in_words(run: Run, snapshots: Snapshots, name: str) -> None:
    result = run("show", golden.FOLDER / "live" / f"{name}.events.jsonl")
    snapshots.check(f"cli/show_{name}", result.stdout)


@golden.needed
def test_links_between_the_sessions_of_a_folder_name_them(run: Run) -> None:
    text = run("show", golden.FOLDER / "eventlog" / "logs").stdout
    assert "spawned → session 76676b69\n" in text
    assert "spawned by ← session 6f1c5a52…8a01\n" in text, "two more sessions begin with these 8 characters"
    assert "spawned → session a61b69fc (not among these files)" in text


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 99, 100, 133, 240])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for name, found in all_cases():
        for whole in (False, True):
            rows = [line for line in text_of(found, width, whole=whole).splitlines() if not line.startswith(_HEADS)]
            too_wide = [line for line in rows if cell_len(line) > max(width, 40)]
            assert not too_wide, name


# The lines above a tree hold ids, which are of use only whole.
_HEADS = ("session ", "trace ", "model ", *"0123456789")


def test_every_span_but_the_marker_has_its_row_where_nothing_is_folded() -> None:
    for name, found in all_cases():
        rows = [line for line in text_of(found, 200, whole=True).splitlines() if not line.startswith(_HEADS)]
        shown = sum(1 for line in rows if re.search(r"\d (ns|µs|ms|s)\b|\d[smhd] \d\d[smhd]|\dm \d\ds", line))
        assert shown >= len([span for span in found if not span.name.startswith("invoke_workflow phi.session")]), name


def test_every_error_word_is_told_somewhere() -> None:
    for name, found in all_cases():
        text = text_of(found, 120)
        for word in {str(span.get("error.type")) for span in found} - {"None"}:
            assert f"✗ {word}" in text, name


def test_a_long_session_is_folded_and_what_failed_in_it_is_not(run: Run, tmp_path: Path, snapshots: Snapshots) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(lines_of(a_session(turns=190, failing={57, 120})))
    result = run("show", path)
    snapshots.check("cli/show_long", result.stdout)
    assert result.stdout.count("tool_error: the tool failed") == 2
    assert "184 more turns" not in result.stdout
    whole = run("show", path, "--all").stdout
    assert whole.count("turn ") == 190
    assert "more" not in whole


def test_alike_failures_without_end_are_folded_and_counted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(lines_of(a_session(turns=100, failing=set(range(100)))))
    text = run("show", path).stdout
    assert "✗ all 94 failed like those shown: tool_error" in text
    assert "100 errors: 100 tool_error" in text
    assert len(text.splitlines()) < 50


def test_of_many_sessions_a_table_is_shown_and_one_on_request(run: Run, tmp_path: Path) -> None:
    for number in range(20):
        session = f"{number:08x}-e29b-41d4-a716-446655440000"
        (tmp_path / f"{number}.jsonl").write_bytes(lines_of(a_session(session_id=session)))
    text = run("show", tmp_path).stdout
    assert len(text.splitlines()) == 23
    assert "0000000f 0000000fe29b41d4a716446655440000" in text
    assert run("show", tmp_path, "--session", "0000000f").stdout.startswith("session 0000000f-e29b-41d4")
    assert run("show", tmp_path, "--all").stdout.count("session 000000") == 20
    nothing = run("show", tmp_path, "--session", "f")
    assert (nothing.exit_code, nothing.stderr.count("\n")) == (2, 1)
    assert "no session whose id begins with 'f'" in nothing.stderr


def test_json_holds_every_span_exactly(run: Run) -> None:
    printed = json.loads(run("show", golden.DEMO, "--json").stdout)
    expected = list(spans(golden.demo()))
    assert [int(item["span_id"], 16) for item in printed] == [span.span_id for span in expected]
    for item, span in zip(printed, expected, strict=True):
        assert (item["start_ns"], item["end_ns"]) == (span.start_ns, span.end_ns)
        assert item["parent_span_id"] == (f"{span.parent_span_id:016x}" if span.parent_span_id else None)
        assert set(item["attributes"]) == {key for key, _ in span.attributes}
        assert len(item["events"]) == len(span.events)
        assert [link["trace_id"] for link in item["links"]] == [f"{link.trace_id:032x}" for link in span.links]


def test_json_without_spans_is_still_an_array(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session())[:0] + b'{"type":"TurnStart","loop_id":"x","turn_index":0}\n')
    result = run("show", path, "--json")
    assert result.exit_code == 2
    assert result.stderr == f"otel-phi: {path}: no loop has begun\n"


@pytest.mark.parametrize("options", [(), ("--json",), ("--all",)])
def test_no_character_of_the_data_reaches_the_terminal_as_a_command(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    evil = "\x1b]0;own\x07\x1b[2J\x9b31m\u202etxt\u2066\u2069\u200b\x7f\r\n"
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session(session_id=f"s{evil}", tool=f"bash{evil}", model=f"m{evil}", failing={0})))
    result = run("show", path, *options)
    assert result.exit_code == 0
    for line in (result.stdout + result.stderr).splitlines():
        assert clean(line) == line


def test_without_a_terminal_there_are_no_escapes(run: Run) -> None:
    assert "\x1b" not in run("show", golden.DEMO).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
@pytest.mark.parametrize(
    ("variables", "escape"),
    [({"TERM": "dumb"}, r"\x1b"), ({"TERM": "xterm-256color", "NO_COLOR": "1"}, r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38|48)")],
)
def test_a_dumb_terminal_gets_no_escapes_and_one_without_colour_no_colour(
    start: Start, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], escape: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    main_end, terminal = os.openpty()
    process = start("show", golden.DEMO, stdout=terminal)
    os.close(terminal)
    text = b""
    while chunk := _read(main_end):
        text += chunk
    os.close(main_end)
    assert process.wait(10) == 0
    assert b"compacted" in text
    assert re.search(escape, text.decode()) is None


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux says EIO when the other end has gone
        return b""


def test_where_the_encoding_holds_no_more_it_is_drawn_in_ascii(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    out, error = start("show", golden.DEMO).communicate(timeout=20)
    assert error == b""
    text = out.decode("ascii")
    assert "|-" not in text
    assert "? " not in text
    assert "| | ` x tool_error: the tool failed" in text


def test_a_picture_is_valid_and_the_same_every_time(run: Run, tmp_path: Path) -> None:
    pictures = []
    for name in ("one.svg", "two.svg"):
        assert run("show", golden.DEMO, "--svg", tmp_path / name).output == ""
        pictures.append((tmp_path / name).read_text(encoding="utf-8"))
    assert pictures[0] == pictures[1]
    words = "".join(ET.fromstring(pictures[0]).itertext()).replace("\xa0", " ")
    assert "tool_error: the tool failed" in words
    assert "otel-phi show demo.jsonl" in words


@golden.needed
def test_the_picture_in_the_docs_is_the_one_show_draws(run: Run, tmp_path: Path) -> None:
    picture = golden.PROJECT / "docs" / "trace.svg"
    run("show", golden.DEMO, "--svg", tmp_path / "trace.svg")
    assert picture.read_text(encoding="utf-8") == (tmp_path / "trace.svg").read_text(encoding="utf-8"), "make picture"


def test_neither_grpc_nor_the_sdk_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys, otel_phi\n"
        "from otel_phi.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.startswith(('grpc', 'opentelemetry', 'urllib3', 'sqlite3'))])\n"
    )
    command = [sys.executable, "-c", program, "show", str(golden.DEMO)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE on Windows")
def test_a_reader_that_goes_away_is_no_failure_to_shout_about(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(lines_of(a_session(turns=400)))
    process = start("show", path, "--all")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""


def test_options_say_how_spans_are_made(run: Run) -> None:
    items = json.loads(run("show", golden.DEMO, "--json", "--trace-scope", "loop", "--no-tool-spans").stdout)
    expected = list(spans(golden.demo(), MappingOptions(trace_scope="loop", tool_spans=False)))
    assert [item["trace_id"] for item in items] == [f"{span.trace_id:032x}" for span in expected]
    text = run("show", golden.DEMO, "--no-tool-spans").stdout
    assert "tool_error: the tool failed" in text, "a failed tool shows from the event on its turn"
