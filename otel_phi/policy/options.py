"""The options of policy: whether contents may be said, which of them, and what is taken out of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

InputMode = Literal["delta", "full"]
Patterns = tuple[tuple[str, re.Pattern[str]], ...]

# UTF-8 bytes of all contents of a span: half of what a batch of 1 MiB, the smallest limit of a known receiver, can take.
SPAN_BYTES = 524_288
# Below this a limit leaves no room for a message and what says how many are gone.
SHORTEST_LIMIT = 256


class ContentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Says what of the contents may leave.

    Attributes:
        capture: whether any may.
        input_mode: of a request the messages after the last answer (`delta`), or all of them (`full`).
        images: whether images go along; else a text says their type and size.
        redact: asked about each text, with its place, after the rules; returns it as it may be said. None for none.
        redact_keys: names of keys whose values are secrets, besides the known ones.
        redact_patterns: regular expressions of secrets, by kind, besides the known ones.
        redact_defaults: whether the known ones are looked for at all.
    """

    capture: bool = False
    input_mode: InputMode = "delta"
    images: bool = False
    redact: Callable[[str, str], str] | None = None
    redact_keys: tuple[str, ...] = ()
    redact_patterns: Patterns = ()
    redact_defaults: bool = True


NO_CONTENT = ContentOptions()


def compiled(patterns: Iterable[object] | Mapping[str, object]) -> Patterns:
    """Returns patterns of the user's own, compiled.

    Args:
        patterns: regular expressions, as texts or compiled; or a mapping of kinds to them. The first group is the secret where there is one.

    Raises:
        ValueError: one is no regular expression, or finds an empty text; the message says which.
    """
    pairs = patterns.items() if isinstance(patterns, Mapping) else (("pattern", one) for one in patterns)
    made = []
    for number, (kind, given) in enumerate(pairs, 1):
        try:
            found = given if isinstance(given, re.Pattern) else re.compile(given)
        except (re.error, TypeError) as error:
            raise ValueError(f"pattern {number} is no regular expression: {error}") from None
        if not isinstance(found.pattern, str) or found.match("") is not None:
            raise ValueError(f"pattern {number} is of bytes, or finds a text of no length: nothing would be left")
        made.append((_kind(kind), found))
    return tuple(made)


def _kind(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", str(name).lower())[:40] or "pattern"
