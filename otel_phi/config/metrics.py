"""Whether metrics are asked for, and where they go: OpenTelemetry's own variables, else where the spans go."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from otel_phi.config import destination, values
from otel_phi.config import endpoint as urls
from otel_phi.config.choices import Choices, report
from otel_phi.config.headers import Headers, from_text, joined
from otel_phi.config.values import Protocol
from otel_phi.errors import ConfigError

METRICS_PATH = "/v1/metrics"
DEFAULT_INTERVAL_S = 60.0  # OpenTelemetry's


class MetricsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics options say whether there are metrics, and where they go.

    Attributes:
        on: whether they are recorded by a process that journals facts.
        asked: whether a keyword or a flag said so: only then a replay or an import records any.
        provider: the MeterProvider that was given; None for the application's own, or ours.
        endpoint: the URL of ours.
        protocol: how.
        headers: as those of the spans.
        interval_s: seconds between two of its requests.
    """

    on: bool = False
    asked: bool = False
    provider: Any = None
    endpoint: str = ""
    protocol: Protocol = "http/protobuf"
    headers: Headers = {}
    interval_s: float = DEFAULT_INTERVAL_S


def chosen_metrics(choices: Choices, url: str, protocol: Protocol, headers: Headers) -> MetricsOptions:
    """Returns what is said of metrics.

    Args:
        choices: keywords and environment.
        url: where spans go, without user and password.
        protocol: how.
        headers: what is sent along.

    Raises:
        ConfigError: credentials would cross a network in the clear.
    """
    given = choices.given.get("metrics")
    provider = None if given is None or isinstance(given, bool) else given
    if provider is not None and not hasattr(provider, "get_meter"):
        raise ConfigError(
            f"metrics: {type(provider).__name__} is not what it takes: give True, False or a MeterProvider"
        )
    found = choices.variable("OTEL_PHI_METRICS")
    on = bool(given) if given is not None else choices.choose("", found, values.switch, False)
    if not on:
        return MetricsOptions()
    endpoint, spoken = _endpoint(choices, url, protocol)
    sent = _headers(choices, headers)
    destination.guard_plain_text(endpoint, sent, allowed=destination.insecure(choices))
    interval_ms = choices.choose(
        "", choices.variable("OTEL_METRIC_EXPORT_INTERVAL"), values.seconds, DEFAULT_INTERVAL_S * 1_000
    )
    return MetricsOptions(
        on=True,
        asked=given is not None,
        provider=provider,
        endpoint=endpoint,
        protocol=spoken,
        headers=sent,
        interval_s=interval_ms / 1_000,
    )


def _endpoint(choices: Choices, url: str, protocol: Protocol) -> tuple[str, Protocol]:
    own = choices.value("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    spoken = choices.choose("", choices.variable("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"), values.protocol, protocol)
    if own is not None and "endpoint" not in choices.given:
        try:
            return (urls.checked_endpoint if spoken == "http/protobuf" else urls.checked_grpc_endpoint)(own), spoken
        except ConfigError as error:
            report("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{error}; it is ignored")
    if protocol == "grpc":
        return url, protocol
    parts = urlsplit(url)
    path = parts.path.removesuffix(urls.TRACES_PATH) if parts.path.endswith(urls.TRACES_PATH) else ""
    return urlunsplit(parts._replace(path=path + METRICS_PATH)), protocol


def _headers(choices: Choices, headers: Headers) -> Headers:
    found = choices.variable("OTEL_EXPORTER_OTLP_METRICS_HEADERS")
    if not found:
        return headers
    parsed, complaints = from_text(found[1])
    for complaint in complaints:
        report(found[0], f"{complaint}; it is ignored")
    return joined(parsed, headers) if callable(headers) else {**headers, **parsed}
