"""Decoding is lenient (WIRE section 4), keeps what it does not know, and never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_phi.events import (
    AgentEnd,
    AgentStart,
    AssistantMessage,
    ExtensionMessage,
    GenericEvent,
    MessageEnd,
    Tag,
    ToolExecutionEnd,
    ToolResultMessage,
    TurnEnd,
    TurnRequest,
    TurnStart,
    Undecodable,
    Usage,
    UserMessage,
    decode_event,
    encode_event,
)
from otel_phi.mapping.options import MappingOptions
from otel_phi.recorder.starts import kind_and_tag
from otel_phi.wire.decode import KNOWN_TYPES, decode_log_line
from otel_phi.wire.messages import decode_tool_results, first_text
from tests import golden
from tests.laws import Run

START: dict[str, Any] = {
    "type": "AgentStart",
    "agent_id": "a",
    "session_id": "s",
    "loop_id": "s.c.1",
    "parent_loop_id": None,
    "continuation_kind": "Initial",
    "timestamp": "2026-05-25T17:20:00Z",
    "metadata": None,
}


def decode(**fields: Any) -> Any:
    return decode_event(json.dumps(fields))


def started(**changes: Any) -> AgentStart:
    found = decode(**{**START, **changes})
    assert isinstance(found, AgentStart)
    return found


def ended(message: dict[str, Any]) -> Any:
    found = decode(type="MessageEnd", loop_id="l", message=message)
    assert isinstance(found, MessageEnd)
    return found.message


# --- all 19 ----------------------------------------------------------------------------------------------------------------


def test_there_are_phi_cores_nineteen_variants_and_the_side_call() -> None:
    assert len(KNOWN_TYPES) == 19 + 1
    assert "SideCall" in KNOWN_TYPES


@golden.needed
def test_every_variant_as_phi_core_prints_it_decodes_and_is_printed_with_the_same_meaning() -> None:
    lines = (golden.FOLDER / "variants.jsonl").read_bytes().splitlines()
    seen = set()
    for line in lines:
        event = decode_event(line)
        assert not isinstance(event, Undecodable | GenericEvent)
        seen.add(type(event).__name__)
        again = decode_event(encode_event(event))
        assert again == event
    assert seen == KNOWN_TYPES - {"SideCall"}


def test_the_demo_decodes_to_the_same_events_after_printing() -> None:
    for event in golden.demo():
        assert decode_event(encode_event(event)) == event


# --- old and other spellings -----------------------------------------------------------------------------------------------


def test_a_continuation_kind_of_null_or_none_is_initial() -> None:
    assert kind_and_tag(started(continuation_kind=None).continuation_kind) == ("initial", None)
    without = {key: value for key, value in START.items() if key != "continuation_kind"}
    assert kind_and_tag(decode(**without).continuation_kind) == ("initial", None)


@pytest.mark.parametrize(
    ("wire", "kind", "tag"),
    [
        ("Default", "default", None),
        ("Compaction", "compaction", None),
        ({"Rerun": {"tag": "2026"}}, "rerun", "2026"),
        ({"Branch": {"tag": "x", "newer": 1}}, "branch", "x"),
        ({"Rerun": {}}, "rerun", None),
        ({"Rerun": None}, "rerun", None),
        ({}, "initial", None),
        ("Newer", "newer", None),
    ],
)
def test_continuation_kinds_are_read_in_both_forms(wire: object, kind: str, tag: str | None) -> None:
    assert kind_and_tag(started(continuation_kind=wire).continuation_kind) == (kind, tag)


def test_a_continuation_kind_of_a_form_nobody_knows_yet_costs_its_tag_and_not_the_loop() -> None:
    assert kind_and_tag(started(continuation_kind={"Fork": 3}).continuation_kind)[0] == "fork"
    assert kind_and_tag(started(continuation_kind={"Fork": {"tag": 3}}).continuation_kind)[0] == "fork"


def test_follow_up_is_kept_and_means_continuation() -> None:
    event = decode(type="TurnStart", loop_id="l", turn_index=0, triggered_by="FollowUp", timestamp=START["timestamp"])
    assert isinstance(event, TurnStart)
    assert event.triggered_by == "FollowUp"
    (told,) = [
        span
        for span in Run([decode(**{**START, "loop_id": "l"}), event], MappingOptions()).spans
        if span.name == "turn"
    ]
    assert told.get("phi.turn.triggered_by") == "continuation"


@pytest.mark.parametrize("api", ["open_ai_completions", "openai_completions", "brand_new"])
def test_every_spelling_of_an_api_is_kept(api: str) -> None:
    config = started(config_snapshot={"model": "m", "provider": "p", "config_id": None, "api": api}).config_snapshot
    assert config is not None
    assert config.api == api


@pytest.mark.parametrize("field", ["continuation_kind", "metadata", "parent_loop_id", "config_snapshot", "agent_id"])
def test_null_stands_for_not_given(field: str) -> None:
    without = {key: value for key, value in START.items() if key != field}
    assert started(**{field: None}) == decode(**without) or field == "continuation_kind"


@pytest.mark.parametrize("field", ["usage", "rejection", "timestamp", "messages"])
def test_null_stands_for_not_given_at_the_end_too(field: str) -> None:
    event = decode(type="AgentEnd", loop_id="l", **{field: None})
    assert event == AgentEnd(loop_id="l")


def test_an_empty_rejection_is_a_rejection() -> None:
    assert decode(type="AgentEnd", loop_id="l", rejection="").rejection == ""


def test_nulls_within_usage_and_integral_floats_are_mended() -> None:
    event = decode(
        type="AgentEnd", loop_id="l", usage={"input": 12.0, "output": 5, "reasoning": None, "cost": {"x": 1}}
    )
    assert event.usage == Usage(12, 5)
    assert ended({"role": "user", "content": [], "timestamp": 1779786842118.0}).timestamp == 1779786842118


def test_unknown_fields_are_ignored() -> None:
    assert started(newer={"deep": [1]}) == started()


def test_malformed_marks_are_dropped_as_phi_core_does_and_the_message_kept() -> None:
    base = {"role": "assistant", "content": [], "stopReason": "stop", "timestamp": 5}
    message = ended({**base, "turnId": "nonsense", "nodeId": "n4", "parentId": 7})
    assert isinstance(message, AssistantMessage)
    assert (message.turn_id, message.node_id, message.parent_id, message.timestamp) == (None, None, 7, 5)


def test_error_message_is_snake_case_in_a_camel_case_message() -> None:
    base = {"role": "assistant", "content": [], "timestamp": 5}
    assert ended({**base, "error_message": "x"}).error_message == "x"
    assert ended({**base, "errorMessage": "x"}).error_message is None


def test_the_four_roles() -> None:
    assert isinstance(ended({"role": "user", "content": [], "timestamp": 1}), UserMessage)
    assert isinstance(ended({"role": "toolResult", "toolCallId": "c", "content": []}), ToolResultMessage)
    assert isinstance(ended({"role": "extension", "kind": "k", "data": None}), ExtensionMessage)


# --- what is not known -------------------------------------------------------------------------------------------------------


def test_an_unknown_type_is_kept_whole_with_its_loop_and_time() -> None:
    line = json.dumps({"type": "Zap", "loop_id": "x", "timestamp": START["timestamp"], "more": None}).encode()
    event = decode_event(line)
    assert isinstance(event, GenericEvent)
    assert (event.type, event.loop_id, event.timestamp) == ("Zap", "x", started().timestamp)
    assert encode_event(event) == line


def test_an_unknown_type_with_strange_fields_is_kept_too() -> None:
    event = decode(type="Zap", loop_id=5, timestamp="soon")
    assert isinstance(event, GenericEvent)
    assert (event.loop_id, event.timestamp) == (None, None)


def test_an_unknown_role_is_kept_as_a_generic_event() -> None:
    event = decode(type="MessageEnd", loop_id="l", message={"role": "narrator", "content": []})
    assert isinstance(event, GenericEvent)
    assert event.type == "MessageEnd"


def test_a_turn_end_whose_message_has_an_unknown_role_still_ends_the_turn() -> None:
    event = decode(type="TurnEnd", loop_id="l", message={"role": "narrator"}, usage={"input": 3, "output": 1})
    assert isinstance(event, TurnEnd)
    assert (event.message, event.usage) == (None, Usage(3, 1))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'"AgentStart"',
        b"{}",
        b'{"type":null}',
        b'{"type":["AgentStart"]}',
        b"\xff\xfe",
        b'{"type":"',
    ],
)
def test_what_is_no_event_says_why(line: bytes) -> None:
    found = decode_event(line)
    assert isinstance(found, Undecodable)
    assert found.reason


@pytest.mark.parametrize("time", ["[]", "{}", "1779786842118", "1.5", "true", '"2026-05-25T17:20:00"', '"soon"'])
def test_a_time_that_is_no_rfc_3339_text_with_a_zone_is_refused_without_raising(time: str) -> None:
    line = f'{{"type":"AgentStart","session_id":"s","loop_id":"l","timestamp":{time}}}'
    assert isinstance(decode_event(line), Undecodable)
    assert isinstance(decode_event(line.replace(time, '"2026-05-25T17:20:00Z"')), AgentStart)


@pytest.mark.parametrize("number", ["1e400", "9" * 400, "NaN", "Infinity", "-0.5", "18446744073709551616", "-9"])
def test_numbers_out_of_range_never_raise(number: str) -> None:
    for line in (
        f'{{"type":"AgentEnd","loop_id":"l","usage":{{"input":{number},"output":1}}}}',
        f'{{"type":"TurnStart","loop_id":"s.c.1","turn_index":{number}}}',
        f'{{"type":"MessageEnd","loop_id":"s.c.1","message":{{"role":"user","timestamp":{number}}}}}',
    ):
        event = decode_event(line)
        if not isinstance(event, Undecodable):
            run = Run([decode(**START), event, AgentEnd(loop_id="s.c.1")], MappingOptions())
            assert run.broken() == []


@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
def test_deep_nesting_never_raises(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for line in (
        b'{"type":"AgentStart","session_id":"s","loop_id":"l","timestamp":"2026-05-25T17:20:00Z","metadata":%s}' % deep,
        b'{"type":"Zap","loop_id":"l","x":%s}' % deep,
        b'{"ordinal":1,"event":{"type":"ToolExecutionStart","loop_id":"l","args":%s}}' % deep,
    ):
        decode_event(line)
        decode_log_line(line)


# --- what stays undecoded until asked ------------------------------------------------------------------------------------------


def test_a_request_keeps_its_large_parts_undecoded() -> None:
    payload = {"system_prompt": "x", "messages": [{"role": "new"}], "tools": 5, "model_id": "m", "max_tokens": None}
    event = decode(type="TurnRequest", loop_id="l", turn_index=0, payload=payload, timestamp=START["timestamp"])
    assert isinstance(event, TurnRequest)
    assert event.payload is not None
    assert (event.payload.model_id, json.loads(bytes(event.payload.messages))) == ("m", [{"role": "new"}])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "words"}], "words"),
        ([{"type": "image", "data": "x"}, {"type": "text", "text": "words"}], "words"),
        ("words", "words"),
        ([], ""),
        (None, ""),
        ({"text": "x"}, ""),
        ([{"type": "text", "text": 5}], ""),
    ],
)
def test_the_first_text_of_a_content_also_where_it_is_a_bare_string(content: object, text: str) -> None:
    message = ended({"role": "user", "content": content, "timestamp": 1})
    assert first_text(message.content, 100) == text
    assert first_text(message.content, 3) == text[:3]


def test_tool_results_that_are_none_are_an_empty_list() -> None:
    for raw in (b"null", b"5", b'[{"role":"user"}]', b"[", b"\xff"):
        assert decode_tool_results(raw) == []


def test_child_loop_ids_are_read_at_both_places() -> None:
    for fields in ({"child_loop_id": "x"}, {"result": {"content": [], "child_loop_id": "x"}}):
        event = decode(type="ToolExecutionEnd", loop_id="l", tool_call_id="c", **fields)
        assert isinstance(event, ToolExecutionEnd)
        assert event.child_loop_id == "x" or (event.result is not None and event.result.child_loop_id == "x")


# --- log lines -----------------------------------------------------------------------------------------------------------------


def test_a_log_line_is_its_ordinal_and_its_event_leniently_too() -> None:
    line = json.dumps({"ordinal": 7, "event": {**START, "continuation_kind": None}, "newer": 1}).encode()
    ordinal, event = decode_log_line(line)
    assert ordinal == 7
    assert isinstance(event, AgentStart)


@pytest.mark.parametrize("ordinal", [None, "1", 1.5, -3])
def test_an_odd_ordinal_raises_nothing(ordinal: object) -> None:
    decode_log_line(json.dumps({"ordinal": ordinal, "event": START}).encode())


def test_a_tag_is_free_text() -> None:
    assert started(continuation_kind={"Rerun": {"tag": "x\u2028y"}}).continuation_kind == {"Rerun": Tag("x\u2028y")}
