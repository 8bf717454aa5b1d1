"""ATIF trajectories: loops, turns and tools of steps; sub-agents within and beside; continuations; times that nobody told."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    MessageEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResultMessage,
    TurnEnd,
    TurnStart,
    UserMessage,
    encode_event,
)
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.sources.agents.adapter import Context, resume_position
from otel_phi.sources.agents.atif import Atif
from otel_phi.sources.agents.claims import ClaimsInMemory
from tests.laws import role
from tests.sources.agents import test_claude_code as claude
from tests.sources.agents.samples import LATER_NS, each, folded, totals
from tests.sources.agents.samples import written as lines_of_records

ATIF = Atif()
SECOND = 1_000_000_000


def at(second: int) -> str:
    return f"2026-03-01T10:{second // 60:02}:{second % 60:02}Z"


def user(number: int, second: int | None = None, words: Any = "do it", **more: Any) -> dict[str, Any]:
    return step(number, "user", second, message=words, **more)


def agent(number: int, second: int | None = None, *calls: str, results: Any = None, **more: Any) -> dict[str, Any]:
    """Returns an agent's step with tool calls, each of which has a result; `results` gives others."""
    called = [{"tool_call_id": call, "function_name": "bash", "arguments": {"cmd": "ls"}} for call in calls]
    answers = [{"source_call_id": call, "content": "ok"} for call in calls] if results is None else results
    metrics = {"prompt_tokens": 100, "completion_tokens": 10, "cached_tokens": 40, "cost_usd": 0.01}
    whole = step(number, "agent", second, message="so", metrics=metrics, **more)
    whole |= {"tool_calls": called} if calls else {}
    return whole | ({"observation": {"results": answers}} if answers else {})


def step(number: int, source: str, second: int | None, **more: Any) -> dict[str, Any]:
    return {"step_id": number, "source": source, **({} if second is None else {"timestamp": at(second)}), **more}


def trajectory(*steps: dict[str, Any], version: str = "ATIF-v1.6", name: str = "t", **more: Any) -> dict[str, Any]:
    own = {"name": "terminus-2", "version": "2.0.0", "model_name": "openai/gpt-4o"}
    return {"schema_version": version, "session_id": name, "agent": own, "steps": list(steps), **more}


def written(document: Any) -> bytes:
    return json.dumps(document, indent=2).encode()


def read(document: Any, **world: Any) -> list[Any]:
    return folded(ATIF, written(document), **world)[0]


def loops(events: Any) -> list[Any]:
    return each(events, AgentStart, lambda start: (start.loop_id, start.continuation_kind))


def saved(folder: Path, **documents: Any) -> Path:
    """Writes documents, `a__b` as `a.b.json`, all of one time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        path = folder / f"{name.replace('__', '.').replace('_', '-')}.json"
        path.write_bytes(written(document))
        os.utime(path, (LATER_NS // SECOND,) * 2)
    return folder


def made(*paths: Path) -> list[Span]:
    from tests.sources.agents.test_stored import made as all_made

    return all_made(*paths)[0]


def named(found: list[Span], name: str) -> Span:
    (span,) = (span for span in found if role(span) == "loop" and str(span.get(s.LOOP_ID)).startswith(f"{name}."))
    return span


# --- steps -----------------------------------------------------------------------------------------------------------------


def test_users_steps_are_loops_agents_are_turns_and_a_systems_are_neither() -> None:
    events = read(trajectory(step(1, "system", 0, message="be good"), user(2, 1), agent(3, 2, "c"), agent(4, 5), user(5, 9), agent(6, 12)))  # fmt: skip
    assert loops(events) == [("t.2", "Initial"), ("t.5", "Initial")]
    found = totals(events)
    assert (found.calls, found.tools, found.results) == (3, 1, 1)
    assert found.tokens == Counter(input=300, output=30, cache_read=120, cache_write=0, reasoning=0)
    assert found.cost_usd == pytest.approx(0.03)
    assert each(events, AgentEnd, lambda end: end.outcome) == ["ok", "ok"]


def test_users_steps_in_a_row_are_one_prompt_and_answers_without_any_have_a_loop() -> None:
    assert loops(read(trajectory(user(1, 0), user(2, 1), agent(3, 2)))) == [("t.1", "Initial")]
    assert loops(read(trajectory(agent(1, 0, "c"), agent(2, 2)))) == [("t.1", "Initial")]


def test_copied_context_is_no_step() -> None:
    copied = {"is_copied_context": True}
    events, counts = folded(ATIF, written(trajectory(user(1, 0, **copied), agent(2, 1, "c", **copied), agent(3, 2))))
    assert (totals(events).calls, counts["copied_steps"]) == (1, 2)
    assert loops(events) == [("t.3", "Initial")]


def test_a_step_that_no_model_was_asked_for_is_tools_alone_and_one_of_several_calls_is_one_turn() -> None:
    dispatch = agent(2, 1, "c", llm_call_count=0)
    del dispatch["metrics"]
    events = read(trajectory(user(1, 0), dispatch, agent(3, 2, llm_call_count=3)))
    assert (totals(events).calls, totals(events).tools) == (1, 1)
    assert len(each(events, TurnEnd, bool)) == 2
    assert totals(events).tokens["input"] == 100


def test_usage_includes_cached_tokens_and_knows_those_written_and_thought() -> None:
    extra = {"cache_creation_input_tokens": 30, "reasoning_tokens": 700}
    metrics = {"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": 60, "extra": extra, "logprobs": [0.1]}
    found = totals(read(trajectory(user(1, 0), agent(2, 1) | {"metrics": metrics})))
    assert found.tokens == Counter(input=100, output=50, cache_read=60, cache_write=30, reasoning=50)


@pytest.mark.parametrize(
    ("of_step", "of_agent", "wanted"),
    [
        (None, "openai/gpt-4o", ("openai/gpt-4o", "openai")),
        ("gpt-4o", "openai/gpt-4o", ("gpt-4o", "openai")),
        ("claude-x", "openai/gpt-4o", ("claude-x", "")),
        ("openrouter/a/b", None, ("openrouter/a/b", "openrouter")),
        (7, None, ("", "")),
    ],
)
def test_a_models_name_says_who_serves_it_or_nobody_does(of_step: Any, of_agent: Any, wanted: tuple[str, str]) -> None:
    document = trajectory(user(1, 0), agent(2, 1, model_name=of_step))
    document["agent"]["model_name"] = of_agent
    messages = [event.message for event in read(document) if isinstance(event, MessageEnd)]
    assert [(one.model, one.provider) for one in messages if isinstance(one, AssistantMessage)] == [wanted]


@pytest.mark.parametrize(("effort", "level"), [("high", "high"), (0.5, "0.5"), (True, None), ("very much so", None)])
def test_how_much_the_model_was_to_think_is_a_word_or_a_number(effort: Any, level: str | None) -> None:
    (start,) = each(read(trajectory(user(1, 0), agent(2, 1, reasoning_effort=effort))), AgentStart, lambda one: one)
    assert start.config_snapshot.thinking_level == level


def test_tokens_that_stand_where_no_model_was_asked_for_are_counted_all_the_same() -> None:
    metrics = {"prompt_tokens": 7, "completion_tokens": 1}
    beside = step(3, "system", 3, message="", metrics=metrics)
    found = totals(read(trajectory(user(1, 0), agent(2, 1, llm_call_count=0), beside, agent(4, 5))))
    assert (found.calls, found.tokens["input"], found.side["input"]) == (2, 200, 7)


# --- tools -----------------------------------------------------------------------------------------------------------------


def test_a_tool_is_as_long_as_nothing_and_its_span_says_that_nobody_told_its_time(tmp_path: Path) -> None:
    found = made(saved(tmp_path, t=trajectory(user(1, 0), agent(2, 4, "c"), agent(3, 9))))
    (tool,) = (span for span in found if role(span) == "tool")
    assert (tool.end_ns - tool.start_ns, tool.get(s.TIME_INFERRED)) == (1, True)
    assert [span.get(s.TIME_INFERRED) for span in found if role(span) == "turn"] == [None, None]


def test_results_without_their_calls_id_are_told_by_their_order_if_there_are_as_many() -> None:
    two = [{"content": "one"}, {"content": "two"}]
    events, counts = folded(ATIF, written(trajectory(user(1, 0), agent(2, 1, "a", "b", results=two), agent(3, 2))))
    results = [event.message for event in events if isinstance(event, MessageEnd) and isinstance(event.message, ToolResultMessage)]  # fmt: skip
    assert [(one.tool_call_id, b"one" in bytes(one.content)) for one in results] == [("a", True), ("b", False)]
    assert counts["unmatched_results"] == 0
    events, counts = folded(ATIF, written(trajectory(user(1, 0), agent(2, 1, "a", "b", results=two[:1]), agent(3, 2))))
    assert (totals(events).results, counts["unmatched_results"]) == (0, 1)
    mixed = [{"source_call_id": "b", "content": "b"}, {"content": "one"}]
    assert totals(read(trajectory(user(1, 0), agent(2, 1, "a", "b", results=mixed)))).results == 2


def test_a_tool_without_a_result_went_on_and_is_no_error(tmp_path: Path) -> None:
    document = trajectory(user(1, 0), agent(2, 1, "a", results=[]), agent(3, 2, "finish", results=[]))
    events = read(document)
    assert each(events, ToolExecutionEnd, lambda end: end.outcome) == ["detached", "detached"]
    found = made(saved(tmp_path, t=document))
    assert [span.get(s.ERROR_TYPE) for span in found] == [None] * len(found)


def test_a_text_that_speaks_of_an_error_makes_none() -> None:
    wrong = [{"source_call_id": "a", "content": "Error: no such file"}]
    assert totals(read(trajectory(user(1, 0), agent(2, 1, "a", results=wrong)))).errors == 0


def test_a_result_in_a_later_step_ends_its_tool_and_a_call_id_may_come_again() -> None:
    late = step(3, "system", 7, message="", observation={"results": [{"source_call_id": "a", "content": "ok"}]})
    events = read(trajectory(user(1, 0), agent(2, 1, "a", results=[]), late, agent(4, 9, "a")))
    assert (totals(events).tools, totals(events).results) == (2, 2)
    ends = each(events, ToolExecutionEnd, lambda end: int(end.timestamp) // SECOND % 60)
    assert ends == [7, 9]


def test_what_the_world_answers_an_agent_without_tools_is_said_to_it() -> None:
    heard = trajectory(user(1, 0), agent(2, 1, results=[{"content": "$ ls"}]), agent(3, 2))
    said = [event.message for event in read(heard) if isinstance(event, MessageEnd)]
    assert [b"$ ls" in bytes(one.content) for one in said if isinstance(one, UserMessage)] == [False, True]


def test_calls_of_one_id_in_a_step_and_calls_without_one_are_all_told() -> None:
    calls = [{"tool_call_id": "a", "function_name": "x"}, {"tool_call_id": "a", "function_name": "y"}, {"arguments": 3}]
    events = read(trajectory(user(1, 0), agent(2, 1) | {"tool_calls": calls}))
    assert len(set(each(events, ToolExecutionStart, lambda start: start.tool_call_id))) == 3


# --- times -----------------------------------------------------------------------------------------------------------------


def test_a_pause_after_an_answer_ends_the_loop_and_one_while_the_world_answers_does_not() -> None:
    assert len(loops(read(trajectory(user(1, 0), agent(2, 1), agent(3, 200))))) == 2
    busy = agent(2, 1, results=[{"content": "$"}])
    assert len(loops(read(trajectory(user(1, 0), busy, agent(3, 200))))) == 1


def test_a_step_without_a_time_has_the_one_before_and_the_first_the_next() -> None:
    events, counts = folded(ATIF, written(trajectory(user(1), agent(2, 5, "c"), agent(3), agent(4, 9))))
    assert counts["no_time"] == 2
    starts = each(events, AgentStart, lambda start: int(start.timestamp) // SECOND % 60)
    assert starts == [5]


def test_a_time_without_a_zone_is_utc() -> None:
    document = trajectory(
        user(1) | {"timestamp": "2026-03-01T10:00:00.5"}, agent(2) | {"timestamp": "2026-03-01T11:00:01+01:00"}
    )
    (start,) = each(read(document), AgentStart, lambda start: int(start.timestamp))
    (turn,) = each(read(document), TurnEnd, lambda turn: int(turn.timestamp))
    assert turn - start == SECOND // 2


def test_a_trajectory_without_times_has_made_ones_and_every_span_says_so(tmp_path: Path) -> None:
    found = made(saved(tmp_path, t=trajectory(user(1), agent(2, None, "c"), agent(3))))
    assert {span.get(s.TIME_INFERRED) for span in found if role(span) in ("turn", "chat", "tool", "loop")} == {True}
    loop = named(found, "t")
    assert (loop.end_ns, loop.end_ns - loop.start_ns) == (LATER_NS, 2_000_000)


@pytest.mark.parametrize("nested", [True, False])
def test_a_trials_result_says_when_a_trajectory_without_times_was(tmp_path: Path, nested: bool) -> None:
    times = {"started_at": "2026-03-01T10:00:00Z", "finished_at": "2026-03-01T10:01:00+00:00"}
    result = {"agent_execution": times} if nested else times
    saved(tmp_path / "trial", result=result)
    found = made(saved(tmp_path / "trial" / "agent", trajectory=trajectory(user(1), agent(2, None, "c"), agent(3))))
    loop = named(found, "t")
    assert (loop.end_ns - loop.start_ns) // SECOND == 60
    assert {span.get(s.TIME_INFERRED) for span in found if role(span) == "turn"} == {True}


# --- sub-agents ------------------------------------------------------------------------------------------------------------


def asks(number: int, second: int, **reference: str) -> dict[str, Any]:
    named = [{"source_call_id": "call", "content": "done", "subagent_trajectory_ref": [reference]}]
    return agent(number, second, "call", results=named)


def child(name: str, version: str = "ATIF-v1.6", **more: Any) -> dict[str, Any]:
    found = trajectory(user(1, 2), agent(2, 3), version=version, name=name, **more)
    return found | {"agent": {"name": "scout", "version": "1"}}


def stands_under_its_tool(found: list[Span], name: str, session: str = "t") -> None:
    loop = named(found, name)
    assert (loop.get(s.LOOP_KIND), loop.get(s.SESSION_ID), loop.get(s.AGENT_NAME)) == ("subagent", session, "scout")
    assert next(span for span in found if span.span_id == loop.parent_span_id).get(s.TOOL_CALL_ID) == "call"


@pytest.mark.parametrize("version", ["ATIF-v1.7", "ATIF-v1.8"])
def test_a_sub_agent_within_the_document_stands_under_the_tool_that_names_it(tmp_path: Path, version: str) -> None:
    inner = child("t", version, trajectory_id="inner")  # the run's session id is its own, too
    outer = trajectory(user(1, 0), asks(2, 1, trajectory_id="inner"), agent(3, 9), version=version, trajectory_id="o")
    found = made(saved(tmp_path, t=outer | {"subagent_trajectories": [inner]}))
    stands_under_its_tool(found, "inner")
    (tool,) = (span for span in found if role(span) == "tool")
    assert tool.get(s.CHILD_LOOP) == "inner.1"
    assert sum(role(span) == "chat" for span in found) == 3


def test_two_trajectories_in_one_document_are_two_each_under_the_one_that_names_it(tmp_path: Path) -> None:
    parent = trajectory(user(1, 0), asks(2, 1, session_id="inner"), agent(3, 9))
    for number, document in enumerate([{"p": parent, "c": child("inner")}, [child("inner"), parent]]):
        stands_under_its_tool(made(saved(tmp_path / str(number), t=document)), "inner")
    apart = made(saved(tmp_path / "2", t=[trajectory(user(1, 0), agent(2, 1), name="a"), child("b")]))
    assert {span.get(s.SESSION_ID) for span in apart} == {"a", "b"}


def test_a_document_of_lines_is_read_too(tmp_path: Path) -> None:
    lines = b"\n".join(json.dumps(trajectory(user(1, 0), agent(2, 1), name=name)).encode() for name in "ab")
    (tmp_path / "x.jsonl").write_bytes(lines)
    assert {span.get(s.SESSION_ID) for span in made(tmp_path / "x.jsonl")} == {"a", "b"}


@pytest.mark.parametrize("reference", [{"trajectory_path": "logs/t.sub.json"}, {"session_id": "inner"}])
def test_a_sub_agents_own_file_stands_under_the_tool_that_names_it(tmp_path: Path, reference: dict[str, str]) -> None:
    outer = trajectory(user(1, 0), asks(2, 1, **reference), agent(3, 9))
    found = made(saved(tmp_path, t=outer, t__sub=child("inner")))
    stands_under_its_tool(found, "inner")
    assert sum(role(span) == "chat" for span in found) == 3


def test_a_sub_agent_that_a_systems_step_names_stands_under_its_loop(tmp_path: Path) -> None:
    refers = [{"subagent_trajectory_ref": [{"session_id": "inner", "trajectory_path": "t.sub.json"}]}]
    handoff = step(3, "system", 2, message="handoff", observation={"results": refers})
    found = made(saved(tmp_path, t=trajectory(user(1, 0), agent(2, 1), handoff), t__sub=child("inner")))
    assert named(found, "inner").parent_span_id == named(found, "t").span_id


def test_a_sub_agents_file_alone_names_its_session(tmp_path: Path) -> None:
    inner = child("inner")
    inner["agent"]["extra"] = {"parent_session_id": "t-cont-2"}
    found = made(saved(tmp_path, t__sub=inner))
    assert (named(found, "inner").get(s.SESSION_ID), named(found, "inner").get(s.LOOP_KIND)) == ("t", "subagent")


def test_a_session_id_of_a_run_names_nobody_and_a_sub_agent_that_nobody_names_is_told_once(tmp_path: Path) -> None:
    inner = child("inner", "ATIF-v1.7", trajectory_id="x")
    outer = trajectory(user(1, 0), asks(2, 1, session_id="inner"), agent(3, 9), version="ATIF-v1.7")
    found = made(saved(tmp_path, t=outer | {"subagent_trajectories": [inner]}))
    assert named(found, "x").parent_span_id == named(found, "t").span_id
    assert sum(role(span) == "chat" for span in found) == 3


def test_a_sub_agent_that_is_within_its_parents_and_in_a_file_is_counted_once(tmp_path: Path) -> None:
    inner = child("t", "ATIF-v1.7", trajectory_id="inner")
    outer = trajectory(user(1, 0), asks(2, 1, trajectory_id="inner", trajectory_path="t.sub.json"), version="ATIF-v1.7")
    found = made(saved(tmp_path, t=outer | {"subagent_trajectories": [inner]}, t__sub=inner))
    assert sum(role(span) == "chat" for span in found) == 2
    stands_under_its_tool(found, "inner")


def test_a_sub_agents_file_of_its_parents_run_has_loops_of_its_own_named_after_no_path(tmp_path: Path) -> None:
    outer = trajectory(user(1, 0), asks(2, 1, trajectory_path="t.sub.json"), version="ATIF-v1.7")
    found = made(saved(tmp_path, t=outer, t__sub=child("t", "ATIF-v1.7")))
    loops = {str(span.get(s.LOOP_ID)) for span in found if role(span) == "loop"}
    assert loops == {"t.1", "t.t.sub.json.1"}
    stands_under_its_tool(found, "t.t")


def test_a_sub_agent_within_that_has_its_parents_run_for_an_id_alone_is_counted(tmp_path: Path) -> None:
    outer = trajectory(user(1, 0), agent(2, 1), version="ATIF-v1.7")
    found = made(
        saved(tmp_path, t=outer | {"subagent_trajectories": [child("t", "ATIF-v1.7"), child("", "ATIF-v1.7")]})
    )
    assert sum(role(span) == "chat" for span in found) == 3
    assert len({span.get(s.LOOP_ID) for span in found if role(span) == "loop"}) == 3


def test_sub_agents_within_sub_agents_and_circles_come_to_an_end(tmp_path: Path) -> None:
    deep = child("t", "ATIF-v1.7", trajectory_id="deep")
    deep["steps"].append(asks(3, 4, trajectory_id="middle"))
    middle = trajectory(asks(1, 2, trajectory_id="deep"), version="ATIF-v1.7", trajectory_id="middle")
    outer = trajectory(user(1, 0), asks(2, 1, trajectory_id="middle"), version="ATIF-v1.7", trajectory_id="o")
    found = made(saved(tmp_path, t=outer | {"subagent_trajectories": [middle, deep]}))
    assert sum(role(span) == "chat" for span in found) == 4
    stands_under_its_tool(found, "deep")


def test_side_steps_of_a_converted_claude_session_are_a_sub_agents() -> None:
    side = {"extra": {"is_sidechain": True, "agent_id": "a1"}}
    events = read(trajectory(user(1, 0), agent(2, 1, "c"), user(3, 2, **side), agent(4, 3, **side), agent(5, 4)))
    assert loops(events) == [("t.1", "Initial"), ("t.a1.3", "SubAgent")]
    assert totals(events).calls == 3


# --- continuations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["session", "agent", "name", "reference"])
def test_a_continuation_is_of_the_same_session_and_comes_after_what_it_continues(tmp_path: Path, told: str) -> None:
    copied = user(1, 0, is_copied_context=True)
    more = trajectory(copied, agent(2, 9), name="t-cont-1" if told == "session" else "t", version="ATIF-v1.7")
    if told == "agent":
        more["agent"]["extra"] = {"continuation_index": 1}
    name = "trajectory__cont_1" if told == "name" else "a"
    if told == "reference":
        more["session_id"] = "of its own"
    reference = "logs/a.json" if told == "reference" else "trajectory.cont-1.json"
    first = trajectory(user(1, 0), agent(2, 1), continued_trajectory_ref=reference)
    found = made(saved(tmp_path, trajectory=first, **{name: more}))
    assert {span.get(s.SESSION_ID) for span in found} == {"t"}
    (later,) = (span for span in found if role(span) == "loop" and span.get(s.LOOP_KIND) == "default")
    (earlier,) = (span for span in found if role(span) == "loop" and span is not later)
    assert later.parent_span_id == earlier.span_id
    assert sum(role(span) == "chat" for span in found) == 2


def test_what_a_session_was_converted_from_is_read_in_its_place(tmp_path: Path) -> None:
    saved(tmp_path / "agent", trajectory=trajectory(user(1, 0), agent(2, 1), name=claude.SESSION))
    native = lines_of_records(claude.prompt(0, "p"), claude.spoke(1, "a"), claude.prompt(2, "q"), claude.spoke(3, "b"))
    (tmp_path / "agent" / "sessions").mkdir()
    (tmp_path / "agent" / "sessions" / "x.jsonl").write_bytes(native)
    found = made(tmp_path)
    assert {span.get(s.SOURCE_AGENT) for span in found if role(span) == "loop"} == {"claude-code"}
    alone = made(tmp_path / "agent" / "trajectory.json")
    assert {span.get(s.SOURCE_AGENT) for span in alone if role(span) == "loop"} == {"terminus-2"}


def test_a_chain_of_continuations_is_read_in_its_order_and_their_loops_are_told_apart(tmp_path: Path) -> None:
    chain = {"z": ("y", 0), "y": ("x", 10), "x": ("", 20)}
    for name, (more, second) in chain.items():
        ref = {"continued_trajectory_ref": f"{more}.json"} if more else {}
        saved(tmp_path, **{name: trajectory(user(1, second), agent(2, second + 1), version="ATIF-v1.7", **ref)})
    found = sorted((span for span in made(tmp_path) if role(span) == "loop"), key=lambda span: span.start_ns)
    assert [span.get(s.LOOP_ID) for span in found] == ["t.1", "t-cont-1.1", "t-cont-2.1"]
    assert [span.parent_span_id for span in found[1:]] == [span.span_id for span in found[:2]]


# --- documents -------------------------------------------------------------------------------------------------------------


def test_what_has_been_told_of_a_growing_document_is_not_told_again() -> None:
    steps = [user(1, 0), agent(2, 1, "a"), agent(3, 2, "b"), user(4, 5), agent(5, 7)]
    whole = [encode_event(event) for event in read(trajectory(*steps))]
    events: list[Any] = []
    context = Context(claims=ClaimsInMemory(), name="x")
    state = b""
    for known in range(1, len(steps) + 1):
        fold = ATIF.fold(context, state)  # a door that was killed after each change of the file
        events += fold.record(0, written(trajectory(*steps[:known])))
        state = fold.state
        assert len(state) < 1_000
    assert resume_position(state) == 0
    fold = ATIF.fold(context, state)
    events += [*fold.record(0, written(trajectory(*steps))), *fold.settle("end")]
    assert [encode_event(event) for event in events] == whole


def test_a_step_that_grows_is_told_as_it_is_when_the_next_one_comes() -> None:
    context = Context(claims=ClaimsInMemory(), name="x")
    fold = ATIF.fold(context)
    events = [*fold.record(0, written(trajectory(user(1, 0), agent(2, 1, "a", results=[]))))]
    events += fold.record(0, written(trajectory(user(1, 0), agent(2, 1, "a"), agent(3, 2))))
    events += fold.settle("end")
    assert (totals(events).results, totals(events).calls) == (1, 2)
    assert fold.settle("end") == []


def test_a_document_without_times_or_of_several_trajectories_is_told_when_it_is_at_rest() -> None:
    untimed = trajectory(user(1), agent(2))
    for document in (untimed, [trajectory(user(1, 0), agent(2, 1), name=name) for name in "ab"]):
        fold = ATIF.fold(Context(claims=ClaimsInMemory(), name="x", fallback_ns=LATER_NS))
        assert list(fold.record(0, written(document))) == []
        assert resume_position(fold.state) == 0
        assert totals(fold.settle("silence")).calls == (1 if document is untimed else 2)
        assert totals(fold.settle("end")).calls == 0


@pytest.mark.parametrize(
    "data",
    [b"{", b"null", b"[]", b"{}", b'{"schema_version": "ATIF-v1.6"}', b'{"steps": 3}', b'{"steps": [ ]}', b"\xff"],
)
def test_a_document_without_a_trajectory_is_damage_and_no_session(data: bytes) -> None:
    events, counts = folded(ATIF, data)
    assert (events, counts["bad_lines"]) == ([], 1)


def test_broken_parts_cost_themselves() -> None:
    odd: list[Any] = [3, None, "x", [], {"source": "tool"}, {"source": 5, "message": {}}]
    worse = agent(4, 4, "c", results=[7, {"source_call_id": 3, "subagent_trajectory_ref": [5, {}]}]) | {"metrics": "m"}
    document = trajectory(user("1", 0), *odd, agent(2, 1, extra=3), worse, agent(5, 9) | {"tool_calls": [1, {}]})  # type: ignore[arg-type]
    document |= {"agent": "me", "subagent_trajectories": [1, {}], "final_metrics": 3, "unknown": {"deep": [1]}}
    events, counts = folded(ATIF, written(document))
    assert (totals(events).calls, counts["bad_lines"]) == (3, 4)
    assert each(events, AgentStart, lambda start: start.agent_name) == ["atif"]


def test_totals_that_are_not_the_sum_of_the_steps_are_counted() -> None:
    for total, wanted in ((100, 0), (7_802, 1), (None, 0)):
        document = trajectory(user(1, 0), agent(2, 1), final_metrics={"total_prompt_tokens": total})
        assert folded(ATIF, written(document))[1]["other_totals"] == wanted


def test_a_state_is_small_whatever_ids_and_names_a_document_has() -> None:
    long = "x" * 100_000
    steps = [one for number in range(1, 40, 2) for one in (user(number, number), agent(number + 1, number + 1, long))]
    document = trajectory(*steps, name=long) | {"agent": {"name": long, "version": long, "model_name": long}}
    assert totals(folded(ATIF, written(document), kill_after=1)[0]).calls == 20


def test_a_turns_times_are_in_order_where_the_steps_are_not() -> None:
    events = read(trajectory(user(1, 9), agent(2, 5, "c"), agent(3, 3)))
    starts = each(events, TurnStart, lambda turn: int(turn.timestamp))
    ends = each(events, TurnEnd, lambda turn: int(turn.timestamp))
    assert all(end >= start for start, end in zip(starts, ends, strict=True))


@pytest.mark.parametrize("head", [b'{\n "steps": [{"step_id": 1, "source": "user"', b'{"schema_version":"ATIF-v1.9"'])
def test_a_trajectory_is_told_from_its_beginning_whatever_key_comes_first(head: bytes) -> None:
    assert ATIF.recognizes(head, "x")
    assert not ATIF.recognizes(b'{"type":"user","text":"{\\"schema_version\\": \\"ATIF-v1.6\\"}"}', "x")


def test_a_session_id_before_all_else_makes_no_saved_session_of_it(tmp_path: Path) -> None:
    document = trajectory(user(1, 0), agent(2, 1, extra={"agent_id": "a"}))
    whole = {"session_id": document.pop("session_id"), **document}
    assert {span.get(s.SESSION_ID) for span in made(saved(tmp_path, t=whole))} == {"t"}


def test_a_document_without_any_id_is_named_after_its_folder(tmp_path: Path) -> None:
    document = trajectory(user(1, 0), agent(2, 1), version="ATIF-v1.7", name="")
    for trial in ("one", "two"):
        saved(tmp_path / trial / "agent", trajectory=document)
    assert {span.get(s.SESSION_ID) for span in made(tmp_path)} == {"one/trajectory", "two/trajectory"}
