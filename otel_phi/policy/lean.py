"""Lean events: JSON decoded straight into types that have no place for content. The quick way of the events of a turn.

    bytes, text, dict ─▶ lean type ─▶ words judged, time read ─▶ the JSON of `without_content(decode_event(line))`
                             └─ anything unusual ─▶ None: the whole way is for that

Rule 1: a lean type has the fields of its twin in `wire` that may be said, in their order, and no others: what is not asked for is
        skipped, neither copied nor kept.
Rule 2: what has to be looked at closer gives None: an error whose words are derived from content, the other spelling of keys, what
        is not written as phi-core writes it.
Rule 3: encoded, a lean event is what the journal keeps of its twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType, field

from otel_phi.policy.parts import form
from otel_phi.policy.words import LEVELS, OTHER, TRIGGERS, known_names, known_words, name, word
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import TurnId, Usage
from otel_phi.wire.parts import ResponseFormat
from otel_phi.wire.times import parse_ns

# A text as it was decoded, an integer once it was read: `Any` would let everything in, and nothing else may be in a field twice.
if TYPE_CHECKING:
    _Time = Any
    _GivenTime = Any
else:
    _Time = str | None
    _GivenTime = str | UnsetType


class LeanEvent(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True, gc=False):
    """A lean event is an event without content, just decoded and not seen by anybody yet: it is changed in place."""


class _Message(msgspec.Struct, tag_field="role", rename="camel", kw_only=True, omit_defaults=True, gc=False):
    timestamp: int = 0
    turn_id: TurnId | None = None
    node_id: int | None = None
    parent_id: int | None = None


class _Assistant(_Message, tag="assistant"):
    stop_reason: str = "stop"
    model: str = ""
    provider: str = ""
    usage: Usage = Usage()
    error_message: str | None = field(default=None, name="error_message")
    error_type: str | UnsetType = field(default=UNSET, name="error_type")
    first_token_ms: int | UnsetType = field(default=UNSET, name="first_token_ms")
    streamed: bool | UnsetType = field(default=UNSET, name="streamed")


class _ToolResult(_Message, tag="toolResult"):
    tool_call_id: str = ""
    tool_name: str = ""
    is_error: bool = False
    error_type: str | UnsetType = field(default=UNSET, name="error_type")


class _Request(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    model_id: str = ""
    thinking_level: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    response_format: ResponseFormat | None = None


class _Result(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    child_loop_id: str | None = None


class _TurnStart(LeanEvent, tag="TurnStart"):
    loop_id: str
    turn_index: int = 0
    timestamp: _Time = None
    triggered_by: str | None = None


class _TurnRequest(LeanEvent, tag="TurnRequest"):
    loop_id: str
    turn_index: int = 0
    payload: _Request | None = None
    timestamp: _Time = None


class LeanTurnEnd(LeanEvent, tag="TurnEnd"):
    """A TurnEnd without content."""

    loop_id: str
    message: _Assistant | _ToolResult | None = None
    usage: Usage = Usage()
    timestamp: _Time = None
    tool_results: list[_ToolResult] | None = None


class _MessageEnd(LeanEvent, tag="MessageEnd"):
    loop_id: str
    message: _Assistant | _ToolResult | None = None


class _ToolStart(LeanEvent, tag="ToolExecutionStart"):
    loop_id: str
    tool_call_id: str = ""
    tool_name: str = ""
    timestamp: _GivenTime = UNSET


class _ToolEnd(LeanEvent, tag="ToolExecutionEnd"):
    loop_id: str
    tool_call_id: str = ""
    tool_name: str = ""
    result: _Result | None = None
    is_error: bool = False
    child_loop_id: str | None = None
    error_type: str | UnsetType = UNSET
    child_session_id: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    timestamp: _GivenTime = UNSET


# What no span shows, here so that it is told apart without an exception.
class _MessageStart(LeanEvent, tag="MessageStart"):
    pass


class _MessageUpdate(LeanEvent, tag="MessageUpdate"):
    pass


class _ToolUpdate(LeanEvent, tag="ToolExecutionUpdate"):
    pass


class _Progress(LeanEvent, tag="ProgressMessage"):
    pass


class _LookCloser(Exception):  # noqa: N818  # it is no fault
    """Says that an event is not for the quick way."""


_REFUSED = (_LookCloser, msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_decode: Callable[[bytes | str], Any] = msgspec.json.Decoder(
    _TurnStart
    | _TurnRequest
    | LeanTurnEnd
    | _MessageEnd
    | _ToolStart
    | _ToolEnd
    | _MessageStart
    | _MessageUpdate
    | _ToolUpdate
    | _Progress
).decode


def decode_lean(line: bytes | str) -> LeanEvent | None:
    """Decodes an event of a turn as it may be said; None for any that takes a closer look."""
    try:
        event = _decode(line)
        _RULES[event.__class__](event, line)
    except _REFUSED as error:
        pass_on(error)
        return None
    return event  # type: ignore[no-any-return]  # a msgspec decoder's


def convert_lean(given: dict[str, Any]) -> LeanEvent | None:
    """Returns an event of a turn, given as its JSON object, as it may be said; None for any that takes a closer look."""
    try:
        kind = _KINDS[given["type"]]
        event = msgspec.convert(given, kind)
        _RULES[kind](event, given)
    except (*_REFUSED, KeyError) as error:
        pass_on(error)
        return None
    return event


# --- what is judged ------------------------------------------------------------------------------------------------------


def _turn_start(event: _TurnStart, _: object) -> None:
    if event.timestamp is not None:
        event.timestamp = parse_ns(event.timestamp)
    if event.triggered_by not in TRIGGERS:
        event.triggered_by = OTHER


def _turn_request(event: _TurnRequest, _: object) -> None:
    if event.timestamp is not None:
        event.timestamp = parse_ns(event.timestamp)
    payload = event.payload
    if payload is None:
        return
    if payload.model_id not in known_names:
        payload.model_id = name(payload.model_id)
    if payload.thinking_level not in LEVELS:
        payload.thinking_level = OTHER
    if payload.response_format is not None:
        payload.response_format = form(payload.response_format)


def _message_end(event: _MessageEnd, given: object) -> None:
    said = event.message
    if said is not None:
        _MESSAGES[said.__class__](said, given)


def _turn_end(event: LeanTurnEnd, given: object) -> None:
    if event.timestamp is not None:
        event.timestamp = parse_ns(event.timestamp)
    said = event.message
    if said is not None:
        _MESSAGES[said.__class__](said, given)
    if event.usage.cached is not UNSET:
        raise _LookCloser
    if event.tool_results is not None:
        for one in event.tool_results:
            _tool_result(one, given, listed=True)
        event.tool_results = event.tool_results or None


def _assistant(said: _Assistant, given: object) -> None:
    stop = said.stop_reason
    if (
        said.error_message is not None
        or said.error_type is not UNSET
        or stop == "error"
        or (stop == "stop" and _may_say_stop_reason(given))
        or said.usage.cached is not UNSET
    ):
        raise _LookCloser
    if stop not in known_words:
        said.stop_reason = word(stop)
    if said.model not in known_names:
        said.model = name(said.model)
    if said.provider not in known_words:
        said.provider = word(said.provider)


def _may_say_stop_reason(given: object) -> bool:
    """Says whether a message may have its keys in the other spelling, see `otherwise_spelled` in `wire.decode`."""
    if isinstance(given, dict):
        return "stop_reason" in given["message"]
    return '"stop_reason"' in given if isinstance(given, str) else b'"stop_reason"' in given  # type: ignore[operator]


def _tool_result(said: _ToolResult, _: object, *, listed: bool = False) -> None:
    if said.is_error or said.error_type is not UNSET or not (said.tool_call_id or listed):
        raise _LookCloser
    if said.tool_name not in known_names:
        said.tool_name = name(said.tool_name)


def _tool_start(event: _ToolStart, _: object) -> None:
    if event.timestamp is not UNSET:
        event.timestamp = parse_ns(event.timestamp)
    if event.tool_name not in known_names:
        event.tool_name = name(event.tool_name)


def _tool_end(event: _ToolEnd, _: object) -> None:
    if event.is_error or event.error_type is not UNSET or event.outcome is not UNSET:
        raise _LookCloser
    if event.timestamp is not UNSET:
        event.timestamp = parse_ns(event.timestamp)
    if event.tool_name not in known_names:
        event.tool_name = name(event.tool_name)
    if event.result is not None and event.result.child_loop_id is None:
        event.result = None


def _look_closer(_event: LeanEvent, _given: object) -> None:
    raise _LookCloser


_RULES: Mapping[type, Callable[[Any, object], None]] = {
    _TurnStart: _turn_start,
    _TurnRequest: _turn_request,
    LeanTurnEnd: _turn_end,
    _MessageEnd: _message_end,
    _ToolStart: _tool_start,
    _ToolEnd: _tool_end,
    _MessageStart: _look_closer,
    _MessageUpdate: _look_closer,
    _ToolUpdate: _look_closer,
    _Progress: _look_closer,
}
_KINDS: Mapping[str, type[LeanEvent]] = {
    kind.__struct_config__.tag: kind  # type: ignore[misc]  # each has one
    for kind in (_TurnStart, _TurnRequest, LeanTurnEnd, _MessageEnd, _ToolStart, _ToolEnd)
}
_MESSAGES: Mapping[type, Callable[[Any, object], None]] = {_Assistant: _assistant, _ToolResult: _tool_result}
