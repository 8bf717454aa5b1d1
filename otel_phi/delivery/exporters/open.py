"""Opens the transport a configuration asks for; only the one that is used is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_phi.delivery.exporters.exporter import Nowhere, Transport
from otel_phi.delivery.otlp.resource import Resource, detect_resource, with_ip
from otel_phi.errors import ConfigError

if TYPE_CHECKING:
    from otel_phi.config import Config


def open_transport(config: Config) -> Transport:
    """Makes the transport; one that discards all where nothing is to leave.

    Raises:
        ConfigError: a file, header or exporter cannot be used.
    """
    if config.file is not None:
        from otel_phi.delivery.exporters.file import FileTransport

        return FileTransport(config.file)
    if config.disabled or config.exporter == "none":
        return Nowhere("sdk_disabled" if config.disabled else "exporter_none")
    if config.exporter == "otlp":
        return _otlp(config)
    from otel_phi.delivery.exporters.sdk import SdkTransport, load_exporter

    if isinstance(config.exporter, str):
        return SdkTransport(load_exporter(config.exporter))
    from opentelemetry.sdk.trace.export import SpanExporter

    if not isinstance(config.exporter, SpanExporter):
        raise ConfigError(f"exporter: {type(config.exporter).__name__} is neither a name nor a SpanExporter")
    return SdkTransport(config.exporter)


def resource_of(config: Config) -> Resource:
    """Detects the resource, with the configuration's service name and attributes on top; long keys and texts are cut as on spans."""
    found = detect_resource(config.service_name, config.resource_attributes)
    cut = Resource(config.mapping.bounded(found.attributes), found.schema_url)
    return with_ip(cut) if config.profile == "jaeger" else cut


def _otlp(config: Config) -> Transport:
    if config.protocol == "grpc":
        from otel_phi.delivery.exporters.grpc import GrpcTransport

        return GrpcTransport(
            config.endpoint, headers=config.headers, gzip_body=config.gzip, tls=config.tls, proxy=config.proxy
        )
    from otel_phi.delivery.exporters.http import HttpTransport

    return HttpTransport(
        config.endpoint, headers=config.headers, gzip_body=config.gzip, tls=config.tls, proxy=config.proxy
    )
