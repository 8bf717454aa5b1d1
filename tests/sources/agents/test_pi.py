"""pi's and OpenClaw's sessions: times, retries, forks and branches, calls beside the turns, the stream."""

from __future__ import annotations

from typing import Any

from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    CompactionEnded,
    MessageEnd,
    SideCall,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnRequest,
    encode_event,
)
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.openclaw import OpenClaw
from otel_phi.sources.agents.pi import Pi
from tests.sources.agents.samples import each, folded, totals, written

PI = Pi()
SESSION = "019f0000-0000-7000-8000-000000000003"
BASE_MS = 1_793_527_200_000


def at(second: float) -> str:
    return f"2026-11-01T10:{int(second) // 60:02}:{second % 60:06.3f}Z"


def header(session: str = SESSION, **more: Any) -> dict[str, Any]:
    return {"type": "session", "version": 3, "id": session, "timestamp": at(0), "cwd": "/w", **more}


def entry(number: int, second: float, parent: int | None = None, **message: Any) -> dict[str, Any]:
    ids = {"id": f"{number:08}", "parentId": f"{number - 1 if parent is None else parent:08}"}
    stamp = BASE_MS + int(1_000 * message.pop("began", second))
    return {"type": "message", **ids, "timestamp": at(second), "message": {"timestamp": stamp, **message}}


def user(number: int, second: float, **more: Any) -> dict[str, Any]:
    return entry(number, second, role="user", content="do it", **more)


def spoke(number: int, second: float, *calls: str, stop: str = "stop", **more: Any) -> dict[str, Any]:
    content = [{"type": "toolCall", "id": one, "name": "bash", "arguments": {}} for one in calls]
    usage = {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 0, "cost": {"total": 0.5}}
    content = content or [{"type": "text", "text": "done"}]
    said: dict[str, Any] = {
        "role": "assistant",
        "provider": "openai",
        "model": "m",
        "api": "openai-responses",
        "stopReason": stop,
    }
    return entry(number, second, content=content, usage=usage, **said, **more)


def result(number: int, second: float, call: str, **more: Any) -> dict[str, Any]:
    facts = {"role": "toolResult", "toolCallId": call, "toolName": "bash", "content": "ok", "isError": False}
    return entry(number, second, **{**facts, **more})


def loops(events: Any) -> list[Any]:
    return each(events, AgentStart, lambda start: (start.loop_id.partition(".")[2], start.continuation_kind))


def read(*records: dict[str, Any], **world: Any) -> list[Any]:
    return folded(PI, written(*records), **world)[0]


def test_a_messages_time_is_its_start_and_its_entrys_time_its_end() -> None:
    events = read(header(), user(1, 1), spoke(2, 5, "t", began=1.5), result(3, 7, "t"), spoke(4, 9, began=7.5))
    assert each(events, TurnRequest, lambda one: int(one.timestamp) // 10**6 - BASE_MS) == [1_500, 7_500]
    told = [one.message for one in events if isinstance(one, MessageEnd)]
    assert [one.timestamp - BASE_MS for one in told if isinstance(one, AssistantMessage)] == [5_000, 9_000]
    assert each(events, ToolExecutionStart, lambda one: int(one.timestamp) // 10**6 - BASE_MS) == [5_000]
    assert totals(events).tokens["input"] == 2 * 110  # exclusive, whatever the provider


def test_a_retry_is_a_turn_of_the_same_loop_and_the_last_answer_tells_how_it_went() -> None:
    failed = {"stop": "error", "errorMessage": "fetch failed"}
    events = read(header(), user(1, 1), spoke(2, 2, **failed), spoke(3, 3))
    assert (totals(events).calls, loops(events)) == (2, [("00000001", "Initial")])
    assert each(events, AgentEnd, lambda end: end.outcome) == ["ok"]
    (end,) = (one for one in read(header(), user(1, 1), spoke(2, 2, **failed)) if isinstance(one, AgentEnd))
    assert b"outcome" not in encode_event(end)


def test_an_aborted_answer_cancels_the_loop() -> None:
    events = read(header(), user(1, 1), spoke(2, 2, "t", stop="aborted"), user(3, 3), spoke(4, 4))
    assert each(events, AgentEnd, lambda end: end.outcome) == ["cancelled", "ok"]


def test_a_fork_leaves_copied_entries_to_the_session_they_are_of() -> None:
    claims, history = ClaimsInMemory(), [user(1, 1), spoke(2, 2)]
    read(header(), *history, claims=claims)
    path = f"/home/u/.pi/agent/sessions/--w--/2026-11-01T10-00-00-000Z_{SESSION}.jsonl"
    fork = "019f0000-0000-7000-8000-000000000004"
    events = read(header(fork, parentSession=path), *history, user(3, 5), spoke(4, 6), claims=claims)
    assert (totals(events).calls, loops(events)) == (1, [("00000003", {"Branch": Tag()})])
    assert each(events, AgentStart, lambda start: start.parent_session_id) == [SESSION]


def test_an_entry_whose_parent_is_not_the_one_before_begins_a_branch_of_that_ones_loop() -> None:
    first = [user(1, 1), spoke(2, 2), user(3, 3), spoke(4, 4)]
    events = read(header(), *first, user(5, 5, parent=2), spoke(6, 6))
    assert loops(events)[-1] == ("00000005", {"Branch": Tag()})
    assert each(events, AgentStart, lambda start: start.parent_loop_id) == [None, None, f"{SESSION}.00000001"]


def test_calls_beside_the_turns_are_in_the_open_turn_or_a_loop_of_their_own() -> None:
    usage = {"input": 5, "output": 7}
    events, counts = folded(PI, written(header(), user(1, 1), spoke(2, 2, "t"), result(3, 3, "t", usage=usage)))
    assert each(events, SideCall, lambda one: one.id) == []  # a nested agent's, which has a session of its own
    assert counts["usage_of_tools"] == 1
    compaction = {"type": "compaction", "id": "00000003", "timestamp": at(3), "tokensBefore": 90, "usage": usage}
    events = read(header(), user(1, 1), spoke(2, 2), compaction, user(4, 4), spoke(5, 5))
    assert each(events, SideCall, lambda one: one.kind) == ["compaction"]
    assert each(events, CompactionEnded, lambda one: one.estimated_tokens_before) == [90]
    events = read(header(), {**compaction, "type": "branch_summary"}, user(4, 4), spoke(5, 5))
    assert loops(events) == [("00000003", "Compaction"), ("00000004", "Initial")]
    assert totals(events).tokens["output"] == 7 + 5


def test_the_stream_and_the_file_of_one_session_are_read_once() -> None:
    def streamed(*records: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"type": "message_end", "message": one["message"]} for one in records]

    claims, records = ClaimsInMemory(), [user(1, 1), spoke(2, 2, "t"), result(3, 3, "t"), spoke(4, 4)]
    begins = [header(), {"type": "agent_start"}]
    done = {"type": "tool_execution_end", "toolCallId": "t", "durationMs": 200}
    stream = [*begins, *streamed(*records[:2]), done, *streamed(*records[2:]), {"type": "agent_end", "messages": []}]
    events = read(*stream)
    assert (totals(events).calls, each(events, AgentEnd, lambda end: end.outcome)) == (2, ["ok"])
    assert each(events, ToolExecutionStart, lambda one: int(one.timestamp) // 10**6 - BASE_MS) == [2_800]
    assert totals(read(header(), *records, claims=claims)).calls == 2
    assert totals(read(*stream, claims=claims)).calls == 0


def test_openclaws_gateway_is_no_model_and_its_failures_are_told_from_the_details() -> None:
    gateway = spoke(1, 1)
    gateway["message"] |= {"provider": "openclaw", "model": "gateway-injected"}
    snapshot = {"type": "custom", "customType": "model-snapshot", "data": {"provider": "ollama", "modelId": "q"}}
    hidden = result(4, 4, "t", details={"status": "error"})
    data = written(header(), gateway, snapshot, user(2, 2), spoke(3, 3, "t"), hidden)
    assert not Pi.recognizes(OpenClaw(), b"", "")
    assert OpenClaw().recognizes(data, "x.jsonl")
    events, _ = folded(OpenClaw(), data, folder="main")
    assert (totals(events).calls, each(events, ToolExecutionEnd, lambda end: end.is_error)) == (1, [True])
    assert each(events, AgentStart, lambda start: (start.agent_name, start.source.agent)) == [("main", "openclaw")]
    failed = {"type": "custom", "customType": "openclaw:prompt-error", "timestamp": at(3), "data": {}}
    events, _ = folded(OpenClaw(), written(header(), user(2, 2), failed))
    assert each(events, AgentEnd, lambda end: end.outcome) == ["error"]
