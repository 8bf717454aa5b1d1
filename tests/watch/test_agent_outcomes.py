"""What becomes of other agents' sessions: one stated outcome for each thing that happens to them, through kills."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_phi.mapping import semconv as s
from otel_phi.sources import lines
from otel_phi.watch import agents
from otel_phi.watch.agent_feeds import FEEDS, LINES, Feed, Piece
from tests.cli.test_agents import claude_project, codex_sessions, pi_sessions
from tests.sources.agents import test_claude_code as claude
from tests.sources.agents import test_codex as codex
from tests.sources.agents import test_pi as pi
from tests.sources.agents.samples import written
from tests.watch.following import exported
from tests.watch.living import Live, as_written

MAIN = f"{claude.SESSION}.jsonl"
OVER = {"subtype": "turn_duration", "durationMs": 1}
KILLS = pytest.mark.parametrize("kill", [False, True], ids=["", "killed"])


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path)


def over(second: float) -> dict[str, object]:
    return claude.line("system", second, f"over-{second}", **OVER)


# --- as it is written ------------------------------------------------------------------------------------------------------


def test_a_turn_leaves_with_the_record_that_closes_it_and_the_loop_with_the_fact_that_ends_it(live: Live) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("t")))
    assert [span.name for span in live.spans] == ["invoke_workflow claude-code"]
    live.say(MAIN, claude.result(2, "t"), claude.spoke(3, "b"))
    assert len(live.named("agent_step") + live.named("turn")) == 1
    assert live.ended == []
    live.say(MAIN, over(4))
    assert live.ended == [("p", None)]


@KILLS
def test_half_a_line_is_waited_for_and_a_whole_one_without_a_newline_is_taken(live: Live, kill: bool) -> None:
    content = written(claude.prompt(0, "p"), claude.spoke(1, "a"), over(2))
    for at in (10, 150, len(content) - 30):
        live.write(MAIN, content[live.size(MAIN) : at])
        live.look(kill=kill)
    assert live.ended == []
    live.write(MAIN, content[live.size(MAIN) : -1])
    live.look(kill=kill)
    assert live.ended == [("p", None)]
    live.write(MAIN, b"\n" + written(claude.prompt(9, "q"), claude.spoke(10, "b"), over(11)))
    live.look()
    assert live.ended == [("p", None), ("q", None)]
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_pause_ends_the_loop_and_what_comes_later_is_another_one(live: Live, kill: bool) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a"))
    live.look(kill=kill)
    assert live.ended == []
    live.silence()
    live.look(kill=kill)
    assert live.ended == [("p", None)]
    live.say(MAIN, claude.spoke(200, "b"), over(201), kill=kill)
    assert live.ended == [("p", None), ("p+2", None)]
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_what_comes_after_a_pause_with_an_earlier_time_is_of_the_new_loop_also_when_it_is_read_again(
    live: Live, kill: bool
) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a"))
    live.silence()
    live.look(kill=kill)
    live.say(MAIN, claude.spoke(30, "b", claude.use("t")), kill=kill)
    live.say(MAIN, claude.result(31, "t"), claude.spoke(32, "c"), over(33), kill=kill)
    assert live.ended == [("p", None), ("p+2", None)]
    count = len(live.spans)
    live.following.restart()
    live.look()
    assert len(live.spans) == count


# --- resumed, forked, rewound, continued ---------------------------------------------------------------------------------


@KILLS
def test_a_session_that_is_resumed_goes_on_and_nothing_of_it_leaves_again(live: Live, kill: bool) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a"), over(2), kill=kill)
    live.say(MAIN, claude.prompt(90_000, "q"), claude.spoke(90_001, "b"), over(90_002), kill=kill)
    assert live.ended == [("p", None), ("q", None)]
    assert len(live.spans) == len({(span.trace_id, span.span_id) for span in live.spans})
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_forks_copies_are_counted_once_across_runs(live: Live, kill: bool) -> None:
    history = [claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)]
    live.say(MAIN, *history, kill=kill)
    copied = [{**one, "sessionId": "copy"} for one in (*history, claude.prompt(5, "q"), claude.spoke(6, "b"), over(7))]
    live.say("0-copy.jsonl", *copied, kill=kill)  # its name comes first
    assert len(live.named("chat")) == 2
    live.say("0-copy.jsonl", *[{**one, "sessionId": "copy"} for one in history], kill=kill)  # `/compact` repeats lines
    assert len(live.named("chat")) == 2
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_thread_that_is_rolled_back_begins_a_branch_and_takes_nothing_back(live: Live, kill: bool) -> None:
    task = [codex.CONTEXT, codex.answer(3), codex.count(3.1, (10, 4), (10, 4)), codex.event("task_complete", 4)]
    live.say("a.jsonl", codex.meta(), codex.task(1, "t1"), *task, kill=kill)
    live.say("a.jsonl", codex.event("thread_rolled_back", 5, num_turns=1), codex.task(6, "t2"), kill=kill)
    live.say("a.jsonl", codex.answer(7), codex.event("turn_aborted", 8), kill=kill)
    assert live.ended == [("t1", None), ("t2", "cancelled")]
    assert live.named("invoke_agent")[1].get(s.LOOP_KIND) == "branch"
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_session_continued_in_a_new_file_is_one_trace_with_one_root(live: Live, kill: bool) -> None:
    done = codex.event("task_complete", 4)
    live.say("rollout-a.jsonl", codex.meta(), codex.task(1, "t1"), codex.answer(3), done, kill=kill)
    live.say("rollout-a_2.jsonl", codex.meta(20), codex.task(21, "t2"), codex.answer(23), kill=kill)
    live.say("rollout-a_2.jsonl", codex.event("task_complete", 24), kill=kill)
    assert live.ended == [("t1", None), ("t2", None)]
    assert len(live.named("invoke_workflow")) == len({span.trace_id for span in live.spans}) == 1
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_compaction_stands_in_the_loop_in_which_it_happened(live: Live, kill: bool) -> None:
    boundary = claude.line("system", 3, "s", subtype="compact_boundary", compactMetadata={"preTokens": 150_000})
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("t")), claude.result(2, "t"), kill=kill)
    live.say(MAIN, boundary, kill=kill)
    live.say(MAIN, claude.spoke(5, "b"), over(6), kill=kill)
    assert live.ended == [("p", None)]
    assert live.end() == exported(live.folder, final=True)


def test_two_agents_in_one_folder_are_two_services(live: Live) -> None:
    live.say("x.jsonl", claude.prompt(0, "p"), claude.spoke(1, "a"), over(2))
    live.say("y.jsonl", pi.header(), pi.user(1, 1), pi.spoke(2, 2), pi.user(3, 500))
    assert {span.get(s.SOURCE_AGENT) for span in live.named("invoke")} == {"claude-code", "pi"}
    assert live.end() == exported(live.folder, final=True)


# --- sub-agents ------------------------------------------------------------------------------------------------------------

SIDE = {"isSidechain": True, "agentId": "a1"}
INNER = f"{claude.SESSION}/subagents/agent-a1.jsonl"


def sided(*records: dict[str, object]) -> list[dict[str, object]]:
    return [{**record, **SIDE} for record in records]


@KILLS
def test_a_sub_agents_turns_leave_while_it_works_and_its_loop_hangs_under_the_tool_that_started_it(
    live: Live, kill: bool
) -> None:
    live.write(INNER.replace(".jsonl", ".meta.json"), b'{"toolUseId": "toolu_1"}')
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("toolu_1")), kill=kill)
    live.say(INNER, *sided(claude.prompt(2, "sp"), claude.spoke(3, "s1", claude.use("toolu_2"))), kill=kill)
    live.say(INNER, *sided(claude.result(4, "toolu_2"), claude.spoke(5, "s2"), over(6)), kill=kill)
    assert len(live.named("chat")) == 2  # the sub-agent's; the main turn is not over
    assert live.ended == []
    live.say(MAIN, claude.result(7, "toolu_1"), claude.spoke(8, "b"), kill=kill)
    assert live.ended == [("sp.a1", None)]
    live.say(MAIN, over(9), kill=kill)
    tool = next(span for span in live.named("execute_tool") if span.get(s.TOOL_CALL_ID) == "toolu_1")
    assert live.named("invoke_agent")[0].parent_span_id == tool.span_id
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_sub_agent_that_outlives_its_loop_hangs_under_its_tool_all_the_same(live: Live, kill: bool) -> None:
    started = claude.result(2, "toolu_1", toolUseResult={"agentId": "a1", "status": "async_launched"})
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("toolu_1")), started, kill=kill)
    live.say(INNER, *sided(claude.prompt(2, "sp"), claude.spoke(3, "s1", claude.use("toolu_2"))), kill=kill)
    live.say(MAIN, claude.spoke(4, "b"), over(5), kill=kill)
    assert live.ended == [("p", None)]
    live.say(INNER, *sided(claude.result(60, "toolu_2"), claude.spoke(61, "s2"), over(62)), kill=kill)
    assert live.ended == [("p", None), ("sp.a1", None)]
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_sub_agent_of_which_nobody_says_who_started_it_is_read_when_no_main_loop_is_open(
    live: Live, kill: bool
) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("toolu_1")), kill=kill)
    live.say(INNER, *sided(claude.prompt(2, "sp"), claude.spoke(3, "s1"), over(4)), kill=kill)
    live.say(MAIN, claude.result(5, "toolu_1"), claude.spoke(6, "b"), kill=kill)
    assert len(live.named("chat")) == 1
    live.say(MAIN, over(7), kill=kill)
    live.look()
    assert sorted(live.ended) == [("p", None), ("sp.a1", None)]
    assert live.end() == exported(live.folder, final=True)


@KILLS
def test_a_sub_agent_without_a_main_file_is_read_after_a_pause(live: Live, kill: bool) -> None:
    live.say(INNER, *sided(claude.prompt(2, "sp"), claude.spoke(3, "s1"), over(4)), kill=kill)
    live.look()
    assert live.spans == []
    live.silence()
    live.look()
    assert live.ended == [("sp.a1", None)]
    assert live.end() == exported(live.folder, final=True)


def test_a_sub_agent_that_waits_keeps_nobody_busy(live: Live) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("toolu_1")))
    live.say(INNER, *sided(claude.prompt(2, "sp"), claude.spoke(3, "s1")))
    live.silence()
    live.look()
    assert len(live.named("chat")) == 0
    assert not live.following.watch._watcher.resting


def test_a_session_file_that_is_given_alone_brings_its_sub_agents(tmp_path: Path) -> None:
    live = Live(tmp_path, only=MAIN)
    live.write(INNER.replace(".jsonl", ".meta.json"), b'{"toolUseId": "toolu_1"}')
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("toolu_1")))
    live.say(INNER, *sided(claude.prompt(2, "sp"), claude.spoke(3, "s1"), over(4)))
    live.say(MAIN, claude.result(5, "toolu_1"), claude.spoke(6, "b"), over(7))
    assert live.ended == [("sp.a1", None), ("p", None)]


def test_a_copy_that_is_given_alone_leaves_its_history_to_the_session_beside_it(tmp_path: Path) -> None:
    live = Live(tmp_path, only="0-copy.jsonl")
    history = [claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)]
    copied = [{**one, "sessionId": "copy"} for one in (*history, claude.prompt(5, "q"), claude.spoke(6, "b"), over(7))]
    live.write(MAIN, written(*history, claude.prompt(3, "r"), claude.spoke(4, "c")))
    live.say("0-copy.jsonl", *copied)
    assert live.ended == [("q", None)]
    assert live.end() == exported(live.folder / "0-copy.jsonl", final=True)


# --- gone, written over, silent ---------------------------------------------------------------------------------------------


def test_a_session_that_was_deleted_after_a_month_leaves_nothing_more(live: Live) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a"), over(2))
    count = len(live.spans)
    (live.folder / MAIN).unlink()
    live.look(kill=True)
    live.look()
    assert len(live.spans) == count


def test_a_session_that_is_deleted_with_a_loop_open_leaves_that_as_aborted(live: Live) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("t")), claude.result(2, "t"))
    (live.folder / MAIN).unlink()
    live.look()
    assert [error is not None for _, error in live.ended] == [True]
    live.following.restart()
    live.look()
    assert len(live.ended) == 1


def test_one_that_was_deleted_while_nobody_watched_leaves_its_loop_as_lost(live: Live) -> None:
    opened = [claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("t")), claude.result(2, "t")]
    live.say(MAIN, *opened, claude.spoke(3, "b", claude.use("u")))
    live.following.kill()
    (live.folder / MAIN).unlink()
    live.following.restart()
    live.look()
    assert live.ended == [("p", "process_lost")]


@KILLS
def test_a_session_restored_from_a_shorter_copy_sends_nothing_twice(live: Live, kill: bool) -> None:
    whole = written(claude.prompt(0, "p"), claude.spoke(1, "a"), over(2), claude.prompt(3, "q"), claude.spoke(4, "b"))
    live.write(MAIN, whole)
    live.look(kill=kill)
    count = len(live.spans)
    (live.folder / MAIN).write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    live.look(kill=kill)
    assert len(live.spans) == count
    live.write(MAIN, whole[whole.rindex(b"\n", 0, -1) + 1 :])
    live.look(kill=kill)
    live.say(MAIN, over(5))
    assert live.ended == [("p", None), ("q", None)]
    assert len(live.spans) == len({(span.trace_id, span.span_id) for span in live.spans})


@KILLS
def test_a_file_whose_beginning_has_changed_is_another_session(live: Live, kill: bool) -> None:
    live.say("x.jsonl", claude.prompt(0, "p"), claude.spoke(1, "a"), over(2), kill=kill)
    other = written(
        *[{**one, "sessionId": "other"} for one in (claude.prompt(9, "q"), claude.spoke(10, "b"), over(11))]
    )
    (live.folder / "x.jsonl").write_bytes(other)
    live.look(kill=kill)
    assert live.ended == [("p", None), ("q", None)]


@KILLS
def test_a_rollout_that_is_archived_sends_nothing_again(live: Live, kill: bool) -> None:
    live.say("sessions/a.jsonl", codex.meta(), codex.task(1, "t1"), codex.answer(3), kill=kill)
    (live.folder / "archived_sessions").mkdir()
    (live.folder / "sessions" / "a.jsonl").rename(live.folder / "archived_sessions" / "a.jsonl")
    live.look(kill=kill)
    live.say("archived_sessions/a.jsonl", codex.event("task_complete", 4), kill=kill)
    assert live.ended == [("t1", None)]
    assert len(live.spans) == len({(span.trace_id, span.span_id) for span in live.spans})


def test_an_agent_that_was_killed_leaves_its_loop_as_aborted_after_a_day_of_silence(live: Live) -> None:
    live.say(MAIN, claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("t")))
    live.silence()
    live.look()
    assert live.ended == []
    live.following.with_(abandon_after_s=60.0)
    live.look()
    assert [error is not None for _, error in live.ended] == [True]
    live.say(MAIN, claude.prompt(200_000, "q"), claude.spoke(200_001, "b"), over(200_002))
    assert [loop for loop, _ in live.ended] == ["p", "q"]


def test_sessions_that_were_last_written_to_before_are_left_alone_until_they_change(live: Live) -> None:
    live.write(MAIN, written(claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)))
    os.utime(live.folder / MAIN, (1_000_000_000,) * 2)
    live.following.with_(since_ns=1_500_000_000_000_000_000)
    live.look()
    assert live.spans == []
    live.say(MAIN, claude.prompt(9, "q"), claude.spoke(10, "b"), over(11))
    assert live.ended == [("p", None), ("q", None)]


def test_a_broken_line_is_named_once_and_costs_itself_alone(live: Live) -> None:
    named: list[int] = []
    live.hear(lambda bad: named.append(bad.line))
    live.write(MAIN, written(claude.prompt(0, "p")) + b"{oh\n" + written(claude.spoke(1, "a"), over(2)))
    live.look(kill=True)
    live.say(MAIN, claude.prompt(9, "q"), claude.spoke(10, "b"), over(11))
    assert named == [2]
    assert live.ended == [("p", None), ("q", None)]


def test_a_file_that_cannot_be_read_is_tried_again(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Piece]:
        raise PermissionError(13, "Permission denied")

    live.write(MAIN, written(claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)))
    with monkeypatch.context() as patched:
        patched.setitem(cast("dict[str, Feed]", FEEDS), LINES, Feed(broken, grows=True))
        live.look()
        live.look()
    assert live.spans == []
    live.look()
    assert live.ended == [("p", None)]


def test_what_is_written_while_a_session_is_read_in_part_is_read_after_it(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "SLICE_S", 0.0)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 300)
    for number in range(3):
        live.write(f"a{number}.jsonl", old_session(number))
    live.silence(look=False)
    live.following.watch._watcher.round()  # the first session is read in part
    live.write("a0.jsonl", written({**claude.prompt(9, "q"), "sessionId": "old-0"}))
    live.write("a0.jsonl", written({**claude.spoke(10, "c"), "sessionId": "old-0"}, over(11)))
    live.following.watch._watcher.round({live.folder / "a0.jsonl"})
    live.following.settle()
    assert ("q", None) in live.ended
    assert live.end() == exported(live.folder, final=True)


# --- documents -------------------------------------------------------------------------------------------------------------


@KILLS
def test_a_document_that_is_written_anew_leaves_what_is_new_and_nothing_twice(live: Live, kill: bool) -> None:
    """A JSON array of records cannot be entered midway: it is read whole each time."""
    records = [claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)]
    live.put("x.json", b"[" + b",".join(written(one).strip() for one in records) + b"]")
    live.look(kill=kill)
    count = len(live.spans)
    records += [claude.prompt(3, "q"), claude.spoke(4, "b"), over(5)]
    live.put("x.json", b"[" + b",".join(written(one).strip() for one in records) + b"]")
    live.look(kill=kill)
    assert live.ended == [("p", None), ("q", None)]
    assert len(live.spans) == len({(span.trace_id, span.span_id) for span in live.spans}) == 2 * count - 1
    live.put("x.json", (live.folder / "x.json").read_bytes())
    live.look()
    assert live.end() == exported(live.folder, final=True)


# --- many of them ----------------------------------------------------------------------------------------------------------


def old_session(number: int) -> bytes:
    records = [claude.prompt(0, f"p{number}"), claude.spoke(1, f"a{number}"), claude.spoke(2, f"b{number}"), over(3)]
    return written(*[{**one, "sessionId": f"old-{number}"} for one in records])


def test_what_is_written_now_comes_before_old_sessions_which_are_read_in_slices(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "SLICE_S", 0.0)
    for number in range(5):
        live.write(f"a{number}.jsonl", old_session(number))
    live.silence(look=False)
    live.write("z.jsonl", written(claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)))
    live.following.watch._watcher.round()
    live.following.settle()
    assert live.ended[0] == ("p", None)
    assert len(live.ended) < 6
    live.write("z.jsonl", written(claude.prompt(3, "q"), claude.spoke(4, "b"), over(5)))
    rounds = 0
    while live.following.watch._watcher.resting:
        live.following.watch._watcher.round({live.folder / "z.jsonl"})
        rounds += 1
    assert rounds > 2
    assert live.end() == exported(live.folder, final=True)


def test_an_old_original_is_read_before_the_copy_that_is_written_now(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "SLICE_S", 0.0)
    history = [claude.prompt(0, "p"), claude.spoke(1, "a"), over(2)]
    for number in range(5):
        live.write(f"0{number}.jsonl", old_session(number))
    live.write(MAIN, written(*history, claude.prompt(3, "r"), claude.spoke(4, "c"), over(5)))
    live.silence(look=False)
    copied = [
        {**one, "sessionId": "copy"} for one in (*history, claude.prompt(9, "q"), claude.spoke(10, "b"), over(11))
    ]
    live.write("copy.jsonl", written(*copied))
    live.following.watch._watcher.round()
    live.following.settle()
    assert ("q", None) in live.ended
    assert ("p", None) in live.ended
    assert live.end() == exported(live.folder, final=True)


def test_sessions_that_are_over_are_forgotten_and_read_again_when_they_go_on(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "MAX_IDLE", 2)
    for number in range(8):
        live.write(f"a{number}.jsonl", old_session(number))
    live.look()
    live.look()
    assert len(live.following.watch._watcher.agents.active) == 2
    count = len(live.spans)
    more = [claude.prompt(9, "q"), claude.spoke(10, "c"), over(11)]
    live.say("a0.jsonl", *[{**one, "sessionId": "old-0"} for one in more])
    assert live.ended[-1] == ("q", None)
    assert len(live.spans) == count + 3
    assert live.end() == exported(live.folder, final=True)


# --- whatever happens ------------------------------------------------------------------------------------------------------


@settings(
    max_examples=300 if os.environ.get("OTEL_PHI_SOAK") else 15, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_no_rounds_cuts_and_kills_change_a_byte(data: st.DataObject) -> None:
    """Lines are written by time, cut anywhere; rounds and kills fall anywhere between."""
    with tempfile.TemporaryDirectory() as place:
        made = Path(place, "made")
        claude_project(made / "claude")
        codex_sessions(made / "codex")
        pi_sessions(made / "pi")
        files = {str(path.relative_to(made)): path.read_bytes() for path in sorted(made.rglob("*.jsonl"))}
        live = Live(Path(place))
        for name, line in as_written(files):
            cut = data.draw(st.integers(0, len(line)))
            live.write(name, line[:cut])
            match data.draw(st.sampled_from(["nothing"] * 8 + ["round", "some", "kill"])):
                case "round":
                    live.following.round(settle=data.draw(st.booleans()))
                case "some":
                    live.following.round(*data.draw(st.permutations(sorted(live.folder.rglob("*.jsonl")))))
                case "kill":
                    live.following.restart()
            live.write(name, line[cut:])
        assert live.end() == exported(live.folder, final=True)
