"""Which destination a configuration sends to, and with which credentials, as the outbox tells them apart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from otel_phi.config import Config
from otel_phi.delivery.journal.destination import Sealed, credentials_match, destination
from otel_phi.delivery.journal.facts import Destination

_ASKED = "asked for, by"


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
        headers[_ASKED] = config.destination_name or config.service_name or ""
    certificate = b""
    if config.tls.client_certificate:
        with contextlib.suppress(OSError):
            certificate = Path(config.tls.client_certificate).read_bytes()
    return headers, certificate


def whose(config: Config, *, any_credentials: bool = False) -> Callable[[Sealed], bool]:
    """Returns what tells whether a journal, or a dead letter, is this configuration's to send.

    Where a `destination_name` is given, so is that of an agent with the same name whose headers were asked for: nobody else can
    give those.

    Args:
        config: where to, and with which credentials.
        any_credentials: take what was meant for the same destination with others.
    """
    headers, certificate = secrets_of(config)

    def ours(sealed: Sealed) -> bool:
        if any_credentials or credentials_match(sealed, headers, certificate):
            return True
        name = config.destination_name
        return name is not None and credentials_match(sealed, {_ASKED: name}, certificate)

    return ours
