"""The configuration as it counts: each option's value and where it comes from, what is wrong with it, and what waits in the outbox.

Rule: no secret is shown. Headers and attributes go by their names, URLs without user, password, query and fragment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.cli import words
from otel_phi.cli.checking.findings import Findings, Place
from otel_phi.config import resolve
from otel_phi.config.choices import Choices, reports_to
from otel_phi.config.config import environment
from otel_phi.config.destination import insecure
from otel_phi.config.endpoint import without_credentials
from otel_phi.config.origins import DEFAULT, Origin, origins, unknown_variables
from otel_phi.errors import ConfigError

if TYPE_CHECKING:
    from otel_phi.cli.outbox.status import OutboxStatus
    from otel_phi.config import Config

NONE = "-"  # of an option that has no value


class Option(msgspec.Struct, frozen=True):
    """An option is what counts of the configuration: its value as it may be shown, and where that comes from."""

    name: str
    value: str
    origin: Origin


class Effective(msgspec.Struct, frozen=True):
    """An effective configuration is what a door would start with.

    Attributes:
        options: every option, in the order of `config.origins.VARIABLES`.
        findings: what is wrong with it, and with what waits.
        outbox: what waits; None where there is no state folder.
    """

    options: tuple[Option, ...]
    findings: Findings
    outbox: OutboxStatus | None


def effective(flags: Mapping[str, Any]) -> Effective:
    """Settles the configuration as a door would, and looks at what it names.

    Args:
        flags: options given by flags; None for one that was not.

    Raises:
        ConfigError: a flag has a value that cannot be.
    """
    findings, ignored = Findings(), set[str]()
    given = {name for name, value in flags.items() if value is not None}

    def hear(variable: str, problem: str) -> None:
        if problem.endswith("it is ignored") and not problem.startswith("entry"):  # one entry of several
            ignored.add(variable)
        findings.add("variable-ignored", f"{variable}: {problem}")

    config = None
    with reports_to(hear):
        try:
            config = resolve(**flags)
        except ConfigError as error:
            if given:
                raise
            findings.add("configuration-refused", str(error))
    variables = environment()
    for name, near in unknown_variables(variables):
        findings.add("variable-unknown", f"{name}{f'; did you mean {near}?' if near else ''}")
    options = _options(config, given, ignored, variables)
    if config is not None:
        _look(config, findings)
    return Effective(options, findings, _outbox(config, findings))


def _options(
    config: Config | None, given: set[str], ignored: set[str], variables: Mapping[str, str]
) -> tuple[Option, ...]:
    if config is None:  # what is set may be what is wrong
        return tuple(Option(name, NONE, origin) for name, origin in origins(given, variables, ignored, None))
    found, shown = dict(origins(given, variables, ignored, config.profile)), values_of(config)
    shown["insecure"] = "yes" if insecure(Choices(dict.fromkeys(given & {"insecure"}, True), variables)) else "no"
    if found["headers"] == DEFAULT and "headers" in shown:
        found["headers"] = found["endpoint"]  # its user and password
    if "otlp_proto_" in variables.get("OTEL_TRACES_EXPORTER", "") and found["protocol"].kind != "flag":
        found["protocol"] = Origin("variable", "OTEL_TRACES_EXPORTER")
    if config.proxy is not None:
        wanted = f"{config.endpoint.partition(':')[0]}_proxy"
        name = next((one for one in (wanted, wanted.upper()) if variables.get(one, "").strip()), "")
        found["proxy"] = Origin("variable", name)
    return tuple(
        Option(name, shown[name], origin) if name in shown else Option(name, NONE, DEFAULT)
        for name, origin in found.items()
    )


def values_of(config: Config) -> dict[str, str]:
    """Returns the value of each option as it may be shown; what is not there has none."""
    found = {**_destination(config), **_resource(config), **_mapping(config), **_content(config), **_metrics(config)}
    return {name: _said(value) for name, value in found.items() if value is not None}


def _destination(config: Config) -> dict[str, object]:
    variables = environment()
    return {
        "exporter": config.exporter_name,
        "disabled": config.disabled,
        "endpoint": config.display_endpoint,
        "protocol": config.protocol,
        "headers": _names(config.headers),
        "timeout_s": f"{config.timeout_s:g} s",
        "compression": "gzip" if config.gzip else "none",
        "certificate": config.tls.certificate,
        "client_certificate": config.tls.client_certificate,
        "client_key": config.tls.client_key,
        "proxy": None if config.proxy is None else without_credentials(config.proxy),
        "no_proxy": variables.get("no_proxy") or variables.get("NO_PROXY") or None,
        "max_request_bytes": words.size(config.max_request_bytes),
        "give_up_after_s": f"{config.give_up_after_s:g} s",
        "state_dir": config.state_dir,
        "trace_url": None if config.trace_url is None else without_credentials(config.trace_url),
        "strict": config.strict,
    }


def _resource(config: Config) -> dict[str, object]:
    text = environment().get("OTEL_RESOURCE_ATTRIBUTES", "")
    names = {item.partition("=")[0].strip() for item in text.split(",") if "=" in item}
    return {
        "service_name": config.service_name,
        "resource_attributes": ", ".join(sorted(names | set(config.resource_attributes))) or None,
        "sampler": config.sampler if isinstance(config.sampler, str) else f"{config.sampler:g}",
        "caller": config.mapping.caller or config.traceparent,
    }


def _mapping(config: Config) -> dict[str, object]:
    mapping = config.mapping
    return {
        "profile": config.profile,
        "trace_scope": mapping.trace_scope,
        "trace_namespace": mapping.trace_namespace or None,
        "loop_layout": mapping.loop_layout,
        "tool_spans": mapping.tool_spans,
        "source_info": mapping.source_info,
        "join": mapping.join,
        "agent_name": mapping.agent_name,
        "attributes": _names(dict(mapping.attributes)),
        "max_attribute_bytes": words.size(mapping.max_attribute_bytes),
        "mlflow_trace_name": mapping.mlflow_trace_name,
    }


def _content(config: Config) -> dict[str, object]:
    return {
        "capture_content": config.content.capture,
        "content_input": config.content.input_mode,
        "content_images": config.content.images,
        "cost": config.prices.library or None,
        "prices": environment().get("OTEL_PHI_PRICES", "").strip() or None,
    }


def _metrics(config: Config) -> dict[str, object]:
    metrics = config.metrics
    if not metrics.on:
        return {"metrics": False}
    return {
        "metrics": True,
        "metrics_endpoint": without_credentials(metrics.endpoint),
        "metrics_protocol": metrics.protocol,
        "metrics_headers": _names(metrics.headers),
        "metrics_interval": f"{metrics.interval_s:g} s",
    }


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _names(pairs: object) -> str | None:
    """Returns the names of headers or attributes; their values may be secrets."""
    if callable(pairs):
        return "asked for with each request"
    return ", ".join(sorted(map(str, pairs))) or None if isinstance(pairs, Mapping) else None


# --- what it names ---------------------------------------------------------------------------------------------------------


def _look(config: Config, findings: Findings) -> None:
    """Looks at files, exporters and folders that the configuration names."""
    from otel_phi.delivery.exporters.open import open_exporters

    if config.sends_nothing is not None:
        why = "OTEL_SDK_DISABLED is true" if config.disabled else "the exporter is none"
        findings.add("nothing-sent", why)
        return
    try:
        for exporter in open_exporters(config):
            exporter.close(whole=False)
    except ConfigError as error:
        findings.add("exporter-unusable", str(error))
    if config.state_dir is not None and not _writable(config.state_dir):
        findings.add("state-folder", str(config.state_dir), Place(str(config.state_dir)))


def _writable(folder: Path) -> bool:
    """Tells whether a folder can be written to, or made, without doing either."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _outbox(config: Config | None, findings: Findings) -> OutboxStatus | None:
    if config is None or config.state_dir is None:
        return None
    from otel_phi.cli.outbox.status import outbox_status

    found = outbox_status(config.state_dir)
    for one in found.destinations:
        name = one.shown or one.name
        if one.waiting:
            findings.add("waiting", f"for {name}", count=one.waiting)
        if one.letters:
            findings.add("dead-letters", f"for {name}", count=len(one.letters))
        if one.damaged_lines or one.missing_segments:
            findings.add("outbox-damaged", f"for {name}", count=one.damaged_lines + one.missing_segments)
    for left in found.left_alone:
        findings.add("outbox-left-alone", left.reason, Place(str(left.path)))
    return found
