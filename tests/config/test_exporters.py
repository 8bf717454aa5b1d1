"""Exporters: the ones asked for, one or a list, from keyword and environment."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_phi.config import resolve
from otel_phi.delivery.exporters.exporter import Accepted, Nowhere
from otel_phi.delivery.exporters.file import FileExporter
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.exporters.open import open_exporters
from otel_phi.delivery.exporters.sdk import SdkExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.errors import ConfigError
from tests.config.test_config import with_env
from tests.delivery.samples import RESOURCE, plain_span


def test_the_exporter_is_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for config, kind in (
        (resolve(), HttpExporter),
        (resolve(protocol="grpc"), GrpcExporter),
        (resolve(exporter="otlp_proto_grpc"), GrpcExporter),
        (resolve(exporter="otlp_proto_http"), HttpExporter),
        (resolve(exporter="console"), SdkExporter),
        (resolve(exporter="none"), Nowhere),
        (resolve(file=str(tmp_path / "out")), FileExporter),
    ):
        exporter = open_exporters(config)[0]
        assert isinstance(exporter, kind)
        exporter.close(whole=False)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert isinstance(open_exporters(resolve())[0], Nowhere)


def test_an_exporter_object_is_taken_and_anything_else_is_refused() -> None:
    assert isinstance(open_exporters(resolve(exporter=InMemorySpanExporter()))[0], SdkExporter)
    with pytest.raises(ConfigError, match="neither a name nor a SpanExporter"):
        open_exporters(resolve(exporter=7))


@pytest.mark.parametrize(
    ("listed", "exporters", "protocol"),
    [
        ("console,otlp", ("otlp", "console"), "http/protobuf"),
        (" otlp , console, otlp,", ("otlp", "console"), "http/protobuf"),
        ("console, otlp_proto_grpc", ("otlp", "console"), "grpc"),
        ("otlp_proto_http,otlp", ("otlp",), "http/protobuf"),
        (",", ("otlp",), "http/protobuf"),
        ("none", ("none",), "http/protobuf"),
    ],
)
def test_a_list_of_exporters_means_each_of_them(
    monkeypatch: pytest.MonkeyPatch, listed: str, exporters: tuple[str, ...], protocol: str
) -> None:
    for config in (with_env(monkeypatch, {"OTEL_TRACES_EXPORTER": listed}), resolve(exporter=listed)):
        assert (config.exporters, config.protocol) == (exporters, protocol)


@pytest.mark.parametrize("listed", ["none,console", "otlp_proto_grpc,otlp_proto_http"])
def test_a_list_that_cannot_be_meant_is_reported_or_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, listed: str
) -> None:
    config = with_env(monkeypatch, {"OTEL_TRACES_EXPORTER": listed})
    assert config.exporters in (("console",), ("otlp",))
    assert "OTEL_TRACES_EXPORTER" in caplog.text
    with pytest.raises(ConfigError, match="exporter: "):
        resolve(exporter=listed)


def test_every_exporter_of_a_list_is_opened_and_the_console_leaves_stdout_to_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = msgspec.structs.replace(resolve(exporter="console,otlp"), console_to_stderr=True)
    encoder, (http, console) = Encoder(RESOURCE), open_exporters(config)
    assert (type(http), type(console)) == (HttpExporter, SdkExporter)
    assert console.send(encoder.request([encoder.span(plain_span(1))]), 1.0) == Accepted()
    written = capsys.readouterr()
    assert (written.out, '"span_id"' in written.err) == ("", True)
    for exporter in (http, console):
        exporter.close()


def test_one_that_cannot_be_opened_leaves_none_open() -> None:
    closed = []

    class Noting(InMemorySpanExporter):
        def shutdown(self) -> None:
            closed.append(True)

    with pytest.raises(ConfigError, match="not installed"):
        open_exporters(resolve(exporter=(Noting(), "no-such-exporter")))
    assert closed == [True]
