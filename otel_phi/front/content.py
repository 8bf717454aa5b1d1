"""Contents as JSON: what is asked for only where contents may be said. It never raises, whatever the value is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

# A tool's answer that a model is to read is shorter; what is longer costs the agent time that nobody asked for.
MAX_BYTES = 65_536
_CUT = "…[cut]"
_LONGEST_SECRET = 4_096  # that has no blank in it; a private key has newlines, and is found without its end


def as_json(value: Any) -> Raw:
    """Returns a value as JSON, what JSON has not as its `repr`; what is longer than 64 KiB is a text, cut."""
    text = _text(value, plain=False)
    return Raw(msgspec.json.encode(text) if text.endswith(_CUT) else text.encode())


def as_blocks(value: Any) -> Raw:
    """Returns a value as the content of a message: one block of text."""
    return Raw(msgspec.json.encode([{"type": "text", "text": _text(value, plain=True)}]))


def _text(value: Any, *, plain: bool) -> str:
    try:
        if plain and isinstance(value, str):
            return _cut(value)
        return _cut(_bounded(_encoder.iterencode(value)))
    except Exception:  # noqa: BLE001  # a circle, a key that is none, a `repr` that fails
        return _cut(json.dumps(f"<{type(value).__name__}>"))


def _bounded(pieces: Iterator[str]) -> str:
    kept: list[str] = []
    size = 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            break
    return "".join(kept)


def _cut(text: str) -> str:
    """Returns a text that UTF-8 can carry (a lone surrogate cannot be), in 64 KiB of it."""
    whole = text[: MAX_BYTES + 1].encode("utf-8", "replace")
    if len(whole) <= MAX_BYTES:
        return whole.decode()
    kept = whole[: MAX_BYTES - len(_CUT.encode())].decode("utf-8", "ignore")
    # Half a secret is none that anybody finds: the cut is at a blank, or a secret's length before the end.
    blank = max(kept.rfind(one, len(kept) - _LONGEST_SECRET) for one in " \n\t")
    return kept[: blank if blank > 0 else len(kept) - _LONGEST_SECRET] + _CUT


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=repr)
