"""Strict mode: what an agent tells and nobody understands is raised or logged at once, for its author, in development and tests.

Without it the same is counted by name, and the first of a kind is a warning: by the recording what takes a second look, and by
the live thread, which reads every fact anyway, what belongs to no open loop. `findings` says what is not understood.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import Literal

from otel_phi.errors import StrictError
from otel_phi.hook.complaints import MAX_NAMES
from otel_phi.hook.findings import LOOP_NOT_OPEN, UNDECODABLE, Finding, findings, loop_not_open, refusals
from otel_phi.wire.events import AgentEnd, AgentEvent, AgentStart, GenericEvent, SideCall
from otel_phi.wire.spellings import UnknownKey

logger = logging.getLogger("otel_phi")
Mode = Literal["off", "log", "raise"]
# As many as the recorder keeps open: past it the loop opened longest ago is forgotten.
MAX_OPEN = 10_000


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
        """Looks at an event, with the keys of it that nobody knows.

        Raises:
            StrictError: in mode `raise`, of the first thing that nobody understands; the others are counted too.
        """
        self._tell([*findings(event, unknown), *self._not_open(event)])

    def refused(self, given: object, reason: str, unknown: Sequence[UnknownKey]) -> None:
        """Takes what cannot be read; the arguments are those of `refusals`.

        Raises:
            StrictError: in mode `raise`, with all that is known of it.
        """
        self._tell(list(refusals(given, reason, unknown)), whole=True)

    def _not_open(self, event: AgentEvent) -> Iterator[Finding]:
        """Yields that an event belongs to no open loop, where it does not; keeps the book of them."""
        loop_id = getattr(event, "loop_id", None) or None
        if isinstance(event, AgentStart):
            self._open[event.loop_id] = None
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        elif loop_id is not None and loop_id not in self._open and not isinstance(event, SideCall | GenericEvent):
            yield loop_not_open(event, tuple(self._open)[-64:])
        if isinstance(event, AgentEnd):
            self._open.pop(event.loop_id, None)

    def _tell(self, found: list[Finding], *, whole: bool = False) -> None:
        for finding in found:
            self._count(finding)
        if found and self._mode == "raise":
            raise StrictError("; ".join(map(str, found if whole else found[:1])))
        for finding in found:
            if self._mode == "log" or finding.kind not in self._warned:
                self._warned.add(finding.kind)
                logger.warning(
                    "%s%s", finding, "" if self._mode == "log" else " (further ones of this kind are only counted)"
                )

    def _count(self, finding: Finding) -> None:
        name = finding.kind if finding.kind in (LOOP_NOT_OPEN, UNDECODABLE) else f"{finding.kind} {finding.name}"
        self.counts[name if name in self.counts or len(self.counts) < MAX_NAMES else "more"] += 1
