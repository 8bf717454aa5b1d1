"""opencode's sessions record by record: loops, turns, times, tokens, compactions, forks, sub-agents, answers that grow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from otel_phi.config import resolve
from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    CompactionEnded,
    MessageEnd,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    TurnRequest,
    UserMessage,
    encode_event,
)
from otel_phi.mapping import semconv as s
from otel_phi.pipeline import spans
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.opencode import Opencode
from tests.laws import role
from tests.sources.agents.opencode_made import (
    BASE_MS,
    CHILD,
    FORK,
    NO_TOKENS,
    SESSION,
    TOKENS,
    aborted,
    answer,
    data,
    of,
    renamed,
    said,
    session,
    story,
    task,
    tool,
    user,
)
from tests.sources.agents.samples import each, fed, folded, lines_of, totals

OPENCODE = Opencode()


def read(*records: dict[str, Any], **world: Any) -> list[Any]:
    return folded(OPENCODE, data(*records), **world)[0]


def counted(*records: dict[str, Any]) -> Any:
    return folded(OPENCODE, data(*records))[1]


def loops(events: Any) -> list[Any]:
    return each(events, AgentStart, lambda start: (start.loop_id.partition(".")[2], start.continuation_kind))


def outcomes(events: Any) -> list[Any]:
    return each(events, AgentEnd, lambda end: end.outcome)


def answers(events: Any) -> list[AssistantMessage]:
    told = [event.message for event in events if isinstance(event, MessageEnd)]
    return [message for message in told if isinstance(message, AssistantMessage)]


def seconds(at: Any) -> float:
    return (int(at) // 10**6 - BASE_MS) / 1_000


# --- loops and turns -------------------------------------------------------------------------------------------------------


def test_a_prompt_is_a_loop_and_an_answer_a_turn_that_is_told_as_soon_as_it_is_complete() -> None:
    fold = OPENCODE.fold(_context())
    one = fed(fold, session(), user("u", 0), answer("a", 0.1, 5, tool("c", 2, 4)))
    assert len(each(one, TurnEnd, id)) == 1
    events = [*one, *fed(fold, answer("b", 5, 8))]
    assert loops(events) == [("msg_u", "Initial")]
    assert outcomes(events) == ["ok"]  # `stop` says so: nobody waits for the next prompt
    assert each(events, AgentStart, lambda start: (start.session_id, start.agent_name)) == [(SESSION, "build")]
    assert each(events, AgentStart, lambda start: (start.source.version, start.source.cwd)) == [("1.18.33", "/w")]


def _context() -> Any:
    from otel_phi.sources.agents.adapter import Context

    return Context(claims=ClaimsInMemory(), name="x")


def test_times_of_calls_and_tools_are_the_formats_own() -> None:
    events = read(
        session(), user("u", 0), answer("a", 0.1, 5, said("x", time={"start": 1, "end": 2}), tool("c", 2.5, 4))
    )
    assert each(events, TurnRequest, lambda one: seconds(one.timestamp)) == [0.1]
    assert each(events, ToolExecutionStart, lambda one: seconds(one.timestamp)) == [2.5]
    assert each(events, ToolExecutionEnd, lambda one: seconds(one.timestamp)) == [4]


@pytest.mark.parametrize(("parts", "ended"), [((), 5.0), ((tool("c", 2.5, 4.9),), 2.5)])
def test_an_answer_ends_with_its_message_or_when_it_had_asked_for_its_last_tool(parts: Any, ended: float) -> None:
    events = read(session(), user("u", 0), answer("a", 0.1, 5, *parts))
    assert [(message.timestamp - BASE_MS) / 1_000 for message in answers(events)] == [ended]


def test_results_stand_in_the_order_in_which_they_came() -> None:
    events = read(session(), user("u", 0), answer("a", 0.1, 9, tool("c1", 1, 8), tool("c2", 2, 3)))
    assert each(events, ToolExecutionStart, lambda one: one.tool_call_id) == ["c1", "c2"]
    assert each(events, ToolExecutionEnd, lambda one: one.tool_call_id) == ["c2", "c1"]


def test_a_model_that_says_stop_beside_tools_is_asked_again_in_the_same_loop() -> None:
    first = answer("a", 0.1, 5, tool("c", 2, 4), finish="stop")
    assert outcomes(read(session(), user("u", 0), first)) == ["ok"]
    events = read(session(), user("u", 0), first, answer("b", 5, 8))
    assert (loops(events), outcomes(events)) == ([("msg_u", "Initial")], ["ok"])
    events = read(session(), user("u", 0), first, user("v", 6), answer("b", 6.1, 8, to="v"))
    assert (loops(events), outcomes(events)) == ([("msg_u", "Initial"), ("msg_v", "Initial")], ["ok", "ok"])


def test_a_prompt_that_comes_while_the_agent_works_begins_the_next_loop() -> None:
    events = read(
        session(), user("u", 0), answer("a", 0.1, 5, tool("c", 2, 4)), user("v", 3), answer("b", 5, 8, to="v")
    )
    assert loops(events) == [("msg_u", "Initial"), ("msg_v", "Initial")]
    assert len(each(events, TurnEnd, id)) == 2


def test_an_answer_that_nobody_asked_for_goes_on_after_the_loop() -> None:
    events = read(session(), user("u", 0), answer("a", 1, 2), answer("b", 200, 201))
    assert loops(events) == [("msg_u", "Initial"), ("msg_u+2", "Default")]
    assert loops(read(answer("a", 1, 2))) == [("msg_a", "Initial")]


def test_what_was_only_said_and_what_the_user_ran_himself_is_no_loop() -> None:
    shell = [user("s", 9, said("The following tool was executed by the user", synthetic=True))]
    shell += [{**answer("t", 9, 10, to="s", tokens=NO_TOKENS, finish=None), "parts": [tool("c", 9, 10)]}]
    events, counts = folded(OPENCODE, data(session(), user("u", 0), answer("a", 1, 2), *shell, user("v", 20)))
    assert (loops(events), outcomes(events)) == ([("msg_u", "Initial")], ["ok"])
    assert counts["skipped:shell"] == 1


def test_a_sub_agent_that_the_user_asks_for_is_a_turn_without_a_call() -> None:
    asked = user("u", 0, {"type": "subtask", "prompt": "p", "description": "d", "agent": "general"})
    ran = {**answer("a", 1, 9, tokens=NO_TOKENS, cost=0, finish="tool-calls"), "parts": [task("c", 1, 9)]}
    events = read(session(), asked, ran, answer("b", 9, 10))
    assert (len(answers(events)), len(each(events, TurnEnd, id))) == (1, 2)
    assert each(events, ToolExecutionStart, lambda one: one.tool_name) == ["task"]


def test_old_versions_write_one_message_a_prompt_whose_own_numbers_count_as_a_lower_bound() -> None:
    finished = {"type": "step-finish", "tokens": {"input": 900}, "cost": 9}
    parts = [tool("c", 1, 2), finished, {"type": "step-start"}, said("done"), finished]
    message = answer("a", 0.1, 5, *parts, finish=None)
    events = read(session(version="0.4.1"), user("u", 0), message)
    assert (outcomes(events), totals(events).tokens["input"]) == (["ok"], 130)
    assert answers(events)[0].usage.partial is True
    assert outcomes(read(session(), user("u", 0), answer("a", 0.1, 5, said(), tool("c", 1, 2), finish=None))) == []


# --- what went wrong -------------------------------------------------------------------------------------------------------


def test_a_failed_tool_is_an_error_and_a_refused_one_says_so() -> None:
    refused = "The user rejected permission to use this specific tool call."
    parts = [
        tool(str(n), 1, 2, status="error", error=text)
        for n, text in enumerate(["no", refused, "Tool execution aborted"])
    ]
    events = read(session(), user("u", 0), answer("a", 0.1, 5, *parts))
    assert [one or None for one in each(events, ToolExecutionEnd, lambda end: end.error_type)] == [
        None,
        "permission_denied",
        "cancelled",
    ]
    assert totals(events).errors == 3


def test_an_interrupt_cancels_the_loop_and_the_tools_that_ran() -> None:
    waits = tool("c2", 0, status="pending", time={})
    events = read(
        session(),
        user("u", 0),
        answer("a", 0.1, 9, tool("c1", 2), waits, error=aborted()),
        user("v", 20),
        answer("b", 21, 22, to="v"),
    )
    assert outcomes(events) == ["cancelled", "ok"]
    assert each(events, ToolExecutionEnd, lambda end: (end.tool_call_id, end.error_type)) == [("c1", "cancelled")]
    assert totals(events).tools == 2


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"name": "APIError", "data": {"statusCode": 429, "message": "slow"}}, "rate_limited"),
        ({"name": "APIError", "data": {"message": "bad"}}, "api_error"),
        ({"name": "ProviderAuthError", "data": {"message": "key"}}, "auth_error"),
        ({"name": "ContextOverflowError", "data": {}}, "context_overflow"),
        ({"name": "SomethingNew"}, None),
        ({"data": 7}, None),
    ],
)
def test_an_answer_that_failed_ends_the_loop(error: Any, word: str | None) -> None:
    events = read(session(), user("u", 0), answer("a", 0.1, 2, tokens=NO_TOKENS, error=error))
    assert [(one.stop_reason, one.error_type or None) for one in answers(events)] == [("error", word)]
    (end,) = (event for event in events if isinstance(event, AgentEnd))
    assert b"outcome" not in encode_event(end)  # the turn says it


def test_attempts_that_were_made_again_are_counted_and_no_calls() -> None:
    parts = ({"type": "retry", "attempt": 1, "error": {}, "time": {"created": 1}}, said())
    assert counted(session(), user("u", 0), answer("a", 0.1, 5, *parts))["retries"] == 1
    assert totals(read(session(), user("u", 0), answer("a", 0.1, 5, *parts))).calls == 1


# --- answers that grow -------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_not_complete_waits_for_the_next_one_or_the_end() -> None:
    half = answer("a", 0.1, None, said("so f"))
    fold = OPENCODE.fold(_context())
    assert fed(fold, session(), user("u", 0), half, user("v", 1)) == []
    assert len(fold.settle("silence")) == 0
    events = fold.settle("end")
    assert [message.stop_reason for message in answers(events)] == ["aborted"]
    assert loops(events) == [("msg_u", "Initial")]
    events = read(session(), user("u", 0), half, user("v", 1), answer("b", 2, 3, to="v"))  # the first was killed
    assert [message.stop_reason for message in answers(events)] == ["aborted", "stop"]
    assert loops(events) == [("msg_u", "Initial"), ("msg_v", "Initial")]


def test_an_answer_given_again_when_it_has_grown_is_told_once() -> None:
    fold, records = OPENCODE.fold(_context()), [session(), user("u", 0), answer("a", 0.1, None, tool("c", 1))]
    assert fed(fold, *records) == []
    done = data(answer("a", 0.1, 5, tool("c", 1, 4)))
    events = [*fold.record(lines_of(data(*records))[-2][0], done), *fed(fold, answer("b", 5, 6))]
    assert (totals(events).calls, outcomes(events)) == (2, ["ok"])


def test_a_fold_killed_and_rebuilt_anywhere_goes_on_to_the_same_events() -> None:
    records = [
        *of(story(), SESSION),
        user("w", 60),
        answer("x", 60.1, None, said()),
        user("y", 61),
        answer("z", 62, 63, to="y"),
    ]
    whole = [encode_event(event) for event in read(*records)]
    for kill_after in (1, 2, 3, 5):
        assert [encode_event(event) for event in read(*records, kill_after=kill_after)] == whole


# --- tokens ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "output"),
    [({}, 7), ({"total": 10 + 5 + 2 + 120}, 7), ({"total": 10 + 5 + 120}, 5), ({"total": 99}, 7), ({"total": "x"}, 7)],
)
def test_reasoning_is_beside_the_output_unless_the_total_says_that_it_is_in_it(more: Any, output: int) -> None:
    events = read(session(), user("u", 0), answer("a", 0.1, 5, tokens={**TOKENS, **more}))
    assert totals(events).tokens == {
        "input": 130,
        "output": output,
        "reasoning": 2,
        "cache_read": 100,
        "cache_write": 20,
    }


def test_what_has_another_type_than_it_should_counts_as_not_there() -> None:
    odd: dict[str, Any] = {"tokens": 7, "cost": "x", "modelID": 3, "error": [], "agent": {}, "variant": 1, "path": None}
    events = read(session(title=5, directory=None, version=[]), user("u", 0), answer("a", 0.1, 5, **odd))
    assert (totals(events).calls, totals(events).measured) == (1, 0)
    strange = {"info": {"id": 5, "sessionID": SESSION, "role": "assistant", "time": "late"}, "parts": {"a": 1}}
    events, counts = folded(OPENCODE, data(session(), user("u", 0), strange))
    assert (len(answers(events)), counts["no_time"]) == (1, 1)


def test_broken_records_and_parts_cost_themselves_and_are_counted() -> None:
    whole = answer("a", 0.1, 5, said(), {"type": "new-kind", "x": 1})
    damaged = {**whole, "parts": [*whole["parts"], 7, None]}
    events, counts = folded(OPENCODE, data(session(), user("u", 0), damaged) + b'{"info": 5}\nnull\n{"info"\n')
    assert (counts["bad_lines"], counts["bad_parts"], counts["skipped:part/new-kind"]) == (3, 2, 1)
    assert totals(events).calls == 1
    assert (
        counted(session(), {"info": {"id": "msg_s", "role": "system", "time": {}}, "parts": []})["skipped:role/system"]
        == 1
    )


# --- compactions -------------------------------------------------------------------------------------------------------------


def test_a_compaction_is_a_call_beside_the_turns_of_the_loop_that_goes_on_after_it() -> None:
    events = read(*of(story(), SESSION)[:10])
    assert loops(events) == [("msg_u1", "Initial"), ("msg_u2", "Initial"), ("msg_a4", "Compaction")]
    assert each(events, CompactionEnded, lambda one: (one.loop_id, one.estimated_tokens_before)) == [
        (f"{SESSION}.msg_u2", 130)
    ]
    assert (totals(events).calls, totals(events).cost_usd) == (5, 2.5)
    assert outcomes(events) == ["ok", "ok", "ok"]


def test_a_compaction_that_the_user_asks_for_stands_after_the_loop() -> None:
    asked = [user("c", 10, {"type": "compaction", "auto": False}), answer("s", 10.1, 12, to="c", summary=True)]
    events = read(session(), user("u", 0), answer("a", 0.1, 5), *asked, user("v", 20), answer("b", 20.1, 25, to="v"))
    assert loops(events) == [("msg_u", "Initial"), ("msg_s", "Compaction"), ("msg_v", "Initial")]
    assert each(events, CompactionEnded, id) == []


# --- copies and sub-agents -----------------------------------------------------------------------------------------------------


def test_a_fork_leaves_what_it_copied_under_other_ids_to_the_session_that_said_it() -> None:
    claims = ClaimsInMemory()
    read(*of(story(), SESSION), claims=claims)
    events, counts = folded(OPENCODE, data(*of(story(), FORK)), claims=claims)
    assert loops(events) == [("msg_f1", {"Branch": Tag()})]
    assert (counts["copied_calls"], counts["copied_prompts"], totals(events).calls) == (2, 1, 1)
    assert totals(read(*of(story(), FORK))).calls == 3  # where the other one is gone, it is the fork's


def test_messages_that_only_look_alike_are_no_copies() -> None:
    claims, other = ClaimsInMemory(), "ses_other"
    same = [user("u", 0), answer("a", 0.1, 5)]
    read(session(), *same, claims=claims)
    assert totals(read(session(other), *(renamed(one, other) for one in same), claims=claims)).calls == 1
    assert (
        totals(read(session(), *same, claims=claims, name="backup")).calls == 1
    )  # the same loop: told twice, sent once


def test_a_sub_agent_is_of_its_roots_session_and_each_prompt_of_the_call_that_gave_it() -> None:
    calls = {CHILD: "c1", f"{CHILD}#2": "c7"}
    again = [user("d", 40, own=CHILD), answer("e", 41, 42, to="d", own=CHILD), user("f", 50, own=CHILD)]
    again += [answer("g", 51, 52, to="f", own=CHILD)]
    events = read(*of(story(), CHILD), *again, parent_call=calls.get, session=SESSION)
    assert each(events, AgentStart, lambda one: (one.session_id, one.parent_tool_call_id)) == [
        (SESSION, "c1"),
        (SESSION, "c7"),
        (SESSION, "c1"),
    ]
    assert each(events, AgentStart, lambda one: one.agent_name) == ["explore", "build", "build"]
    assert (
        loops(read(session(CHILD, parentID="ses_gone"), user("u", 0, own=CHILD), answer("a", 1, 2, own=CHILD)))[0][1]
        == "SubAgent"
    )


def test_a_message_names_all_the_sub_agents_that_its_tools_ran() -> None:
    line = msgspec.json.encode(answer("a", 1, 9, task("c1", 1, 2), tool("c2", 1, 2), task("c3", 1, 3, FORK)))
    assert OPENCODE.children(line) == [(CHILD, "c1"), (FORK, "c3")]
    assert OPENCODE.children(msgspec.json.encode(user("u", 0))) == []


# --- content -------------------------------------------------------------------------------------------------------------------


def test_what_was_said_asked_and_answered_is_in_the_events() -> None:
    file = {"type": "file", "mime": "image/png", "url": "data:image/png;base64,AAAA", "filename": "x.png"}
    plain = {"type": "file", "mime": "text/plain", "url": "file:///w/x", "filename": "x"}
    asked = user("u", 0, said("look"), said("hidden", synthetic=True), file, plain)
    thought = {"type": "reasoning", "text": "hm", "time": {"start": 1}}
    events = read(session(), asked, answer("a", 0.1, 5, thought, said("yes"), tool("c", 1, 2)))
    heard = next(
        event.message for event in events if isinstance(event, MessageEnd) and isinstance(event.message, UserMessage)
    )
    assert msgspec.json.decode(heard.content) == [
        {"type": "text", "text": "look"},
        {"type": "image", "data": "AAAA", "mimeType": "image/png"},
        {"type": "text", "text": "[text/plain: x]"},
    ]
    assert msgspec.json.decode(answers(events)[0].content) == [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "yes"},
        {"type": "toolCall", "id": "c", "name": "bash", "arguments": {"command": "ls"}},
    ]
    assert each(events, ToolExecutionEnd, lambda end: msgspec.json.decode(end.result.content)) == [
        [{"type": "text", "text": "out"}]
    ]


def test_with_content_on_the_spans_have_it_and_with_content_off_none_of_it() -> None:
    thought = {"type": "reasoning", "text": "first the folder"}
    asked = user("u", 0, said("which files"))
    events = read(session(), asked, answer("a", 0.1, 5, thought, said("I look"), tool("c", 1, 2)), answer("b", 5, 8))
    by_role = {role(span): span for span in spans(events, resolve(capture_content=True, service_name="t"))}
    first = next(
        span for span in spans(events, resolve(capture_content=True, service_name="t")) if role(span) == "chat"
    )
    said_of = str(first.get(s.OUTPUT_MESSAGES))
    assert [words in said_of for words in ("first the folder", "I look", '"tool_call"')] == [True] * 3
    assert "which files" in str(first.get(s.INPUT_MESSAGES))
    assert "which files" in str(by_role["loop"].get(s.INPUT_VALUE))
    assert (by_role["tool"].get(s.TOOL_ARGUMENTS), "out" in str(by_role["tool"].get(s.TOOL_RESULT))) == (
        '{"command":"ls"}',
        True,
    )
    off = list(spans(events, resolve(service_name="t")))
    assert not any(
        span.get(key) for span in off for key in (s.OUTPUT_MESSAGES, s.INPUT_MESSAGES, s.INPUT_VALUE, s.TOOL_RESULT)
    )
