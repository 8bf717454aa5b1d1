"""What the hook is given, made an event that may be said: bytes and text decoded, mappings by way of JSON, events looked over.

Rule 1: what no span shows is left out undecoded: it is most of a streamed turn.
Rule 2: policy is asked here: nothing behind this door has seen content.
Rule 3: an event made by hand can hold anything. One whose types are not the wire's goes through JSON like a mapping: what
        is wrong with it is found here, not later among other events.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from otel_phi.policy.content import admit, decode_without_content
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import (
    AgentEvent,
    MessageStart,
    MessageUpdate,
    ProgressMessage,
    ToolExecutionUpdate,
)

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
    """Returns the event as it may be said, `Undecodable` where there is none."""
    if isinstance(given, msgspec.Struct):
        kind = type(given)
        if kind not in _KINDS:
            return Undecodable(f"a {kind.__name__} is no event")
        return admit(typing.cast("AgentEvent", given))
    if isinstance(given, bytes | str):
        return decode_without_content(given)
    if isinstance(given, bytearray | memoryview):
        return decode_without_content(bytes(given))
    if isinstance(given, Mapping):
        return _by_way_of_json(dict(given))
    return Undecodable(f"a {type(given).__name__} is no event")


def _by_way_of_json(given: dict[str, Any]) -> AgentEvent | Undecodable:
    try:
        text = msgspec.json.encode(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Undecodable(f"cannot be written as JSON: {type(error).__name__}")
    return decode_without_content(text)
