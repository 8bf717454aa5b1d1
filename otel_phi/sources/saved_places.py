"""Where the loops of a saved session stand: a look through the whole file, of which a small record a loop is left.

    {"session_id": ..., "loops": [ {"loop_id": ..., "messages": [...], "turns": [...], "events": [...], ...}, ... ]}
                                                     last one's place   place          place

Rule 1: everything is seen and found to be of its type: a session that cannot be read is named before any of it is sent.
Rule 2: of a key that comes twice the later value counts.
"""

from __future__ import annotations

from typing import cast

import msgspec

from otel_phi.sources.pieces import Unreadable, Window, decoded, placed, skip_any
from otel_phi.sources.remade import remade_start
from otel_phi.wire.callers import traceparent_alone
from otel_phi.wire.events import AgentStart
from otel_phi.wire.saved import ELEMENTS, FIELDS, LOOPS, SavedGroup, SavedLoop
from otel_phi.wire.times import Instant

_anything = msgspec.json.Decoder(msgspec.Raw)


class FoundLoop(msgspec.Struct, frozen=True):
    """A found loop is a loop of a saved session, and where its parts stand.

    Attributes:
        number: its place among the session's loops.
        start: what refers to it needs of its start: ids, time, parent, agent, and the caller alone of its metadata.
        ended_at: when it ended, None for a loop that never did.
        group: the parallel evaluation it was a branch of.
        events: offset of its events in the content; None where it has none.
        turns: offset of its turns, None likewise.
        final_message: offset of the last of its messages, None likewise.
        head: its JSON without these, where its events are to be made anew; else b"".
    """

    number: int
    start: AgentStart
    ended_at: Instant | None
    group: SavedGroup | None
    events: int | None
    turns: int | None
    final_message: int | None
    head: bytes


def places_of(window: Window) -> tuple[FoundLoop, ...]:
    """Looks through a saved session.

    Raises:
        Unreadable: it is none, or not yet whole.
    """
    loops: tuple[FoundLoop, ...] = ()
    named = False
    if window.next() != b"{":
        window.skip(LOOPS, "$")  # says what it is instead
        raise Unreadable("no session")
    for name in window.members("$"):
        named = named or name == "session_id"
        if name == "loops" and window.next() == b"[":
            loops = tuple(_loop(window, number) for number, _ in enumerate(window.elements()))
        elif name in FIELDS:
            window.skip(FIELDS[name], f"$.{name}")
            loops = () if name == "loops" else loops
        else:
            skip_any(window, "$")
    if not named:
        raise Unreadable("Object missing required field `session_id`")
    window.end()
    return loops


def _loop(window: Window, number: int) -> FoundLoop:
    path = f"$.loops[{number}]"
    if window.next() != b"{":
        window.skip(LOOPS, path)
        raise Unreadable(f"no loop - at `{path}`")
    fields: dict[str, bytes] = {}
    arrays: dict[str, int | None] = dict.fromkeys(ELEMENTS)
    for name in window.members(path):
        if name in arrays and window.next() == b"[":
            fields.pop(name, None)
            arrays[name] = _array(window, name, path)
        else:
            if name in arrays:
                arrays[name] = None
            fields[name] = bytes(window.value(_anything, path))
    head = b"{%s}" % b",".join(msgspec.json.encode(name) + b":" + value for name, value in fields.items())
    loop = _decoded(head, path)
    start = remade_start(loop)
    events = arrays.get("events")
    return FoundLoop(
        number,
        msgspec.structs.replace(start, metadata=traceparent_alone(start), config_snapshot=None),
        loop.ended_at,
        loop.parallel_group,
        events,
        arrays.get("turns"),
        arrays.get("messages"),
        head if events is None else b"",
    )


def _array(window: Window, name: str, path: str) -> int | None:
    """Passes an array; returns its place, or that of its last element where only that one counts; None for an empty one."""
    place, last = window.offset, None
    for number, _ in enumerate(window.elements()):
        last = window.offset
        window.skip(ELEMENTS[name], f"{path}.{name}[{number}]")
    return last if last is None or name == "messages" else place


def _decoded(head: bytes, path: str) -> SavedLoop:
    try:
        return cast("SavedLoop", decoded(LOOPS, head))
    except UnicodeError:
        raise Unreadable("not UTF-8") from None
    except msgspec.MsgspecError as error:
        raise Unreadable(placed(str(error), path)) from None
