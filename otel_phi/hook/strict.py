"""Strict mode: what an agent tells and nobody understands is raised or logged at once, for its author, in development and tests.

Without it the same is counted by name, and the first of a kind is a warning.

Rule 1: three things are not understood: an event of an unknown type, an unknown key in a known event or message, an event of
        a loop that is not open.
Rule 2: names are told, values never: of an event its type, its loop, the key, and the nearest known name.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from otel_phi.errors import StrictError
from otel_phi.wire.decode import KNOWN_TYPES
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, GenericEvent, SideCall
from otel_phi.wire.spellings import UnknownKey, nearest

logger = logging.getLogger("otel_phi")
Mode = Literal["off", "log", "raise"]
# As many as the recorder keeps open: past it the loop opened longest ago is forgotten.
MAX_OPEN = 10_000
# Names that nobody knows come from a program's text: few. A wild stream must not make them many.
MAX_NAMES = 256


class Finding(msgspec.Struct, frozen=True):
    """A finding is one thing that nobody understands.

    Attributes:
        kind: `unknown_type`, `unknown_key` or `loop_not_open`.
        event: type of the event.
        loop_id: its loop, None where it names none.
        name: the type, the key with what holds it, or the loop.
        nearest: the known name that is most like it, None where none is.
    """

    kind: str
    event: str
    loop_id: str | None
    name: str
    nearest: str | None

    def __str__(self) -> str:
        where = f"{self.event} of loop {self.loop_id!r}" if self.loop_id else self.event
        match self.kind:
            case "unknown_type":
                what = "is an event of a type that nobody knows"
            case "unknown_key":
                what = f"has a key that nobody knows: {self.name!r}"
            case _:
                what = "belongs to no open loop: tell its AgentStart first, and nothing after its AgentEnd"
        return f"{where} {what}{f'; did you mean {self.nearest!r}?' if self.nearest else ''}"


class Strictness:
    """Looks at what an agent tells, and says what nobody understands.

    Args:
        mode: `raise`, `log` each at once, or `off`: log the first of a kind.

    Attributes:
        counts: findings by kind and name, such as `unknown_key assistant.stopReson`; those past a bound are `more`.
    """

    def __init__(self, mode: Mode = "off") -> None:
        self._mode = mode
        self._open: OrderedDict[str, None] = OrderedDict()
        self._warned: set[str] = set()
        self.counts: Counter[str] = Counter()

    def look(self, event: AgentEvent, unknown: Sequence[UnknownKey] = ()) -> None:
        """Looks at an event, with the keys that `respelled` has taken out of it.

        Raises:
            StrictError: in mode `raise`, of the first thing that nobody understands; the others are counted too.
        """
        found = list(self._findings(event, unknown))
        for finding in found:
            self._count(finding)
        if found and self._mode == "raise":
            raise StrictError(str(found[0]))
        for finding in found:
            if self._mode == "log" or finding.kind not in self._warned:
                self._warned.add(finding.kind)
                logger.warning(
                    "%s%s", finding, "" if self._mode == "log" else " (further ones of this kind are only counted)"
                )

    def _findings(self, event: AgentEvent, unknown: Sequence[UnknownKey]) -> Iterator[Finding]:
        kind, loop_id = type(event).__name__, getattr(event, "loop_id", None) or None
        if isinstance(event, GenericEvent):
            yield Finding("unknown_type", event.type, loop_id, event.type, nearest(event.type, KNOWN_TYPES))
            return
        for key in unknown:
            yield Finding("unknown_key", kind, loop_id, f"{key.holder}.{key.key}", key.nearest)
        if isinstance(event, AgentStart):
            self._open[event.loop_id] = None
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        elif loop_id is not None and loop_id not in self._open and not isinstance(event, SideCall):
            yield Finding("loop_not_open", kind, loop_id, loop_id, nearest(loop_id, tuple(self._open)[-64:]))
        if isinstance(event, AgentEnd):
            self._open.pop(event.loop_id, None)

    def _count(self, finding: Finding) -> None:
        name = finding.kind if finding.kind == "loop_not_open" else f"{finding.kind} {finding.name}"
        self.counts[name if name in self.counts or len(self.counts) < MAX_NAMES else "more"] += 1
