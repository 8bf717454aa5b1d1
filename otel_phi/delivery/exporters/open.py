"""Opens the exporters a configuration asks for; only those that are used are imported."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING

from otel_phi.delivery.exporters.exporter import Exporter, ExportResult, Misconfigured, Nowhere
from otel_phi.delivery.otlp.resource import Resource, detect_resource, with_ip
from otel_phi.errors import ConfigError

if TYPE_CHECKING:
    from otel_phi.config import Config

logger = logging.getLogger("otel_phi")


def open_exporters(config: Config) -> tuple[Exporter, ...]:
    """Opens every exporter the configuration asks for, at least one; one that discards all where nothing is to leave.

    Each is a destination of its own: it needs its own sender and its own acknowledgement. They stand in the order of
    `config.exporters`; a file stands alone.

    Raises:
        ConfigError: a file, header or exporter cannot be used; then none stays open.
    """
    if config.file is not None:
        from otel_phi.delivery.exporters.file import FileExporter

        return (FileExporter(config.file),)
    if config.sends_nothing is not None:
        return (Nowhere(config.sends_nothing),)
    opened: list[Exporter] = []
    try:
        for one in config.exporters:
            opened.append(_opened(one, config))  # noqa: PERF401  # those before one that fails are to be closed
    except ConfigError:
        for exporter in opened:
            exporter.close(whole=False)
        raise
    return tuple(opened)


def open_exporters_again(config: Config) -> tuple[Exporter, ...]:
    """Opens the exporters that another process of this configuration opened, as a forked child does; raises nothing.

    Where one cannot be opened now, its certificate is being renewed say, each is opened when something is to be sent.
    """
    try:
        return open_exporters(config)
    except ConfigError:
        return tuple(OpenedLater(config, number) for number in range(len(config.exporter_names)))


class OpenedLater:
    """An exporter that could not be opened is opened with the first request; until it can, all is kept and it is tried again.

    Args:
        config: what to open.
        number: which of its exporters.
    """

    max_in_flight = 1

    def __init__(self, config: Config, number: int) -> None:
        self._config, self._number = config, number
        self._exporter: Exporter | None = None

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        """Opens the exporter, if that is to be done, and sends."""
        if self._exporter is None:
            try:
                if self._config.file is not None:
                    (self._exporter,) = open_exporters(self._config)
                else:
                    self._exporter = _opened(self._config.exporters[self._number], self._config)
            except ConfigError as error:
                return Misconfigured(str(error))
        return self._exporter.send(body, timeout_s)

    def close(self, *, whole: bool = True) -> None:
        """Closes the exporter, if it was opened."""
        if self._exporter is not None:
            self._exporter.close(whole=whole)


def _opened(exporter: object, config: Config) -> Exporter:
    if exporter == "otlp":
        return _otlp(config)
    from otel_phi.delivery.exporters.sdk import SdkExporter, console_exporter, load_exporter

    if exporter == "console" and config.console_to_stderr:
        return SdkExporter(console_exporter(sys.stderr))
    if isinstance(exporter, str):
        return SdkExporter(load_exporter(exporter))
    from opentelemetry.sdk.trace.export import SpanExporter

    if not isinstance(exporter, SpanExporter):
        raise ConfigError(f"exporter: {type(exporter).__name__} is neither a name nor a SpanExporter")
    return SdkExporter(exporter)


def resource_of(config: Config) -> Resource:
    """Detects the resource, with the configuration's service name and attributes on top; long keys and texts are cut as on spans.

    Where nobody gave a `service.name` it is the agent's name, else `otel-phi`.
    """
    found = detect_resource(config.service_name, config.resource_attributes)
    name = config.mapping.named_service(found.get("service.name"))
    attributes = tuple((key, name if key == "service.name" else value) for key, value in found.attributes)
    cut = Resource(config.mapping.bounded(attributes), found.schema_url)
    return with_ip(cut) if config.profile == "jaeger" else cut


def _otlp(config: Config) -> Exporter:
    if config.protocol == "grpc":
        prepare_grpc_for_gevent()
        from otel_phi.delivery.exporters.grpc import GrpcExporter

        return GrpcExporter(
            config.endpoint, headers=config.headers, gzip_body=config.gzip, tls=config.tls, proxy=config.proxy
        )
    from otel_phi.delivery.exporters.http import HttpExporter

    return HttpExporter(
        config.endpoint, headers=config.headers, gzip_body=config.gzip, tls=config.tls, proxy=config.proxy
    )


logger = logging.getLogger("otel_phi")

_warned = False


def prepare_grpc_for_gevent() -> None:
    """Makes gRPC wait gevent's way in a process that gevent has patched; warns once where that is too late."""
    global _warned  # noqa: PLW0603  # once a process
    if not _is_patched() or "grpc.experimental.gevent" in sys.modules:  # whoever imports that calls what is in it
        return
    if "grpc" in sys.modules:
        if not _warned:
            _warned = True
            logger.warning(
                "gevent has patched this process, and gRPC was imported before otel-phi: while a request is under way all "
                "greenlets may stand still. Use protocol http/protobuf, or call grpc.experimental.gevent.init_gevent() "
                "behind monkey.patch_all() and before anything of gRPC is made"
            )
        return
    importlib.import_module("grpc.experimental.gevent").init_gevent()


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))
