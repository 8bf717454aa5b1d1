"""By way of the Collector: from a running agent's hook, and from a file of OTLP-JSON. Jaeger tells what `otel_phi.spans` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.collector import pipeline
from tests.e2e.commands import agent, export, watching
from tests.e2e.conftest import StartCollector
from tests.e2e.jaeger import Jaeger, exporter_to
from tests.e2e.processes import wait_for
from tests.e2e.sessions import event_logs, spans_of, streams
from tests.e2e.trees import differences


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_running_agents_spans_pass_the_collector(
    collector: StartCollector, jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    otelcol = collector(pipeline(exporter_to(jaeger)))
    paths = streams(tmp_path / "streams")
    sent = [span for path in paths for span in spans_of([path])]
    with agent(otelcol, tmp_path / "state", protocol) as running:
        for path in paths:
            running.works_through(path)
        assert running.ends() == {"sent": True, "acknowledged": len(sent), "balanced": True}
    assert differences(jaeger, sent) == []


def test_an_exported_file_passes_the_collectors_file_receiver(
    collector: StartCollector, jaeger: Jaeger, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    # Without the last one every span gets an attribute `log.file.name`, and is no longer the one the agent sends live.
    receiver = {"include": [f"{folder}/*.jsonl"], "start_at": "beginning", "include_file_name": False}
    collector(pipeline(exporter_to(jaeger), receivers={"otlp_json_file": receiver}))
    paths, logs = streams(tmp_path / "streams"), event_logs(tmp_path / "logs")
    sent = [*spans_of(paths), *spans_of([logs])]
    export(*paths, "--file", folder / "streams.otlp.jsonl")
    export(logs, "--file", folder / "logs.otlp.jsonl")
    assert differences(jaeger, sent) == []


def test_logs_written_while_they_are_watched_pass_the_collector_though_the_watcher_is_killed(
    collector: StartCollector, jaeger: Jaeger, tmp_path: Path
) -> None:
    otelcol = collector(pipeline(exporter_to(jaeger)))
    finished, logs = streams(tmp_path / "finished"), event_logs(tmp_path / "logs")
    sources = [*finished, *sorted(logs.iterdir())]
    folder = tmp_path / "watched"
    folder.mkdir()
    asked = (folder, "--endpoint", otelcol.http, "--state-dir", tmp_path / "state")
    with watching(*asked) as watcher:
        for source in sources:
            append(source, folder, 0.0, 0.5)
        wait_for(jaeger.services, "the watcher is at it")
        watcher.kill()
        watcher.wait()
    with watching(*asked):
        for source in sources:
            append(source, folder, 0.5, 1.0)
        sent = [*spans_of(finished), *spans_of([logs])]
        assert differences(jaeger, sent) == []


def append(source: Path, folder: Path, first: float, last: float) -> None:
    """Writes a part of a file on, from one share of its bytes to another: seldom at the end of a line."""
    text = source.read_bytes()
    with (folder / source.name).open("ab") as file:
        file.write(text[int(len(text) * first) : int(len(text) * last)])
