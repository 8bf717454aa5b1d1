"""Holds an attribute's JSON by the convention's schema: as much of JSON Schema as that one uses."""

from __future__ import annotations

import json
from typing import Any

from tests import golden

SCHEMA = json.loads((golden.PROJECT / "tests" / "data" / "gen_ai_messages.schema.json").read_text(encoding="utf-8"))
ATTRIBUTES = frozenset(SCHEMA["attributes"])
_TYPES = {"object": dict, "array": list, "string": str}


def errors(key: str, text: str) -> list[str]:
    """Returns what is wrong with an attribute's value."""
    return _errors(SCHEMA["attributes"][key], json.loads(text), key)


def _errors(schema: dict[str, Any], value: Any, at: str) -> list[str]:
    if "$ref" in schema:
        return _errors(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], value, at)
    if "anyOf" in schema:
        found = [_errors(one, value, at) for one in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    if "const" in schema and value != schema["const"]:
        return [f"{at}: {value!r} is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if "type" in schema and not isinstance(value, _TYPES[schema["type"]]):
        return [f"{at}: a {type(value).__name__} is no {schema['type']}"]
    return [*_of_object(schema, value, at), *_of_list(schema, value, at)]


def _of_object(schema: dict[str, Any], value: Any, at: str) -> list[str]:
    properties = schema.get("properties", {})
    wrong = [f"{at}: no {key}" for key in schema.get("required", ()) if key not in value]
    if schema.get("additionalProperties", True) is False:
        wrong += [f"{at}: {key} is unknown" for key in value if key not in properties]
    for key, inner in properties.items():
        if key in value:
            wrong += _errors(inner, value[key], f"{at}.{key}")
    return wrong


def _of_list(schema: dict[str, Any], value: Any, at: str) -> list[str]:
    if "items" not in schema:
        return []
    return [wrong for number, one in enumerate(value) for wrong in _errors(schema["items"], one, f"{at}[{number}]")]
