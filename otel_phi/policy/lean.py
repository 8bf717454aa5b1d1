"""Lean events: JSON decoded straight into types that keep no content. The quick way of the events of a turn.

    bytes, text, dict ─▶ lean type ─▶ words judged, time read, content dropped ─▶ the JSON of `without_content(decode_event(line))`
                             └─ anything unusual ─▶ None: the whole way is for that

Rule 1: a lean type has the fields of its twin in `wire`, in their order. Content is not decoded: it is passed over, and dropped by
        the rule of its type before anybody sees the event.
Rule 2: what has to be looked at closer gives None: an error whose words are derived from content, a key that is none of phi-core's
        or spelled otherwise, what is not written as phi-core writes it.
Rule 3: encoded, a lean event is what the journal keeps of its twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType, field

from otel_phi.policy.parts import form
from otel_phi.policy.words import LEVELS, OTHER, TRIGGERS, known_names, known_words, name, word
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL, TurnId, Usage
from otel_phi.wire.parts import ResponseFormat
from otel_phi.wire.times import parse_ns

# A text as it was decoded, an integer once it was read: `Any` would let everything in, and nothing else may be in a field twice.
if TYPE_CHECKING:
    _Time = Any
    _GivenTime = Any
else:
    _Time = str | None
    _GivenTime = str | UnsetType


class LeanEvent(
    msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """A lean event is an event without content, just decoded and not seen by anybody yet: it is changed in place."""


class _Message(
    msgspec.Struct,
    tag_field="role",
    rename="camel",
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,
):
    content: Raw = NULL
    timestamp: int = 0
    turn_id: TurnId | None = None
    node_id: int | None = None
    parent_id: int | None = None
    tags: Raw = NULL
    provenance_hint: Raw = NULL


class _Assistant(_Message, tag="assistant"):
    stop_reason: str = "stop"
    model: str = ""
    provider: str = ""
    usage: Usage = Usage()
    error_message: str | None = field(default=None, name="error_message")
    error_type: str | UnsetType = field(default=UNSET, name="error_type")
    first_token_ms: int | UnsetType = field(default=UNSET, name="first_token_ms")
    streamed: bool | UnsetType = field(default=UNSET, name="streamed")
    cost_usd: float | UnsetType = field(default=UNSET, name="cost_usd")


class _ToolResult(_Message, tag="toolResult"):
    tool_call_id: str = ""
    tool_name: str = ""
    is_error: bool = False
    error_type: str | UnsetType = field(default=UNSET, name="error_type")


class _Request(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    system_prompt: Raw = NULL
    messages: Raw = NULL
    provenance: Raw = NULL
    tools: Raw = NULL
    model_id: str = ""
    thinking_level: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    tool_names: tuple[str, ...] | UnsetType = UNSET
    input_mode: str | UnsetType = UNSET
    message_count: int | UnsetType = UNSET
    first_message: int | UnsetType = UNSET


class _Result(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    content: Raw = NULL
    details: Raw = NULL
    child_loop_id: str | None = None


class _TurnStart(LeanEvent, tag="TurnStart"):
    loop_id: str
    turn_index: int = 0
    timestamp: _Time = None
    triggered_by: str | None = None


class LeanTurnRequest(LeanEvent, tag="TurnRequest"):
    """A TurnRequest without content."""

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
    args: Raw = NULL
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
class _MessageStart(LeanEvent, tag="MessageStart", forbid_unknown_fields=False):
    pass


class _MessageUpdate(LeanEvent, tag="MessageUpdate", forbid_unknown_fields=False):
    pass


class _ToolUpdate(LeanEvent, tag="ToolExecutionUpdate", forbid_unknown_fields=False):
    pass


class _Progress(LeanEvent, tag="ProgressMessage", forbid_unknown_fields=False):
    pass


class _LookCloser(Exception):  # noqa: N818  # it is no fault
    """Says that an event is not for the quick way."""


_REFUSED = (_LookCloser, msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_decode: Callable[[bytes | str], Any] = msgspec.json.Decoder(
    _TurnStart
    | LeanTurnRequest
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
        _RULES[event.__class__](event)
    except _REFUSED as error:
        pass_on(error)
        return None
    return event  # type: ignore[no-any-return]  # a msgspec decoder's


def convert_lean(given: dict[str, Any]) -> LeanEvent | None:
    """Returns an event of a turn, given as its JSON object, as it may be said; None for any that takes a closer look."""
    try:
        kind = _KINDS[given["type"]]
        event = msgspec.convert(_emptied(given), kind)
        _RULES[kind](event)
    except (*_REFUSED, KeyError) as error:
        pass_on(error)
        return None
    return event


# Where content stands in the events of a turn, and in what they hold.
_CONTENT = ("content", "tags", "provenanceHint", "details", "system_prompt", "messages", "provenance", "tools", "args")
_HOLDERS = ("message", "payload", "result")


def _emptied(given: dict[str, Any]) -> dict[str, Any]:
    """Returns an event with nulls for its content: a mapping's is made of values, which the lean types do not take."""
    kept = _nulls_in(given)
    for holder in _HOLDERS:
        if holder in kept:
            kept[holder] = _nulls_in(kept[holder])
    if "tool_results" in kept:
        kept["tool_results"] = [_nulls_in(one) for one in kept["tool_results"]]
    return kept


def _nulls_in(found: dict[str, Any]) -> dict[str, Any]:
    kept = dict(found)
    for key in _CONTENT:
        if key in kept:
            kept[key] = NULL
    return kept


# --- what is judged ------------------------------------------------------------------------------------------------------


def _turn_start(event: _TurnStart) -> None:
    if event.timestamp is not None:
        event.timestamp = parse_ns(event.timestamp)
    if event.triggered_by not in TRIGGERS:
        event.triggered_by = OTHER


def _turn_request(event: LeanTurnRequest) -> None:
    if event.timestamp is not None:
        event.timestamp = parse_ns(event.timestamp)
    payload = event.payload
    if payload is None:
        return
    if not (payload.tool_names is payload.input_mode is payload.message_count is payload.first_message is UNSET):
        raise _LookCloser
    payload.system_prompt = payload.messages = payload.provenance = payload.tools = NULL
    if payload.model_id not in known_names:
        payload.model_id = name(payload.model_id)
    if payload.thinking_level not in LEVELS:
        payload.thinking_level = OTHER
    if payload.response_format is not None:
        payload.response_format = form(payload.response_format)


def _message_end(event: _MessageEnd) -> None:
    said = event.message
    if said is not None:
        _MESSAGES[said.__class__](said)


def _turn_end(event: LeanTurnEnd) -> None:
    if event.timestamp is not None:
        event.timestamp = parse_ns(event.timestamp)
    said = event.message
    if said is not None:
        _MESSAGES[said.__class__](said)
    if event.usage.cached is not UNSET:
        raise _LookCloser
    if event.tool_results is not None:
        for one in event.tool_results:
            _tool_result(one)
        event.tool_results = event.tool_results or None


def _assistant(said: _Assistant) -> None:
    said.content = said.tags = said.provenance_hint = NULL
    stop = said.stop_reason
    if (
        said.error_message is not None
        or said.error_type is not UNSET
        or stop == "error"
        or said.usage.cached is not UNSET
    ):
        raise _LookCloser
    if stop not in known_words:
        said.stop_reason = word(stop)
    if said.model not in known_names:
        said.model = name(said.model)
    if said.provider not in known_words:
        said.provider = word(said.provider)


def _tool_result(said: _ToolResult) -> None:
    said.content = said.tags = said.provenance_hint = NULL
    if said.is_error or said.error_type is not UNSET:
        raise _LookCloser
    if said.tool_name not in known_names:
        said.tool_name = name(said.tool_name)


def _tool_start(event: _ToolStart) -> None:
    event.args = NULL
    if event.timestamp is not UNSET:
        event.timestamp = parse_ns(event.timestamp)
    if event.tool_name not in known_names:
        event.tool_name = name(event.tool_name)


def _tool_end(event: _ToolEnd) -> None:
    if event.is_error or event.error_type is not UNSET or event.outcome is not UNSET:
        raise _LookCloser
    if event.timestamp is not UNSET:
        event.timestamp = parse_ns(event.timestamp)
    if event.tool_name not in known_names:
        event.tool_name = name(event.tool_name)
    result = event.result
    if result is None:
        return
    if result.child_loop_id is None:
        event.result = None
    else:
        result.content = result.details = NULL


def _look_closer(_event: LeanEvent) -> None:
    raise _LookCloser


_RULES: Mapping[type, Callable[[Any], None]] = {
    _TurnStart: _turn_start,
    LeanTurnRequest: _turn_request,
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
    for kind in (_TurnStart, LeanTurnRequest, LeanTurnEnd, _MessageEnd, _ToolStart, _ToolEnd)
}
_MESSAGES: Mapping[type, Callable[[Any], None]] = {_Assistant: _assistant, _ToolResult: _tool_result}
