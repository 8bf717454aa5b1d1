"""Values to JSON, key for key as phi-core's serde prints them.

Rule 1: names come from the Structs themselves; only what serde leaves out is said here.
Rule 2: an absent option is null, but for those that serde skips (`skip_serializing_if`): these have no key at all.
Rule 3: what phi-core has not (fields that are UNSET where nobody gave them) is never printed.
Rule 4: a class may say so of itself: `OMITTED` names its skipped fields, `EXTERNALLY_TAGGED` puts it under its own name.
"""

from __future__ import annotations

import enum
import functools
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw

from otel_phi.session.canonical_parts import ForeignMessage
from otel_phi.wire.events import AgentEnd, AgentStart, GenericEvent, MessageUpdate
from otel_phi.wire.messages import (
    AssistantMessage,
    ToolResultMessage,
    UserMessage,
)
from otel_phi.wire.parts import ConfigSnapshot, ToolResult
from otel_phi.wire.times import Instant, format_time

_MARKS = frozenset({"turn_id", "node_id", "parent_id", "tags", "provenance_hint"})
_decode = msgspec.json.decode
_sorted_json = msgspec.json.Encoder(order="sorted")
_OMITTED: dict[type, frozenset[str]] = {
    AgentStart: frozenset({"config_snapshot"}),
    ConfigSnapshot: frozenset(
        {"name", "api", "base_url", "reasoning", "context_window", "max_tokens", "thinking_level", "temperature"}
    ),
    ToolResult: frozenset({"child_loop_id"}),
    UserMessage: _MARKS,
    AssistantMessage: _MARKS | {"error_message"},
    ToolResultMessage: _MARKS,
}
# The order of keys means nothing; with this it is phi-core's, so that a saved file is too. Elsewhere it is the Struct's.
_ORDER: dict[type, tuple[str, ...]] = {
    AgentStart: ("agent_id", "session_id", "loop_id", "parent_loop_id", "continuation_kind", "timestamp", "metadata"),
}
_SORTED = (UserMessage, AssistantMessage, ToolResultMessage)  # serde takes them through a sorted map
_HOLD_MESSAGES = (AgentEnd, MessageUpdate)  # as JSON


class _Field(NamedTuple):
    name: str
    key: str
    skipped: bool


class _Plan(NamedTuple):
    tag: tuple[str, str] | None
    fields: tuple[_Field, ...]
    external: str | None


def to_json(value: Any) -> Any:
    """Returns a value of the wire or of the Session tree as plain JSON: dicts, lists, strings, numbers, booleans, None."""
    match value:
        case Raw():
            return _decode(value)
        case Instant():
            return format_time(value)
        case enum.Enum():
            return value.value
        case GenericEvent():
            return _decode(value.raw)
        case ForeignMessage():
            return {"role": value.app_role, "kind": value.kind, "data": _decode(value.data)}
        case msgspec.Struct():
            return _object(value)
        case dict():
            return {key: to_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [to_json(inner) for inner in value]
        case _:
            return value


def _object(value: msgspec.Struct) -> dict[str, Any]:
    plan = _plan(type(value))
    printed: dict[str, Any] = {} if plan.tag is None else {plan.tag[0]: plan.tag[1]}
    for field in plan.fields:
        inner = to_json(getattr(value, field.name))
        if inner is not None or not field.skipped:
            printed[field.key] = inner
    if isinstance(value, _SORTED):
        return cast("dict[str, Any]", _sorted(printed))
    if isinstance(value, _HOLD_MESSAGES):
        printed = {key: _sorted_messages(one) if key.startswith("message") else one for key, one in printed.items()}
    return printed if plan.external is None else {plan.external: printed}


def _sorted(value: Any) -> Any:
    return _decode(_sorted_json.encode(value))


def _sorted_messages(printed: Any) -> Any:
    """Sorts one message or a list of them; an extension has its fields in the order role, kind, data."""
    if isinstance(printed, list):
        return [_sorted_messages(one) for one in printed]
    if isinstance(printed, dict) and printed.keys() == {"role", "kind", "data"}:
        return {key: printed[key] for key in ("role", "kind", "data")}
    return _sorted(printed)


@functools.cache  # one plan for each class of this package
def _plan(kind: type[msgspec.Struct]) -> _Plan:
    config = kind.__struct_config__
    omitted = _omitted(kind)
    fields = tuple(
        _Field(one.name, one.encode_name, one.name in omitted)
        for one in msgspec.structs.fields(kind)
        if one.default is not msgspec.UNSET
    )
    order = _ORDER.get(kind, ())
    fields = tuple(sorted(fields, key=lambda one: order.index(one.name) if one.name in order else len(order)))
    tag = None if config.tag is None else (str(config.tag_field), str(config.tag))
    return _Plan(tag, fields, kind.__name__ if getattr(kind, "EXTERNALLY_TAGGED", False) else None)


def _omitted(kind: type[msgspec.Struct]) -> frozenset[str]:
    declared: frozenset[str] = getattr(kind, "OMITTED", frozenset())
    return declared | _OMITTED.get(kind, frozenset())
