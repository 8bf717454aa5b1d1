"""The price table: what a call costs by the rates that a user wrote down, in whole picodollars, so that sums are exact.

    [[price]]
    model = "qwen-*"          # as it is asked for; `*` and `?` stand for others
    provider = "local"        # may be left out; any of its names
    input = 0.20              # US dollars for a million tokens
    output = 0.60
    cache_read = 0.02         # those read from a cache; without it they cost what input costs
    cache_write = 0.25        # those written to one; likewise
    reasoning = 0.60          # those of the output that are reasoning; without it what output costs
    since = 2026-01-01        # may be left out; `until` too: the day on which they no longer hold
    [[price.above]]           # a call with more input tokens than that is charged these, all of it
    input_tokens = 200_000
    input = 0.40
    output = 1.20

Rule 1: the first that fits is taken.
Rule 2: every token is charged once: cached ones are part of the input, reasoning is part of the output.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from decimal import Decimal

import msgspec

from otel_phi.mapping.providers import provider_name
from otel_phi.wire.usage import TokenCount

PICO = 10**12  # of a dollar: what a token costs is a whole number of them where a million costs up to six decimals
_PICO_A_TOKEN = 10**6  # of a dollar for a million tokens
_DAY_S, _NS = 86_400, 10**9
_EPOCH = dt.date(1970, 1, 1)


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Rates are US dollars for a million tokens; those that are None cost what the kind costs that they are part of.

    Attributes:
        input: prompt tokens, and cached ones that have no rate of their own.
        output: completion tokens, and reasoning that has none.
        cache_read: prompt tokens read from a cache.
        cache_write: prompt tokens written to a cache.
        reasoning: reasoning tokens.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None

    def cost(self, tokens: TokenCount) -> int:
        """Returns what a call costs, in picodollars."""
        read, write = tokens.cache_read, tokens.cache_write
        charged = (
            (max(tokens.input - read - write, 0), self.input),
            (read, self.input if self.cache_read is None else self.cache_read),
            (write, self.input if self.cache_write is None else self.cache_write),
            (max(tokens.output - tokens.reasoning, 0), self.output),
            (min(tokens.reasoning, tokens.output), self.output if self.reasoning is None else self.reasoning),
        )
        return round(sum([count * rate for count, rate in charged], Decimal(0)) * _PICO_A_TOKEN)


class Tier(Rates, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A tier is the rates of a call with more than `input_tokens` of input, cached ones counted."""

    input_tokens: int


class Price(Rates, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A price is one entry of the table.

    Attributes:
        model: a model's id, with `*` and `?` for what may be anything.
        provider: any name of a provider, None for all.
        since: the first day it holds, UTC; None for always.
        until: the first day it does not hold any more; None for always.
        above: tiers.
    """

    model: str
    provider: str | None = None
    since: dt.date | None = None
    until: dt.date | None = None
    above: tuple[Tier, ...] = ()

    def fits(self, provider: str | None, model: str, day: dt.date) -> bool:
        """Says whether it is the price of a call; `provider` is the convention's word."""
        return (
            fnmatch.fnmatchcase(model.lower(), self.model.lower())
            and (self.provider is None or provider_name(None, self.provider) == provider)
            and (self.since is None or self.since <= day)
            and (self.until is None or day < self.until)
        )

    def rates(self, input_tokens: int) -> Rates:
        """Returns the rates for so many tokens of input."""
        passed = [tier for tier in self.above if input_tokens > tier.input_tokens]
        return max(passed, key=lambda tier: tier.input_tokens) if passed else self


class PriceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price table is the user's own prices, in the order of the file."""

    price: tuple[Price, ...] = ()

    def cost(self, tokens: TokenCount, provider: str | None, model: str, at_ns: int) -> int | None:
        """Returns what a call costs in picodollars, None where the table has no price for it.

        Args:
            tokens: of the call.
            provider: the convention's word for it, None where it is not known.
            model: the model's id.
            at_ns: when the call was made.
        """
        day = _EPOCH + dt.timedelta(days=min(max(at_ns, 0) // (_DAY_S * _NS), 2_900_000))  # the year 9909 is far enough
        found = next((price for price in self.price if price.fits(provider, model, day)), None)
        return None if found is None else found.rates(tokens.input).cost(tokens)


class PriceSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A price source says where prices come from, as a journal's head keeps it: who reads it makes the same of it.

    Attributes:
        table: the user's own.
        library: genai-prices by name and version, such as `genai-prices/0.2.3`; "" where it was not asked for.
    """

    table: PriceTable = PriceTable()
    library: str = ""


NO_PRICES = PriceSource()


def decode_table(text: bytes) -> PriceTable:
    """Reads a table.

    Raises:
        ValueError: it is no TOML, has a key that nobody knows, or a rate that is none; the message says where.
    """
    try:
        table = msgspec.toml.decode(text, type=PriceTable)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    for price in table.price:
        for rates in (price, *price.above):
            for name in Rates.__struct_fields__:
                rate = getattr(rates, name)
                if rate is not None and not (rate.is_finite() and rate >= 0):
                    raise ValueError(
                        f"{name} = {rate} of {price.model!r} is no rate: use US dollars for a million tokens"
                    )
    return table
