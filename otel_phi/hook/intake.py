"""What the hook is given, made an event: bytes and text decoded, mappings by way of JSON, events looked over.

Rule 1: what no span shows is left out undecoded: it is most of a streamed turn.
Rule 2: an event made by hand can hold anything. One whose types are not the wire's goes through JSON like a mapping: what
        is wrong with it is found here, not later among other events.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from otel_phi.wire.decode import Undecodable, decode_event, encode_event
from otel_phi.wire.events import (
    AgentEvent,
    GenericEvent,
    MessageStart,
    MessageUpdate,
    ProgressMessage,
    ToolExecutionUpdate,
)
from otel_phi.wire.messages import NULL

NOWHERE = frozenset({MessageUpdate, MessageStart, ToolExecutionUpdate, ProgressMessage})
_NAMES = frozenset(kind.__name__ for kind in NOWHERE)
_PREFIXES = tuple(f'{{"type":{space}"{name}"' for name in sorted(_NAMES) for space in ("", " "))
_PREFIX_BYTES = tuple(prefix.encode() for prefix in _PREFIXES)
_KINDS = frozenset(typing.get_args(AgentEvent))


def shown_nowhere(given: Any) -> bool:
    """Says, in a fraction of a microsecond, whether a span shows an event of that kind: most of a streamed turn is not."""
    kind = given.__class__
    if kind is dict:
        name = given.get("type")
        return name.__class__ is str and name in _NAMES
    if kind is bytes:
        return bool(given.startswith(_PREFIX_BYTES))
    if kind is str:
        return bool(given.startswith(_PREFIXES))
    return kind in NOWHERE


def event_of(given: object) -> AgentEvent | Undecodable:
    """Returns the event, `Undecodable` where there is none."""
    if isinstance(given, msgspec.Struct):
        return _struct(given)
    if isinstance(given, bytes | bytearray | memoryview):
        found = bytes(given)
        return _lean(decode_event(found))
    if isinstance(given, str):
        return _lean(decode_event(given))
    if isinstance(given, Mapping):
        return _by_way_of_json(dict(given))
    return Undecodable(f"a {type(given).__name__} is no event")


def _struct(given: msgspec.Struct) -> AgentEvent | Undecodable:
    kind = type(given)
    if kind not in _KINDS:
        return Undecodable(f"a {kind.__name__} is no event")
    event = typing.cast("AgentEvent", given)
    return _lean(event) if fits(event) else _by_way_of_json(event)


def _by_way_of_json(given: dict[str, Any] | AgentEvent) -> AgentEvent | Undecodable:
    try:
        text = msgspec.json.encode(given) if isinstance(given, dict) else encode_event(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Undecodable(f"cannot be written as JSON: {type(error).__name__}")
    return _lean(decode_event(text))


def _lean(event: AgentEvent | Undecodable) -> AgentEvent | Undecodable:
    """Lets go of an unknown event's text, which is kept with its turn and shown nowhere."""
    return msgspec.structs.replace(event, raw=NULL) if isinstance(event, GenericEvent) else event


# --- whether a value made by hand has the types of the wire --------------------------------------------------------------


def fits(value: msgspec.Struct) -> bool:
    """Says whether the fields of a struct, and of those in it, are of the types they are declared with."""
    for name, allowed, inner in _fields(type(value)):
        found = getattr(value, name)
        if not isinstance(found, allowed) or (inner and isinstance(found, msgspec.Struct) and not fits(found)):
            return False
    return True


@functools.lru_cache(maxsize=256)
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, tuple[type, ...], bool], ...]:
    found = []
    for field in msgspec.structs.fields(kind):
        allowed = tuple(_types(field.type))
        found.append((field.name, allowed, any(issubclass(each, msgspec.Struct) for each in allowed)))
    return tuple(found)


def _types(hint: Any) -> typing.Iterator[type]:
    """Yields the classes an annotation stands for; `object` where it says nothing a class can."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for each in typing.get_args(hint):
            yield from _types(each)
    elif origin is typing.Literal:
        yield from {type(each) for each in typing.get_args(hint)}
    elif origin is typing.Annotated:
        yield from _types(typing.get_args(hint)[0])
    elif isinstance(origin, type):
        yield origin
    elif isinstance(hint, type):
        # An `Instant` is an int that prints itself as a time: a plain one will do. So will an int for a float.
        yield from (int, float) if hint is float else (int,) if issubclass(hint, int) and hint is not bool else (hint,)
    else:
        yield object
