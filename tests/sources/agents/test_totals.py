"""Every sample's sessions, loops, calls, tools, errors and tokens are those that an independent script computed of the raw lines."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from otel_phi.events import AgentStart, encode_event
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.agents.registry import BY_NAME, adapter_of
from tests.laws import Run
from tests.sources.agents import samples
from tests.sources.agents.samples import Totals, expected, files, folded, records_of, same_tokens, sample, totals
from tests.test_laws import OPTIONS

# Where the raw lines are counted otherwise than the format means them, and FORMATS says so.
NO_LOOP = {
    "agtrace_claude_session.jsonl": 1,  # `/exit` at the end, which nothing answers
    "synthetic_0c1a0000-0000-4000-8000-000000000001.jsonl": 1,  # opened by the gateway's own words
}
NO_CALL = {"synthetic_0c1a0000-0000-4000-8000-000000000001.jsonl": 1}  # the same
HIDDEN_ERRORS = {
    "synthetic_0c1a0000-0000-4000-8000-000000000001.jsonl": 1
}  # `details.status`, where `isError` is false
# What a tool says that it spent is a nested agent's, which has a session of its own: it is not told a second time. The folder's
# totals and those of the same session's stream leave it out, too.
SPENT_BY_TOOLS = {
    "synthetic_2026-11-01T12-00-00-000Z_019f0000-0000-7000-8000-000000000003.jsonl": {"input": 5, "output": 7}
}
MAX_BYTES = 300_000  # of a sample whose spans are looked at one by one
MADE_LOOPS = {"user_message"}  # Codex: 0 loops where a file tells of none; its answers need one


def main_of(wanted: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = wanted.get("main", wanted)
    return found


def assert_same(found: Totals, wanted: dict[str, Any], name: str) -> None:
    same_tokens(found.tokens, wanted["tokens"])
    if "side_tokens" in wanted:
        same_tokens(found.side + Counter(SPENT_BY_TOOLS.get(name, {})), wanted["side_tokens"])
    assert found.tools == wanted.get("tool_calls", found.tools)
    assert found.results >= wanted.get(
        "answered_results", 0
    )  # those that name their call; others are told by their order
    assert found.results == wanted.get("tool_results", found.results)
    assert found.errors - HIDDEN_ERRORS.get(name, 0) == wanted.get("tool_errors", found.errors)
    if "usage_from" in wanted:
        assert found.measured == wanted["model_calls"]  # an answer without a usage is a call all the same
    else:
        assert found.calls + NO_CALL.get(name, 0) == wanted["model_calls"]
    if wanted.get("loops_from") in MADE_LOOPS and wanted["loops"] == 0:
        assert found.loops == 1
    else:
        assert found.loops + NO_LOOP.get(name, 0) == wanted["loops"]


@samples.needed
@pytest.mark.parametrize(("agent", "name"), files())
def test_a_sample_has_the_expected_totals(agent: str, name: str) -> None:
    path = sample(agent, name)
    events, counts = folded(BY_NAME[agent], records_of(path), name=path.stem)
    wanted = main_of(expected(agent)[name])
    assert_same(totals(events), wanted, name)
    assert counts["bad_lines"] == wanted.get("bad_lines", 0)


@samples.needed
@pytest.mark.parametrize(
    ("name", "inner"),
    [(name, inner) for name, wanted in expected("claude-code").items() for inner in wanted.get("subagents", {})],
)
def test_a_sub_agents_file_has_the_expected_totals(name: str, inner: str) -> None:
    path = sample("claude-code", name).with_suffix("") / "subagents" / inner
    events, _ = folded(BY_NAME["claude-code"], path.read_bytes(), name=path.stem)
    assert_same(totals(events), expected("claude-code")[name]["subagents"][inner], inner)


@samples.needed
@pytest.mark.parametrize(("agent", "name"), files())
def test_a_fold_killed_and_rebuilt_after_any_line_gives_the_same_events(agent: str, name: str) -> None:
    data = records_of(sample(agent, name))
    whole = [encode_event(event) for event in folded(BY_NAME[agent], data)[0]]
    many = data.count(b"\n")
    for kill_after in {1, 2, 3, 7, max(many // 20, 1)} if many < 200 else {1, 7, many // 20}:
        events, _ = folded(BY_NAME[agent], data, kill_after=kill_after)
        assert [encode_event(event) for event in events] == whole, kill_after


@samples.needed
@pytest.mark.parametrize(("agent", "name"), [one for one in files() if sample(*one).stat().st_size < MAX_BYTES])
def test_a_samples_spans_keep_the_laws(agent: str, name: str) -> None:
    events, _ = folded(BY_NAME[agent], records_of(sample(agent, name)))
    starts = [event for event in events if isinstance(event, AgentStart)]
    for options in OPTIONS:
        assert Run(events, options, ahead_of(starts)).broken() == []


@samples.needed
@pytest.mark.parametrize(("agent", "name"), files())
def test_a_samples_format_is_told_from_its_beginning(agent: str, name: str) -> None:
    found = adapter_of(records_of(sample(agent, name))[: 1 << 16], name)
    assert found is not None
    assert found.name == agent


@samples.needed
@pytest.mark.parametrize(("agent", "cost"), [("pi", 30.330198), ("openclaw", 0.032), ("opencode", 0.006)])
def test_what_the_calls_cost_is_told(agent: str, cost: float) -> None:
    name = "pi_v1_large-session.jsonl" if agent == "pi" else next(iter(expected(agent).keys() - {"_folder"}))
    assert totals(folded(BY_NAME[agent], records_of(sample(agent, name)))[0]).cost_usd == pytest.approx(cost)


_ANSWER = {"role": "assistant", "finish": "stop", "time": {"created": 5, "completed": 6}}


@pytest.mark.parametrize("agent", sorted(BY_NAME.keys() - {"atif", "gemini-cli"}))
def test_a_state_is_small_whatever_ids_and_names_a_file_has(agent: str) -> None:
    long = "x" * 100_000
    lines: list[dict[str, Any]] = [
        {"type": "session", "id": long, "timestamp": "2026-11-01T10:00:00Z", "cwd": long, "parentSession": f"/a/t_{long}.jsonl"},
        {"type": "session_meta", "timestamp": "2026-11-01T10:00:00Z", "payload": {"id": long, "cwd": long, "git": {"branch": long}}},
    ]  # fmt: skip
    for number in range(40):
        own = f"{number}{long}"
        message = {"id": own, "role": "assistant", "model": long, "content": [{"type": "text", "text": long}]}
        user = {"role": "user", "content": long, "timestamp": number + 1}
        common = {
            "uuid": own,
            "id": own,
            "sessionId": long,
            "timestamp": f"2026-11-01T10:00:{number:02}Z",
            "promptId": own,
        }
        lines += [
            {"type": "message", **common, "message": user},
            {"type": "message", **common, "message": {**message, "stopReason": "stop", "timestamp": number + 500}},
            {"type": "user", **common, "message": {"content": long}},
            {"type": "assistant", **common, "message": message},
            {"type": "event_msg", **common, "payload": {"type": "task_started", "turn_id": own}},
            {"type": "turn_context", **common, "payload": {"model": long, "effort": long}},
            {"type": "response_item", **common, "payload": {"type": "message", "role": "assistant", "content": long}},
            {"type": "ai-title", "title": long},
            {"info": {"id": long, "title": long, "version": long, "directory": long, "parentID": long, "time": {}}},
            {
                "info": {"id": f"u{own}", "sessionID": long, "role": "user", "time": {"created": number + 1}},
                "parts": [],
            },
            {"info": {**_ANSWER, "id": f"a{own}", "sessionID": long, "parentID": long}, "parts": []},
        ]
    events, _ = folded(BY_NAME[agent], samples.written(*lines), kill_after=1)  # asserts the size at each line
    assert totals(events).calls == 40
