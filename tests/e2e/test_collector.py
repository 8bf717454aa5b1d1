"""By way of the Collector: from a running agent's hook, and from a file of OTLP-JSON. Jaeger tells what `otel_phi.spans` says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import SEND_WITHIN_S
from tests.e2e.collector import Collector, pipeline
from tests.e2e.commands import export
from tests.e2e.conftest import StartCollector
from tests.e2e.jaeger import Jaeger
from tests.e2e.sessions import event_logs, spans_of, streams
from tests.e2e.trees import differences


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_running_agents_spans_pass_the_collector(
    collector: StartCollector, jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    otelcol = collector(pipeline(to(jaeger)))
    paths = streams(tmp_path / "streams")
    sent = [span for path in paths for span in spans_of([path])]
    agent = start_agent(otelcol, tmp_path / "state", protocol)
    said, _ = agent.communicate("".join(f"{path}\n" for path in paths), SEND_WITHIN_S + 60)
    assert json.loads(said.splitlines()[-1]) == {"sent": True, "acknowledged": len(sent), "balanced": True}
    assert differences(jaeger, sent) == []


def test_an_exported_file_passes_the_collectors_file_receiver(
    collector: StartCollector, jaeger: Jaeger, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    # Without the last one every span gets an attribute `log.file.name`, and is no longer the one the agent sends live.
    receiver = {"include": [f"{folder}/*.jsonl"], "start_at": "beginning", "include_file_name": False}
    collector(pipeline(to(jaeger), receivers={"otlp_json_file": receiver}))
    paths, logs = streams(tmp_path / "streams"), event_logs(tmp_path / "logs")
    sent = [*spans_of(paths), *spans_of([logs])]
    export(*paths, "--file", folder / "streams.otlp.jsonl")
    export(logs, "--file", folder / "logs.otlp.jsonl")
    assert differences(jaeger, sent) == []


def to(jaeger: Jaeger) -> dict[str, Any]:
    """Returns the exporter to Jaeger, in a Collector's configuration."""
    return {"otlp_grpc/jaeger": {"endpoint": jaeger.grpc, "tls": {"insecure": True}}}


def start_agent(otelcol: Collector, state: Path, protocol: str = "http/protobuf") -> subprocess.Popen[str]:
    """Starts an agent that sends to a Collector."""
    endpoint = otelcol.grpc if protocol == "grpc" else otelcol.http
    command = [sys.executable, "-m", "tests.e2e.agent", endpoint, protocol, str(state)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
