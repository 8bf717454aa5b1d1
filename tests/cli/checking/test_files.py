"""`otel-phi check PATH`: each rule is found where it stands, and nothing is found in what phi-core itself wrote."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_phi.cli.checking.rules import FILE_RULES
from tests import golden
from tests.cli.conftest import Run
from tests.cli.streams import Event, a_session, at, lines_of
from tests.sources.agents import samples

Change = Callable[[list[Event]], None]
LOOP = {"loop_id": f"{a_session()[0]['session_id']}.a.1"}


def found(run: Run, *arguments: object, code: int) -> dict[str, list[dict[str, Any]]]:
    """Returns the findings of a check by rule."""
    result = run("check", *arguments, "--json")
    assert result.exit_code == code, result.output
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(result.stdout)["findings"]:
        by_rule.setdefault(one["rule"], []).append(one)
    return by_rule


def written(path: Path, change: Change | None = None, **session: Any) -> Path:
    """Writes a session of one turn, changed."""
    events = a_session(**session)
    if change is not None:
        change(events)
    path.write_bytes(lines_of(events))
    return path


def _at(index: int, **fields: Any) -> Change:
    return lambda events: events[index].update(fields)


def _message(index: int, **fields: Any) -> Change:
    return lambda events: events[index]["message"].update(fields)


def _gone(index: int) -> Change:
    return lambda events: events.__delitem__(index)


def _again(index: int) -> Change:
    return lambda events: events.insert(index + 1, events[index])


# The session's lines: 1 AgentStart, 2 TurnStart, 3 answer, 4 tool's start, 5 its end, 6 result, 7 TurnEnd, 8 AgentEnd.
CASES: dict[str, tuple[str, int, int, Change]] = {
    "an unknown type": ("unknown-type", 5, 3, lambda events: events.insert(2, {"type": "Zap", **LOOP})),
    "an unknown role": ("unknown-role", 5, 6, _message(5, role="tool_rsult")),
    "an unknown key of an event": ("unknown-key", 5, 2, _at(1, turn_indx=0)),
    "an unknown key of a message": ("unknown-key", 5, 3, _message(2, stopReson="stop")),
    "an event of no open loop": ("loop-not-open", 5, 2, _at(1, loop_id="another")),
    "an event after the end": ("loop-not-open", 5, 9, _again(7)),
    "a loop without end": ("loop-open", 5, 1, _gone(7)),
    "a turn without end": ("turn-open", 5, 2, _gone(6)),
    "a tool without end": ("tool-open", 5, 4, _gone(4)),
    "a tool without start": ("tool-not-begun", 5, 4, _gone(3)),
    "a line twice": ("double-line", 5, 4, _again(2)),
    "a loop twice": ("double-loop", 5, 2, _again(0)),
    "a turn twice": ("double-turn", 5, 3, _again(1)),
    "a clock that goes back": ("clock-step", 5, 7, _at(6, timestamp=at(-10))),
    "an answer before its turn": ("clock-step", 5, 3, _message(2, timestamp=1_600_000_000_000)),
    "a time before computers": ("clock-range", 5, 8, _at(7, timestamp="1970-01-02T00:00:00Z")),
    "an answer without tokens": ("usage-missing", 5, 3, _message(2, usage={})),
    "a negative count": ("usage-negative", 5, 3, _message(2, usage={"input": -1, "output": 2})),
    "a total below its parts": (
        "usage-total", 5, 3, _message(2, usage={"input": 100, "output": 20, "total_tokens": 110}),
    ),
    "a turn that counts otherwise": ("usage-total", 5, 7, _at(6, usage={"input": 9_999, "output": 20})),
    "a loop that counts otherwise": ("usage-total", 5, 8, _at(7, usage={"input": 9_999, "output": 20})),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_found_at_its_line(name: str, tmp_path: Path, run: Run) -> None:
    rule, code, line, change = CASES[name]
    path = written(tmp_path / "run.jsonl", change)
    by_rule = found(run, path, code=code)
    places = [place for one in by_rule[rule] for place in one["places"]]
    assert (str(path), line) in [(place["file"], place["line"]) for place in places]


def test_a_session_that_is_there_twice_is_one_finding(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "run.jsonl", lambda events: events.extend(list(events)))
    by_rule = found(run, path, code=5)
    assert {rule: ones[0]["places"][0]["line"] for rule, ones in by_rule.items()} == {"double-loop": 9}


def test_a_sound_session_is_one_line_and_exit_code_0(tmp_path: Path, run: Run) -> None:
    result = run("check", written(tmp_path / "run.jsonl"))
    assert result.exit_code == 0
    assert result.stdout.startswith("nothing wrong  1 session, 5 spans, ")
    assert result.stdout.count("\n") == 1


def test_the_demo_is_clean(run: Run) -> None:
    assert found(run, golden.DEMO, code=0) == {}
    assert found(run, golden.DEMO_LOGS, code=0) == {}


@golden.needed
@pytest.mark.parametrize("name", golden.scenarios())
def test_nothing_is_wrong_with_what_phi_core_writes(name: str, run: Run) -> None:
    path = golden.FOLDER / "live" / f"{name}.events.jsonl"
    if name == "14_before_loop_false":  # phi-core ends a loop there that it never began
        assert set(found(run, path, code=5)) == {"loop-not-open"}
    else:
        assert found(run, path, code=0) == {}


@golden.needed
@pytest.mark.parametrize("name", ["02_tools_sequential", "17_parallel", "22_revert"])
def test_a_saved_session_is_clean_and_its_loops_are_places(name: str, tmp_path: Path, run: Run) -> None:
    stored = json.loads((golden.FOLDER / "live" / f"{name}.sessions.json").read_bytes())
    session = stored[0] if isinstance(stored, list) else stored
    path = tmp_path / "session.json"
    path.write_text(json.dumps(session))
    assert found(run, path, code=0) == {}
    session["loops"][0] |= {"ended_at": None, "status": "Aborted"}
    for stored_event in session["loops"][0]["events"]:
        stored_event["event"]["strange"] = 1
    session["loops"][0]["events"] = [one for one in session["loops"][0]["events"] if one["event"]["type"] != "AgentEnd"]
    path.write_text(json.dumps(session))
    by_rule = found(run, path, code=5)
    assert by_rule["loop-open"][0]["places"][0] == {"file": str(path), "line": None, "detail": "loop 1, event 1"}
    assert "AgentStart.strange" in [one["what"] for one in by_rule["unknown-key"]]


@golden.needed
def test_a_saved_session_without_events_is_judged_by_its_turns(tmp_path: Path, run: Run) -> None:
    stored = json.loads((golden.FOLDER / "eventlog" / "logs.sessions.json").read_bytes())
    session = next(one for one in stored if any(loop.get("turns") for loop in one["loops"]))
    path = tmp_path / "session.json"
    for loop in session["loops"]:
        for turn in loop["turns"]:
            turn["output_message"]["usage"]["input"] = 0
            turn["output_message"]["usage"]["output"] = 0
            turn["output_message"]["stopReson"] = "stop"
    path.write_text(json.dumps(session))
    by_rule = found(run, path, code=5)
    assert by_rule["usage-missing"][0]["places"][0]["detail"].startswith("loop 1, event ")
    assert [one["what"] for one in by_rule["unknown-key"]] == ["assistant.stopReson; did you mean stopReason?"]


def test_lines_that_are_no_events_are_named_once_with_their_count(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "run.jsonl")
    path.write_bytes(path.read_bytes() + b"{broken\n" * 20)
    (one,) = found(run, path, code=6)["unreadable-line"]
    assert one["count"] == 20
    assert [place["line"] for place in one["places"]] == list(range(9, 19))
    shown = run("check", path).stdout
    assert "run.jsonl:9, :10, :11 and 17 more" in " ".join(shown.split())


def test_half_a_line_at_the_end_and_a_broken_gzip_are_found(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "run.jsonl")
    path.write_bytes(path.read_bytes() + b'{"type":"TurnSt')
    assert found(run, path, code=6)["unreadable-line"][0]["what"].startswith("half a line at the end")
    zipped = tmp_path / "run.jsonl.gz"
    zipped.write_bytes(gzip.compress(lines_of(a_session(turns=50)))[:-20])
    assert found(run, zipped, code=6)["unreadable-file"][0]["places"][0]["file"] == str(zipped)


def test_a_gzipped_file_has_the_same_findings_as_the_plain_one(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "run.jsonl", _at(1, turn_indx=0))
    zipped = tmp_path / "again.jsonl.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    plain, packed = (found(run, one, code=5)["unknown-key"][0] for one in (path, zipped))
    assert (plain["what"], plain["places"][0]["line"]) == (packed["what"], packed["places"][0]["line"])


def test_an_event_log_tells_missing_numbers_and_restarts(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "s.events.jsonl"
    numbered = zip((1, 2, 5, 6, 1, 2, 3, 4), a_session(), strict=True)
    path.write_bytes(lines_of({"ordinal": number, "event": event} for number, event in numbered))
    by_rule = found(run, path, code=5)
    assert [(one["count"], one["places"][0]["line"]) for one in by_rule["ordinals-missing"]] == [(2, 3)]
    assert [one["places"][0]["line"] for one in by_rule["ordinals-restart"]] == [5]


def test_in_a_folder_copies_and_strange_files_are_notes(tmp_path: Path, run: Run) -> None:
    for name in ("one", "copy"):
        written(tmp_path / f"{name}.jsonl")
    (tmp_path / "README.txt").write_text("hello")
    assert set(found(run, tmp_path, code=0)) == {"loop-twice", "file-left-out"}


def test_another_agents_session_is_checked_line_by_line(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "0c1a0000-0000-4000-8000-00000000000a.jsonl"
    common = {"sessionId": "0c1a0000-0000-4000-8000-00000000000a", "cwd": "/", "version": "2.0.0"}
    usage = {"input_tokens": 0, "output_tokens": 0}
    records: list[Event] = [
        {**common, "type": "user", "uuid": "u1", "parentUuid": None, "timestamp": at(0),
         "message": {"role": "user", "content": "hi"}},
        {**common, "type": "assistant", "uuid": "u2", "parentUuid": "u1", "timestamp": at(2), "requestId": "r1",
         "message": {"id": "m1", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
                     "content": [{"type": "text", "text": "hello"}], "usage": usage}},
    ]  # fmt: skip
    path.write_bytes(lines_of(records) + b"no json\n")
    by_rule = found(run, path, code=6)
    assert by_rule["unreadable-line"][0]["places"][0]["line"] == 3
    assert by_rule["usage-missing"][0]["places"][0]["file"] == str(path)


@samples.needed
def test_a_document_of_another_agent_names_file_and_loop(run: Run) -> None:
    by_rule = found(run, samples.FOLDER / "gemini" / "agentsview_tool_calls.json", code=5)
    places = [place for ones in by_rule.values() for one in ones for place in one["places"] if place["detail"]]
    assert places
    assert all(place["line"] is None and place["detail"].startswith("loop ") for place in places)


# --- what would be sent --------------------------------------------------------------------------------------------------


def _long(index: int, length: int) -> Change:
    return _message(index, content=[{"type": "text", "text": "word " * (length // 5)}])


def test_a_text_over_the_profiles_limit_is_a_note_with_its_span(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "run.jsonl", _long(2, 100_000))
    assert "value-cut" not in found(run, path, "--profile", "tempo", code=0)
    (cut,) = found(run, path, "--content", "--profile", "generic", code=0)["value-cut"]
    assert cut["places"][0]["detail"].startswith("span ")


def test_a_span_over_what_grpc_takes_is_an_error(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.cli.checking.sizes.GRPC_MESSAGE_BYTES", 4_500)
    path = written(tmp_path / "run.jsonl")
    by_rule = found(run, path, code=6)
    assert by_rule["span-too-large"][0]["places"][0]["detail"].startswith("span ")


def test_a_trace_over_what_tempo_keeps_is_a_warning_for_tempo_alone(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_phi.cli.checking.sizes.TEMPO_TRACE_BYTES", 1_000)
    path = written(tmp_path / "run.jsonl")
    assert set(found(run, path, code=0)) == {"large-trace"}
    assert set(found(run, path, "--profile", "tempo", code=5)) == {"tempo-trace-size", "tempo-search"}


def test_secrets_are_looked_for_with_contents_and_never_shown(tmp_path: Path, run: Run) -> None:
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    path = written(tmp_path / "run.jsonl", _message(2, content=[{"type": "text", "text": f"take {token}"}]))
    assert found(run, path, code=0) == {}
    (one,) = found(run, path, "--content", code=5)["secret"]
    assert (one["count"], one["places"][0]["line"]) == (1, 3)
    assert token not in run("check", path, "--content").output


# --- how it is said ------------------------------------------------------------------------------------------------------


def test_the_lines_fit_the_width_and_say_the_same_each_time(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(Path("run.jsonl"), lambda events: [_at(1, turn_indx=0)(events), _gone(7)(events)][0])
    monkeypatch.setenv("COLUMNS", "60")
    shown = run("check", path).stdout
    assert max(map(len, shown.splitlines())) <= 60
    assert shown == run("check", path).stdout
    assert shown.splitlines()[0] == "warning  unknown-key"


def test_many_kinds_are_cut_to_a_few_and_counted(tmp_path: Path, run: Run) -> None:
    path = written(
        tmp_path / "run.jsonl",
        lambda events: events.extend({"type": f"Zap{number}", **LOOP} for number in range(200)),
    )
    shown = run("check", path).stdout
    assert len(shown.splitlines()) < 40
    assert "45 more kinds" in shown
    listed = found(run, path, code=5)["unknown-type"]
    assert sum(one["count"] for one in listed) == 200
    assert listed[-1]["what"] == "others"


def test_control_characters_of_a_file_never_reach_the_terminal(tmp_path: Path, run: Run) -> None:
    path = written(tmp_path / "run.jsonl", lambda events: events.insert(2, {"type": "Za\x1b[31mp", **LOOP}))
    assert "\x1b" not in run("check", path).stdout


def test_nothing_to_read_and_two_things_at_once_are_usage(tmp_path: Path, run: Run) -> None:
    assert run("check", tmp_path / "none").exit_code == 2
    assert run("check", golden.DEMO, "--endpoint", "http://localhost:1").exit_code == 2
    assert run("check", "--send").exit_code == 2


def test_every_rule_about_files_is_in_a_test_of_this_file() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    told = {rule.id for rule in FILE_RULES} - {"events-dropped"}  # it takes thousands of events in a turn: test_sizes
    assert {rule for rule in told if f'"{rule}"' not in text} == set()
