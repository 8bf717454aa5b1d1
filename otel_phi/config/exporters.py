"""The exporters by name: OTEL_TRACES_EXPORTER, a list, and the keyword `exporter`."""

from __future__ import annotations

from otel_phi.config import values
from otel_phi.config.choices import Choices, report
from otel_phi.config.values import Protocol
from otel_phi.errors import ConfigError

VARIABLE = "OTEL_TRACES_EXPORTER"
OTLP, NONE = "otlp", "none"
# The names under which OpenTelemetry's exporter packages register our own protocols.
_OTLP_EXPORTERS: dict[str, Protocol] = {"otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}


def chosen_exporters(choices: Choices) -> tuple[tuple[object, ...], Protocol]:
    """Returns the exporters, `otlp` first, each once, and the protocol that `otlp` speaks.

    Raises:
        ConfigError: the keyword names two OTLP destinations, or `none` beside others; the same in the environment is
            reported, and the first counts.
    """
    given = choices.given.get("exporter")
    asked = _listed(choices.value(VARIABLE) if given is None else given) or [OTLP]
    named = [one for one in asked if isinstance(one, str) and one in _OTLP_EXPORTERS]
    if len(set(named)) > 1:
        _complain(given, f"one OTLP destination at a time: {named[0]!r} is used", f"give {named[0]!r} or {named[-1]!r}")
    found: list[object] = []
    for one in asked:
        name = OTLP if one in named else one
        if not any(name is other or name == other for other in found):
            found.append(name)
    if NONE in found and len(found) > 1:
        found = [one for one in found if one != NONE]
        _complain(given, "'none' beside others means nothing; it is ignored", "leave 'none' or the others out")
    found.sort(key=lambda one: one != OTLP)
    if named:
        return tuple(found), _OTLP_EXPORTERS[named[0]]
    return tuple(found), choices.choose("protocol", choices.otlp("PROTOCOL"), values.protocol, "http/protobuf")


def _listed(value: object) -> list[object]:
    """Returns the exporters of a text with commas, of a sequence, or of one object."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, list | tuple):
        return [one for each in value for one in _listed(each)]
    return [] if value is None else [value]


def _complain(given: object, problem: str, fix: str) -> None:
    if given is not None:
        raise ConfigError(f"exporter: {problem.partition(':')[0]}: {fix}")
    report(VARIABLE, problem)
