"""Cuts JSON so that it stays JSON: texts in it first, then members, each marked. Backends that parse it still can.

Rule 1: what comes out parses, is of the same kind (object or list), and fits.
Rule 2: what is no JSON object or list, or could not be cut to anything, is left to the plain cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

# Below this a text in the JSON says nothing any more: members go instead.
_SHORTEST = 16


def cut_json(text: str, max_bytes: int, cut: Callable[[str, int], str], mark: str) -> str | None:
    """Cuts a JSON object or list to a number of UTF-8 bytes.

    Args:
        text: what is longer than that.
        max_bytes: what it may have, as UTF-8.
        cut: cuts a plain text to a number of bytes.
        mark: stands where members were left out.

    Returns:
        JSON of the same kind that fits; None where the text is no object or list, or nothing that fits would be left of it.
    """
    if text[:1] not in ("{", "["):
        return None
    try:
        whole = json.loads(text, parse_constant=_refuse)
        for longest, most in _limits(max_bytes, len(text)):
            found = json.dumps(
                _shorter(whole, longest, most, cut, mark), ensure_ascii=False, separators=(",", ":"), allow_nan=False
            )
            if len(found.encode("utf-8", "surrogatepass")) <= max_bytes:
                return found
    except (ValueError, RecursionError):  # no JSON, or deeper than Python goes
        return None
    return None


def _limits(max_bytes: int, members: int) -> Iterator[tuple[int, int]]:
    """Yields bytes a text and members a list or object may have, ever fewer: each try halves one of them."""
    longest, most = max_bytes, members
    while longest > _SHORTEST:
        longest //= 2
        yield longest, most
    while most:
        most //= 2
        yield longest, most


def _shorter(value: Any, longest: int, most: int, cut: Callable[[str, int], str], mark: str) -> Any:
    match value:
        case str():
            return cut(value, longest)
        case list():
            kept = [_shorter(each, longest, most, cut, mark) for each in value[:most]]
            return kept if len(value) <= most else [*kept, mark]
        case dict():
            pairs = list(value.items())[:most]
            found = {key: _shorter(each, longest, most, cut, mark) for key, each in pairs}
            return found if len(value) <= most else {**found, mark: len(value) - most}
        case _:
            return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
