"""Codex rollouts: tasks and turns, which usage counts, whose history a fork begins with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    MessageEnd,
    Source,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnStart,
    Vcs,
    encode_event,
)
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.codex import Codex
from tests.sources.agents.samples import each, folded, totals, written

CODEX = Codex()
THREAD, PARENT = "01a00000-0000-7000-8000-00000000000a", "01a00000-0000-7000-8000-00000000000b"


def at(second: float) -> str:
    return f"2026-10-04T08:{int(second) // 60:02}:{second % 60:06.3f}Z"


def line(kind: str, second: float, **payload: Any) -> dict[str, Any]:
    return {"timestamp": at(second), "type": kind, "payload": payload}


def meta(second: float = 0, thread: str = THREAD, **more: Any) -> dict[str, Any]:
    facts = {"id": thread, "cli_version": "0.131.0", "model_provider": "openai", "source": "cli", "cwd": "/w"}
    return line("session_meta", second, **{**facts, **more})


def event(kind: str, second: float, **more: Any) -> dict[str, Any]:
    return line("event_msg", second, type=kind, **more)


def item(kind: str, second: float, **more: Any) -> dict[str, Any]:
    return line("response_item", second, type=kind, **more)


def answer(second: float, words: str = "done") -> dict[str, Any]:
    return item("message", second, role="assistant", content=[{"type": "output_text", "text": words}])


def call(second: float, call_id: str) -> dict[str, Any]:
    return item("function_call", second, name="shell", call_id=call_id, arguments='{"cmd":"ls"}')


def output(second: float, call_id: str, words: str = "Exit code: 0\nok") -> dict[str, Any]:
    return item("function_call_output", second, call_id=call_id, output=words)


def numbers(spent: int, made: int, cached: int = 0) -> dict[str, int]:
    given = {"input_tokens": spent, "cached_input_tokens": cached, "output_tokens": made, "total_tokens": spent + made}
    return {**given, "reasoning_output_tokens": 0}


def count(second: float, last: tuple[int, int], total: tuple[int, int]) -> dict[str, Any]:
    info = {"last_token_usage": numbers(*last), "total_token_usage": numbers(*total)}
    return event("token_count", second, info=info)


def record(second: float, response: str, spent: int, made: int) -> dict[str, Any]:
    return line("token_usage_record", second, response_id=response, usage=numbers(spent, made))


def task(second: float, turn_id: str) -> dict[str, Any]:
    return event("task_started", second, turn_id=turn_id)


def loops(events: Any) -> list[Any]:
    return each(events, AgentStart, lambda start: (start.loop_id.partition(".")[2], start.continuation_kind))


def read(*records: dict[str, Any], **world: Any) -> list[Any]:
    return folded(CODEX, written(*records), **world)[0]


CONTEXT = line("turn_context", 1, model="gpt-6", effort="low")


# --- turns and usage -------------------------------------------------------------------------------------------------------


def test_a_usage_ends_the_call_and_the_tools_outputs_come_after_it() -> None:
    events = read(
        meta(), task(1, "t1"), CONTEXT, call(2, "c"), count(2.1, (10, 1), (10, 1)), output(3, "c"),
        count(3.1, (10, 1), (10, 1)), answer(4), count(4.1, (20, 2), (30, 3)), event("task_complete", 5, turn_id="t1"),
    )  # fmt: skip
    found = totals(events)
    assert (found.calls, found.tools, found.results) == (2, 1, 1)
    assert (found.tokens["input"], found.tokens["output"]) == (30, 3)
    assert each(events, AgentEnd, lambda end: (end.outcome, int(end.timestamp) // 10**9 % 60)) == [("ok", 5)]


def test_from_the_first_record_on_records_count_and_replace_the_numbers_of_the_open_call() -> None:
    events = read(
        meta(), task(1, "t1"), CONTEXT, answer(2, "one"), count(2.1, (11, 1), (11, 1)), record(2.2, "r1", 10, 1),
        answer(3, "two"), record(3.1, "r2", 20, 2), count(3.2, (20, 2), (31, 3)), record(3.3, "r2", 20, 2),
    )  # fmt: skip
    found = totals(events)
    assert (found.calls, found.tokens["input"], found.tokens["output"]) == (2, 30, 3)


def test_a_total_without_a_last_usage_counts_by_how_much_it_grew() -> None:
    first = event("token_count", 2.1, info={"total_token_usage": numbers(10, 1)})
    second = event("token_count", 3.1, info={"total_token_usage": numbers(30, 3)})
    events = read(meta(), task(1, "t1"), answer(2), first, answer(3), second, event("token_count", 3.2, info=None))
    assert totals(events).tokens["input"] == 30


def test_the_first_token_is_told_where_the_tasks_only_call_is_still_open() -> None:
    done = event("task_complete", 5, turn_id="t1", time_to_first_token_ms=250)
    messages = [one.message for one in read(meta(), task(1, "t1"), answer(2), done) if isinstance(one, MessageEnd)]
    assert [one.first_token_ms for one in messages if isinstance(one, AssistantMessage)] == [250]


@pytest.mark.parametrize(
    ("words", "failed"),
    [
        ("Exit code: 1\nWall time: 0.1 seconds", True),
        ("Chunk ID: 1\nProcess exited with code 0\nOutput:", False),
        ('{"output":"x","metadata":{"exit_code":2}}', True),
        ("[REDACTED]", False),
    ],
)
def test_a_failed_tool_is_told_from_the_exit_code_in_its_output(words: str, failed: bool) -> None:
    events = read(meta(), task(1, "t1"), call(2, "c"), output(3, "c", words))
    assert each(events, ToolExecutionEnd, lambda end: end.is_error) == [failed]


def test_a_completed_item_says_how_a_tool_went_and_how_long_it_took() -> None:
    done = event("item_completed", 8, item={"type": "CommandExecution", "id": "c", "exit_code": 3, "duration_ms": 400})
    events = read(meta(), task(1, "t1"), call(2, "c"), done, output(9, "c", "no code here"))
    assert each(events, ToolExecutionEnd, lambda end: end.is_error) == [True]
    assert each(events, ToolExecutionStart, lambda start: int(start.timestamp) // 10**6 % 60_000) == [8_600]


# --- loops -----------------------------------------------------------------------------------------------------------------


def test_without_tasks_a_users_message_begins_a_loop_and_context_is_no_message() -> None:
    context = [{"type": "input_text", "text": "<environment_context>\n</environment_context>"}]
    said = [{"type": "input_text", "text": "hello"}]
    events = read(
        meta(), item("message", 1, role="user", content=context), item("message", 2, role="user", content=said),
        event("user_message", 2, message="hello"), answer(3), item("message", 4, role="user", content=said),
        event("user_message", 4, message="hello"), answer(5),
    )  # fmt: skip
    assert len(loops(events)) == 2
    users = [one for one in events if isinstance(one, MessageEnd) and not isinstance(one.message, AssistantMessage)]
    assert len(users) == 2  # the item and the event are one message


def test_an_aborted_task_is_cancelled() -> None:
    events = read(meta(), task(1, "t1"), call(2, "c"), event("turn_aborted", 3, reason="interrupted"))
    assert each(events, AgentEnd, lambda end: end.outcome) == ["cancelled"]
    assert not [one for one in events if isinstance(one, ToolExecutionStart)]


def test_after_going_back_the_next_task_is_a_branch_of_the_one_before() -> None:
    turns = [one for n in (1, 2, 3) for one in (task(n, f"t{n}"), answer(n + 0.1), event("task_complete", n + 0.2))]
    events = read(meta(), *turns, event("thread_rolled_back", 4, num_turns=2), task(5, "t4"), answer(6))
    assert loops(events)[-1] == ("t4", {"Branch": Tag()})
    assert each(events, AgentStart, lambda start: start.parent_loop_id)[-1] == f"{THREAD}.t1"


def test_a_loop_says_where_it_comes_from_without_credentials() -> None:
    git = {
        "branch": "main",
        "commit_hash": "abc",
        "repository_url": "https://user:secret@example.org:8443/r.git?token=x",
    }
    (start, *_) = read(meta(git=git), task(1, "t1"), CONTEXT, answer(2))
    vcs = Vcs(branch="main", revision="abc", repository_url="https://example.org:8443/r.git")
    assert start.source == Source(agent="codex", version="0.131.0", entrypoint="cli", cwd="/w", vcs=vcs)
    assert (start.config_snapshot.model, start.config_snapshot.thinking_level) == ("gpt-6", "low")


# --- whose lines -----------------------------------------------------------------------------------------------------------


def test_a_fork_without_ordinals_leaves_out_the_lines_of_its_first_second() -> None:
    copied = [meta(0.1, PARENT), task(0.2, "old"), answer(0.3), count(0.4, (100, 10), (100, 10))]
    own = [task(2, "t1"), CONTEXT, answer(3), count(3.1, (20, 2), (120, 12)), event("task_complete", 4)]
    events, counts = folded(CODEX, written(meta(forked_from_id=PARENT), *copied, *own))
    assert totals(events).tokens["input"] == 20
    assert loops(events) == [("t1", {"Branch": Tag()})]
    assert each(events, AgentStart, lambda start: start.parent_session_id) == [PARENT]
    assert counts["copied_lines"] == 3


def test_a_fork_that_copied_nothing_keeps_the_lines_of_its_first_second() -> None:
    data = written(meta(parent_thread_id=PARENT), task(0.2, "t1"), answer(0.3), count(0.4, (5, 1), (5, 1)), answer(2))
    whole = folded(CODEX, data)[0]
    assert totals(whole).tokens["input"] == 5
    for kill_after in (1, 2, 3):
        events = folded(CODEX, data, kill_after=kill_after)[0]
        assert list(map(encode_event, events)) == list(map(encode_event, whole))


@pytest.mark.parametrize(
    "cut", [{"subagent_history_start_ordinal": "3"}, {"history_base": {"end_ordinal_exclusive": 3}}]
)
def test_lines_below_an_ordinal_are_copied_history(cut: dict[str, Any]) -> None:
    records = [meta(**cut), task(1, "old"), count(1, (100, 10), (100, 10)), task(2, "t1"), answer(3)]
    records += [count(4, (20, 2), (120, 12))]
    numbered = [{**one, "ordinal": number} for number, one in enumerate(records)]
    assert totals(read(*numbered)).tokens["input"] == 20
    assert len(loops(read(*numbered))) == 1


def test_a_task_that_another_file_has_is_left_to_it() -> None:
    claims, history = ClaimsInMemory(), [task(1, "t1"), answer(2), count(2.1, (10, 1), (10, 1))]
    read(meta(), *history, claims=claims)
    events = read(meta(5, PARENT), *history, task(6, "t2"), answer(7), count(7.1, (5, 1), (15, 2)), claims=claims)
    assert (totals(events).tokens["input"], loops(events)) == (5, [("t2", "Initial")])


def test_a_sub_agents_thread_is_of_its_roots_session_under_its_call() -> None:
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": PARENT, "agent_nickname": "scout"}}}
    events = read(meta(source=spawn, session_id=PARENT), task(1, "t1"), answer(2), parent_call={THREAD: "c"}.get)
    (start,) = (one for one in events if isinstance(one, AgentStart))
    assert (start.session_id, start.loop_id) == (PARENT, f"{THREAD}.t1")
    assert (start.parent_tool_call_id, start.agent_name) == ("c", "scout")
    assert each(events, TurnStart, lambda turn: turn.triggered_by) == ["SubAgent"]
    told = output(3, "c", msgspec.json.encode({"agent_id": THREAD}).decode())
    assert CODEX.children(msgspec.json.encode(told)) == [(THREAD, "c")]


def test_the_oldest_files_have_items_without_an_envelope() -> None:
    first = {"id": THREAD, "timestamp": at(0), "instructions": None}
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    spoken = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]}
    events = read(first, said, spoken)
    assert each(events, AgentStart, lambda start: start.session_id) == [THREAD]
    assert totals(events).calls == 1
