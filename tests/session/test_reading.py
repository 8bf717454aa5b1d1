"""Saved sessions of every version of phi-core, and of none: what is read, what is mended, what is refused and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_phi.errors import DecodeError, SourceError
from otel_phi.events import AssistantMessage, GenericEvent, UserMessage, parse_time
from otel_phi.session.files import load_session, save_session
from otel_phi.session.model import LoopRecord, Session
from otel_phi.session.parts import (
    CompactionBlock,
    Explicit,
    FirstLoop,
    InactivityTimeout,
    LoopStatus,
    SessionScope,
    TurnRange,
)

TIME = "2026-03-28T10:00:00Z"
NO_TOKENS = {"input": 0, "output": 0}
# A session as phi-core wrote it on 2026-03-28: no turns, no scope, no compaction block, no `Initial`, `FollowUp`.
OLD_LOOP: dict[str, Any] = {
    "loop_id": "s.c.1",
    "session_id": "s",
    "agent_id": "a",
    "parent_loop_id": None,
    "continuation_kind": None,
    "started_at": TIME,
    "ended_at": None,
    "status": "Completed",
    "rejection": None,
    "config": {"model": "m", "provider": "p", "config_id": None},
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}], "timestamp": 1}],
    "usage": NO_TOKENS,
    "metadata": None,
    "events": [
        {
            "sequence": 0,
            "event": {
                "type": "AgentStart",
                "agent_id": "a",
                "session_id": "s",
                "loop_id": "s.c.1",
                "parent_loop_id": None,
                "continuation_kind": None,
                "timestamp": TIME,
                "metadata": None,
            },
        },
        {
            "sequence": 1,
            "event": {
                "type": "TurnStart",
                "loop_id": "s.c.1",
                "turn_index": 0,
                "timestamp": TIME,
                "triggered_by": "FollowUp",
            },
        },
    ],
    "children_loop_ids": [],
    "child_loop_refs": [],
    "parallel_group": None,
}
OLD: dict[str, Any] = {
    "session_id": "s",
    "agent_id": "a",
    "created_at": TIME,
    "last_active_at": TIME,
    "formation": {"FirstLoop": {"timestamp": TIME}},
    "parent_spawn_ref": None,
    "model_config": {"id": "gone since April 2026"},
    "loops": [OLD_LOOP],
}


def written(folder: Path, value: object) -> Path:
    path = folder / "s.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


# --- every version -----------------------------------------------------------------------------------------------------------


def test_a_session_of_march_2026_is_read(tmp_path: Path) -> None:
    session = load_session(written(tmp_path, OLD))
    (record,) = session.loops
    assert session.scope is SessionScope.EPHEMERAL
    assert session.formation == FirstLoop(timestamp=parse_time(TIME))
    assert (record.turns, record.compaction_block, record.continuation_kind) == ([], None, "Initial")
    assert record.status is LoopStatus.COMPLETED
    start, turn = (one["event"] for one in session.to_dict()["loops"][0]["events"])
    assert start["continuation_kind"] == "Initial"
    assert turn["triggered_by"] == "Continuation"
    assert "model_config" not in session.to_dict()


def test_a_session_of_0_15_has_no_events(tmp_path: Path) -> None:
    loop = {key: value for key, value in OLD_LOOP.items() if key != "events"}
    assert load_session(written(tmp_path, {**OLD, "loops": [loop]})).loops[0].events == []


def test_nulls_and_absent_fields_have_their_defaults(tmp_path: Path) -> None:
    loop = dict.fromkeys(OLD_LOOP) | {"loop_id": "l", "session_id": "s", "started_at": TIME, "status": "Aborted"}
    session = load_session(written(tmp_path, {"session_id": "s", "created_at": TIME, "scope": None, "loops": [loop]}))
    assert session == Session(
        session_id="s",
        created_at=parse_time(TIME),
        last_active_at=parse_time(TIME),
        formation=FirstLoop(timestamp=parse_time(TIME)),
        loops=[LoopRecord(loop_id="l", session_id="s", started_at=parse_time(TIME), status=LoopStatus.ABORTED)],
    )


@pytest.mark.parametrize(
    ("formation", "expected"),
    [
        ({"Explicit": {"timestamp": TIME}}, Explicit(timestamp=parse_time(TIME))),
        (
            {"InactivityTimeout": {"threshold_secs": 9, "previous_session_id": None, "timestamp": TIME}},
            InactivityTimeout(threshold_secs=9, timestamp=parse_time(TIME)),
        ),
    ],
)
def test_formations_that_no_recorder_writes_are_read_and_written(
    formation: Any, expected: object, tmp_path: Path
) -> None:
    session = load_session(written(tmp_path, {**OLD, "formation": formation, "scope": "persistent"}))
    assert session.formation == expected
    assert session.to_dict()["formation"] == formation
    assert session.to_dict()["scope"] == "persistent"


def test_a_compaction_block_of_the_agent_is_kept(tmp_path: Path) -> None:
    block = {
        "keep_first": {"startTurn": 0, "endTurn": 2},
        "keep_compacted": {
            "range": {"startTurn": 3, "endTurn": 9},
            "messages": [{"content": [], "role": "user", "timestamp": 1}],
        },
        "createdAt": TIME,
    }
    session = load_session(written(tmp_path, {**OLD, "loops": [{**OLD_LOOP, "compaction_block": block}]}))
    found = session.loops[0].compaction_block
    assert isinstance(found, CompactionBlock)
    assert found.keep_first == TurnRange(start_turn=0, end_turn=2)
    assert found.keep_compacted is not None
    assert isinstance(found.keep_compacted.messages[0], UserMessage)
    assert session.to_dict()["loops"][0]["compaction_block"] == block


def test_an_event_of_a_newer_phi_core_stays_in_the_file(tmp_path: Path) -> None:
    newer = {"type": "Dreamt", "loop_id": "s.c.1", "of": [1, {"b": 2, "a": 1}]}
    events = [{"sequence": 0, "event": newer}, {"sequence": 1, "event": {"type": "TurnEnd"}}]
    session = load_session(written(tmp_path, {**OLD, "loops": [{**OLD_LOOP, "events": events}]}))
    assert isinstance(session.loops[0].events[0].event, GenericEvent)
    path = save_session(session, tmp_path)
    assert json.loads(path.read_bytes())["loops"][0]["events"] == events
    assert load_session(path) == session


def test_a_broken_message_costs_itself_alone(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "hi", "timestamp": None},
        5,
        {"role": "assistant", "model": "m", "usage": {"input": 2.0}},
    ]
    session = load_session(written(tmp_path, {**OLD, "loops": [{**OLD_LOOP, "messages": messages}]}))
    hi, five, said = session.loops[0].messages
    assert isinstance(hi, UserMessage)
    assert bytes(hi.content) == b'[{"text":"hi","type":"text"}]'
    assert session.to_dict()["loops"][0]["messages"][1] == {"role": "extension", "kind": "unreadable", "data": 5}
    assert isinstance(said, AssistantMessage)
    assert (said.model, said.usage.input) == ("m", 2)
    assert five == load_session(save_session(session, tmp_path)).loops[0].messages[1]


def test_a_temperature_is_written_as_short_as_its_32_bits_allow(tmp_path: Path) -> None:
    loop = {**OLD_LOOP, "config": {"model": "m", "provider": "p", "temperature": 0.7}}
    session = load_session(written(tmp_path, {**OLD, "loops": [loop]}))
    assert session.to_dict()["loops"][0]["config"]["temperature"] == 0.699999988079071
    assert b'"temperature": 0.7\n' in save_session(session, tmp_path).read_bytes()


# --- errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([], r"\$: no JSON object"),
        ({}, r"\$\.created_at: missing"),
        ({"created_at": TIME}, r"\$\.session_id: missing"),
        ({**OLD, "session_id": 5}, r"\$\.session_id: Expected `str`, got `int`"),
        ({**OLD, "created_at": "yesterday"}, r"\$\.created_at: not an RFC 3339 time"),
        ({**OLD, "formation": {"Dreamt": {}}}, r"\$\.formation: neither Explicit, FirstLoop nor InactivityTimeout"),
        ({**OLD, "parent_spawn_ref": 5}, r"\$\.parent_spawn_ref: no JSON object"),
        ({**OLD, "loops": 5}, r"\$\.loops: no JSON list"),
        ({**OLD, "loops": [OLD_LOOP, 5]}, r"\$\.loops\[1\]: no JSON object"),
        ({**OLD, "loops": [{**OLD_LOOP, "status": "Dreaming"}]}, r"\$\.loops\[0\]\.status: Invalid enum value"),
        (
            {**OLD, "loops": [{**OLD_LOOP, "turns": [{"started_at": "now"}]}]},
            r"\$\.loops\[0\]\.turns\[0\]\.started_at: not an RFC 3339 time",
        ),
    ],
)
def test_an_error_names_the_file_and_the_place(value: object, place: str, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=rf"s\.json: not a saved session: {place}.*\. Give a file"):
        load_session(written(tmp_path, value))


@pytest.mark.parametrize("text", [b"", b"{", b'{"session_id": "\xff"}', b"[" * 100_000, b'{"a": "' + b"9" * 20])
def test_what_is_no_json_is_said(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "half.json"
    path.write_bytes(text)
    with pytest.raises(DecodeError, match=r"half\.json: not a saved session: \$"):
        load_session(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json: cannot be read: No such file"):
        load_session(tmp_path / "none.json")
