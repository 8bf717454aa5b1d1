"""Finds secrets in a text: where each stands and what it is, in order, those that overlap as one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from otel_phi.policy.redaction.blocks import blocks
from otel_phi.policy.redaction.hits import Hit, merged
from otel_phi.policy.redaction.keys import values_of, values_of_keys
from otel_phi.policy.redaction.tokens import tokens

# Below this nothing is a secret but what stands behind a key of its own (an object's, see `structure`).
SHORTEST = 8


def find(text: str, keys: tuple[str, ...] = (), *, defaults: bool = True) -> list[Hit]:
    """Returns the secrets in a text whose escapes are decoded.

    Args:
        text: any text.
        keys: keys of the user's own, in lower case.
        defaults: whether the own rules apply.
    """
    if len(text) < SHORTEST:
        return []
    lowered = lower(text)
    hits: list[Hit] = []
    if defaults:
        hits, present = values_of_keys(text, lowered)
        hits += tokens(text)
        hits += blocks(text, lowered, present)
    if keys:
        hits += values_of(text, lowered, keys)
    return merged(hits) if hits else hits


def lower(text: str) -> str:
    """Returns a text in lower case, of the same length: a few letters of other scripts become two otherwise."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join([one if len(small := one.lower()) != 1 else small for one in text])


def of_patterns(text: str, patterns: Iterable[tuple[str, re.Pattern[str]]]) -> list[Hit]:
    """Returns what patterns of the user's own find: their first group, if they have one, else all of it."""
    found: list[Hit] = []
    for kind, pattern in patterns:
        for match in pattern.finditer(text):
            group = 1 if match.re.groups and match.start(1) >= 0 else 0
            if match.end(group) > match.start(group):
                found.append(Hit(match.start(group), match.end(group), kind))
    return found
