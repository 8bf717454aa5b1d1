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

import msgspec
from msgspec import Raw

from otel_phi.wire.events import KnownEvent
from otel_phi.wire.messages import (
    NULL,
    AssistantMessage,
    ExtensionMessage,
    ToolResultMessage,
    TurnId,
    Usage,
    UserMessage,
)
from otel_phi.wire.parts import ConfigSnapshot, RequestPayload, ResponseFormat, Source, ToolResult, Vcs

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
    "source": Source,
    "vcs": Vcs,
}
_fields = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
# A name that is wrong by more than this is another name.
_NEAR = 0.7


class UnknownKey(msgspec.Struct, frozen=True):
    """An unknown key is one that nobody knows, in an event or message of a known kind.

    Attributes:
        holder: the event's type or the message's role, with the field it stands in: `AgentEnd`, `assistant.usage`.
        key: as it stands there.
        nearest: the known key that is most like it, None where none is.
    """

    holder: str
    key: str
    nearest: str | None


def respelled(line: bytes | str) -> tuple[bytes | str, list[UnknownKey]]:
    """Returns an event with every key spelled as phi-core does, without those that nobody knows, and a list of these.

    Args:
        line: a JSON object. What is none, or an event of an unknown type, comes back as it is; so does a line with nothing
            to change. What is not looked into keeps its bytes.
    """
    unknown: list[UnknownKey] = []
    try:
        found = _fields.decode(line)
        name = _text.decode(found.get("type", NULL))
        kind = _EVENTS.get(name)
        kept = None if kind is None else _respelled(found, kind, name, unknown)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return line, []
    return (line if kept is None or kept is found else _encoder.encode(kept)), unknown


def nearest(name: str, known: Iterator[str] | list[str] | tuple[str, ...] | frozenset[str]) -> str | None:
    """Returns the known name that is most like another, None where none is like it."""
    small = {one.lower().replace("_", ""): one for one in known}
    close = difflib.get_close_matches(name.lower().replace("_", ""), small, n=1, cutoff=_NEAR)
    return small[close[0]] if close else None


def _respelled(
    found: dict[str, Raw], kind: type[msgspec.Struct], holder: str, unknown: list[UnknownKey]
) -> dict[str, Raw]:
    """Returns the very same dict where there is nothing to change."""
    known, twins = _spellings(kind)
    kept: dict[str, Raw] = {}
    changed = False
    for key, value in found.items():
        name = key if key in known else twins.get(key)
        if name is None or (name != key and name in found):
            unknown.append(UnknownKey(holder, key, name or nearest(key, known)))
            changed = True
        else:
            kept[name] = _inner(name, value, holder, unknown)
            changed = changed or name != key or kept[name] is not value
    return kept if changed else found


def _inner(name: str, value: Raw, holder: str, unknown: list[UnknownKey]) -> Raw:
    if name == "tool_results" and _begins(value, b"["):
        listed = _list.decode(value)
        inner = [_message(one, unknown) if _begins(one, b"{") else one for one in listed]
        return value if all(new is old for new, old in zip(inner, listed, strict=True)) else Raw(_encoder.encode(inner))
    if not _begins(value, b"{"):
        return value
    if name == "message":
        return _message(value, unknown)
    kind = _INNER.get(name)
    return value if kind is None else _object(value, kind, f"{holder}.{name}", unknown)


def _message(value: Raw, unknown: list[UnknownKey]) -> Raw:
    role = _fields.decode(value).get("role", NULL)
    name = _text.decode(role) if _begins(role, b'"') else ""
    kind = _MESSAGES.get(name)
    return value if kind is None else _object(value, kind, name, unknown)


def _object(value: Raw, kind: type[msgspec.Struct], holder: str, unknown: list[UnknownKey]) -> Raw:
    found = _fields.decode(value)
    kept = _respelled(found, kind, holder, unknown)
    return value if kept is found else Raw(_encoder.encode(kept))


def _begins(value: Raw, mark: bytes) -> bool:
    return bytes(memoryview(value)[:1]) == mark


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
