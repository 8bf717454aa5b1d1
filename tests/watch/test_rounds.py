"""Whatever the rounds, kills and order of files: the same spans as `export` makes, each byte for byte."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_phi.events import encode_event
from otel_phi.mapping import semconv as s
from tests import golden
from tests.streams import OWN_CASES
from tests.watch.following import Following, append, as_written, exported

FOLDERS = [golden.DEMO_LOGS, *([golden.FOLDER / "eventlog" / "logs"] if golden.present else [])]
SCOPES = ["session", "loop"]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.parent.name)
def test_a_folder_watched_once_gives_what_export_gives(folder: Path, scope: str, tmp_path: Path) -> None:
    following = Following(folder, tmp_path, trace_scope=scope)
    following.with_(abandon_after_s=0.0).round()
    assert following.end() == exported(folder, final=True, trace_scope=scope)


@golden.needed
@pytest.mark.parametrize("name", golden.scenarios())
def test_every_golden_stream_written_line_by_line_gives_what_export_gives(name: str, tmp_path: Path) -> None:
    source = golden.FOLDER / "live" / f"{name}.events.jsonl"
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "run.jsonl"
    following = Following(folder, tmp_path / "state")
    for number, line in enumerate(source.read_bytes().splitlines(keepends=True)):
        append(path, line)
        if number % 7 == 3:
            following.restart()
        following.round(path, settle=number % 2 == 0)
    following.with_(abandon_after_s=0.0).round()
    following.settle()
    assert following.end() == exported(source, final=True)


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_what_agents_of_one_s_own_say_written_line_by_line_gives_what_export_gives(every: int, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path, source = folder / "run.jsonl", tmp_path / "whole.jsonl"
    following = Following(folder, tmp_path / "state")
    for number, event in enumerate(OWN_CASES["own agent"]):
        append(path, encode_event(event) + b"\n")
        if number % every == 0:
            following.restart()
        following.round(path, settle=number % 2 == 0)
    source.write_bytes(path.read_bytes())
    following.with_(abandon_after_s=0.0).round()
    following.settle()
    found = following.end()
    assert found == exported(source, final=True)
    assert sum(span.get(s.SIDE_CALL_ID) is not None for span in following.backend.by_key().values()) == 3


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.parent.name)
def test_no_order_of_rounds_files_and_kills_changes_a_byte(folder: Path, scope: str, data: st.DataObject) -> None:
    """Bytes are written as the agents did, by event time, cut anywhere; rounds and kills fall anywhere between them."""
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place, "logs")
        logs.mkdir()
        with Following(logs, Path(place, "state"), trace_scope=scope) as following:
            for name, content in as_written(folder):
                cut = data.draw(st.integers(0, len(content)))
                append(logs / name, content[:cut])
                _something(data, following, logs)
                append(logs / name, content[cut:])
            following.with_(abandon_after_s=0.0).round()
            assert following.end() == exported(folder, final=True, trace_scope=scope)


def _something(data: st.DataObject, following: Following, logs: Path) -> None:
    match data.draw(st.sampled_from(["nothing"] * 12 + ["round", "some", "kill"])):
        case "round":
            following.round(settle=data.draw(st.booleans()))
        case "some":
            following.round(*data.draw(st.permutations(sorted(logs.iterdir()))), settle=data.draw(st.booleans()))
        case "kill":
            following.restart()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.parent.name)
def test_whole_files_that_come_in_any_order_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """A link to another session ends at its root, which any session id tells; no file has to be there first."""
    wanted = exported(folder, final=True)
    for number, files in enumerate(itertools.permutations(sorted(folder.glob("*.jsonl")))):
        logs = tmp_path / str(number)
        logs.mkdir()
        with Following(logs, tmp_path / f"state-{number}").with_(abandon_after_s=0.0) as following:
            for path in files:
                shutil.copy(path, logs)
                following.round()
            assert following.end() == wanted


def test_a_copied_or_moved_folder_sends_nothing_again(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(golden.DEMO_LOGS, logs)
    following = Following(tmp_path / "logs", tmp_path / "state")
    following.round()
    count = len(following.backend.spans)
    for path in list(logs.iterdir()):
        shutil.copy(path, logs / f"copy-of-{path.name}")  # other inodes, the same loops
    following.round()
    following.restart()
    following.round()
    assert len(following.backend.spans) == count > 0
    following.end()
