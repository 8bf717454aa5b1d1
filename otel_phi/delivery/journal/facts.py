"""Facts: what a journal's lines say, and how they become JSON and come back.

Rule 1: an event of wire is a fact as it is, content already taken out by policy, times as integers, defaults left out.
Rule 2: encoding never raises for what a value holds: what JSON cannot carry is mended, on exception alone.
Rule 3: a line that is whole but no fact comes back as `Unreadable`; its reason never quotes the line.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from otel_phi.wire.events import AgentEvent, GenericEvent, KnownEvent
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL
from otel_phi.wire.spellings import decode_respelled
from otel_phi.wire.times import Instant

FORMAT = 1  # the number in a segment's first line: a folder with another is left alone
_SURROGATES = re.compile("[\ud800-\udfff]")


class Position(NamedTuple):
    """A position is a place in a journal: the end of a line. Positions are ordered as the lines are read.

    Attributes:
        segment: the segment's number, from 1.
        offset: the end of the line in the segment's file. Lines that were carried over from the memory of the segment
            before have none there: their offsets count up to 0, so that all of them come before the segment's own.
    """

    segment: int
    offset: int


START = Position(0, 0)  # before everything: nothing is acknowledged yet


class _Fact(msgspec.Struct, frozen=True, tag_field="type", tag=True, kw_only=True, omit_defaults=True):
    pass


class Destination(msgspec.Struct, frozen=True):
    """Names where a journal's spans go.

    Attributes:
        name: the folder's name, the same in every process: see `destination`.
        shown: endpoint and protocol in words, without credentials.
    """

    name: str
    shown: str = ""


class Head(_Fact, frozen=True, tag=True):
    """Says what a reader needs to make the same bytes of a journal's facts. Every segment begins with it.

    Attributes:
        version: otel-phi's.
        destination: where the spans go.
        resource: the resource's attributes as JSON, opaque here.
        resource_schema_url: its schema.
        mapping: the mapping options as a JSON object, opaque here.
        prices: where prices come from, a JSON object, opaque here; null for none.
        sample: the ratio of sessions that are kept.
        exporters: one name an exporter; each has a mark of its own, in this order. At most eight.
        salt: random, for `credentials`.
        credentials: scrypt of salt, static header values and client certificate; empty where there are none.
        format: the number of this format.
    """

    destination: Destination
    version: str = ""
    resource: Raw = NULL
    resource_schema_url: str = ""
    mapping: Raw = NULL
    prices: Raw = NULL
    sample: float = 1.0
    exporters: tuple[str, ...] = ("otlp",)
    salt: bytes = b""
    credentials: bytes = b""
    format: int = FORMAT


class Snapshot(_Fact, frozen=True, tag=True):
    """Holds the state before a segment's first line.

    `read` gives one where the log has a hole: whoever reads restores it then and goes on.
    """

    state: bytes = b""


class Carried(_Fact, frozen=True, tag=True):
    """Ends the segment before: says how long its file is, and holds the lines that it could not take.

    Attributes:
        lines: they come before the segment's own.
        end: the file's size when nothing was written to it any more; one that is shorter now lost what is missing.
    """

    lines: tuple[Raw, ...] = ()
    end: int = 0


class Called(_Fact, frozen=True, tag="_Called"):
    """A called event is one with the trace context it was given in.

    Attributes:
        event: the event, an AgentStart in practice.
        caller: the caller's traceparent.
    """

    event: KnownEvent
    caller: str


class LookedUp(_Fact, frozen=True, tag=True):
    """Says what the table of all processes knew of a loop when the event at a position was mapped.

    Attributes:
        at: the event's position.
        loop_id: the loop asked for.
        session_id: its session, None where it was not found.
        started_ns: its start in nanoseconds, 0 where it was not found.
    """

    at: Position
    loop_id: str
    session_id: str | None = None
    started_ns: int = 0


class RootClaimed(_Fact, frozen=True, tag=True):
    """Says whether this journal sends the root of a session that the event at a position opened."""

    at: Position
    session: str
    won: bool = False


class End(_Fact, frozen=True, tag=True):
    """Says that the process ended its work on purpose: what is open from here on is aborted, not lost."""

    reason: str = "shutdown"


class Purge(_Fact, frozen=True, tag=True):
    """Tells a journal's sender to drop what it holds in memory of a session, None for all of them."""

    session: str | None = None


class Purged(_Fact, frozen=True, tag="_Purged"):
    """Stands where a line was blanked; `own` where it was a sender's, and no event."""

    own: bool = False


class _Generic(_Fact, frozen=True, tag="_Generic"):
    """A generic fact is a GenericEvent on disk: a MessageEnd with an unknown role must not come back as a MessageEnd."""

    kind: str = ""
    loop_id: str | None = None
    timestamp: Instant | None = None
    raw: Raw = NULL


class Unreadable(msgspec.Struct, frozen=True):
    """Says why a whole line is no fact; the reason holds a path into the JSON, never its text."""

    reason: str


Fact: TypeAlias = (
    AgentEvent | Called | Head | Snapshot | Carried | LookedUp | RootClaimed | End | Purge | Purged | Unreadable
)
_Stored: TypeAlias = (
    KnownEvent | _Generic | Called | Head | Snapshot | Carried | LookedUp | RootClaimed | End | Purge | Purged
)


class Entry(NamedTuple):
    """An entry is a line read: the position of its end, and what it says."""

    position: Position
    fact: Fact


def _from_line(kind: type[Any], value: Any) -> Any:
    if kind is not Instant:
        raise NotImplementedError(kind)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not a number of nanoseconds")  # msgspec makes it a ValidationError
    return Instant(value)


# Writes an event, or any other fact, whose values JSON carries as they are; `encode_event` also those that it does not.
plain_encoder = msgspec.json.Encoder(enc_hook=int)
_encoder = plain_encoder
_checker = msgspec.json.Decoder(Raw)
_decoder: msgspec.json.Decoder[_Stored] = msgspec.json.Decoder(_Stored, dec_hook=_from_line)


def encode_event(event: AgentEvent, caller: str | None = None) -> bytes:
    """Writes an event as a line's JSON.

    Args:
        event: the event, after policy.
        caller: the traceparent it was given in.

    Returns:
        JSON without the frame; a lone surrogate in it is U+FFFD, a NaN, an infinity and a Raw that is no JSON are null.
    """
    if caller is not None and not isinstance(event, GenericEvent):
        return encode_fact(Called(event=event, caller=caller))
    return _encoded(_generic(event) if type(event) is GenericEvent else event)


def encode_fact(fact: Fact) -> bytes:
    """Writes any fact as a line's JSON; see `encode_event`.

    Raises:
        TypeError: an `Unreadable` is no fact to write.
    """
    if isinstance(fact, Unreadable):
        raise TypeError("an Unreadable is not written")
    return _encoded(_generic(fact) if isinstance(fact, GenericEvent) else fact)


def _encoded(stored: msgspec.Struct) -> bytes:
    try:
        body = _encoder.encode(stored)
        _checker.decode(body)  # a Raw that was made by hand may be anything: 0.2 us
    except Exception as error:  # noqa: BLE001  # UnicodeEncodeError, ValueError, DecodeError: whatever a wild value is refused with
        pass_on(error)
        return _encoder.encode(_mended(stored))
    return body


def decode_fact(body: bytes | memoryview) -> Fact:
    """Reads a line's JSON; never raises."""
    try:
        found = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError) as error:
        return _decoded_of_another_version(body, error)
    return _fact(found)


def _decoded_of_another_version(body: bytes | memoryview, error: Exception) -> Fact:
    """Reads what was refused for a key alone: a newer version may write one that this one does not know."""
    try:
        return _fact(decode_respelled(_decoder, body, _Stored, error))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError) as refused:
        return Unreadable(_reason(refused))


def _fact(found: _Stored) -> Fact:
    if isinstance(found, _Generic):
        return GenericEvent(type=found.kind, loop_id=found.loop_id, timestamp=found.timestamp, raw=found.raw)
    return found


def _generic(event: GenericEvent) -> _Generic:
    return _Generic(kind=event.type, loop_id=event.loop_id, timestamp=event.timestamp, raw=event.raw)


def _reason(error: Exception) -> str:
    match error:
        case msgspec.ValidationError():
            return str(error) if str(error).startswith(("Expected", "Object")) else "not a fact"
        case UnicodeError():
            return "not UTF-8"
        case RecursionError():
            return "nested too deeply"
        case _:
            return "not JSON"


def _mended(value: Any) -> Any:
    """Returns plain values that JSON carries: a struct as its object, what cannot be carried replaced."""
    match value:
        case None | bool() | bytes():
            return value
        case Raw():
            return value if _is_json(value) else NULL
        case str():
            return _SURROGATES.sub("\ufffd", str.__str__(value))
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case msgspec.Struct():
            return _object(value)
        case dict():
            return {str(_mended(str(key))): _mended(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_mended(inner) for inner in value]
        case _:
            return None


def _is_json(raw: Raw) -> bool:
    try:
        _checker.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def _object(value: msgspec.Struct) -> dict[str, Any]:
    config = value.__struct_config__
    found: dict[str, Any] = {} if config.tag_field is None else {config.tag_field: config.tag}
    for part in msgspec.structs.fields(type(value)):
        inner = getattr(value, part.name)
        if inner is not msgspec.UNSET and not (config.omit_defaults and inner is part.default):
            found[part.encode_name] = _mended(inner)
    return found
