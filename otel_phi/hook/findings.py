"""Findings: what nobody understands of what an agent tells, in words for its author.

Rule 1: four things are not understood: an event of an unknown type or a message of an unknown role, an unknown key in a known
        event or message, an event of a loop that is not open, and what is no event at all.
Rule 2: names are told, values never: of an event its type, its loop, the key, and the nearest known name. A name that is no
        word could be content, and is `_other`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.policy.words import name
from otel_phi.wire.decode import KNOWN_TYPES, ROLES
from otel_phi.wire.events import AgentEvent, GenericEvent
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.spellings import UnknownKey, nearest

UNKNOWN_TYPE, UNKNOWN_ROLE, UNKNOWN_KEY, UNDECODABLE = "unknown_type", "unknown_role", "unknown_key", "undecodable"
LOOP_NOT_OPEN = "loop_not_open"
_QUOTED = re.compile(r"'[^']*'")
_fields = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)


class Finding(msgspec.Struct, frozen=True):
    """A finding is one thing that nobody understands.

    Attributes:
        kind: `unknown_type`, `unknown_role`, `unknown_key`, `loop_not_open` or `undecodable`.
        event: type of the event, "" where it has none.
        loop_id: its loop, None where it names none.
        name: the type, the role, the key with what holds it, the loop, or why it cannot be read.
        nearest: the known name that is most like it, None where none is.
    """

    kind: str
    event: str
    loop_id: str | None
    name: str
    nearest: str | None

    def __str__(self) -> str:
        event = self.event or "what was given"
        where = f"{event} of loop {self.loop_id!r}" if self.loop_id else event
        match self.kind:
            case "unknown_type":
                what = "is an event of a type that nobody knows"
            case "unknown_role":
                what = f"has a message of a role that nobody knows: {self.name!r}"
            case "unknown_key":
                what = f"has a key that nobody knows: {self.name!r}"
            case "undecodable":
                what = f"cannot be read: {self.name}"
            case _:
                what = "belongs to no open loop: tell its AgentStart first, and nothing after its AgentEnd"
        return f"{where} {what}{f'; did you mean {self.nearest!r}?' if self.nearest else ''}"


def findings(event: AgentEvent, unknown: Sequence[UnknownKey]) -> Iterator[Finding]:
    """Yields what nobody understands of an event that can be read: its type, its keys."""
    kind, loop_id = type(event).__name__, getattr(event, "loop_id", None) or None
    if isinstance(event, GenericEvent):
        yield _of_unknown_type(event)
    for key in unknown:
        yield _of_a_key(key, event.type if isinstance(event, GenericEvent) else kind, loop_id)


def loop_not_open(event: AgentEvent, open_loops: Collection[str] = ()) -> Finding:
    """Returns that an event belongs to no open loop."""
    loop_id = getattr(event, "loop_id", None) or ""
    return Finding(LOOP_NOT_OPEN, type(event).__name__, loop_id, loop_id, nearest(loop_id, open_loops))


def refusals(given: object, reason: str, unknown: Sequence[UnknownKey]) -> Iterator[Finding]:
    """Yields why what was given is no event, and what of it may be the cause.

    Args:
        given: what the agent gave.
        reason: why it cannot be read; what it quotes is not repeated.
        unknown: its keys that nobody knows.
    """
    fields = _fields_of(given)
    kind, loop_id = _word(fields, "type") or "", _word(fields, "loop_id", "loopId")
    yield Finding(UNDECODABLE, name(kind), loop_id, _QUOTED.sub("'...'", reason), None)
    for key in unknown:
        yield _of_a_key(key, name(kind), loop_id)
    if fields and not kind:
        for key_of in fields:
            if nearest(key_of, ("type",)):
                yield Finding(UNKNOWN_KEY, "", loop_id, name(key_of), "type")


def _of_unknown_type(event: GenericEvent) -> Finding:
    loop_id = event.loop_id or None
    if event.type in KNOWN_TYPES:
        role = _word(_fields_of(_fields_of(event.raw).get("message", b"")), "role") or ""
        return Finding(UNKNOWN_ROLE, event.type, loop_id, name(role), nearest(role, ROLES))
    return Finding(UNKNOWN_TYPE, name(event.type), loop_id, name(event.type), nearest(event.type, KNOWN_TYPES))


def _of_a_key(key: UnknownKey, event: str, loop_id: str | None) -> Finding:
    return Finding(UNKNOWN_KEY, event, loop_id, f"{key.holder}.{name(key.key)}", key.nearest)


def _fields_of(given: object) -> Mapping[str, Any]:
    """Returns the fields of what was given, as far as it has any. A mapping of somebody's own is not asked: it can do anything."""
    try:
        if isinstance(given, bytes | str | bytearray | memoryview | Raw):
            return _fields.decode(given)
        if isinstance(given, msgspec.Struct):
            return {"type": type(given).__name__, "loop_id": getattr(given, "loop_id", None)}  # a struct's is a slot
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
    if isinstance(given, dict) and given.__class__ is dict:
        return {key: value for key, value in given.items() if key.__class__ is str}
    return {}


def _word(fields: Mapping[str, Any], *keys: str) -> str | None:
    """Returns the text of the first key that has one."""
    for key in keys:
        value = fields.get(key)
        try:
            found = _text.decode(value) if isinstance(value, Raw) else value
        except (msgspec.MsgspecError, UnicodeError) as error:
            pass_on(error)
            continue
        if isinstance(found, str) and found:
            return found
    return None
