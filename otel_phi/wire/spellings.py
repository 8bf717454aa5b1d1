"""Both spellings of every key, and keys that nobody knows: looked at where a typed decode finds a key it has no field for.

    line ─ typed decode ─▶ event                                what phi-core writes: nothing here is asked
              └ refused ─▶ respelled ─ typed decode ─▶ event    a key in the other spelling, or one that nobody knows

Rule 1: a key is read in snake case and in camel case, whichever phi-core writes. Where both stand, phi-core's counts.
Rule 2: a key that is neither is taken out and told, with the nearest known one: `assistant.stopReson`, near `stopReason`.
Rule 3: what is content or free (arguments, contents, metadata, attributes) is not looked into.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, inspect

from otel_phi.wire.events import KnownEvent
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL, Message, ToolResultMessage

# What stays undecoded in an event, and is looked into all the same.
_UNDECODED: dict[str, Any] = {"message": Message, "tool_results": list[ToolResultMessage]}
_whole = msgspec.json.Decoder(Raw)
_fields = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_UNKNOWN = "Object contains unknown field"  # msgspec's words
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


def respelled(line: bytes | str | memoryview | Raw, kind: Any = KnownEvent) -> tuple[Any, list[UnknownKey]]:
    """Returns an object with every key spelled as phi-core does, without those that nobody knows, and a list of these.

    Args:
        line: a JSON object, or a list of them. What is neither, or an event of an unknown type, comes back as it is; so does
            one with nothing to change. What is not looked into keeps its bytes.
        kind: the type it is to be decoded as: an event, or whatever holds values of the wire.
    """
    unknown: list[UnknownKey] = []
    try:
        whole = _whole.decode(line)
        kept = _value("", whole, _looked_into(kind), "", unknown)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return line, []
    return (line if kept is whole else bytes(kept)), unknown


def refused_for_a_key(error: Exception) -> bool:
    """Tells whether a typed decode refused something for a key that it has no field for."""
    return str(error).startswith(_UNKNOWN)


def decode_respelled(decoder: msgspec.json.Decoder[Any], line: Any, kind: Any, error: Exception) -> Any:
    """Decodes once more what was refused, if that was for a key alone.

    Args:
        decoder: what refused it.
        line: the JSON.
        kind: the decoder's type.
        error: the refusal.

    Raises:
        Exception: `error` itself, where it was refused for something else; what the decoder raises, where for that too.
    """
    if not refused_for_a_key(error):
        raise error
    return decoder.decode(respelled(line, kind)[0])


def nearest(name: str, known: Collection[str]) -> str | None:
    """Returns the known name that is most like another, None where none is like it."""
    if not known:
        return None
    import difflib  # 5 ms that nobody needs whose names are right

    small = {one.lower().replace("_", ""): one for one in known}
    close = difflib.get_close_matches(name.lower().replace("_", ""), small, n=1, cutoff=_NEAR)
    return small[close[0]] if close else None


# --- what is looked into -------------------------------------------------------------------------------------------------


class _Shape(NamedTuple):
    """A shape is what a struct looks like on the wire.

    Attributes:
        name: its tag, "" for one that has none.
        keys: each key that is read, in whichever spelling: phi-core's own, and what is to be looked into behind it.
        known: the keys as phi-core spells them.
        open: whether it may have others, which say nothing here.
    """

    name: str
    keys: dict[str, tuple[str, _Inner | None]]
    known: frozenset[str]
    open: bool


class _Inner(NamedTuple):
    """An inner is what stands behind a key: an object, one of several told by a tag, or with `listed` a list of those."""

    listed: bool
    shapes: dict[str, type[msgspec.Struct]]
    tag_field: str


@functools.cache
def _looked_into(kind: Any) -> _Inner | None:
    """Returns what is to be looked into of a type, None where there is nothing."""
    return _inner_of(inspect.type_info(kind))


def _inner_of(info: inspect.Type) -> _Inner | None:
    match info:
        case inspect.StructType(cls=cls, array_like=False, tag=tag, tag_field=tag_field):
            return _Inner(False, {str(tag or ""): cls}, str(tag_field or ""))
        case inspect.UnionType(types=types):
            parts = [part for one in types if (part := _inner_of(one)) is not None]
            shapes = {tag: cls for part in parts for tag, cls in part.shapes.items()}
            return _Inner(parts[0].listed, shapes, parts[0].tag_field) if parts else None
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            one = _inner_of(item)
            return None if one is None or one.listed else one._replace(listed=True)
        case _:
            return None


@functools.cache
def _shape(kind: type[msgspec.Struct]) -> _Shape:
    config = kind.__struct_config__
    fields = msgspec.structs.fields(kind)
    keys: dict[str, tuple[str, _Inner | None]] = {
        one.encode_name: (one.encode_name, _looked_into(_UNDECODED.get(one.name, Raw) if one.type is Raw else one.type))
        for one in fields
    }
    if config.tag_field:
        keys[config.tag_field] = (config.tag_field, None)
    known = frozenset(keys)
    for name in known:
        for twin in (_snake(name), _camel(name)):
            keys.setdefault(twin, keys[name])
    return _Shape(str(config.tag or ""), keys, known, open=not config.forbid_unknown_fields)


def _shape_in(inner: _Inner, found: dict[str, Raw]) -> _Shape | None:
    """Returns the shape of an object by its tag, None where it is of no known kind."""
    tag = found.get(inner.tag_field, NULL) if inner.tag_field else NULL
    kind = inner.shapes.get(_text.decode(tag) if _begins(tag, b'"') else "")
    return None if kind is None else _shape(kind)


# --- looking -------------------------------------------------------------------------------------------------------------


def _respelled(found: dict[str, Raw], shape: _Shape, holder: str, unknown: list[UnknownKey]) -> dict[str, Raw]:
    """Returns the very same dict where there is nothing to change."""
    kept: dict[str, Raw] = {}
    changed = False
    for key, value in found.items():
        name, inner = shape.keys.get(key, (None, None))
        if name is None and shape.open:
            kept[key] = value
        elif name is None or (name != key and name in found):
            unknown.append(UnknownKey(holder, key, name or nearest(key, shape.known)))
            changed = True
        else:
            kept[name] = value if inner is None else _value(name, value, inner, holder, unknown)
            changed = changed or name != key or kept[name] is not value
    return kept if changed else found


def _value(name: str, value: Raw, inner: _Inner | None, holder: str, unknown: list[UnknownKey]) -> Raw:
    if inner is None:
        return value
    if not inner.listed:
        return _object(name, value, inner, holder, unknown)
    if not _begins(value, b"["):
        return value
    listed = _list.decode(value)
    kept = [_object(name, one, inner, holder, unknown) for one in listed]
    return value if all(new is old for new, old in zip(kept, listed, strict=True)) else Raw(_encoder.encode(kept))


def _object(name: str, value: Raw, inner: _Inner, holder: str, unknown: list[UnknownKey]) -> Raw:
    if not _begins(value, b"{"):
        return value
    found = _fields.decode(value)
    shape = _shape_in(inner, found)
    if shape is None:
        return value
    kept = _respelled(found, shape, shape.name or f"{holder}.{name}".strip("."), unknown)
    return value if kept is found else Raw(_encoder.encode(kept))


def _begins(value: Raw, mark: bytes) -> bool:
    return bytes(memoryview(value)[:1]) == mark


def _snake(name: str) -> str:
    return _HUMP.sub(lambda hump: "_" + hump[1].lower(), name)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
