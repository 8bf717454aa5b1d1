"""OTLP-JSON lines: what the Collector's `otlp_json_file` receiver reads, whole or not at all."""

from __future__ import annotations

import io
import json
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_phi.delivery.exporters.exporter import Accepted, Misconfigured
from otel_phi.delivery.exporters.file import FileExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.otlp_json import json_line
from otel_phi.delivery.sending.batch import Batch
from otel_phi.delivery.sending.sender import Sender
from otel_phi.errors import ConfigError, DeliveryError
from otel_phi.mapping.span import Span
from tests.delivery.read_back import read_back
from tests.delivery.samples import RESOURCE, full_span, hostile_spans, plain_batches, plain_span


def request(*spans: Span) -> bytes:
    encoder = Encoder(RESOURCE)
    return encoder.request([encoder.span(span) for span in spans])


def test_a_line_says_all_that_the_protobuf_says() -> None:
    body = request(full_span(), plain_span(1))
    assert str(read_back(json_line(body))) == str(ExportTraceServiceRequest.FromString(body))


def test_the_spelling_is_otlp_s_own() -> None:
    (scope,) = json.loads(json_line(request(full_span())))["resourceSpans"][0]["scopeSpans"]
    (span,) = scope["spans"]
    assert span["traceId"] == "0123456789abcdef0123456789abcdef"
    assert span["spanId"] == "fedcba9876543210"
    assert span["parentSpanId"] == "1122334455667788"
    assert span["kind"] == 3
    assert span["status"] == {"message": "it broke", "code": 2}
    assert span["startTimeUnixNano"] == "1700000000000000000"
    values = {pair["key"]: pair["value"] for pair in span["attributes"]}
    assert values["big"] == {"intValue": "9223372036854775807"}
    assert values["no"] == {"boolValue": False}
    assert values["half"] == {"doubleValue": 0.5}
    assert values["reasons"]["arrayValue"]["values"][0] == {"stringValue": "stop"}


@pytest.mark.parametrize(("number", "written"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_numbers_without_a_word_in_json_are_strings(number: float, written: str) -> None:
    span = Span("x", 1, 1, 0, plain_span(1).kind, 1, 2, (("k", number),))
    assert b'"doubleValue":"%b"' % written.encode() in json_line(request(span))


@given(hostile_spans)
def test_any_span_is_one_line_of_json(span: Span) -> None:
    line = json_line(request(span))
    assert line.count(b"\n") == 1
    assert str(read_back(line)) == str(ExportTraceServiceRequest.FromString(request(span)))


def test_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "traces.jsonl"
    with Sender(FileExporter(str(out))) as sender:
        for batch in plain_batches(30):
            sender.submit(batch)
        sender.drain()
        assert not out.exists()
    lines = out.read_bytes().splitlines()
    assert [len(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]) for line in lines] == [10, 10, 10]
    assert [path.name for path in tmp_path.iterdir()] == ["traces.jsonl"]


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "traces.jsonl"
    out.write_text("old")
    sender = Sender(FileExporter(str(out)))
    with pytest.raises(KeyboardInterrupt), sender:
        sender.run(interrupted())
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["traces.jsonl"]


def interrupted() -> Iterator[Batch]:
    yield from plain_batches(1)
    raise KeyboardInterrupt


@pytest.mark.parametrize("path", ["missing/out.jsonl", "."])
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        FileExporter(str(tmp_path / path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_named_pipe_is_written_to_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with Sender(FileExporter(str(pipe))) as sender:
        sender.run(plain_batches(1))
    reader.join()
    assert got[0].startswith(b'{"resourceSpans"')
    assert pipe.is_fifo()


def test_standard_output_gets_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out))
    exporter = FileExporter("-")
    assert exporter.send(request(plain_span(1)), 1.0) == Accepted()
    exporter.close()
    assert json.loads(out.getvalue())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_and_loses_nothing() -> None:
    with (
        pytest.raises(DeliveryError, match="no space left"),
        Sender(FileExporter("/dev/full"), misconfigured_give_up_after_s=0.0) as sender,
    ):
        sender.run(plain_batches(1))
    assert sender.stats().queued == 1


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills within a line: the line is gone, those before it and after it are whole."""
    exporter = FileExporter(str(tmp_path / "out"))
    whole = exporter._write

    def half(line: bytes) -> None:
        whole(line[: len(line) // 2])
        raise OSError(28, "No space left on device")

    exporter.send(request(plain_span(1)), 1.0)
    monkeypatch.setattr(exporter, "_write", half)
    assert isinstance(exporter.send(request(plain_span(2)), 1.0), Misconfigured)
    monkeypatch.setattr(exporter, "_write", whole)
    exporter.send(request(plain_span(3)), 1.0)
    exporter.close()
    assert len([json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]) == 2
