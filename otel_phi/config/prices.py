"""Prices: the user's own file, and whether the library that knows the public ones is here."""

from __future__ import annotations

import importlib.util
from os import PathLike
from pathlib import Path

from otel_phi.config import values
from otel_phi.config.choices import Choices
from otel_phi.errors import ConfigError
from otel_phi.mapping.price_table import PriceSource, PriceTable, decode_table


def chosen_prices(choices: Choices) -> PriceSource:
    """Returns where prices come from.

    Raises:
        ConfigError: a keyword names a file that is no table of prices, or asks for a library that is not here; the same in the
            environment is reported, and there are none.
    """
    table = choices.choose("prices", choices.variable("OTEL_PHI_PRICES"), price_file, PriceTable())
    return PriceSource(table, choices.choose("cost", choices.variable("OTEL_PHI_COST"), _library, ""))


def price_file(path: str | PathLike[str]) -> PriceTable:
    """Reads a table of prices."""
    file = Path(path).expanduser()
    try:
        return decode_table(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{file} is no table of prices: {error}") from None


def _library(wanted: bool | str) -> str:
    if not values.switch(wanted):
        return ""
    found = installed()
    if not found:
        raise ConfigError(
            "the package genai-prices is not here: pip install 'otel-phi[cost]', or give prices=FILE alone"
        )
    return found


def installed() -> str:
    """Returns the library of public prices by name and version, "" where it is not installed."""
    if importlib.util.find_spec("genai_prices") is None:
        return ""
    from importlib.metadata import PackageNotFoundError, version  # it brings half of `email`

    try:
        return f"genai-prices/{version('genai-prices')}"
    except PackageNotFoundError:  # no package, but some folder of that name
        return ""
