"""Both spellings of every key of an event, a message and what is in them; and keys that nobody knows, told by name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import (
    AgentEvent,
    AssistantMessage,
    GenericEvent,
    KnownEvent,
    MessageEnd,
    MessageStart,
    ProgressMessage,
    ToolResultMessage,
    TurnEnd,
    decode_event,
    encode_event,
)
from otel_phi.policy.content import decode_without_content
from otel_phi.wire import spellings
from otel_phi.wire.decode import decode_log_line
from otel_phi.wire.spellings import UnknownKey, nearest
from tests import golden
from tests.streams import OWN_CASES, SMALL_CASES
from tests.wire.test_optional import WITH_THEM

_STREAMS = (golden.demo(), WITH_THEM, *SMALL_CASES.values(), *OWN_CASES.values())
EVENTS: list[AgentEvent] = [event for stream in _STREAMS for event in stream if not isinstance(event, GenericEvent)]
_FREE = {
    "args",
    "content",
    "metadata",
    "attributes",
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


@pytest.mark.parametrize("spell", [_camel, _snake], ids=["camel", "snake"])
def test_an_agent_that_writes_one_spelling_throughout_is_understood(spell: Any) -> None:
    """But for what no span shows, and tool results in a TurnEnd without a message: nothing there says that keys are spelled otherwise."""
    read = 0
    for event in EVENTS:
        said = getattr(event, "message", None)
        if isinstance(event, MessageStart | ProgressMessage) or (said is None and isinstance(event, TurnEnd)):
            continue
        line = json.dumps(_spelled(json.loads(encode_event(event)), spell), separators=(",", ":"), ensure_ascii=False)
        wanted = decode_event(encode_event(event))
        if said is not None and spell is _snake and _says_too_little(said):
            continue
        assert decode_event(line) == wanted
        assert decode_event(line.encode()) == wanted
        assert decode_without_content(line) == decode_without_content(encode_event(event))
        assert decode_log_line(b'{"ordinal":7,"event":%s}' % line.encode()) == (7, wanted)
        read += 1
    assert read > 100


def _says_too_little(said: Any) -> bool:
    """Says whether a message has nothing but marks and times that are spelled in two ways: such a one is not looked into."""
    return not isinstance(said, AssistantMessage | ToolResultMessage) or not getattr(said, "tool_call_id", "c")


MIXED = [
    ({"stopReason": "error", "errorMessage": "429"}, "error_message", "429"),
    ({"stopReason": "error", "errorType": "gone"}, "error_type", "gone"),
    ({"stop_reason": "toolUse"}, "stop_reason", "toolUse"),
]


@pytest.mark.parametrize(("fields", "name", "value"), MIXED)
def test_a_message_that_mixes_them_is_understood(fields: dict[str, Any], name: str, value: Any) -> None:
    found = decode_event(json.dumps({"type": "MessageEnd", "loop_id": "l", "message": {"role": "assistant", **fields}}))
    assert isinstance(found, MessageEnd)
    assert getattr(found.message, name) == value
