"""Gemini CLI's sessions: messages written again and again, histories written whole, what was gone back to, tools that take their time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    CompactionEnded,
    MessageEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    UserMessage,
    encode_event,
)
from otel_phi.mapping import semconv as s
from otel_phi.sources.agents.adapter import Context, resume_position
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.gemini import Gemini
from tests.laws import role
from tests.sources.agents.samples import each, fed, folded, totals, written

GEMINI = Gemini()
SESSION = "f0a689a6-b0ac-407f-afcc-4fafa9e14e8a"
TOKENS = {"input": 100, "output": 10, "cached": 40, "thoughts": 5, "tool": 0, "total": 115}


def at(second: float) -> str:
    return f"2026-04-01T10:{int(second // 60):02}:{second % 60:06.3f}Z"


def header(session_id: str = SESSION, **more: Any) -> dict[str, Any]:
    return {
        "sessionId": session_id,
        "projectHash": "abc",
        "startTime": at(0),
        "lastUpdated": at(0),
        "kind": "main",
        **more,
    }


def message(kind: str, name: str, second: float, words: Any = "words", **more: Any) -> dict[str, Any]:
    return {"id": name, "timestamp": at(second), "type": kind, "content": words, **more}


def user(name: str, second: float, words: Any = "do it", **more: Any) -> dict[str, Any]:
    return message("user", name, second, words, **more)


def answer(name: str, second: float, *calls: dict[str, Any], tokens: Any = TOKENS, **more: Any) -> dict[str, Any]:
    given = {"model": "gemini-3-pro", "thoughts": [], "tokens": tokens, **more}
    return message("gemini", name, second, "so", **given, **({"toolCalls": list(calls)} if calls else {}))


def call(name: str, second: float, status: str = "success", output: str = "ok", **more: Any) -> dict[str, Any]:
    response = {"functionResponse": {"id": name, "name": "ls", "response": {"output": output}}}
    base = {"id": name, "name": "ls", "args": {"dir": "."}, "result": [response], "status": status}
    return {**base, "timestamp": at(second), **more}


def read(*records: dict[str, Any], **world: Any) -> list[Any]:
    return folded(GEMINI, written(header(), *records), **world)[0]


def loops(events: Any) -> list[Any]:
    return each(events, AgentStart, lambda start: (start.loop_id.partition(".")[2], start.continuation_kind))


def ends(events: Any) -> list[Any]:
    return each(events, AgentEnd, lambda end: end.outcome)


# --- messages --------------------------------------------------------------------------------------------------------------


def test_a_message_that_is_written_again_is_one_turn_as_it_stands_last() -> None:
    events = read(
        user("u", 0), answer("a", 3, tokens=None), answer("a", 3), answer("a", 3, call("c", 5)), answer("b", 8),
    )  # fmt: skip
    found = totals(events)
    assert (found.calls, found.tools, found.results) == (2, 1, 1)
    assert found.tokens == Counter(input=200, output=30, reasoning=10, cache_read=80)
    assert (loops(events), ends(events)) == ([("u", "Initial")], ["ok"])


def test_what_comes_to_a_message_after_the_next_one_is_counted_with_what_it_adds() -> None:
    more = {**TOKENS, "input": 130, "output": 12}
    events = read(user("u", 0), answer("a", 3), answer("b", 5), answer("a", 3, tokens=more), answer("b", 5), user("v", 9), answer("c", 10))  # fmt: skip
    assert totals(events).tokens["input"] == 130 + 100 + 100
    assert totals(events).tokens["output"] == 17 + 15 + 15


def test_what_an_info_says_between_two_versions_of_a_message_is_nothing() -> None:
    events = read(user("u", 0), answer("a", 3), message("info", "i", 4), answer("a", 3, call("c", 5)), answer("b", 7))
    assert (totals(events).calls, totals(events).tools) == (2, 1)


def test_the_model_and_who_serves_it_stand_on_the_loop_and_its_answers() -> None:
    events = read(user("u", 0), answer("a", 3))
    (start,) = each(events, AgentStart, lambda one: one)
    assert (start.config_snapshot.model, start.config_snapshot.provider) == ("gemini-3-pro", "gcp.gemini")
    answers = [event.message for event in events if isinstance(event, MessageEnd)]
    assert [one.provider for one in answers if isinstance(one, AssistantMessage)] == ["gcp.gemini"]


@pytest.mark.parametrize(
    "content", ["text", [{"text": "te"}, {"text": "xt"}], {"text": "text"}, ["te", {"text": "xt"}]]
)
def test_content_is_a_text_a_part_or_a_list_of_either(content: Any) -> None:
    events = read(user("u", 0, content), answer("a", 1) | {"content": content})
    messages = [event.message for event in events if isinstance(event, MessageEnd)]
    said = [bytes(one.content) for one in messages if isinstance(one, UserMessage | AssistantMessage)]
    assert [b'"text":"text"' in content for content in said] == [True, True]


def test_thoughts_are_part_of_the_answer() -> None:
    thought = {"subject": "Plan", "description": "read first", "timestamp": at(2)}
    events = read(user("u", 0), answer("a", 3, thoughts=[thought, 5]))
    (said,) = [event.message for event in events if isinstance(event, MessageEnd) and isinstance(event.message, AssistantMessage)]  # fmt: skip
    assert b'"thinking":"Plan: read first"' in bytes(said.content)


# --- tools -----------------------------------------------------------------------------------------------------------------


def test_a_tool_ends_when_it_says_and_nobody_says_when_it_began(tmp_path: Path) -> None:
    events = read(user("u", 0), answer("a", 3, call("c", 5), call("d", 6, "error")), answer("b", 8))
    assert each(events, ToolExecutionEnd, lambda end: int(end.timestamp) // 10**9 % 60) == [5, 6]
    assert (totals(events).results, totals(events).errors) == (2, 1)
    from tests.sources.agents.test_stored import made, old

    data = written(header(), user("u", 0), answer("a", 3, call("c", 5)), answer("b", 8))
    (tool,) = (span for span in made(old(tmp_path / "x.jsonl", data))[0] if role(span) == "tool")
    assert (tool.end_ns - tool.start_ns, tool.get(s.TIME_INFERRED)) == (2 * 10**9, True)


def test_a_tool_that_was_not_allowed_was_not_executed_and_ends_the_loop_where_none_was() -> None:
    events = read(user("u", 0), answer("a", 3, call("c", 5, "cancelled")), user("v", 9), answer("b", 10))
    assert ends(events) == ["cancelled", "ok"]
    assert (totals(events).tools, len(each(events, ToolExecutionStart, bool))) == (1, 0)
    events = read(user("u", 0), answer("a", 3, call("c", 5, "cancelled"), call("d", 5)), answer("b", 10))
    assert ends(events) == ["ok"]
    assert ends(read(user("u", 0), answer("a", 3, call("c", 5, "cancelled")))) == ["cancelled"]


@pytest.mark.parametrize("status", ["executing", "awaiting_approval", "scheduled", None])
def test_a_tool_at_work_has_no_end_yet(status: str | None) -> None:
    events = read(user("u", 0), answer("a", 3, call("c", 5, status)))  # type: ignore[arg-type]
    assert (totals(events).tools, totals(events).results) == (1, 0)
    assert (ends(events), each(events, TurnEnd, bool)) == ([], [])
    events = read(user("u", 0), answer("a", 3, call("c", 5, status)), answer("a", 3, call("c", 400)), answer("b", 401))  # type: ignore[arg-type]
    assert (totals(events).results, loops(events), totals(events).calls) == (1, [("u", "Initial")], 2)


def test_a_tool_that_took_longer_than_a_pause_goes_on_in_a_loop_of_its_own_and_no_model_is_asked_twice() -> None:
    late = [user("u", 0), answer("a", 3), answer("a", 3, call("c", 200)), answer("b", 203)]
    events = read(*late)
    assert loops(events) == [("u", "Initial"), ("u+2", "Default")]
    assert (totals(events).calls, totals(events).tools, totals(events).tokens["input"]) == (2, 1, 200)
    # A door that follows the file has told the answer's loop when the tool has ended: the events are the same.
    fold = GEMINI.fold(Context(claims=ClaimsInMemory(), name="file"))
    live = [*fed(fold, header(), *late[:2]), *fold.settle("silence")]
    position = len(written(header(), *late[:2]))
    for record in late[2:]:
        live += fold.record(position, msgspec.json.encode(record))
        position += 1_000
    live += fold.settle("end")
    assert [encode_event(event) for event in live] == [encode_event(event) for event in events]
    # So are those of a file that has the message only as it stood last.
    assert [encode_event(event) for event in read(late[0], *late[2:])] == [encode_event(event) for event in events]


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ([{"functionResponse": {"response": {"output": "out"}}}], b"out"),
        ([{"functionResponse": {"response": {"error": "no"}}}], b"no"),
        ([{"text": "plain"}], b"plain"),
        ([{"inlineData": {"data": "aGk="}}], b"aGk="),
        ("bare", b"bare"),
    ],
)
def test_a_result_is_what_its_responses_say_or_what_it_is(result: Any, wanted: bytes) -> None:
    events = read(user("u", 0), answer("a", 3, {**call("c", 5), "result": result}))
    (ended,) = each(events, ToolExecutionEnd, lambda end: end.result)
    assert wanted in bytes(ended.content)


def test_tools_without_ids_are_told_apart() -> None:
    plain = {"name": "ls", "status": "success"}
    events = read(user("u", 0), answer("a", 3, plain, plain))
    assert each(events, ToolExecutionStart, lambda start: start.tool_call_id) == ["a#0", "a#1"]


# --- loops -----------------------------------------------------------------------------------------------------------------


def test_tools_results_in_a_users_message_are_no_prompt_and_several_prompts_in_a_row_are_one() -> None:
    response = [{"functionResponse": {"id": "c", "response": {"output": "ok"}}}]
    events = read(user("u", 0), user("u2", 1), answer("a", 3, call("c", 5)), user("r", 6, response), answer("b", 8))
    assert loops(events) == [("u", "Initial")]


def test_a_command_that_nobody_answers_is_no_loop() -> None:
    assert loops(read(user("c", 0, "/stats"), user("u", 2), answer("a", 3), user("d", 5, "/quit"))) == [
        ("u", "Initial")
    ]
    assert loops(read(user("c", 0, "/plan do"), answer("a", 3))) == [("c", "Initial")]


def test_a_pause_after_an_answer_ends_the_loop() -> None:
    events = read(user("u", 0), answer("a", 3), answer("b", 200))
    assert loops(events) == [("u", "Initial"), ("u+2", "Default")]


def test_an_error_is_the_loops_where_no_answer_came_and_a_commands_where_one_had() -> None:
    error = message("error", "e", 5, "[API Error: quota]")
    assert ends(read(user("u", 0), error)) == ["error"]
    assert ends(read(user("u", 0), answer("a", 1, call("c", 2)), error, user("v", 9), answer("b", 10))) == [
        "error",
        "ok",
    ]
    assert ends(read(user("u", 0), answer("a", 1, call("c", 2)), error, answer("b", 10))) == ["ok"]
    assert ends(read(user("u", 0), answer("a", 1), error)) == ["ok"]
    assert ends(read(user("u", 0, "/x"), error)) == []


def test_what_was_gone_back_to_begins_a_branch_and_takes_back_nothing_that_was_spent() -> None:
    rewind = {"$rewindTo": "v"}
    events = read(user("u", 0), answer("a", 3), user("v", 5), answer("b", 6), rewind, user("w", 9), answer("c", 10))
    starts = each(events, AgentStart, lambda start: (start.loop_id, start.parent_loop_id, isinstance(start.continuation_kind, dict)))  # fmt: skip
    assert starts[2] == (f"{SESSION}.w", f"{SESSION}.u", True)
    assert totals(events).calls == 3
    to_the_beginning = read(user("u", 0), answer("a", 3), {"$rewindTo": "u"}, user("w", 9), answer("c", 10))
    assert each(to_the_beginning, AgentStart, lambda start: start.parent_loop_id) == [None, None]


# --- histories written whole -----------------------------------------------------------------------------------------------


def history(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"$set": {"messages": list(messages), "lastUpdated": at(50)}}


def test_a_history_written_whole_is_nothing_new() -> None:
    records = [user("u", 0), answer("a", 3, call("c", 5)), answer("b", 8)]
    parts = [{"text": "hm", "thought": True}, {"text": "so"}, {"functionCall": {"name": "ls"}}]
    masked = [records[0], answer("a", 3, call("c", 5, output="masked")), {**records[2], "content": parts}]
    plain = [encode_event(event) for event in read(*records, user("v", 9), answer("d", 10))]
    again = [encode_event(event) for event in read(*records, history(*masked), history(*masked), user("v", 9), answer("d", 10))]  # fmt: skip
    assert again == plain


def test_what_gemini_cli_writes_into_a_history_is_no_message_and_says_that_it_was_made_shorter() -> None:
    made = [message("user", "s", 12, [{"text": "<state_snapshot>"}]), message("gemini", "t", 12, [{"text": "Got it."}])]
    events = read(user("u", 0), answer("a", 3, call("c", 5)), history(*made), answer("b", 14))
    assert (loops(events), totals(events).calls) == ([("u", "Initial")], 2)
    assert len(each(events, CompactionEnded, bool)) == 1
    context = message("user", "env", 0, [{"text": "This is Gemini CLI."}])
    first = user("u", 0)
    assert each(read(first, history(context, first), answer("a", 3)), CompactionEnded, bool) == []


def test_messages_that_stand_in_a_history_alone_are_read_from_there_once() -> None:
    only = history(user("u", 0), answer("a", 3, call("c", 5)), answer("b", 8))
    events, counts = folded(GEMINI, written(header(), only, only, user("v", 9), answer("d", 10)), kill_after=1)
    assert loops(events) == [("u", "Initial"), ("v", "Initial")]
    assert (totals(events).calls, totals(events).tokens["input"]) == (3, 300)
    assert counts["bad_lines"] == 0


def test_the_title_is_what_the_last_summary_said(tmp_path: Path) -> None:
    events = read({"$set": {"summary": "Fix login"}}, user("u", 0), answer("a", 3))
    assert each(events, AgentStart, lambda start: start.source.title) == ["Fix login"]


# --- older files -----------------------------------------------------------------------------------------------------------


def document(*messages: Any, **more: Any) -> bytes:
    return json.dumps({**header(), "messages": list(messages), **more}, indent=2).encode()


def test_an_older_file_is_the_same_session_as_its_lines() -> None:
    records = [user("u", 0), answer("a", 3, call("c", 5)), answer("b", 8), user("v", 10), answer("d", 11)]
    whole = [encode_event(event) for event in folded(GEMINI, document(*records))[0]]
    assert whole == [encode_event(event) for event in read(*records)]
    one_line = msgspec.json.encode(json.loads(document(*records)))
    assert whole == [encode_event(event) for event in folded(GEMINI, one_line)[0]]


def test_what_has_been_told_of_a_growing_document_is_not_told_again_and_the_rest_is_as_it_now_stands() -> None:
    versions = [
        [user("u", 0)],
        [user("u", 0), answer("a", 3, tokens=None)],
        [user("u", 0), answer("a", 3, call("c", 5))],
        [user("u", 0), answer("a", 3, call("c", 5)), answer("b", 8)],
        [user("u", 0), answer("a", 3, call("c", 5)), answer("b", 8), user("v", 10), answer("d", 11)],
    ]
    whole = [encode_event(event) for event in folded(GEMINI, document(*versions[-1]))[0]]
    for killed in (False, True):
        claims = ClaimsInMemory()
        fold = GEMINI.fold(Context(claims=claims, name="file"))
        events: list[Any] = []
        for version in versions:
            if killed:
                fold = GEMINI.fold(Context(claims=claims, name="file"), fold.state)
            events += fold.record(0, document(*version))
        assert resume_position(fold.state) == 0
        events += fold.settle("end")
        assert [encode_event(event) for event in events] == whole


def test_a_session_that_went_on_in_a_new_file_is_read_once(tmp_path: Path) -> None:
    from tests.sources.agents.test_stored import made, old

    first = [user("u", 0), answer("a", 3)]
    old(tmp_path / "session-1.json", document(*first))
    old(tmp_path / "session-1.jsonl", written(header(), *first, user("v", 60), answer("b", 63)))
    found, stored = made(tmp_path)
    assert sum(role(span) == "chat" for span in found) == 2
    assert {span.get(s.LOOP_ID) for span in found if role(span) == "loop"} == {f"{SESSION}.u", f"{SESSION}.v"}
    assert stored.agents.counts["copied_calls"] == 1


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (document(user("u", 0)), True),
        (json.dumps(json.loads(document(answer("a", 0)))).encode(), True),
        (b'{"messages": [{"type": "gemini",', True),
        (b'{"lastUpdated": "2024", "messages": [' + b'{"type": "gemini"},' * 9_000, True),
        (written(header(), user("u", 0)), False),
        (written(header()), False),
        (written(history(user("u", 0), answer("a", 1))), None),
        (written(answer("a", 1)), False),
        (b'{"messages": [1]}', None),
        (b'{"type": "user", "message": {"content": "\\"type\\": \\"gemini\\""}}', None),
    ],
)
def test_a_file_is_told_from_its_beginning_lines_from_a_document(data: bytes, whole: bool | None) -> None:
    assert GEMINI.recognizes(data[: 1 << 16], "x") is (whole is not None)
    assert whole is None or GEMINI.group("/p/x.json", data).document is whole


# --- sub-agents ------------------------------------------------------------------------------------------------------------


def project(folder: Path) -> Path:
    """Writes a session whose answer ran two agents, one of which ran a third."""
    from tests.sources.agents.test_stored import old

    ran = answer("a", 3, call("c1", 20, agentId="one-1"), call("c2", 21, agentId="two-2"))
    chats = folder / "chats"
    main = old(chats / "session-2026-04-01T10-00-f0a689a6.jsonl", written(header(), user("u", 0), ran, answer("b", 25)))
    inner = [user("p", 4), answer("x", 6, call("c3", 12, agentId="three-3")), answer("y", 15)]
    old(chats / SESSION / "one-1.jsonl", written(header("one-1", kind="subagent"), *inner))
    old(chats / SESSION / "two-2.jsonl", written(header("two-2", kind="subagent"), user("q", 4), answer("z", 8)))
    old(chats / "one-1" / "three-3.jsonl", written(header("three-3", kind="subagent"), user("r", 7), answer("w", 9)))
    return main


def test_sub_agents_stand_under_the_tools_that_ran_them_those_of_sub_agents_too(tmp_path: Path) -> None:
    from tests.sources.agents.test_stored import made

    main = project(tmp_path)
    found, _ = made(tmp_path)
    assert {span.get(s.SESSION_ID) for span in found} == {SESSION}
    by_id = {span.span_id: span for span in found}
    under = {
        span.get(s.LOOP_ID): by_id[span.parent_span_id or 0].get(s.TOOL_CALL_ID)
        for span in found
        if role(span) == "loop" and span.get(s.LOOP_KIND) == "subagent"
    }
    assert under == {f"{SESSION}.one-1.p": "c1", f"{SESSION}.two-2.q": "c2", f"{SESSION}.three-3.r": "c3"}
    alone, _ = made(main)
    assert sum(role(span) == "chat" for span in alone) == sum(role(span) == "chat" for span in found) - 1


def test_ids_of_other_tools_imitations_are_unique_in_their_session_alone(tmp_path: Path) -> None:
    from tests.sources.agents.test_stored import made, old

    for name in ("one", "two"):
        old(tmp_path / f"{name}.jsonl", written(header(name), user("u1", 0), answer("a1", 3)))
    assert sum(role(span) == "chat" for span in made(tmp_path)[0]) == 2


# --- damage ----------------------------------------------------------------------------------------------------------------


def test_broken_lines_and_parts_cost_themselves() -> None:
    odd: list[Any] = [3, [], {"id": 5}, {"type": "later", "id": "l"}, {"$set": 5}, {"$set": {"messages": [1, {"id": 3}]}}, {"$rewindTo": 3}]  # fmt: skip
    data = written(header(), *odd, user("u", 0), answer("a", 3, 7, {"status": 3, "args": 5}, tokens="t", thoughts=3)) + b'{"id'  # type: ignore[arg-type]  # fmt: skip
    events, counts = folded(GEMINI, data)
    assert (totals(events).calls, totals(events).tools, counts["bad_lines"]) == (1, 1, 3)
    assert counts["skipped:later"] == 1
    events, counts = folded(GEMINI, document(3, user("u", 0), None, answer("a", 3)))
    assert (totals(events).calls, counts["bad_lines"]) == (1, 2)


def test_a_file_without_its_beginning_is_named_after_itself() -> None:
    events, _ = folded(GEMINI, written(user("u", 0), answer("a", 3)), name="session-x")
    assert each(events, AgentStart, lambda start: start.session_id) == ["session-x"]


def test_a_state_is_small_whatever_ids_and_names_a_file_has() -> None:
    long = "x" * 100_000
    records: list[dict[str, Any]] = [header(long), {"$set": {"summary": long}}]
    for number in range(40):
        name = f"{number}{long}"
        records += [user(name, number, long), answer(f"a{name}", number + 0.5, call(name, number + 0.6), model=long)]
    events, _ = folded(GEMINI, written(*records), kill_after=1)
    assert totals(events).calls == 40


def test_a_session_killed_and_rebuilt_after_any_line_gives_the_same_events() -> None:
    made = [message("user", "s", 12, [{"text": "<snapshot>"}]), message("gemini", "t", 12, [{"text": "Got it."}])]
    records = [
        header(), user("u", 0), answer("a", 3, tokens=None), answer("a", 3, call("c", 5)), history(user("u", 0)),
        history(*made), answer("b", 14), answer("a", 3, call("c", 5), call("d", 16)), message("error", "e", 18), user("v", 20), answer("w", 25),
        answer("w", 25, call("x", 300)), answer("y", 302), {"$rewindTo": "v"}, user("z", 310), answer("q", 312, call("r", 313, "cancelled")),
    ]  # fmt: skip
    whole = [encode_event(event) for event in folded(GEMINI, written(*records))[0]]
    for kill_after in (1, 2, 3, 5):
        events, _ = folded(GEMINI, written(*records), kill_after=kill_after)
        assert [encode_event(event) for event in events] == whole, kill_after
