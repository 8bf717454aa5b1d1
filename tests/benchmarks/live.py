"""What the hook costs the agent: its own time a turn, the delay it adds while it sends, and how long its import takes.

Each against a real peer in the same run: one chat span of `opentelemetry-util-genai`, the SDK's BatchSpanProcessor with its
OTLP exporter, the import of `opentelemetry.sdk.trace`. The collector is a receiver in a process of its own.
"""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

import otel_phi
from otel_phi.events import AgentEvent, Undecodable, decode_event
from tests.benchmarks.sdk_path import replay
from tests.benchmarks.streams import session_lines

TURNS = 400
BURST = 20_000
_PROMPT = "The parser keeps one token of lookahead. " * 12
_RECEIVER = """
import sys
from otel_phi.testing import Receiver
with Receiver() as receiver:
    print(receiver.endpoint, flush=True)
    sys.stdin.read()
"""


@contextmanager
def collector() -> Iterator[str]:
    """Runs a receiver in a process of its own; yields its endpoint."""
    command = [sys.executable, "-c", _RECEIVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def decoded(turns: int, deltas: int) -> list[AgentEvent]:
    found = [decode_event(line) for line in session_lines(turns, deltas)]
    return [event for event in found if not isinstance(event, Undecodable)]


def bench_live(table: Table) -> None:
    """Adds the three rows."""
    _turn(table)
    _delay(table)
    _import(table)


def _turn(table: Table) -> None:
    events = decoded(TURNS, 153)  # 163 events a turn
    with collector() as endpoint, tempfile.TemporaryDirectory() as state:
        hook = otel_phi.install(endpoint=endpoint, service_name="bench", state_dir=state)
        ours = _cpu(lambda: _fed(hook, events)) / TURNS
        hook.shutdown(10)
    peer = _cpu(_peer()) / TURNS
    row = f"{peer * 1e6:.0f} µs, one span", f"{ours * 1e6:.0f} µs, a turn", f"{ours / peer:.2f}x", "<= 0.6x"
    table.add_row("agent thread: 163 events, commits included, against one util-genai span", *row)


def _fed(hook: otel_phi.Hook, events: list[AgentEvent]) -> None:
    for event in events:
        hook(event)


def _cpu(work: Callable[[], Any]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _peer() -> Callable[[], None]:
    """Makes chat spans with their messages, content off as it is with ours, exported to nowhere (RELIABILITY 2.7's shape)."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    # By name: the peer is installed by `make bench` alone.
    handler = importlib.import_module("opentelemetry.util.genai.handler")
    types = importlib.import_module("opentelemetry.util.genai.types")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    telemetry = handler.TelemetryHandler(tracer_provider=provider)

    def spans() -> None:
        for _ in range(TURNS):
            with telemetry.inference("anthropic", request_model="claude-sonnet-4-5") as call:
                call.input_messages = [types.InputMessage("user", [types.Text(_PROMPT)])]
                call.output_messages = [types.OutputMessage("assistant", [types.Text(_PROMPT)], "stop")]
                call.input_tokens, call.output_tokens = 1204, 286

    spans()  # what it imports and caches at first is not a span's cost
    return spans


def _delay(table: Table) -> None:
    finished = list(otel_phi.spans(decoded(BURST // 3, 0)))
    idle = _p99_late(lambda: lambda: None)  # on a busy machine it is late without anybody's doing
    with collector() as endpoint, tempfile.TemporaryDirectory() as state:
        ours = _p99_late(lambda: _send_ours(endpoint, state))
    with collector() as endpoint:
        sdk = _p99_late(lambda: _send_sdk(endpoint, finished))
    row = f"{sdk * 1e3:.2f} ms", f"{ours * 1e3:.2f} ms, idle {idle * 1e3:.2f}", f"{ours / sdk:.2f}x", "<= 0.1x"
    table.add_row(f"p99 of the delay added while {BURST:,} spans are being sent", *row)


def _send_ours(endpoint: str, state: str) -> Callable[[], None]:
    hook = otel_phi.install(endpoint=endpoint, service_name="bench", state_dir=state)
    for event in decoded(BURST // 3, 0):
        hook(event)
    return lambda: _ended(hook.shutdown(60))


def _send_sdk(endpoint: str, finished: list[otel_phi.Span]) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2 * BURST, schedule_delay_millis=100))
    replay(provider.get_tracer("bench"), finished)
    return provider.shutdown


def _ended(_: object) -> None:
    return None


def _p99_late(start: Callable[[], Callable[[], None]]) -> float:
    """Returns the 99th percentile of how late a thread that sleeps 1 ms wakes, while spans leave, over 1 s."""
    end = start()
    late = []
    until = time.perf_counter() + 1.0
    while time.perf_counter() < until:
        began = time.perf_counter()
        time.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)
    end()
    return statistics.quantiles(late, n=100)[98]


def _import(table: Table) -> None:
    nothing, ours, sdk = (_started(code) for code in ("pass", "import otel_phi", "import opentelemetry.sdk.trace"))
    row = f"{(sdk - nothing) * 1e3:.0f} ms", f"{(ours - nothing) * 1e3:.0f} ms"
    table.add_row("import", *row, f"{(ours - nothing) / (sdk - nothing):.2f}x", "<= 0.33x")


def _started(code: str) -> float:
    """Returns the median time of an interpreter that runs this and ends."""
    found = []
    for _ in range(9):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
        found.append(time.perf_counter() - began)
    return statistics.median(found)
