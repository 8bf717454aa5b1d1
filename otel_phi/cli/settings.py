"""Flags to a configuration: heavy imports happen here, not when the command line starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_phi.config import Config


def configured(flags: dict[str, Any]) -> Config:
    """Returns the configuration that flags and environment make. Without a service's name that is the agent's, else `otel-phi`.

    Raises:
        ConfigError: a flag has a value that cannot be; the message holds the fix.
    """
    import msgspec

    from otel_phi.config import resolve
    from otel_phi.delivery.otlp.resource import detect_resource
    from otel_phi.mapping.agents import named_service

    config = resolve(**flags)
    if config.service_name is not None:
        return config
    detected = detect_resource(None, config.resource_attributes).get("service.name")
    return msgspec.structs.replace(config, service_name=named_service(detected, config.mapping))


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
