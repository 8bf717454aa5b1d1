"""Fields of an answer, which is an object or a mapping of anybody's: what is not of the type expected is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get(holder: Any, name: str) -> Any:
    """Returns a field, None where there is none."""
    if holder.__class__ is dict:
        return holder.get(name)
    if holder is None:
        return None
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def text(holder: Any, name: str) -> str | None:
    """Returns a field that is a text and not empty, of an enumeration its value; None for any other."""
    found = get(holder, name)
    if found.__class__ is str:
        return found or None
    found = getattr(found, "value", found)
    return str(found) if isinstance(found, str) and found else None


def number(holder: Any, name: str) -> int | None:
    """Returns a field that is a count; None for any other."""
    found = get(holder, name)
    return int(found) if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def items(holder: Any, name: str) -> list[Any] | tuple[Any, ...] | None:
    """Returns a field that is a list; None for any other."""
    found = get(holder, name)
    return found if isinstance(found, list | tuple) else None
