"""Which sessions are meant, and in what order: the filters that `ls`, `show` and `export` share.

Rule 1: a session is meant when all filters given hold for it; the time that counts is its start.
Rule 2: an order is never left to chance: sessions that are equal in it stand by their start, then by their id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from otel_phi.cli.listing.tally import Tally

_KEYS: dict[str, Callable[[Tally], float]] = {
    "start": lambda tally: tally.started_ns,
    "duration": lambda tally: tally.ended_ns - tally.started_ns,
    "tokens": lambda tally: tally.input_tokens + tally.output_tokens,
    "cost": lambda tally: tally.cost_usd or 0.0,
    "errors": lambda tally: tally.error_count,
    "turns": lambda tally: tally.turns,
}
ORDERS = tuple(_KEYS)
ANY = ""  # of `errors`: whatever went wrong


class Choice(msgspec.Struct, frozen=True):
    """A choice says which sessions are meant.

    Attributes:
        since_ns: start at this moment or later; 0 for whenever.
        until_ns: start before this moment; 0 for whenever.
        errors: something went wrong with this word, `ANY` for whatever; None for all sessions.
        tool: a tool of this name was called.
        model: a model whose name holds this text was asked.
        agent: an agent whose name holds this text took part.
        session: the id begins with this.
        open_only: a loop has not ended.
    """

    since_ns: int = 0
    until_ns: int = 0
    errors: str | None = None
    tool: str | None = None
    model: str | None = None
    agent: str | None = None
    session: str | None = None
    open_only: bool = False

    def holds(self, tally: Tally) -> bool:
        """Tells whether a session is meant."""
        return (
            tally.started_ns >= self.since_ns
            and (not self.until_ns or tally.started_ns < self.until_ns)
            and (self.errors is None or (self.errors in tally.errors if self.errors else tally.error_count > 0))
            and (self.tool is None or any(name == self.tool for _, name in tally.tool_cells))
            and (self.model is None or _within(self.model, tally.models))
            and (self.agent is None or _within(self.agent, tally.agents))
            and (self.session is None or tally.session_id.startswith(self.session))
            and (not self.open_only or tally.open_loops > 0)
        )


def _within(text: str, names: Iterable[str]) -> bool:
    return any(text.lower() in name.lower() for name in names)


def ordered(tallies: Iterable[Tally], order: str, *, reverse: bool, limit: int | None) -> list[Tally]:
    """Returns sessions in an order: the earliest first by start, the largest first by all else.

    Args:
        tallies: the sessions.
        order: one of `ORDERS`.
        reverse: the other way round.
        limit: keep so many of the first; None for all.
    """
    by_start = sorted(tallies, key=lambda tally: (tally.started_ns, tally.session_id))
    found = sorted(by_start, key=_KEYS[order], reverse=order != "start")
    if reverse:
        found.reverse()
    return found[:limit]
