"""Both spellings of every key, and keys that nobody knows: looked at where a typed decode finds something it has no field for.

Rule 1: a key is read in snake case and in camel case, whichever phi-core writes. Where both stand, phi-core's counts.
Rule 2: a key that is neither is taken out and told, with the nearest known one: `assistant.stopReson`, near `stopReason`.
Rule 3: what is content or free (arguments, contents, metadata, attributes) is not looked into.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from otel_phi.wire.events import KnownEvent
from otel_phi.wire.messages import AssistantMessage, ExtensionMessage, ToolResultMessage, TurnId, Usage, UserMessage
from otel_phi.wire.parts import ConfigSnapshot, RequestPayload, ResponseFormat, ToolResult

_EVENTS: dict[str, type[msgspec.Struct]] = {kind.__name__: kind for kind in KnownEvent.__args__}
_MESSAGES: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (UserMessage, AssistantMessage, ToolResultMessage, ExtensionMessage)
}
# Fields whose objects are looked into too.
_INNER: dict[str, type[msgspec.Struct]] = {
    "usage": Usage,
    "evaluation_usage": Usage,
    "turnId": TurnId,
    "config_snapshot": ConfigSnapshot,
    "payload": RequestPayload,
    "response_format": ResponseFormat,
    "result": ToolResult,
}
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
# A name that is wrong by more than this is another name.
_NEAR = 0.7


class UnknownKey(msgspec.Struct, frozen=True):
    """Is a key that nobody knows, in an event or message of a known kind.

    Attributes:
        holder: the event's type or the message's role, with the field it stands in: `AgentEnd`, `assistant.usage`.
        key: as it stands there.
        nearest: the known key that is most like it, None where none is.
    """

    holder: str
    key: str
    nearest: str | None


def respelled(found: dict[str, Any]) -> tuple[dict[str, Any], list[UnknownKey]]:
    """Returns an event with every key spelled as phi-core does, without those that nobody knows, and a list of these.

    Args:
        found: the decoded JSON of an event; one of an unknown type comes back as it is.
    """
    unknown: list[UnknownKey] = []
    kind = _EVENTS.get(str(found.get("type")))
    return (found, unknown) if kind is None else (_respelled(found, kind, str(found["type"]), unknown), unknown)


def nearest(name: str, known: Iterator[str] | list[str] | tuple[str, ...] | frozenset[str]) -> str | None:
    """Returns the known name that is most like another, None where none is like it."""
    small = {one.lower().replace("_", ""): one for one in known}
    close = difflib.get_close_matches(name.lower().replace("_", ""), small, n=1, cutoff=_NEAR)
    return small[close[0]] if close else None


def _respelled(
    found: dict[str, Any], kind: type[msgspec.Struct], holder: str, unknown: list[UnknownKey]
) -> dict[str, Any]:
    known, twins = _spellings(kind)
    kept: dict[str, Any] = {}
    for key, value in found.items():
        name = key if key in known else twins.get(key)
        if name is None or (name != key and name in found):
            unknown.append(UnknownKey(holder, key, name or nearest(key, known)))
        else:
            kept[name] = _inner(name, value, holder, unknown)
    return kept


def _inner(name: str, value: Any, holder: str, unknown: list[UnknownKey]) -> Any:
    if name == "message" and isinstance(value, dict):
        return _message(value, unknown)
    if name == "tool_results" and isinstance(value, list):
        return [_message(one, unknown) if isinstance(one, dict) else one for one in value]
    kind = _INNER.get(name)
    if kind is None or not isinstance(value, dict):
        return value
    return _respelled(value, kind, f"{holder}.{name}", unknown)


def _message(found: dict[str, Any], unknown: list[UnknownKey]) -> dict[str, Any]:
    role = found.get("role")
    kind = _MESSAGES.get(role) if isinstance(role, str) else None
    return found if kind is None else _respelled(found, kind, str(role), unknown)


@functools.cache
def _spellings(kind: type[msgspec.Struct]) -> tuple[frozenset[str], dict[str, str]]:
    """Returns the keys of a kind as phi-core spells them, and these by their other spelling."""
    config = kind.__struct_config__
    known = {*kind.__struct_encode_fields__, *([str(config.tag_field)] if config.tag_field else [])}
    twins = {twin: name for name in known for twin in (_snake(name), _camel(name)) if twin not in known}
    return frozenset(known), twins


def _snake(name: str) -> str:
    return _HUMP.sub(lambda hump: "_" + hump[1].lower(), name)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
