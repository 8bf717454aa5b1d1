"""Both spellings of every key of an event, a message and what is in them; and keys that nobody knows, told by name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.delivery.journal.facts import Unreadable, decode_fact, encode_fact
from otel_phi.delivery.journal.facts import encode_event as encode_fact_event
from otel_phi.events import (
    AgentEvent,
    AgentStart,
    AssistantMessage,
    ConfigSnapshot,
    GenericEvent,
    Instant,
    KnownEvent,
    MessageEnd,
    MessageUpdate,
    RequestPayload,
    ResponseFormat,
    TurnEnd,
    TurnRequest,
    Usage,
    decode_event,
    encode_event,
)
from otel_phi.policy.content import decode_without_content
from otel_phi.wire import spellings
from otel_phi.wire.decode import decode_log_line
from otel_phi.wire.messages import TurnId, decode_tool_results
from otel_phi.wire.spellings import UnknownKey, nearest
from tests import golden
from tests.streams import OWN_CASES, SMALL_CASES
from tests.wire.test_optional import WITH_THEM

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_STREAMS = (golden.demo(), WITH_THEM, *SMALL_CASES.values(), *OWN_CASES.values())
EVENTS: list[AgentEvent] = [event for stream in _STREAMS for event in stream if not isinstance(event, GenericEvent)]
_FREE = {
    "args",
    "content",
    "metadata",
    "attributes",
    "session_attributes",
    "partial_result",
    "details",
    "delta",
    "data",
    "tags",
    "messages",
    "tools",
    "provenance",
}


def respelled(given: Any) -> tuple[Any, list[UnknownKey]]:
    found, unknown = spellings.respelled(json.dumps(given))
    return json.loads(found), unknown


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _spelled(value: Any, spell: Any) -> Any:
    """Returns an event's JSON with every key spelled the other way, but for those of free values and of continuation kinds."""
    if isinstance(value, dict):
        return {
            spell(key): inner if key in _FREE or key == "continuation_kind" else _spelled(inner, spell)
            for key, inner in value.items()
        }
    return [_spelled(one, spell) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("spell", [_camel, _snake], ids=["camel", "snake"])
def test_every_key_is_read_in_both_spellings(spell: Any) -> None:
    read = set()
    for event in EVENTS:
        line = json.loads(encode_event(event))
        found, unknown = respelled(_spelled(line, spell))
        read.add(line["type"])
        assert (found, unknown) == (line, [])
        assert decode_event(json.dumps(found)) == decode_event(json.dumps(line))
    assert len(read) > 12


def test_what_phi_core_writes_comes_back_as_it_is() -> None:
    for event in EVENTS:
        line = json.loads(encode_event(event))
        assert respelled(line) == (line, [])


def message(**fields: Any) -> dict[str, Any]:
    return {"type": "MessageEnd", "loop_id": "l", "message": {"role": "assistant", **fields}}


@pytest.mark.parametrize(
    ("given", "unknown"),
    [
        ({"type": "AgentEnd", "loop_id": "l", "outcom": "ok"}, UnknownKey("AgentEnd", "outcom", "outcome")),
        ({"type": "AgentEnd", "loop_id": "l", "zzz": 1}, UnknownKey("AgentEnd", "zzz", None)),
        (message(stopReson="stop"), UnknownKey("assistant", "stopReson", "stopReason")),
        (message(finish_reason="stop"), UnknownKey("assistant", "finish_reason", None)),
        (message(usage={"input_tokens": 1}), UnknownKey("assistant.usage", "input_tokens", None)),
        (message(usage={"cacheReads": 1}), UnknownKey("assistant.usage", "cacheReads", "cache_read")),
        (message(turn_id={"loop_idd": "l"}), UnknownKey("assistant.turnId", "loop_idd", "loopId")),
    ],
)
def test_a_key_that_nobody_knows_is_told_with_the_nearest_known_one(given: Any, unknown: UnknownKey) -> None:
    assert respelled(given)[1] == [unknown]


def test_where_both_spellings_stand_phi_cores_counts_and_the_other_is_told() -> None:
    found, unknown = respelled(message(stop_reason="x", stopReason="length"))
    assert found["message"] == {"role": "assistant", "stopReason": "length"}
    assert unknown == [UnknownKey("assistant", "stop_reason", "stopReason")]


def test_an_unknown_type_or_role_is_not_looked_into() -> None:
    narrator = {"type": "MessageEnd", "message": {"role": "narrator", "x_y": 1}}
    for event in ({"type": "Zap", "loopId": 1}, narrator, {}):
        assert respelled(event) == (event, [])


def test_what_is_free_is_not_looked_into() -> None:
    given = {"type": "ToolExecutionStart", "loop_id": "l", "args": {"toolName": 1, "zzz": {"loopId": 2}}}
    assert respelled(given) == (given, [])


@pytest.mark.parametrize(
    ("name", "found"), [("AgentStarted", "AgentStart"), ("toolexecutionend", "ToolExecutionEnd"), ("x", None)]
)
def test_the_nearest_known_name(name: str, found: str | None) -> None:
    assert nearest(name, [kind.__name__ for kind in KnownEvent.__args__]) == found


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b"{", b'{"type":7}', b"\xff", b'{"type":"AgentEnd","loop_id":"l"}'])
def test_what_is_no_event_and_what_has_nothing_to_change_is_the_very_same(line: bytes) -> None:
    assert spellings.respelled(line)[0] is line


def test_what_is_not_looked_into_keeps_its_bytes() -> None:
    content = b'[ {"type" : "text", "text":"\\u00e9", "n": 1.50e0} ]'
    line = b'{"type":"MessageEnd","loopId":"l","message":{"role":"assistant","content":%s,"stop_reason":"x"}}' % content
    found, _ = spellings.respelled(line)
    assert isinstance(found, bytes)
    assert content in found


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "role", "usage", "message", "tool_results", "turnId", "loopId", "x", "payload"]), inner),
    ),
    max_leaves=10,
)  # fmt: skip


@given(
    kind=st.sampled_from(sorted(kind.__name__ for kind in KnownEvent.__args__)),
    more=st.dictionaries(st.text(max_size=6), _json),
)
def test_any_object_is_read_without_an_exception(kind: str, more: dict[str, Any]) -> None:
    found, _ = respelled({**more, "type": kind})
    assert found["type"] == kind
    assert not isinstance(found.get("message"), msgspec.Struct)


# --- in what a door reads ------------------------------------------------------------------------------------------------------


# Of a delta the message is an empty placeholder, which nobody reads: it stays as it came.
READ = [event for event in EVENTS if not isinstance(event, MessageUpdate)]


@pytest.mark.parametrize("spell", [_camel, _snake], ids=["camel", "snake"])
def test_an_agent_that_writes_one_spelling_throughout_is_understood(spell: Any) -> None:
    for event in READ:
        line = _text(_spelled(json.loads(encode_event(event)), spell))
        wanted = decode_event(encode_event(event))
        assert decode_event(line) == wanted
        assert decode_event(line.encode()) == wanted
        assert decode_without_content(line) == decode_without_content(encode_event(event))
        assert decode_log_line(b'{"ordinal":7,"event":%s}' % line.encode()) == (7, wanted)


def _places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Returns where the keys of an event stand, but for those of free values and of continuation kinds."""
    if isinstance(value, list):
        return [place for number, one in enumerate(value) for place in _places(one, (*at, number))]
    if not isinstance(value, dict):
        return []
    found: list[tuple[str | int, ...]] = []
    for key, inner in value.items():
        found.append((*at, key))
        found += [] if key in _FREE or key == "continuation_kind" else _places(inner, (*at, key))
    return found


def _holder(line: Any, place: tuple[str | int, ...]) -> Any:
    for step in place[:-1]:
        line = line[step]
    return line


def _shortest() -> list[AgentEvent]:
    """Returns one event of each set of keys: what the others hold is told by these too."""
    found = {repr(_places(json.loads(encode_event(event)))): event for event in READ}
    return list(found.values())


def test_any_one_key_in_the_other_spelling_is_understood() -> None:
    """And what `TurnEnd` lists of tool results too, which stays undecoded in the event."""
    read = set()
    for event in _shortest():
        whole = encode_event(event)
        for place in _places(json.loads(whole)):
            line = json.loads(whole)
            holder, key = _holder(line, place), str(place[-1])
            for other in {_camel(key), _snake(key)} - {key}:
                holder[other] = holder.pop(key)
                text = _text(line)
                found, wanted = decode_event(text), decode_event(whole)
                assert _with_results(found) == _with_results(wanted), place
                assert _with_results(decode_without_content(text)) == _with_results(decode_without_content(whole))
                read.add(key)
    assert {"loop_id", "stopReason", "error_type", "turnId", "cache_read", "toolCallId", "child_loop_id"} <= read
    assert len(read) > 50


def test_any_one_key_that_nobody_knows_costs_nothing_but_itself_and_is_told() -> None:
    for event in _shortest():
        whole = encode_event(event)
        for place in {place[:-1] for place in _places(json.loads(whole))}:
            line = json.loads(whole)
            _holder(line, (*place, ""))["zzzz"] = {"a": [1]}
            unknown: list[UnknownKey] = []
            found = decode_event(_text(line), unknown)
            assert _with_results(found) == _with_results(decode_event(whole)), place
            free = (
                "response_format" in place or "tool_results" in place
            )  # what holds a schema, and what stays undecoded
            assert [one.key for one in unknown] == ([] if free else ["zzzz"]), (place, whole)


def _with_results(event: Any) -> tuple[Any, Any]:
    """Returns an event with what it lists of tool results decoded, and apart from their bytes."""
    if not isinstance(event, TurnEnd):
        return event, []
    results = decode_tool_results(event.tool_results)
    return msgspec.structs.replace(event, tool_results=msgspec.Raw(b"")), results


MIXED = [
    ({"stopReason": "error", "errorMessage": "429"}, "error_message", "429"),
    ({"stopReason": "error", "errorType": "gone"}, "error_type", "gone"),
    ({"stop_reason": "toolUse"}, "stop_reason", "toolUse"),
    ({"stopReason": "toolUse", "firstTokenMs": 7}, "first_token_ms", 7),
    ({"stopReason": "toolUse", "turn_id": {"loop_id": "l", "turnIndex": 3}}, "turn_id", TurnId("l", 3)),
    ({"stopReason": "toolUse", "usage": {"input": 9, "cacheRead": 4}}, "usage", Usage(input=9, cache_read=4)),
]


@pytest.mark.parametrize(("fields", "name", "value"), MIXED)
def test_a_message_that_mixes_them_is_understood(fields: dict[str, Any], name: str, value: Any) -> None:
    found = decode_event(json.dumps({"type": "MessageEnd", "loop_id": "l", "message": {"role": "assistant", **fields}}))
    assert isinstance(found, MessageEnd)
    assert getattr(found.message, name) == value


def test_an_unknown_type_keeps_its_loop_in_either_spelling_and_all_its_bytes() -> None:
    line = b'{"type":"Zap","loopId":"l","x_y":1}'
    assert decode_event(line) == GenericEvent(type="Zap", loop_id="l", raw=msgspec.Raw(line))
    narrator = b'{"type":"MessageEnd","loopId":"l","zzzz":1,"message":{"role":"narrator","x_y":1}}'
    assert decode_event(narrator) == GenericEvent(type="MessageEnd", loop_id="l", raw=msgspec.Raw(narrator))


# --- what another version wrote ------------------------------------------------------------------------------------------------


def test_a_form_of_answer_may_hold_a_schema_that_is_not_looked_into() -> None:
    form = {"kind": "json-schema", "schema": {"loopId": 1}, "name": "n", "strict": True}
    line = {"type": "TurnRequest", "loop_id": "l", "payload": {"response_format": form}}
    assert respelled(line) == (line, [])
    found = decode_event(json.dumps(line))
    assert found == TurnRequest(loop_id="l", payload=RequestPayload(response_format=ResponseFormat("json-schema")))


def _with_a_newer_key(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_a_newer_key(inner) for key, inner in value.items()} | {"newer": 1}
    return [_with_a_newer_key(one) for one in value] if isinstance(value, list) else value


def test_a_fact_of_a_newer_version_is_read_without_what_it_knows_more() -> None:
    start = AgentStart(session_id="s", loop_id="l", timestamp=Instant(7), config_snapshot=ConfigSnapshot(model="m"))
    said = MessageEnd(loop_id="l", message=AssistantMessage(usage=Usage(input=3), turn_id=TurnId("l", 1)))
    for fact in (encode_fact(start), encode_fact(said), encode_fact_event(start, TRACEPARENT)):
        newer = json.dumps(_with_a_newer_key(json.loads(fact))).encode()
        assert newer != fact
        assert decode_fact(newer) == decode_fact(memoryview(newer)) == decode_fact(fact)
    assert isinstance(decode_fact(b'{"type":"AgentEnd","newer":1}'), Unreadable)
