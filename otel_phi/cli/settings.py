"""Flags to a configuration: heavy imports happen here, not when the command line starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from otel_phi.config import Config
    from otel_phi.prices import Prices


def configured_with_state(flags: dict[str, Any]) -> Config:
    """Returns the configuration for a command that is nothing without a state folder.

    Raises:
        ConfigError: there is none, or a flag has a value that cannot be; the message holds the fix.
    """
    from otel_phi.config import state_dir

    state_dir(flags.get("state_dir"))
    return configured(flags)


def configured(flags: dict[str, Any]) -> Config:
    """Returns the configuration that flags and environment make.

    Raises:
        ConfigError: a flag has a value that cannot be; the message holds the fix.
    """
    from otel_phi.config import resolve

    return resolve(**flags)


def prices_said(flags: dict[str, Any]) -> Prices | None:
    """Takes the flags of `price_flags` out of all; returns what says what calls cost, each unknown model once on stderr."""
    from otel_phi.cli import screen
    from otel_phi.config.config import price_source
    from otel_phi.prices import prices_of

    return prices_of(price_source(flags.pop("cost"), flags.pop("prices")), lambda said: screen.say(f"otel-phi: {said}"))


def called(config: Config) -> Config:
    """Returns a configuration whose loops link to the span that TRACEPARENT names, unless another caller is given."""
    caller = config.mapping.caller or config.traceparent
    return msgspec.structs.replace(config, mapping=msgspec.structs.replace(config.mapping, caller=caller))


def destination(config: Config, exporter: str | None = None) -> str:
    """Returns where spans went, in words; to one of several exporters, if it is named."""
    if config.file is not None:
        return f"written to {'stdout' if config.file == '-' else config.file}"
    return f"accepted by {exporter_words(config, exporter or config.exporter_names[0])}"


def exporter_words(config: Config, exporter: str) -> str:
    """Returns an exporter's name for people: the collector's address, if it is ours."""
    return config.display_endpoint if exporter == "otlp" else f"exporter {exporter}"


def sends_nothing(config: Config) -> str | None:
    """Returns why nothing is to leave, None where it is."""
    words = {
        "sdk_disabled": "OTEL_SDK_DISABLED is true: nothing is sent",
        "exporter_none": "the exporter is 'none': nothing is sent",
    }
    return words.get(config.sends_nothing or "")
