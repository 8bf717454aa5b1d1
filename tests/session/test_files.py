"""Sessions on disk: phi-core's layout to the byte, safe names, never half a file; the example that saves and traces at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.errors import SourceError
from otel_phi.session.files import load_session, save_session, session_file_name
from otel_phi.session.model import Session
from otel_phi.session.recorder import SessionRecorder
from otel_phi.testing import Receiver
from tests import golden
from tests.streams import SESSION, whole_loop


def recorded(session_id: str = SESSION) -> Session:
    recorder = SessionRecorder()
    for event in whole_loop(0, f"{session_id}.mock.1", session=session_id):
        recorder.on_event(event)
    recorder.checkpoint()
    (session,) = recorder.drain_completed()
    return session


def test_a_file_is_named_by_its_session_and_laid_out_as_phi_core_does(tmp_path: Path) -> None:
    path = save_session(recorded("über.s"), tmp_path / "new" / "folder")
    text = path.read_text("utf-8")
    assert path.parent == tmp_path / "new" / "folder"
    assert text.startswith('{\n  "session_id": "über.s",\n  "agent_id": "agent",\n  "created_at": "2026-05-')
    assert text.endswith("    }\n  ]\n}")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    assert save_session(recorded(), tmp_path).name == f"{SESSION}.json"


def test_the_form_without_events_is_that_of_0_14(tmp_path: Path) -> None:
    session = recorded()
    with_events, without = (
        json.loads(save_session(session, tmp_path, events=flag).read_bytes()) for flag in (True, False)
    )
    assert len(with_events["loops"][0].pop("events")) == 6
    assert with_events == without
    assert session.loops[0].events, "printing changes nothing"
    assert load_session(save_session(session, tmp_path, events=False)).loops[0].events == []


@golden.needed
@pytest.mark.parametrize("name", golden.scenarios())
def test_a_golden_session_is_written_and_read_unchanged(name: str, tmp_path: Path) -> None:
    recorder = SessionRecorder()
    for event in golden.scenario(name):
        recorder.on_event(event)
    recorder.flush()
    for session in recorder.sessions():
        path = save_session(session, tmp_path)
        assert load_session(path) == session
        assert save_session(load_session(path), tmp_path / "again").read_bytes() == path.read_bytes()


# --- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "session_id",
    ["", ".", "..", ".hidden", "../../etc/passwd", "a/b", "a\\b", "C:x", "a\0b", "ü", "x" * 129, "a\n", "\ud800"],
)
def test_an_id_that_could_be_more_than_a_name_becomes_a_hash(session_id: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}\.json", session_file_name(session_id))


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_name_stays_in_its_folder_and_two_ids_never_share_one(one: str, other: str) -> None:
    name = session_file_name(one)
    assert Path(name).name == name
    assert len(name) <= 133
    assert not name.startswith(".")
    assert (name == session_file_name(other)) == (one == other)


# --- never half a file -----------------------------------------------------------------------------------------------------


def test_nothing_but_the_file_is_left_behind(tmp_path: Path) -> None:
    save_session(recorded(), tmp_path)
    save_session(recorded(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{SESSION}.json"]


def test_a_reader_beside_writers_sees_only_whole_sessions(tmp_path: Path) -> None:
    sessions = [recorded() for _ in range(3)]
    path = save_session(sessions[0], tmp_path)
    writers = [
        threading.Thread(target=lambda one=one: [save_session(one, tmp_path) for _ in range(15)]) for one in sessions
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert load_session(path) == sessions[0]
    for writer in writers:
        writer.join()


def test_a_failed_write_leaves_the_old_file_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_session(recorded(), tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SourceError, match=rf"{SESSION}\.json: cannot be written: No space left on device"):
        save_session(recorded(), tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_json_nested_too_deeply_to_print_is_said(tmp_path: Path) -> None:
    session = recorded()
    session.loops[0].metadata = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(SourceError, match="nested too deeply"):
        save_session(session, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SourceError, match="cannot be written"):
        save_session(recorded(), tmp_path / "file")


def test_a_file_that_is_being_written_is_looked_at_again(tmp_path: Path) -> None:
    session = recorded()
    whole = save_session(session, tmp_path).read_bytes()
    path = tmp_path / "slow.json"
    path.write_bytes(whole[: len(whole) // 2])

    def finish() -> None:
        time.sleep(0.01)
        path.write_bytes(whole)

    writer = threading.Thread(target=finish)
    writer.start()
    assert load_session(path) == session
    writer.join()


# --- the example -----------------------------------------------------------------------------------------------------------


def test_the_example_saves_sessions_and_exports_their_traces(tmp_path: Path) -> None:
    with Receiver() as receiver:
        ran = subprocess.run(
            [
                sys.executable,
                str(golden.PROJECT / "examples" / "save_and_trace.py"),
                str(golden.DEMO),
                str(tmp_path / "kept"),
            ],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        spans = receiver.wait_for(1)
    sessions = [load_session(path) for path in (tmp_path / "kept").iterdir()]
    traced = {value for span in spans for key, value in span.attributes if key == "gen_ai.conversation.id"}
    assert {session.session_id for session in sessions} == traced
    assert f"{len(spans)} spans accepted by " in ran.stdout
    assert all(f"{session.session_id}.json: {len(session.loops)} loops" in ran.stdout for session in sessions)
