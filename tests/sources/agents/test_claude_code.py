"""Claude Code's transcripts: what is a prompt, when a turn and a loop are over, what is a copy."""

from __future__ import annotations

from typing import Any

from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    CompactionEnded,
    MessageEnd,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResultMessage,
    TurnEnd,
    TurnStart,
    encode_event,
)
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.claude_code import ClaudeCode
from tests.sources.agents.samples import each, folded, totals, written

SESSION = "8f9c1d2e-0000-4000-8000-000000000001"
CLAUDE = ClaudeCode()


def at(second: float) -> str:
    return f"2026-02-10T{10 + int(second // 3600):02}:{int(second % 3600) // 60:02}:{second % 60:06.3f}Z"


def line(kind: str, second: float, uuid: str, **more: Any) -> dict[str, Any]:
    base = {"type": kind, "uuid": uuid, "sessionId": SESSION, "timestamp": at(second), "version": "2.1.39", "cwd": "/w"}
    return {**base, "gitBranch": "main", **more}


def prompt(second: float, uuid: str, words: Any = "do it", **more: Any) -> dict[str, Any]:
    return line("user", second, uuid, message={"role": "user", "content": words}, **more)


def spoke(
    second: float, call: str, *blocks: dict[str, Any], output: int = 5, stop: str | None = None, **more: Any
) -> dict[str, Any]:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 0,
        "output_tokens": output,
    }
    content = list(blocks) or [{"type": "text", "text": "done"}]
    message = {"id": call, "role": "assistant", "model": "m", "content": content, "usage": usage, "stop_reason": stop}
    return line("assistant", second, more.pop("uuid", f"{call}-{second}"), message=message, **more)


def use(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "Bash", "input": {"command": "ls"}}


def result(second: float, call_id: str, **more: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": call_id, "content": "ok", "is_error": more.pop("is_error", False)}
    return line("user", second, f"r-{call_id}", message={"role": "user", "content": [block]}, **more)


def loops(events: Any) -> list[Any]:
    return each(events, AgentStart, lambda start: (start.loop_id.partition(".")[2], start.continuation_kind))


def ends(events: Any) -> list[Any]:
    return each(events, AgentEnd, lambda end: end.outcome)


def read(*records: dict[str, Any], **world: Any) -> list[Any]:
    return folded(CLAUDE, written(*records), **world)[0]


# --- turns -----------------------------------------------------------------------------------------------------------------


def test_a_message_split_over_lines_is_one_turn_with_its_tools_results_among_them() -> None:
    events = read(
        prompt(0, "p"),
        spoke(1, "a", use("t1"), output=1),
        result(2, "t1"),
        spoke(3, "a", use("t2"), output=9),
        result(4, "t2"),
        spoke(5, "b", stop="end_turn"),
    )
    found = totals(events)
    assert (found.calls, found.tools, found.results) == (2, 2, 2)
    assert found.tokens["output"] == 9 + 5  # the largest number of the message's lines
    assert found.tokens["input"] == 2 * 110
    starts = each(events, ToolExecutionStart, lambda start: int(start.timestamp) // 10**9 % 60)
    assert starts == [1, 3]  # each begins with its own line


def test_the_times_of_a_turn_are_in_order_where_the_files_are_not() -> None:
    events = read(prompt(5, "p"), spoke(4, "a", use("t")), result(3, "t"), spoke(9, "b"))
    starts = each(events, TurnStart, lambda turn: int(turn.timestamp))
    turn_ends = each(events, TurnEnd, lambda turn: int(turn.timestamp))
    assert all(end >= start for start, end in zip(starts, turn_ends, strict=True))
    tools = each(events, ToolExecutionStart, lambda tool: tool) + each(events, ToolExecutionEnd, lambda tool: tool)
    times = [int(tool.timestamp) for tool in tools]
    assert times == sorted(times)


def test_what_waited_for_permission_is_no_part_of_the_tool() -> None:
    events = read(
        prompt(0, "p"), spoke(1, "a", use("t")), result(61, "t", toolUseResult={"durationMs": 230}), spoke(62, "b")
    )
    (begun,) = each(events, ToolExecutionStart, lambda start: int(start.timestamp))
    (ended,) = each(events, ToolExecutionEnd, lambda end: int(end.timestamp))
    assert ended - begun == 230_000_000


def test_output_is_a_lower_bound_where_no_line_has_a_stop_reason() -> None:
    events = read(prompt(0, "p"), spoke(1, "a"), prompt(2, "q"), spoke(3, "b", stop="end_turn"))
    messages = [event.message for event in events if isinstance(event, MessageEnd)]
    answers = [message for message in messages if isinstance(message, AssistantMessage)]
    assert [answer.usage.partial is True for answer in answers] == [True, False]


def test_nested_cache_numbers_count_where_the_outer_one_is_none() -> None:
    record = spoke(1, "a")
    record["message"]["usage"]["cache_creation"] = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    assert totals(read(prompt(0, "p"), record)).tokens["cache_write"] == 7


# --- loops -----------------------------------------------------------------------------------------------------------------


def test_several_user_lines_in_a_row_are_one_prompt_and_a_command_that_nobody_answers_is_no_loop() -> None:
    command = "<command-name>/mcp</command-name>"
    events = read(
        prompt(0, "p"), prompt(1, "p2"), spoke(2, "a"), prompt(3, "c", command), prompt(4, "q"), spoke(5, "b"),
        prompt(6, "exit", command),
    )  # fmt: skip
    assert loops(events) == [("p", "Initial"), ("q", "Initial")]
    assert loops(read(prompt(0, "c", command), spoke(1, "a"))) == [("c", "Initial")]


def test_a_fact_ends_the_loop_at_once_and_what_follows_is_a_continuation_of_it() -> None:
    events = read(
        prompt(0, "p"), spoke(1, "a"), line("system", 2, "s", subtype="turn_duration", durationMs=2_000),
        prompt(3, "n", "<task-notification> done </task-notification>"), spoke(4, "b"),
    )  # fmt: skip
    assert loops(events) == [("p", "Initial"), ("p+2", "Default")]
    (_, more) = (event for event in events if isinstance(event, AgentStart))
    assert more.parent_loop_id == f"{SESSION}.p"
    assert more.timestamp % (60 * 10**9) == 3 * 10**9  # when it was heard that there is more to do


def test_a_pause_after_an_answer_ends_the_loop_and_one_after_a_tools_result_does_not() -> None:
    answer = [prompt(0, "p"), spoke(1, "a")]
    assert loops(read(*answer, spoke(122, "b"))) == [("p", "Initial"), ("p+2", "Default")]
    assert loops(read(*answer, spoke(121, "b"))) == [("p", "Initial")]
    assert loops(read(prompt(0, "p"), spoke(1, "a", use("t")), result(2, "t"), spoke(900, "b"))) == [("p", "Initial")]


def test_a_newer_version_that_gives_no_stop_reason_yet_is_not_silent_but_at_work() -> None:
    events = read(prompt(0, "p"), spoke(1, "a", version="2.1.209"), spoke(300, "a", use("t"), version="2.1.209"))
    assert loops(events) == [("p", "Initial")]
    assert totals(events).calls == 1


def test_a_message_that_goes_on_after_a_pause_is_counted_once() -> None:
    events = read(prompt(0, "p"), spoke(1, "a", output=3), spoke(300, "a", use("t"), output=50), result(301, "t"))
    found = totals(events)
    assert (found.tokens["input"], found.tokens["output"]) == (110, 50)
    assert loops(events) == [("p", "Initial"), ("p+2", "Default")]


def test_an_interrupt_cancels_the_loop_and_a_tool_without_a_result_was_not_executed() -> None:
    stop = prompt(3, "i", [{"type": "text", "text": "[Request interrupted by user]"}])
    events = read(prompt(0, "p"), spoke(1, "a", use("t1"), use("t2")), result(2, "t1"), stop)
    assert ends(events) == ["cancelled"]
    assert each(events, ToolExecutionStart, lambda start: start.tool_call_id) == ["t1"]
    told = [event.message for event in events if isinstance(event, MessageEnd)]
    assert [one.tool_call_id for one in told if isinstance(one, ToolResultMessage)] == ["t1", "t2"]


def test_an_api_error_is_no_call_and_the_loops_error_unless_the_agent_went_on() -> None:
    failed = spoke(1, "x", {"type": "text", "text": "API Error: 429 slow down"}, isApiErrorMessage=True)
    failed["message"]["model"] = "<synthetic>"
    events = read(prompt(0, "p"), failed)
    assert totals(events).calls == 0
    (end,) = (event for event in events if isinstance(event, AgentEnd))
    assert (end.outcome, end.error_type) == ("error", "rate_limited")
    assert ends(read(prompt(0, "p"), failed, spoke(2, "a"))) == ["ok"]


def test_a_loop_that_the_file_leaves_at_work_has_no_end() -> None:
    events = read(prompt(0, "p"), spoke(1, "a", use("t")))
    assert ends(events) == []
    assert not [event for event in events if isinstance(event, TurnEnd)]
    assert ends(read(prompt(0, "p"), spoke(1, "a", use("t")), result(2, "t"))) == []
    assert loops(read(prompt(0, "p"))) == [("p", "Initial")]


def test_a_compaction_stands_between_the_turns() -> None:
    boundary = line("system", 2, "s", subtype="compact_boundary", compactMetadata={"trigger": "auto", "preTokens": 9})
    summary = prompt(2, "c", "This session is being continued", isCompactSummary=True)
    events = read(prompt(0, "p"), spoke(1, "a"), boundary, summary, spoke(4, "b"))
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("CompactionStarted") > kinds.index("TurnEnd")
    assert each(events, CompactionEnded, lambda ended: ended.estimated_tokens_before) == [9]
    assert loops(events) == [("p", "Initial")]


# --- copies ----------------------------------------------------------------------------------------------------------------


def test_a_resumed_session_leaves_what_it_copied_to_the_first_file_and_goes_on_as_a_branch() -> None:
    claims, history = ClaimsInMemory(), [prompt(0, "p"), spoke(1, "a"), prompt(2, "q"), spoke(3, "b")]
    other = "8f9c1d2e-0000-4000-8000-000000000002"
    copied = [{**record, "sessionId": other, "forkedFrom": {"sessionId": SESSION}} for record in history]
    own = [{**prompt(9, "r"), "sessionId": other}, {**spoke(10, "c"), "sessionId": other}]
    first = read(*history, claims=claims)
    second, counts = folded(CLAUDE, written(*copied, *own), claims=claims)
    assert totals(first).calls == 2
    assert totals(second).calls == 1
    assert (counts["copied_calls"], counts["copied_prompts"]) == (2, 2)
    (start,) = (event for event in second if isinstance(event, AgentStart))
    assert start.loop_id == f"{other}.r"
    assert start.parent_session_id == SESSION
    assert loops(second) == [("r", {"Branch": Tag()})]


def test_lines_appended_again_to_the_same_file_begin_nothing_and_count_once() -> None:
    history = [prompt(0, "p"), spoke(1, "a"), prompt(2, "q"), spoke(3, "b")]
    events = read(*history, *history, spoke(5, "c"))
    assert totals(events).calls == 3
    assert loops(events) == [("p", "Initial"), ("q", "Initial")]


def test_a_file_read_again_from_the_start_says_the_same_again() -> None:
    claims, records = ClaimsInMemory(), (prompt(0, "p"), spoke(1, "a"))
    once, again = read(*records, claims=claims), read(*records, claims=claims)
    assert [encode_event(event) for event in once] == [encode_event(event) for event in again]


# --- sub-agents ------------------------------------------------------------------------------------------------------------


def test_a_sub_agents_loop_names_its_session_its_tool_call_and_its_parents_loop() -> None:
    side: dict[str, Any] = {"isSidechain": True, "agentId": "a1", "promptId": "pid"}
    (start, *_) = read(
        prompt(0, "p", **side), spoke(1, "a", **side), parent_call={"a1": "toolu_1"}.get, name="agent-a1"
    )
    assert isinstance(start, AgentStart)
    assert (start.session_id, start.loop_id) == (SESSION, f"{SESSION}.pid.a1")
    assert (start.parent_loop_id, start.parent_tool_call_id) == (f"{SESSION}.pid", "toolu_1")


def test_a_main_files_lines_tell_which_call_started_which_sub_agent() -> None:
    told = result(3, "toolu_1", toolUseResult={"agentId": "a1", "status": "completed"}, promptId="pid")
    progress = {"type": "progress", "data": {"type": "agent_progress", "agentId": "a2"}, "parentToolUseID": "toolu_2"}
    lines = written(told, progress, prompt(0, "p")).split(b"\n")
    found = [pair for one in lines for pair in CLAUDE.children(one)]
    assert found == [("a1", "toolu_1"), ("a2", "toolu_2")]
    events = read(prompt(0, "p", promptId="pid"), spoke(1, "a", use("toolu_1")), told)
    assert each(events, ToolExecutionEnd, lambda end: end.child_loop_id) == [f"{SESSION}.pid.a1"]


def test_the_oldest_files_hold_their_sub_agents_lines_which_are_loops_of_their_own() -> None:
    side: dict[str, Any] = {"isSidechain": True}
    task = {**use("toolu_1"), "name": "Task", "input": {"prompt": "look for it"}}
    records = [
        prompt(0, "p"),
        spoke(1, "a", task),
        prompt(2, "sp", "look for it", parentUuid=None, **side),
        spoke(3, "sa", use("t2"), uuid="s1", parentUuid="sp", **side),
        {**result(4, "t2"), **side, "parentUuid": "s1"},
        spoke(5, "sb", uuid="s2", parentUuid="r-t2", **side),
        result(6, "toolu_1"),
        spoke(7, "b"),
    ]
    events, counts = folded(CLAUDE, written(*records))
    assert [loop.split(".")[0] for loop, _ in loops(events)] == ["p", "sp"]
    assert each(events, AgentStart, lambda start: start.parent_tool_call_id)[1] == "toolu_1"
    found = totals(events)
    assert (found.calls, found.results, counts["late_results"], ends(events)) == (4, 2, 0, ["ok", "ok"])
    for kill_after in (1, 2, 3):
        again, _ = folded(CLAUDE, written(*records), kill_after=kill_after)
        assert [encode_event(event) for event in again] == [encode_event(event) for event in events]


# --- leniency --------------------------------------------------------------------------------------------------------------


def test_what_no_line_should_be_costs_itself_alone() -> None:
    broken = b'"words"\n{"silly": 1}\n42\n[1]\n{"type": "user", "message": "error"}\n{"type":"assistant","message":{"content":["x"]}}\nhalf {'
    events, counts = folded(CLAUDE, written(prompt(0, "p"), spoke(1, "a")) + broken)
    assert totals(events).tokens["input"] == 110
    assert counts["bad_lines"] == 4


def test_a_file_without_times_has_the_one_it_is_given() -> None:
    events, counts = folded(CLAUDE, written({"type": "user", "message": {}}, {"type": "assistant", "message": {}}))
    assert each(events, AgentStart, lambda start: int(start.timestamp)) == [1_800_000_000_000_000_000]
    assert counts["no_time"] == 2
