"""What the front door costs the agent: a decorated tool, a model call, a loop; against peers that do the same, content off all round.

Each side runs in a process of its own (`python -m tests.benchmarks.front SIDE`), since each wants to be the one provider of
its process. Their spans are exported to nowhere; ours go to a receiver, by way of the journal. A time is the thread's own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from rich.table import Table

import otel_phi
from tests.benchmarks.live import collector

ROUNDS = 7
COUNT = 1_000
ANSWER = {
    "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
    "model": "gpt-5-2026",
    "usage": {"prompt_tokens": 1204, "completion_tokens": 286},
}
Work = dict[str, Callable[[], None]]
SIDES = {"util-genai": "opentelemetry-util-genai", "langfuse": "langfuse", "traceloop": "traceloop-sdk"}
ROWS = {"tool": "a decorated tool", "call": "a model call with its tokens", "agent": "a decorated agent with one call"}


def _ours() -> Work:
    """Makes ours. A tool and a call are within a loop; the call's turn is part of it."""

    @otel_phi.tool
    def tool(city: str) -> str:
        return city

    @otel_phi.agent(model="gpt-5", provider="openai")
    def agent(city: str) -> str:
        with otel_phi.model_call() as call:
            call.response(ANSWER)
        return city

    def calls() -> None:
        with otel_phi.loop(session="bench", model="gpt-5", provider="openai") as loop:
            for _ in range(COUNT):
                with loop.model_call() as call:
                    call.response(ANSWER)

    def tools() -> None:
        with otel_phi.loop(session="bench"):
            _repeat(lambda: tool("Lima"))

    return {"tool": tools, "call": calls, "agent": lambda: _repeat(lambda: agent("Lima"))}


def _nowhere() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    return Nowhere()


def _util_genai() -> Work:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    handler = importlib.import_module("opentelemetry.util.genai.handler")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_nowhere()))
    telemetry = handler.TelemetryHandler(tracer_provider=provider)

    def call() -> None:
        with telemetry.inference("openai", request_model="gpt-5") as found:
            found.input_tokens, found.output_tokens = 1204, 286
            found.response_model_name, found.finish_reasons = "gpt-5-2026", ["stop"]

    def tool() -> None:
        with telemetry.tool("weather"):
            pass

    def agent() -> None:
        with telemetry.invoke_local_agent(request_model="gpt-5"):
            call()

    return {"tool": lambda: _repeat(tool), "call": lambda: _repeat(call), "agent": lambda: _repeat(agent)}


def _langfuse() -> Work:
    langfuse = importlib.import_module("langfuse")
    client = langfuse.Langfuse(
        public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=_nowhere()
    )
    off = {"capture_input": False, "capture_output": False}

    @langfuse.observe(as_type="tool", **off)  # type: ignore[untyped-decorator]
    def tool(city: str) -> str:
        return city

    def call() -> None:
        with client.start_as_current_observation(as_type="generation", name="chat", model="gpt-5") as found:
            found.update(model="gpt-5-2026", usage_details={"input": 1204, "output": 286})

    @langfuse.observe(as_type="agent", **off)  # type: ignore[untyped-decorator]
    def agent(city: str) -> str:
        call()
        return city

    return {
        "tool": lambda: _repeat(lambda: tool("Lima")),
        "call": lambda: _repeat(call),
        "agent": lambda: _repeat(lambda: agent("Lima")),
    }


def _traceloop() -> Work:
    sdk, decorators = importlib.import_module("traceloop.sdk"), importlib.import_module("traceloop.sdk.decorators")
    manual = importlib.import_module("traceloop.sdk.tracing.manual")
    sdk.Traceloop.init("bench", exporter=_nowhere(), telemetry_enabled=False, instruments=set())

    @decorators.tool(name="weather")  # type: ignore[untyped-decorator]
    def tool(city: str) -> str:
        return city

    def call() -> None:
        with manual.track_llm_call(vendor="openai", type="chat") as found:
            found.report_usage(manual.LLMUsage(prompt_tokens=1204, completion_tokens=286, total_tokens=1490))

    @decorators.agent(name="planner")  # type: ignore[untyped-decorator]
    def agent(city: str) -> str:
        call()
        return city

    return {
        "tool": lambda: _repeat(lambda: tool("Lima")),
        "call": lambda: _repeat(call),
        "agent": lambda: _repeat(lambda: agent("Lima")),
    }


def _repeat(work: Callable[[], object]) -> None:
    for _ in range(COUNT):
        work()


def _measured(work: Work) -> dict[str, float]:
    """Returns microseconds of the thread's time for one of each."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, one in work.items():
            started = time.thread_time()
            one()
            found[name].append((time.thread_time() - started) / COUNT * 1e6)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def _side(name: str) -> dict[str, float]:
    if name == "off":
        return _measured(_ours())
    if name == "ours":
        with collector() as endpoint, tempfile.TemporaryDirectory() as state:
            hook = otel_phi.install(endpoint=endpoint, service_name="bench", state_dir=state)
            try:
                return _measured(_ours())
            finally:
                hook.shutdown(10)
    return _measured({"util-genai": _util_genai, "langfuse": _langfuse, "traceloop": _traceloop}[name]())


def bench_front(table: Table) -> None:
    """Adds a row for each thing and peer; a peer that is not installed is left out, and said."""
    ours, off = _in_a_process("ours"), _in_a_process("off")
    peers = {side: _in_a_process(side) for side in SIDES}
    for key, title in ROWS.items():
        for side, found in peers.items():
            if found is None or ours is None:
                table.add_row(f"{title}, against {side}", "not installed", "", "", "")
            else:
                row = f"{found[key]:.1f} µs", f"{ours[key]:.1f} µs", f"{ours[key] / found[key]:.2f}x", "<= 1x"
                table.add_row(f"{title}, against {side}", *row)
        if off is not None:
            table.add_row(f"{title}, without a hook", "", f"{off[key]:.2f} µs", "", "< 1 µs a `with`")


def _in_a_process(side: str) -> dict[str, float] | None:
    try:
        importlib.metadata.version(SIDES.get(side, "otel-phi"))
    except importlib.metadata.PackageNotFoundError:
        return None
    environment = {**os.environ, "TRACELOOP_TRACE_CONTENT": "false", "OTEL_SDK_DISABLED": "false"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.front", side]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(_side(sys.argv[1]))}\n")
    sys.stdout.flush()
    os._exit(0)  # a peer's own threads may take long to end
