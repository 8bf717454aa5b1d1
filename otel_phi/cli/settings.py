"""Flags to a configuration: heavy imports happen here, not when the command line starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from otel_phi.config import Config


def configured(flags: dict[str, Any]) -> Config:
    """Returns the configuration that flags and environment make.

    Raises:
        ConfigError: a flag has a value that cannot be; the message holds the fix.
    """
    from otel_phi.config import resolve

    return resolve(**flags)


def called(config: Config) -> Config:
    """Returns a configuration whose loops link to the span that TRACEPARENT names, unless another caller is given."""
    caller = config.mapping.caller or config.traceparent
    return msgspec.structs.replace(config, mapping=msgspec.structs.replace(config.mapping, caller=caller))


def destination(config: Config) -> str:
    """Returns where spans went, in words."""
    if config.file is not None:
        return f"written to {'stdout' if config.file == '-' else config.file}"
    exporter = str(config.exporter)
    return f"accepted by {config.display_endpoint if exporter.startswith('otlp') else f'exporter {exporter}'}"


def sends_nothing(config: Config) -> str | None:
    """Returns why nothing is to leave, None where it is."""
    if config.file is not None:
        return None
    if config.disabled:
        return "OTEL_SDK_DISABLED is true: nothing is sent"
    return "the exporter is 'none': nothing is sent" if config.exporter == "none" else None
