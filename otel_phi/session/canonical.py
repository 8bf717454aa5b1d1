"""One line to one event as phi-core itself would hold and print it: `canonical_event`.

Rule 1: whatever phi-core accepts comes out as phi-core prints it: old spellings renewed, defaults filled in, unknown fields
        dropped, malformed marks dropped, 32-bit floats widened.
Rule 2: what phi-core refuses is mended as `wire.decode` does; a line that is beyond that comes back as `Undecodable`.
Rule 3: the same JSON gives an equal event, in whatever order its keys stand.
Known difference: second 60 comes out as the second after it; an `Instant` counts no leap seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw

from otel_phi.session.canonical_mend import BROKEN, mend, within_64_bits
from otel_phi.session.canonical_messages import (
    canonical_content,
    canonical_json,
    canonical_message,
    canonical_messages,
    canonical_plain_messages,
    declared_json,
    read_message,
)
from otel_phi.session.canonical_parts import Fragment, Provenance, SchemaFormat, StrictFormat, StrictSchemaFormat, Tool
from otel_phi.session.canonical_print import to_json
from otel_phi.wire.decode import KNOWN_TYPES, Undecodable, decode_event
from otel_phi.wire.events import AgentEvent, GenericEvent, KnownEvent
from otel_phi.wire.messages import NO_USAGE, NULL
from otel_phi.wire.parts import ConfigSnapshot, ContinuationKind, RequestPayload, ResponseFormat, Tag, ToolResult
from otel_phi.wire.usage import API_ALIASES

S = TypeVar("S", bound=msgspec.Struct)

_fields = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
_tools = msgspec.json.Decoder(list[Tool])
_provenance = msgspec.json.Decoder(list[Provenance])
_format: msgspec.json.Decoder[StrictFormat] = msgspec.json.Decoder(StrictFormat)
_delta = msgspec.json.Decoder(dict[str, Fragment])
_kind = msgspec.json.Decoder(str | dict[str, Tag | None])
_FRAGMENTS = frozenset({"Text", "Thinking", "ToolCallDelta"})
_EMPTY = Raw(b"[]")


def canonical_event(line: bytes, unread: frozenset[str] = frozenset()) -> AgentEvent | Undecodable:
    """Decodes one AgentEvent and rewrites it as phi-core would print it.

    Args:
        line: a JSON object.
        unread: types that the caller has no use for: their parts are left as they came.

    Returns:
        The event, holding no view of `line`; a `GenericEvent` for a type this version does not know; `Undecodable` for what
        is no event.
    """
    try:
        line = within_64_bits(line)
        fields = _fields.decode(line)
        kind = _text.decode(fields.get("type", b"null"))
    except BROKEN:
        refused = decode_event(line)
        return refused if isinstance(refused, Undecodable) else Undecodable("no JSON within")
    if kind not in KNOWN_TYPES or kind in unread:
        return decode_event(line)
    held = {name: fields.pop(name) for name in _READERS if name in fields}
    event = decode_event(msgspec.json.encode(fields) if held else line)
    if isinstance(event, GenericEvent | Undecodable):
        return event
    try:
        return _rewritten(event, kind, held)
    except BROKEN as error:
        return Undecodable("nested too deeply" if isinstance(error, RecursionError) else "no JSON within")


def _rewritten(event: KnownEvent, kind: str, held: dict[str, Raw]) -> KnownEvent:
    readers = _UPDATE_READERS if kind == "MessageUpdate" else _READERS
    changes = {name: readers[name](raw) for name, raw in held.items() if raw != NULL and hasattr(event, name)}
    for name in ("usage", "evaluation_usage"):
        used = getattr(event, name, NO_USAGE)
        if used.cached is not UNSET or used.partial is not UNSET:
            changes[name] = msgspec.structs.replace(used, cached=UNSET, partial=UNSET)
    return msgspec.structs.replace(event, **(_IF_ABSENT.get(kind, {}) | changes | _NOT_PHI_CORES.get(kind, {})))


def widened(temperature: float | None) -> float | None:
    """Returns what a 32-bit float keeps of a temperature: 0.7 is 0.699999988079071.

    None beyond its range: that is infinite, which JSON has not and phi-core prints as null.
    """
    if temperature is None:
        return None
    try:
        found: float = struct.unpack("<f", struct.pack("<f", temperature))[0]
    except OverflowError:
        return None
    return found


def narrowest(temperature: float) -> float:
    """Returns the shortest number with the same 32 bits: what phi-core writes into a file."""
    shorter = (
        float(f"{temperature:.{digits}g}") for digits in range(1, 10)
    )  # nine digits tell all 32-bit floats apart
    return next((one for one in shorter if widened(one) == temperature), temperature)


def renewed_trigger(trigger: str | None) -> str | None:
    """Returns a turn's trigger in today's spelling: `FollowUp` was renamed to `Continuation` in April 2026."""
    return "Continuation" if trigger == "FollowUp" else trigger


def read_config(raw: bytes | Raw) -> ConfigSnapshot | None:
    """Reads a configuration snapshot; None for null and for what is no object."""
    config = _read(ConfigSnapshot, raw)
    if config is None:
        return None
    api = API_ALIASES.get(config.api, config.api) if config.api else config.api
    return msgspec.structs.replace(config, api=api, temperature=widened(config.temperature))


def read_kind(raw: bytes | Raw) -> ContinuationKind:
    """Reads a continuation kind; absent, null and unreadable are `Initial`, as in files before April 2026."""
    try:
        found = _kind.decode(raw)
    except BROKEN:
        return "Initial"
    if isinstance(found, str):
        return found
    tagged = {name: tag for name, tag in found.items() if tag is not None}
    if tagged:
        return tagged
    return next(iter(found)) if found else "Initial"


def read_payload(raw: bytes | Raw) -> RequestPayload | None:
    """Reads the request of a turn, its messages without marks; None for what is no object."""
    given = mend(RequestPayload, raw)
    if given is None:
        return None
    return msgspec.structs.replace(
        given,
        system_prompt=_strings(given.system_prompt),
        messages=canonical_plain_messages(given.messages),
        provenance=_list_of(_provenance, given.provenance),
        tools=_list_of(_tools, given.tools),
        temperature=widened(given.temperature),
        response_format=_response_format(_fields.decode(raw).get("response_format", NULL)),
    )


def _read_trigger(raw: Raw) -> str | None:
    try:
        return renewed_trigger(_text.decode(raw))
    except BROKEN:
        return None


def _read_result(raw: Raw) -> ToolResult | None:
    given = _read(ToolResult, raw)
    if given is None:
        return None
    return msgspec.structs.replace(
        given, content=canonical_content(given.content), details=canonical_json(given.details)
    )


def _read_partial(raw: Raw) -> Raw:
    return Raw(msgspec.json.encode(to_json(_read_result(raw))))


def _read_delta(raw: Raw) -> Raw:
    try:
        found = _delta.decode(raw)
    except BROKEN:
        return canonical_json(raw)
    return Raw(declared_json.encode(found)) if found.keys() <= _FRAGMENTS else canonical_json(raw)


def _read(kind: type[S], raw: bytes | Raw) -> S | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except BROKEN:
        return mend(kind, raw)


def _strings(raw: Raw) -> Raw:
    return Raw(b'""') if raw is NULL else canonical_json(raw)


def _list_of(decoder: msgspec.json.Decoder[Any], raw: Raw) -> Raw:
    try:
        return Raw(declared_json.encode(decoder.decode(raw)))
    except BROKEN:
        return _EMPTY if raw is NULL else canonical_json(raw)


def _response_format(raw: bytes | Raw) -> ResponseFormat | None:
    try:
        found = _format.decode(raw)
    except BROKEN:
        return mend(ResponseFormat, raw)
    if isinstance(found, StrictSchemaFormat):
        schema = Raw(declared_json.encode(found.schema))
        return SchemaFormat(kind="json-schema", schema=schema, name=found.name, strict=found.strict)
    return ResponseFormat(str(found.__struct_config__.tag))


# Fields that are read here and not by `wire.decode`, whose values keep the bytes as they came.
_READERS: dict[str, Callable[[Raw], Any]] = {
    "message": read_message,
    "messages": canonical_messages,
    "tool_results": canonical_plain_messages,
    "payload": read_payload,
    "result": _read_result,
    "partial_result": _read_partial,
    "metadata": canonical_json,
    "args": canonical_json,
    "delta": _read_delta,
    "config_snapshot": read_config,
    "continuation_kind": read_kind,
    "triggered_by": _read_trigger,
}
_UPDATE_READERS = {**_READERS, "message": canonical_message}  # here `wire.events` leaves the message as JSON
_IF_ABSENT: dict[str, dict[str, Any]] = {
    "AgentEnd": {"messages": _EMPTY},
    "TurnEnd": {"tool_results": _EMPTY},
    "MessageUpdate": {"message": canonical_message(NULL)},
}
# What sources and policy add to the wire: phi-core would drop it.
_NOT_PHI_CORES: dict[str, dict[str, Any]] = {
    kind.__name__: {one.name: UNSET for one in msgspec.structs.fields(kind) if one.default is UNSET}
    for kind in KnownEvent.__args__
}
