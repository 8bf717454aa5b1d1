"""Events as phi-core itself would print them: each line beside what serde 1.0.229 printed for it, [run] with phi-core 0.15.2."""

from __future__ import annotations

import json

import pytest

from otel_phi.events import Undecodable
from otel_phi.session.canonical import canonical_event, narrowest, widened
from otel_phi.session.canonical_print import to_json
from tests.session.session_runs import Json, first_difference

TIME = "2016-12-31T23:59:59Z"
USER: dict[str, Json] = {"role": "user", "content": [], "timestamp": 1}
ASSISTANT: dict[str, Json] = {
    "role": "assistant",
    "content": [],
    "stopReason": "stop",
    "model": "m",
    "provider": "p",
    "usage": {"input": 1, "output": 2, "reasoning": 0, "cache_read": 0, "cache_write": 0, "total_tokens": 0},
    "timestamp": 1,
}
TURN_ID = {"loopId": "L", "turnIndex": 0}


def printed(given: dict[str, Json]) -> Json:
    found = canonical_event(json.dumps(given).encode())
    assert not isinstance(found, Undecodable), found.reason
    return to_json(found)


def message(given: Json) -> Json:
    return printed({"type": "MessageEnd", "loop_id": "L", "message": given})["message"]


@pytest.mark.parametrize(
    ("marks", "kept"),
    [
        ({"turnId": TURN_ID | {"x": 1}}, {"turnId": TURN_ID}),
        ({"turnId": ["L", 0]}, {"turnId": TURN_ID}),
        ({"turnId": {"loopId": "", "turnIndex": 0}}, {"turnId": {"loopId": "", "turnIndex": 0}}),
        ({"turnId": {"turnIndex": 0}}, {}),
        ({"turnId": {"loopId": "L", "turnIndex": 2**32}}, {}),
        ({"turnId": {"loopId": "L", "turnIndex": 1.0}}, {}),
        ({"turnId": None, "tags": None, "provenanceHint": "steering"}, {}),
        ({"nodeId": 4, "parentId": 0}, {"nodeId": 4, "parentId": 0}),
        ({"nodeId": 1.0, "parentId": -1}, {}),
        ({"tags": []}, {}),
        (
            {"tags": [{"kind": "lesson", "text": "x", "created_at_turn": 1, "abandoned_node_ids": [1], "z": 1}]},
            {"tags": [{"kind": "lesson", "text": "x", "created_at_turn": 1, "abandoned_node_ids": [1]}]},
        ),
        (
            {
                "tags": [
                    {"kind": "lesson", "text": "x", "created_at_turn": 1, "abandoned_node_ids": []},
                    {"kind": "zap"},
                ]
            },
            {},
        ),
        (
            {
                "provenanceHint": {
                    "kind": "loop-turn",
                    "turn_index": 1,
                    "role": "user-message",
                    "message_index": 0,
                    "z": 1,
                }
            },
            {"provenanceHint": {"kind": "loop-turn", "turn_index": 1, "role": "user-message", "message_index": 0}},
        ),
        ({"provenanceHint": {"kind": "newer"}}, {}),
    ],
)
def test_a_malformed_mark_is_dropped_alone(marks: Json, kept: Json) -> None:
    assert message(USER | marks) == USER | kept


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (USER | {"zz": 1}, USER),
        (ASSISTANT | {"usage": {"input": 1, "output": 2}, "error_message": None, "errorMessage": "x"}, ASSISTANT),
        (ASSISTANT | {"error_message": ""}, ASSISTANT | {"error_message": ""}),
        (
            USER
            | {
                "content": [
                    {"type": "thinking", "thinking": "x", "signature": None},
                    {"type": "text", "text": "t", "z": 1},
                ]
            },
            USER | {"content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "t"}]},
        ),
        ({"role": "system", "kind": "k", "data": None, "z": 1}, {"role": "system", "kind": "k", "data": None}),
        (USER | {"content": "x", "kind": "k", "data": {"a": 1}}, {"role": "user", "kind": "k", "data": {"a": 1}}),
        (USER | {"kind": "k", "data": 1}, USER),
        (
            {
                "role": "extension",
                "kind": "k",
                "data": {"a": 100.0, "c": 12345678901234567890123, "d": -(2**70), "e": 2**64 - 1},
            },
            {
                "role": "extension",
                "kind": "k",
                "data": {"a": 100.0, "c": 1.2345678901234568e22, "d": -1.1805916207174113e21, "e": 2**64 - 1},
            },
        ),
    ],
)
def test_a_message_is_one_of_three_roles_or_an_extension(given: Json, expected: Json) -> None:
    assert message(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (USER | {"content": "x"}, USER | {"content": [{"type": "text", "text": "x"}]}),
        (USER | {"content": None, "timestamp": 1.0, "nodeId": 3}, USER | {"nodeId": 3}),
        (
            USER | {"content": [{"type": "newer", "b": 1, "a": 2}]},
            USER | {"content": [{"type": "newer", "b": 1, "a": 2}]},
        ),
        (ASSISTANT | {"stopReason": "newer", "model": None}, ASSISTANT | {"stopReason": "newer", "model": ""}),
        ({"role": "extension", "kind": "k"}, {"role": "extension", "kind": "k", "data": None}),
        ("x", {"role": "extension", "kind": "unreadable", "data": "x"}),
        ({"role": "newer"}, {"role": "newer", "kind": "unreadable", "data": {"role": "newer"}}),
    ],
)
def test_a_message_that_phi_core_refuses_is_mended_or_kept_whole(given: Json, expected: Json) -> None:
    assert message(given) == expected


@pytest.mark.parametrize("kind", ["MessageEnd", "MessageStart", "TurnEnd"])
def test_no_message_stays_none(kind: str) -> None:
    assert printed({"type": kind, "loop_id": "L", "message": None})["message"] is None


def test_a_plain_message_has_no_marks() -> None:
    result = {"role": "toolResult", "toolCallId": "i", "toolName": "n", "content": [], "isError": False, "timestamp": 1}
    given = {"type": "TurnEnd", "loop_id": "L", "message": USER, "usage": {"input": 1, "output": 2}, "timestamp": TIME}
    found = printed(given | {"tool_results": [result | {"turnId": TURN_ID}, result | {"isError": None, "nodeId": 1}]})
    assert found["tool_results"] == [result, result]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-05-26T09:14:02.100+02:00", "2026-05-26T07:14:02.100Z"),
        ("2026-05-26 09:14:02.1234567899z", "2026-05-26T09:14:02.123456789Z"),
        ("2026-05-26t09:14:02.000Z", "2026-05-26T09:14:02Z"),
    ],
)
def test_times_are_printed_as_chrono_does(given: str, expected: str) -> None:
    start = {"type": "TurnStart", "loop_id": "L", "turn_index": 0, "timestamp": given, "triggered_by": "FollowUp"}
    assert printed(start) == start | {"timestamp": expected, "triggered_by": "Continuation"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "Initial"),
        ({"continuation_kind": None}, "Initial"),
        ({"continuation_kind": {"Compaction": None}}, "Compaction"),
        ({"continuation_kind": {"Rerun": {"tag": "x", "y": 1}}}, {"Rerun": {"tag": "x"}}),
        ({"continuation_kind": 5}, "Initial"),
        ({"continuation_kind": {}}, "Initial"),
    ],
)
def test_a_start_has_all_its_options(given: Json, expected: Json) -> None:
    least = {"type": "AgentStart", "agent_id": "a", "session_id": "s", "loop_id": "l", "timestamp": TIME}
    assert printed(least | given) == least | {"parent_loop_id": None, "metadata": None, "continuation_kind": expected}


def test_a_configuration_leaves_out_what_it_does_not_say() -> None:
    config = {
        "model": "m",
        "provider": "p",
        "name": None,
        "temperature": 0.7,
        "api": "openai_completions",
        "context_window": "x",
        "z": 1,
    }
    start = {
        "type": "AgentStart",
        "agent_id": "a",
        "session_id": "s",
        "loop_id": "l",
        "timestamp": TIME,
        "config_snapshot": config,
    }
    expected = {
        "model": "m",
        "provider": "p",
        "config_id": None,
        "api": "open_ai_completions",
        "temperature": 0.699999988079071,
    }
    assert printed(start)["config_snapshot"] == expected
    assert "config_snapshot" not in printed(start | {"config_snapshot": None})


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "text"},
        {"kind": "json-object"},
        {"kind": "json-schema", "schema": {"b": [1]}, "name": "n", "strict": True},
    ],
)
def test_a_request_is_kept_whole(form: Json) -> None:
    payload = {
        "system_prompt": "be",
        "messages": [USER],
        "provenance": [{"kind": "steering"}, {"kind": "memory-tier", "tier": "t", "record_id": "r"}],
        "tools": [{"name": "n", "description": "d", "parameters": {"type": "object"}}],
        "model_id": "m",
        "thinking_level": "off",
        "max_tokens": None,
        "temperature": None,
        "response_format": form,
    }
    request = {"type": "TurnRequest", "loop_id": "L", "turn_index": 0, "payload": payload, "timestamp": TIME}
    given = json.loads(json.dumps(request))
    given["payload"] |= {"z": 1, "response_format": form | {"z": 1}, "messages": [USER | {"turnId": TURN_ID}]}
    assert first_difference(printed(given), request) is None


def test_a_delta_and_its_placeholder_are_kept_whole() -> None:
    update = {"type": "MessageUpdate", "loop_id": "L", "message": ASSISTANT, "delta": {"Text": {"delta": "x"}}}
    assert printed(update | {"delta": {"Text": {"delta": "x", "y": 1}}}) == update
    assert printed(update | {"delta": {"Newer": 1}})["delta"] == {"Newer": 1}


def test_a_tools_results_are_kept_whole() -> None:
    least = {"loop_id": "L", "tool_call_id": "i", "tool_name": "n"}
    ended = {"type": "ToolExecutionEnd", **least, "is_error": False}
    assert printed(ended | {"result": {"content": []}}) == ended | {
        "result": {"content": [], "details": None},
        "child_loop_id": None,
    }
    partial = {"content": [{"type": "text", "text": "x"}], "details": {"b": 1}, "child_loop_id": "c"}
    update = {"type": "ToolExecutionUpdate", **least, "partial_result": partial}
    assert printed(update | {"partial_result": partial | {"z": 1}}) == update


@pytest.mark.parametrize(
    "temperature", [0.0, 1.0, 0.1, 0.7, 1e-3, 123456.789, 0.30000001192092896, -1.5, 1e-45, 3.4e38]
)
def test_a_temperature_has_32_bits(temperature: float) -> None:
    wide = widened(temperature)
    assert wide is not None
    assert widened(wide) == wide
    assert widened(narrowest(wide)) == wide
    assert len(repr(narrowest(wide))) <= len(repr(wide))


def test_a_temperature_beyond_32_bits_is_none() -> None:
    assert widened(1e300) is None


@pytest.mark.parametrize("inner", [b"[" * 100_000 + b"]" * 100_000, b'"\xff"', b'"\\ud800"', b"["])
@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"MessageEnd","loop_id":"l","message":{"role":"user","content":%s}}',
        b'{"type":"AgentEnd","loop_id":"l","messages":[%s],"x":11111111111111111111}',
        b'{"type":"ToolExecutionEnd","loop_id":"l","result":{"details":%s}}',
        b'{"type":%s}',
    ],
)
def test_a_line_with_broken_parts_is_no_event(line: bytes, inner: bytes) -> None:
    assert isinstance(canonical_event(line.replace(b"%s", inner)), Undecodable)
