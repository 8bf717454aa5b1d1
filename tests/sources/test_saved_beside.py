"""Saved sessions beside logs and beside each other: every loop is read once, from where it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from otel_phi.mapping.span import Span
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import NothingHere, Stored
from tests import golden


def spans(*paths: Path, final: bool = True) -> dict[int, Span]:
    stored = Stored(paths, final=final)
    return {span.span_id: span for span in otel_phi.spans(stored.events(), ahead=ahead_of(stored.starts))}


def session() -> dict[str, Any]:
    """Returns the demo's main session as phi-core saves it, events and all."""
    recorder = otel_phi.SessionRecorder()
    for event in golden.demo():
        recorder.on_event(event)
    recorder.flush()
    found = max(recorder.drain_completed(), key=lambda session: len(session.loops))
    return found.to_dict()


def write(path: Path, content: dict[str, Any], loops: list[Any] | None = None, **dump: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**content, "loops": content["loops"] if loops is None else loops}, **dump))
    return path


def test_a_log_that_covers_part_of_a_session_hides_nothing_of_its_saved_session(tmp_path: Path) -> None:
    content = session()
    whole = spans(write(tmp_path / "whole" / "s.json", content))
    log_name = f"{content['session_id']}.events.jsonl"
    lines = (golden.DEMO_LOGS / log_name).read_bytes().split(b"\n")
    for name, kept in (("first", lines[:5]), ("later", lines[70:])):
        folder = tmp_path / name
        write(folder / "s.json", content)
        (folder / log_name).write_bytes(b"\n".join(kept) + b"\n")
        found = spans(folder)
        assert {i for i, s in whole.items() if s.name != "invoke_workflow phi.parallel"} <= found.keys()
        assert {s.get("phi.loop.status") for s in found.values()} <= {None, "completed"}


def test_two_files_of_one_session_are_read_as_one(tmp_path: Path) -> None:
    content = session()
    whole = spans(write(tmp_path / "whole" / "s.json", content))
    folder = tmp_path / "parts"
    write(folder / "a.json", content, content["loops"][:2])
    write(folder / "b.json", content, content["loops"][1:])
    assert {key for key, s in whole.items() if s.name != "invoke_workflow phi.parallel"} <= spans(folder).keys()
    assert Stored([folder], final=True).repeated_loops == 1


@pytest.mark.parametrize("branch", ["concise", "thorough"])
def test_a_loop_held_back_changes_no_span_that_leaves(branch: str, tmp_path: Path) -> None:
    content = session()
    whole = spans(write(tmp_path / "whole" / "s.json", content))
    (held,) = (loop for loop in content["loops"] if f".{branch}." in loop["loop_id"])
    held |= {"ended_at": None, "status": "Aborted", "events": held["events"][:-1]}
    found = spans(write(tmp_path / "open" / "s.json", content), final=False)
    assert all(whole[key] == span for key, span in found.items())
    assert not any(span.name == "invoke_workflow phi.parallel" for span in found.values())


def test_nulls_and_damaged_events_cost_themselves_alone(tmp_path: Path) -> None:
    content = session()
    whole = spans(write(tmp_path / "whole" / "s.json", content))
    for loop in content["loops"]:
        loop |= {"messages": None, "turns": None, "child_loop_refs": None, "usage": None, "status": "Newer"}
    content["loops"][0]["events"].append({"sequence": 99})
    path = write(tmp_path / "nulls" / "s.json", content)
    assert spans(path) == whole
    bare = session()
    for loop in bare["loops"]:
        del loop["events"]
        for turn in loop["turns"]:
            turn |= {"usage": None, "tool_results": None, "input_messages": None}
    assert {s.name for s in spans(write(tmp_path / "bare" / "s.json", bare)).values()} >= {"turn", "invoke_agent"}


def test_a_session_is_one_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    content = session()
    assert spans(write(tmp_path / "a" / "s.json", content, sort_keys=True)) == spans(
        write(tmp_path / "b" / "s.json", content)
    )


def test_a_folder_of_which_nothing_can_be_read_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", session())
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(NothingHere, match="nothing of it can be read"):
        Stored([tmp_path])
