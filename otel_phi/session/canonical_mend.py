"""Reads what phi-core would refuse: field by field, keeping each one that can be read and the default of each that cannot."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

S = TypeVar("S", bound=msgspec.Struct)
BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
_LONG_NUMBER = re.compile(rb"\d{19}")  # 2**63 has 19 digits: shorter integers fit in 64 bits
_U64, _I64 = 2**64, -(2**63)

_objects = msgspec.json.Decoder(dict[str, Raw])


def mend(kind: type[S], raw: bytes | Raw) -> S | None:
    """Reads an object as `kind`.

    Args:
        kind: a Struct all of whose fields have defaults.
        raw: JSON.

    Returns:
        The value; None where the JSON is no object.
    """
    try:
        given = _objects.decode(raw)
    except BROKEN:
        return None
    found = {}
    for name, key, type_ in _fields(kind):
        if key in given and (value := _field(type_, given[key])) is not None:
            found[name] = value
    return kind(**found)


def within_64_bits(line: bytes) -> bytes:
    """Rewrites integers beyond 64 bits as floats, as serde reads them; anything else stays as it is.

    Raises:
        MsgspecError: the line is no JSON.
    """
    if _LONG_NUMBER.search(line) is None:
        return line
    found = msgspec.json.decode(line)
    shorter = _shortened(found)
    return line if shorter is found else msgspec.json.encode(shorter)


@functools.cache  # one entry for each class of this package
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    types = typing.get_type_hints(kind, include_extras=True)
    return tuple((one.name, one.encode_name, types[one.name]) for one in msgspec.structs.fields(kind))


def _field(type_: Any, raw: Raw) -> Any:
    if type_ is Raw:
        return raw
    try:
        return msgspec.json.decode(raw, type=type_)
    except BROKEN:
        pass
    for part in (type_, *typing.get_args(type_)):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return mend(part, raw)
    try:
        return msgspec.json.decode(msgspec.json.encode(int(msgspec.json.decode(raw, type=float))), type=type_)
    except (*BROKEN, ValueError, OverflowError):
        return None


def _shortened(value: Any) -> Any:
    """Returns the very same object where nothing is too long."""
    match value:
        case bool():
            return value
        case int():
            return value if _I64 <= value < _U64 else float(value)
        case Mapping():
            changed = {key: _shortened(one) for key, one in value.items()}
            return value if all(changed[key] is value[key] for key in value) else changed
        case list():
            items = [_shortened(one) for one in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        case _:
            return value
