"""Cuts contents to a number of bytes as JSON: texts in their middle, of messages the oldest first. One pass: nothing is tried twice.

Rule 1: what fits is not touched, so that what was cut is not cut again.
Rule 2: what comes out fits, is of the same form, and says how much is gone: `…[cut 812 bytes]…`, `[3 earlier messages cut]`.
Rule 3: the space that texts have is shared level: only those above the level are cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

JSON = dict[str, Any]

_encoder = msgspec.json.Encoder()
_MARK = re.compile(r"…\[cut (\d+) bytes\]…")
# The longest mark: the count of 10 GB, and two ellipses of three bytes each.
_MARK_BYTES = 28
# What remains of a text that has no room for a mark.
_SHORTEST_MARK = "…"
# Room that is kept for the message that says how many are gone.
_GONE_BYTES = 96
# What one more, cut message has to have to be worth it.
_WORTH_BYTES = 256


def encoded(value: Any) -> bytes:
    """Writes a value as JSON; a lone surrogate, which no JSON carries, as U+FFFD."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_mended(value))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value


def size(text: str) -> int:
    """Returns the bytes of a text within JSON, without its quotes."""
    return len(encoded(text)) - 2


def cut_text(text: str, room: int) -> str:
    """Returns a text that has at most `room` bytes within JSON, its middle cut and its ends kept."""
    whole = size(text) if len(text) * 6 > room else 0
    if whole <= room:
        return text
    if room < _MARK_BYTES:
        return _SHORTEST_MARK if room >= len(_SHORTEST_MARK.encode()) else ""
    left = room - _MARK_BYTES
    head = _head(text, left // 2)
    tail = _head(text[: len(head) - 1 if head else None : -1], left - size(head))[::-1]
    found = _MARK.search(text, len(head), len(text) - len(tail))
    gone = whole - size(head) - size(tail) + (int(found[1]) - len(found[0].encode()) if found else 0)
    return f"{head}…[cut {gone} bytes]…{tail}"


def _head(text: str, room: int) -> str:
    """Returns as much of a text's beginning as fits, or a little less."""
    kept = text[: max(room, 0)]
    while kept and (has := size(kept)) > room:
        kept = kept[: min(len(kept) - 1, len(kept) * room // has)]
    return kept


def level(sizes: Sequence[int], room: int) -> int:
    """Returns the bytes that each text may have, so that all together fit: those below it keep what they have."""
    left, count = max(room, 0), len(sizes)
    for one in sorted(sizes):
        if one * count > left:
            return left // count
        left -= one
        count -= 1
    return max(sizes, default=0)


def cut_value(value: Any, room: int) -> Any:
    """Returns a JSON value that fits: texts of an object or list are cut; a value that is cut otherwise becomes a text."""
    whole = len(encoded(value))
    if whole <= room:
        return value
    if isinstance(value, str):
        return cut_text(value, room - 2)
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    held = [len(encoded(item)) for item in items]
    frame = whole - sum(held)
    if items and frame + len(items) * (_MARK_BYTES + 2) <= room:
        each = level(held, room - frame)
        kept = [item if has <= each else _as_text(item, each) for item, has in zip(items, held, strict=True)]
        return dict(zip(value, kept, strict=True)) if isinstance(value, dict) else kept
    return _as_text(value, room)


def _as_text(value: Any, room: int) -> str:
    return cut_text(value if isinstance(value, str) else encoded(value).decode(), room - 2)


# --- parts of a message ------------------------------------------------------------------------------------------------

# Which member of a part holds what can be cut.
_HELD = {
    "text": "content",
    "reasoning": "content",
    "tool_call": "arguments",
    "tool_call_response": "response",
    "blob": "content",
}


def text_part(text: str) -> JSON:
    """Returns a part that is a text."""
    return {"type": "text", "content": text}


def cut_parts(parts: list[JSON], room: int) -> list[JSON]:
    """Returns parts that fit as a JSON list; what does not even with all texts cut goes, the earliest first, and a part says so."""
    whole = len(encoded(parts))
    if whole <= room:
        return parts
    kept, gone = _last(parts, room)
    held = [len(encoded(part.get(_HELD[part["type"]]))) for part in kept]
    frame = len(encoded(kept)) - sum(held)
    each = level(held, room - frame)
    fitting = [_cut_part(part, has, each) for part, has in zip(kept, held, strict=True)]
    if gone:
        fitting.insert(0, text_part(f"[{gone} earlier parts cut]"))
    if len(encoded(fitting)) <= room:
        return fitting
    lone = [text_part(cut_text("…[cut]…", room - len(encoded([text_part("")]))))]
    return lone if len(encoded(lone)) <= room else []


def _last(parts: list[JSON], room: int) -> tuple[list[JSON], int]:
    """Returns the last parts whose frames fit with some room for each, and how many are before them."""
    left = room - 2
    kept: list[JSON] = []
    for part in reversed(parts):
        frame = len(encoded({**part, _HELD[part["type"]]: None})) + _MARK_BYTES
        if frame + 1 > left - (64 if len(kept) + 1 < len(parts) else 0):
            break
        left -= frame + 1
        kept.insert(0, part)
    gone = len(parts) - len(kept)
    return kept, gone


def _cut_part(part: JSON, has: int, room: int) -> JSON:
    if has <= room:
        return part
    if part["type"] == "blob":  # half an image is none
        return text_part(cut_text(f"[{part.get('mime_type') or 'image'}, cut]", room))
    member = _HELD[part["type"]]
    value = part[member]
    if part["type"] == "tool_call_response" and _are_parts(
        value
    ):  # cut as a list, an image of it would be a bare text: no part
        return {**part, member: cut_parts(value, room)}
    return {**part, member: cut_value(value, room)}


def _are_parts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and item.get("type") in _HELD for item in value)


# --- messages ----------------------------------------------------------------------------------------------------------


def cut_messages(messages: list[JSON], room: int) -> list[JSON]:
    """Returns messages that fit as a JSON list: the newest, and before them one that says how many are gone."""
    sizes = [len(encoded(message)) for message in messages]
    if sum(sizes) + len(sizes) + 1 <= room:
        return messages
    left = room - 2 - _GONE_BYTES
    kept: list[JSON] = []
    for message, has in zip(reversed(messages), reversed(sizes), strict=True):
        if has + 1 <= left:
            kept.append(message)
            left -= has + 1
            continue
        if not kept or left >= _WORTH_BYTES:
            kept.append(cut_message(message, left - 1))
        break
    gone = len(messages) - len(kept)
    if gone:
        kept.append({"role": "system", "parts": [text_part(f"[{gone} earlier messages cut]")]})
    return kept[::-1]


def cut_message(message: JSON, room: int) -> JSON:
    """Returns a message that fits."""
    frame = len(encoded({**message, "parts": []})) - 2
    return {**message, "parts": cut_parts(message["parts"], room - frame)}


def cut_definitions(definitions: list[JSON], room: int) -> list[JSON]:
    """Returns definitions of tools that fit: without parameters, then without descriptions, then the first of them."""
    whole = len(encoded(definitions))
    if whole <= room:
        return definitions
    bare: list[JSON] = [{key: one[key] for key in ("type", "name", "description") if key in one} for one in definitions]
    lost = f"…[cut {max(whole - len(encoded(bare)), 1)} bytes]…"
    named: list[JSON] = [{"type": one["type"], "name": one["name"]} for one in bare]
    for made in (bare, named):
        if made and len(encoded(made)) + 64 <= room:
            made[0] = {**made[0], "description": made[0].get("description", "") + lost}
            return made
    kept: list[JSON] = []
    left = room - 2 - 96
    for one in named:
        left -= len(encoded(one)) + 1
        if left < 0:
            break
        kept.append(one)
    if kept:
        kept[0]["description"] = f"…[cut {whole - len(encoded(kept))} bytes]…"
    return kept
