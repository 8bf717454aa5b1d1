"""What policy makes anew it makes whole: a field that the wire gains is forgotten by no door."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from otel_phi.policy import parts
from otel_phi.wire.parts import ConfigSnapshot, RequestPayload

# What is no word or number: an address, of which host and port stay, and what capture alone tells of a request's messages.
_APART = {"base_url", "input_mode", "message_count", "first_message"}
_VALUES: dict[type, Any] = {str: "high", int: 3, float: 0.5, bool: True}


def filled(kind: type[msgspec.Struct]) -> Any:
    """Returns a value of a type with every field that is a word, a number or a flag."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    given = {
        field.name: value for field in info.fields if field.name not in _APART and (value := _value(field)) is not None
    }
    return kind(**given)


def _value(field: msgspec.inspect.Field) -> Any:
    offered = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
    names = {type(each).__name__: each for each in offered}
    known = {"StrType": str, "IntType": int, "FloatType": float, "BoolType": bool}
    return next((_VALUES[known[name]] for name in names if name in known), None)


@pytest.mark.parametrize("kind", [ConfigSnapshot, RequestPayload], ids=lambda kind: kind.__name__)
def test_a_configuration_of_words_and_numbers_alone_stays_as_it_is(kind: type[msgspec.Struct]) -> None:
    given = filled(kind)
    assert len(msgspec.to_builtins(given)) > 3
    said = parts.config(given) if kind is ConfigSnapshot else parts.request(given)
    assert said == given
