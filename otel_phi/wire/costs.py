"""What model calls cost: whose price, and how much. Nothing of phi-core's: it says no price in an event."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

from otel_phi.wire.usage import TokenCount


class Call(msgspec.Struct, frozen=True, gc=False):
    """A call is what its price is known by.

    Attributes:
        tokens: in one meaning for all providers.
        api: the wire protocol, None where it is not known.
        provider: as the configuration or the message names it.
        models: the model that answered, and the one that was asked; "" for one that is not known.
        at_ns: when it was made.
    """

    tokens: TokenCount
    api: str | None
    provider: str | None
    models: tuple[str, str]
    at_ns: int


class Cost(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A cost is what model calls cost.

    Attributes:
        picodollars: 10^-12 US dollars: whole numbers, so that sums are exact.
        source: who says it: `agent`, `table`, or a library's name and version; `mixed` where a sum has several.
        partial: whether a call in the sum has no known cost.
    """

    picodollars: int
    source: str
    partial: bool = False

    @property
    def usd(self) -> float:
        """Returns it in US dollars."""
        return self.picodollars / 10**12


_MOST_USD = 10**6  # of one call
Price = Callable[[Call], Cost | None]


def said_cost(usd: float | UnsetType) -> Cost | None:
    """Returns a cost that the source itself says, None where it says none, or one that cannot be."""
    if usd is UNSET or not 0 <= usd <= _MOST_USD:
        return None
    return Cost(round(usd * 10**12), "agent")


def cost_of(price: Price | None, call: Call) -> Cost | None:
    """Returns what a call cost, None where nobody knows, or it counted nothing."""
    return price(call) if price is not None and (call.tokens.input or call.tokens.output) else None


def add_costs(one: Cost | None, other: Cost) -> Cost:
    """Returns a sum with one more call in it."""
    if one is None:
        return other
    return Cost(one.picodollars + other.picodollars, one.source if one.source == other.source else "mixed")


def sum_of(cost: Cost | None, *, partial: bool) -> Cost | None:
    """Returns a sum that says whether a call in it has no known cost; None where none has one."""
    return Cost(cost.picodollars, cost.source, True) if cost is not None and partial else cost
