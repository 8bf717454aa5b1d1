"""Prices: what a model call costs, by the user's own table and by genai-prices, where they are asked for.

Rule 1: the table comes first; what neither knows has no cost, and that is said once for each model.
Rule 2: genai-prices is loaded when prices are opened, never later: on an agent's machine that takes a fifth of a second. It
        reads what it was installed with: nothing is fetched.
Rule 3: a call is priced by the day it was made on, so that the same facts cost the same whenever they are read.
"""

from __future__ import annotations

import datetime as dt
import importlib
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from otel_phi.config.prices import installed
from otel_phi.mapping.price_table import NO_PRICES, PICO, PriceSource
from otel_phi.mapping.providers import provider_name
from otel_phi.wire.costs import Call, Cost

logger = logging.getLogger("otel_phi")
TABLE_SOURCE = "table"
# Models that were said to have no price. An agent uses a handful; past it nobody reads on.
MAX_NOTES = 64
# The library's names of providers whose convention's word differs: https://github.com/pydantic/genai-prices/tree/main/prices/providers
_THEIRS = {
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "x_ai": "x-ai",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
}


class Prices:
    """Prices say what calls cost: they are asked as a `Price` is, by being called.

    Args:
        source: where they come from. Of a library of another version than is here nothing is known.
        on_unknown: gets one sentence for each model without a price.
    """

    def __init__(self, source: PriceSource, on_unknown: Callable[[str], None] = logger.warning) -> None:
        self._table, self._on_unknown = source.table, on_unknown
        self._library: Any = _library() if source.library and source.library == installed() else None
        self._source = source.library
        self._noted: set[tuple[str, str]] = set()

    def __call__(self, call: Call) -> Cost | None:
        """Returns what a call cost, None where that is not known. Never raises."""
        provider = provider_name(call.api, call.provider)
        for model in dict.fromkeys(filter(None, call.models)):
            found = self._table.cost(call.tokens, provider, model, call.at_ns)
            if found is not None:
                return Cost(found, TABLE_SOURCE)
            theirs = None if self._library is None else self._of_library(call, provider, model)
            if theirs is not None:
                return Cost(theirs, self._source)
        self._note(provider or "", next(filter(None, call.models), ""))
        return None

    def _of_library(self, call: Call, provider: str | None, model: str) -> int | None:
        tokens, library = call.tokens, self._library
        # None counts as not reported there: then a price that tells cached tokens apart need not exist.
        counted = library.Usage(
            input_tokens=tokens.input,
            cache_read_tokens=min(tokens.cache_read, tokens.input) or None,
            cache_write_tokens=min(tokens.cache_write, tokens.input) or None,
            output_tokens=tokens.output,
        )
        named: dict[str, Any] = {} if provider is None else {"provider_id": _THEIRS.get(provider, provider)}
        try:
            at = dt.datetime.fromtimestamp(call.at_ns / 1e9, dt.timezone.utc)
            price: Decimal = library.calc_price(counted, model, genai_request_timestamp=at, **named).total_price
        except Exception:  # noqa: BLE001  # LookupError where it knows no such model; its others must not cost a span either
            return None
        return round(price * PICO)

    def _note(self, provider: str, model: str) -> None:
        if (provider, model) in self._noted or len(self._noted) >= MAX_NOTES:
            return
        self._noted.add((provider, model))
        whose = f" of {provider}" if provider else ""
        self._on_unknown(f"no price is known for {model or 'a model without a name'}{whose}: what it cost is not said")


def prices_of(source: PriceSource, on_unknown: Callable[[str], None] = logger.warning) -> Prices | None:
    """Returns the prices of a source, None where none were asked for."""
    return None if source == NO_PRICES else Prices(source, on_unknown)


def source_in(written: bytes) -> PriceSource:
    """Returns the source of prices that a journal's head says, none where it says none that this version reads."""
    try:
        return msgspec.json.decode(written, type=PriceSource | None) or NO_PRICES
    except msgspec.MsgspecError:
        return NO_PRICES


def _library() -> Any:
    return importlib.import_module("genai_prices")
