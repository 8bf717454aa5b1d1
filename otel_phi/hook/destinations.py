"""Which destination a configuration sends to, and with which credentials, as the outbox tells them apart."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from otel_phi.config import Config
from otel_phi.delivery.journal.destination import destination
from otel_phi.delivery.journal.facts import Destination


def destination_of(config: Config) -> Destination:
    """Returns the destination of a configuration: endpoint and protocol, a file's path, or an exporter's name."""
    if config.file is not None:
        return destination(config.file, "file", config.destination_name)
    if config.exporters == ("otlp",):
        return destination(config.endpoint, config.protocol, config.destination_name)
    if "otlp" in config.exporters:
        return destination(config.endpoint, f"{config.protocol}, {config.exporter_name}", config.destination_name)
    return destination(config.exporter_name, "exporter", config.destination_name)


def secrets_of(config: Config) -> tuple[Mapping[str, str], bytes]:
    """Returns what tells senders to one destination apart: static headers, and the client certificate's bytes.

    Nobody can look into a callable or an exporter object: the same `destination_name`, else the same service, is taken for the
    same.
    """
    headers = dict(config.fixed_headers)
    if callable(config.headers) or not all(isinstance(one, str) for one in config.exporters):
        headers["asked for, by"] = config.destination_name or config.service_name or ""
    certificate = b""
    if config.tls.client_certificate:
        with contextlib.suppress(OSError):
            certificate = Path(config.tls.client_certificate).read_bytes()
    return headers, certificate
