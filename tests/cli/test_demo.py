"""`demo`, the entry point itself, and the example: what a newcomer runs first works, and needs nothing."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import time

import pytest

from otel_phi.testing import Receiver
from otel_phi.version import __version__
from tests import golden
from tests.cli.conftest import Run, Start

EXAMPLE = golden.PROJECT / "examples" / "first_trace.py"


def test_what_arrived_is_shown_and_what_to_do_next_is_said(run: Run) -> None:
    result = run("demo")
    assert result.exit_code == 0
    shown = result.stdout.replace(" · otel-phi-demo", "")
    assert shown == run("show", "--content", golden.DEMO).stdout, "what arrived is what was read"
    assert "38 spans arrived as OTLP/HTTP at http://127.0.0.1:" in result.stderr
    assert "otel-phi export" in result.stderr


def test_it_takes_less_than_three_seconds(start: Start) -> None:
    began = time.monotonic()
    process = start("demo")
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_PHI_PROFILE", "phoenix"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
    ],
)
def test_no_environment_keeps_it_from_working(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    result = run("demo")
    assert result.exit_code == 0
    assert "38 spans arrived" in result.stderr
    assert "trace 3f9a1c7e5b424d0e8c6192d7e4ab10f5" in result.stdout


def test_the_version_is_one_line(run: Run) -> None:
    assert run("--version").stdout == f"otel-phi {__version__}\n"


@pytest.mark.parametrize("command", ["show", "export", "pipe", "demo"])
def test_help_reads_well(run: Run, command: str) -> None:
    text = run(command, "--help").stdout
    assert "\\b" not in text
    assert "\b" not in text
    assert command in run("--help").stdout
    if command != "demo":
        examples = text.partition("Examples:\n")[2].splitlines()
        assert len([line for line in examples if f"otel-phi {command}" in line]) >= 2


def test_the_example_runs(receiver: Receiver) -> None:
    command = [sys.executable, str(EXAMPLE)]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "PATH": "", "SYSTEMROOT": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"38 spans accepted by {receiver.endpoint}/v1/traces"
    assert re.findall(r"trace ([0-9a-f]{32})", done.stdout) == [
        "3f9a1c7e5b424d0e8c6192d7e4ab10f5",
        "b70c25d81e944f3aa6d258c90b7f4e13",
    ]
    assert len(receiver.spans) == 38


def test_the_example_without_a_collector_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    with pytest.raises(SystemExit, match="first_trace: gave up"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
