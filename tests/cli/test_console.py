"""The console exporter beside data: stdout holds the data, and nothing else."""

from __future__ import annotations

import json

import pytest

from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run, Start

INPUT = golden.DEMO.read_bytes()


@pytest.mark.parametrize("exporters", ["console", "console,otlp"])
def test_tee_passes_the_input_on_unchanged(monkeypatch: pytest.MonkeyPatch, start: Start, exporters: str) -> None:
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporters)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        out, _ = start("pipe", "--tee").communicate(INPUT, timeout=60)
        assert out == INPUT
        assert bool(receiver.spans) == ("otlp" in exporters)


def test_without_tee_stdout_is_the_console_exporter_s(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    out, _ = start("pipe").communicate(INPUT, timeout=60)
    assert out.count(b'"span_id"') > 10


def test_an_export_to_both_reports_each_and_leaves_stdout_to_its_table(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console,otlp")
    with Receiver() as receiver:
        done = run("export", golden.DEMO, "--json", "--endpoint", receiver.endpoint)
        count = len(receiver.spans)
    assert json.loads(done.stdout)["accepted"] == count > 0
    assert f"{count} spans accepted by {receiver.endpoint}/v1/traces" in done.stderr
    assert f"{count} spans accepted by exporter console" in done.stderr
    assert '"span_id"' in done.stderr


def test_one_of_two_that_is_down_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console,otlp")
    done = run("export", golden.DEMO, "--endpoint", "http://127.0.0.1:9", "--give-up-after", "0.1")
    assert done.exit_code == 4
    assert "connection refused" in done.stderr
    assert done.stderr.count('"span_id"') > 10, "the console got its spans all the same"
