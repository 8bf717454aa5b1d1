"""Bytes to events: one line at a time, lenient, never raising.

Rule 1: a line that is an event costs one typed decode. Only what that refuses is looked at again.
Rule 2: keys are read in both spellings, `loop_id` and `loopId`; null stands for "not given", a string for a content of one text block, an integral float for an integer.
Rule 3: an unknown `type` or `role` gives a `GenericEvent`; nothing is thrown away that can be kept.
Rule 4: what cannot be kept comes back as `Undecodable`, whose reason never quotes the line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from otel_phi.wire.events import AgentEvent, GenericEvent, KnownEvent, MessageEnd, TurnEnd
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import AssistantMessage, ToolResultMessage, TurnId
from otel_phi.wire.times import Instant, format_time, parse_time

# What may hold a message, which has no key that must be there: its spelling is looked at, see `otherwise_spelled`.
WITH_MESSAGE: frozenset[type] = frozenset({MessageEnd, TurnEnd})
_MISSING = "missing required field"  # msgspec's words where `loopId` stands for `loop_id`
_ROLES = ("user", "assistant", "toolResult", "extension")
# Where messages carry what phi-core itself drops when it is malformed (serde `default`), see WIRE section 2.
_OPTIONAL_MARKS: dict[str, Any] = {"turnId": TurnId, "nodeId": int, "parentId": int}


class Undecodable(msgspec.Struct, frozen=True):
    """Says why a line is no event; the reason holds a path into the JSON, never its text."""

    reason: str


class LogLine(msgspec.Struct, frozen=True):
    """A log line is one line of phi-core's event log: the event and its place in the log, from 1."""

    ordinal: int
    event: KnownEvent


class _AnyLogLine(msgspec.Struct, frozen=True):
    ordinal: int | None
    event: Raw


def from_wire(kind: type[Any], value: Any) -> Any:
    """Reads what msgspec does not know: times. For the decoders of this room."""
    if kind is not Instant:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError("not an RFC 3339 time")  # msgspec makes it a ValidationError
    return parse_time(value)


def _to_wire(value: Any) -> Any:
    if isinstance(value, Instant):
        return format_time(value)
    raise NotImplementedError(type(value))


_events: msgspec.json.Decoder[KnownEvent] = msgspec.json.Decoder(KnownEvent, dec_hook=from_wire)
# Raises where a line is not as phi-core writes it; for who asks `decode_event` then.
decode_strictly: Callable[[bytes | str], KnownEvent] = _events.decode
_log_lines = msgspec.json.Decoder(LogLine, dec_hook=from_wire)
_any_log_lines = msgspec.json.Decoder(_AnyLogLine)
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(enc_hook=_to_wire)
KNOWN_TYPES = frozenset(kind.__name__ for kind in KnownEvent.__args__)


def decode_event(line: bytes | str) -> AgentEvent | Undecodable:
    """Decodes one AgentEvent.

    Args:
        line: a JSON object, with or without white space around it.

    Returns:
        The event; a `GenericEvent` for a type or role this version does not know; `Undecodable` for anything else.
    """
    try:
        event = _events.decode(line)
        if event.__class__ in WITH_MESSAGE and otherwise_spelled(event, line):
            return _respelled(line) or event
        return event
    except msgspec.ValidationError as error:
        pass_on(error)
        missing = _MISSING in str(error)
        return (_respelled(line) if missing else None) or _decode_leniently(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return _undecodable(error)


def decode_log_line(line: bytes) -> tuple[int | None, AgentEvent | Undecodable]:
    """Decodes one line of phi-core's event log into its ordinal (None where it cannot be read) and its event."""
    try:
        found = _log_lines.decode(line)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return None, _undecodable(error)
    else:
        if not (found.event.__class__ in WITH_MESSAGE and otherwise_spelled(found.event, line)):
            return found.ordinal, found.event
    try:
        outer = _any_log_lines.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return None, _undecodable(error)
    return outer.ordinal, decode_event(bytes(outer.event))


def otherwise_spelled(event: Any, line: bytes | str) -> bool:
    """Says whether an event of `WITH_MESSAGE` may have keys in the other spelling: its message misses what phi-core always writes.

    Args:
        event: as decoded from the line.
        line: what it was decoded from.
    """
    said = event.message
    if said.__class__ is AssistantMessage:
        if said.stop_reason == "stop":
            return '"stop_reason"' in line if isinstance(line, str) else b'"stop_reason"' in line
        return said.stop_reason == "error" and said.error_message is None and said.error_type is UNSET
    return said.__class__ is ToolResultMessage and not said.tool_call_id


def _respelled(line: bytes | str) -> KnownEvent | None:
    """Decodes a line with every key spelled as phi-core does; None where nothing was to be changed, or it is no event then either."""
    from otel_phi.wire.spellings import respelled  # what phi-core writes never needs it

    spelled, _ = respelled(line)
    if spelled is line:
        return None
    try:
        return _events.decode(spelled)
    except msgspec.ValidationError as error:
        pass_on(error)
        found = _decode_leniently(spelled)
        return None if isinstance(found, GenericEvent | Undecodable) else found


def encode_event(event: AgentEvent) -> bytes:
    """Writes an event as one line of JSON without the newline, defaults included; a `GenericEvent` as it came.

    What phi-core does not write (`error_type` and the like) is left out where it is not given.
    """
    if isinstance(event, GenericEvent):
        return bytes(event.raw)
    return _encoder.encode(_whole(event))


def _whole(value: Any) -> Any:
    """Returns a value whose structs are objects with all their fields: structs of their own leave defaults out."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        whole = {} if config.tag is None else {config.tag_field: config.tag}
        for field, key in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            inner = getattr(value, field)
            if inner is not msgspec.UNSET:
                whole[key] = _whole(inner)
        return whole
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list | tuple) else _plain(value)


def _plain(value: Any) -> Any:
    """Returns a text or number of a class of its own, an enumeration's say, as the text or number that it is."""
    if isinstance(value, str):
        return value if value.__class__ is str else str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool | Instant):
        return value if value.__class__ is int else int.__int__(value)
    return value


def _undecodable(error: Exception) -> Undecodable:
    match error:
        case UnicodeError():
            return Undecodable("not UTF-8")
        case RecursionError():
            return Undecodable("nested too deeply")
        case _:
            return Undecodable(str(error))


def _decode_leniently(line: bytes | str) -> AgentEvent | Undecodable:
    try:
        found = _anything.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return _undecodable(error)
    if not isinstance(found, dict):
        return Undecodable("not a JSON object")
    kind = found.get("type")
    if not isinstance(kind, str):
        return Undecodable("no `type`")
    mended = {key: _mend(value) for key, value in found.items() if value is not None}
    if kind == "TurnEnd" and not _roles_known(mended):
        del mended["message"]  # the turn ends all the same
    if kind not in KNOWN_TYPES or not _roles_known(mended):
        return _generic(kind, found, line)
    if "continuation_kind" in mended:
        mended["continuation_kind"] = _mend_kind(found["continuation_kind"])
    try:
        return _events.decode(_encoder.encode(mended))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        pass_on(error)
        return _undecodable(error)


def _generic(kind: str, found: dict[str, Any], line: bytes | str) -> GenericEvent:
    loop_id, time = found.get("loop_id"), found.get("timestamp")
    try:
        timestamp = parse_time(time) if isinstance(time, str) else None
    except ValueError as error:
        pass_on(error)
        timestamp = None
    raw = Raw(line.encode() if isinstance(line, str) else bytes(line))
    return GenericEvent(type=kind, loop_id=loop_id if isinstance(loop_id, str) else None, timestamp=timestamp, raw=raw)


def _roles_known(event: dict[str, Any]) -> bool:
    message = event.get("message")
    return not isinstance(message, dict) or message.get("role") in _ROLES


def _mend(value: Any) -> Any:
    """Drops nulls, makes integral floats integers, and wraps a bare string content, one level into objects."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, dict):
        return value
    mended = {key: _mend_field(key, inner) for key, inner in value.items() if inner is not None}
    return {key: inner for key, inner in mended.items() if not _malformed_mark(key, inner)}


def _mend_kind(kind: Any) -> Any:
    """Keeps the name of a continuation kind whose payload is not the one known; an unreadable kind is as none."""
    if not isinstance(kind, dict) or not kind:
        return kind if isinstance(kind, str) else None
    name, tag = next(iter(kind.items()))
    return {name: {"tag": tag["tag"]} if isinstance(tag, dict) and isinstance(tag.get("tag"), str) else {}}


def _mend_field(key: str, value: Any) -> Any:
    if key == "content" and isinstance(value, str):
        return [{"type": "text", "text": value}]
    if key in ("usage", "result", "response_format"):
        return _mend(value)
    return int(value) if isinstance(value, float) and value.is_integer() and key != "temperature" else value


def _malformed_mark(key: str, value: Any) -> bool:
    kind = _OPTIONAL_MARKS.get(key)
    if kind is None:
        return False
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return True
    return False
