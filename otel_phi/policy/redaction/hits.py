"""A hit: where in a text a secret stands, and of which kind; and what is put in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# What a secret becomes. It begins with what no value behind a key may begin with, so that a redacted text is found clean.
MARK = "[redacted:"


class Hit(NamedTuple):
    """A hit is a secret in a text.

    Attributes:
        start: where it begins, in characters.
        end: where the text goes on.
        kind: what it is, in one word of lower-case letters, digits and `_`.
    """

    start: int
    end: int
    kind: str


def mark(kind: str) -> str:
    """Returns what stands in place of a secret."""
    return f"{MARK}{kind}]"


def merged(hits: Iterable[Hit]) -> list[Hit]:
    """Returns hits in order, those that overlap as one, of the kind of the longest."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda one: (one.start, -one.end)):
        last = kept[-1] if kept else None
        if last is None or hit.start >= last.end:
            kept.append(hit)
        elif hit.end > last.end:
            kind = last.kind if last.end - last.start >= hit.end - hit.start else hit.kind
            kept[-1] = Hit(last.start, hit.end, kind)
    return kept


def replaced(text: str, hits: Iterable[Hit]) -> str:
    """Returns a text with marks in place of hits, which are in order and apart."""
    pieces: list[str] = []
    at = 0
    for hit in hits:
        pieces += (text[at : hit.start], mark(hit.kind))
        at = hit.end
    pieces.append(text[at:])
    return "".join(pieces)
