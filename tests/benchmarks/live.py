"""What the hook costs the agent: its own time a turn, its longest calls, the delay it adds while it sends, and its import.

Each against a real peer in the same run: one chat span of `opentelemetry-util-genai`, the SDK's BatchSpanProcessor with its
OTLP exporter, the import of `opentelemetry.sdk.trace`. The collector is a receiver in a process of its own.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

import otel_phi
from otel_phi.events import AgentEnd, AgentEvent, Undecodable, decode_event, encode_event
from tests.benchmarks.sdk_path import replay
from tests.benchmarks.streams import session_lines

TURNS = 250
ROUNDS = 5
TAIL_S = 20.0  # some 5,000 turns
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
    """Adds the hook's rows."""
    _turn(table)
    for beside in (_busy_processes, _busy_thread):
        _tail(table, beside)
    _delay(table)
    _import(table)


# --- a whole turn --------------------------------------------------------------------------------------------------------


def _turn(table: Table) -> None:
    events = decoded(TURNS, 153)  # 163 events a turn
    lines = [encode_event(event) for event in events]
    forms: dict[str, Sequence[Any]] = {"structs": events, "bytes": lines, "dicts": [json.loads(line) for line in lines]}
    goals = {"structs": "<= 0.5x", "bytes": "<= 1x", "dicts": "<= 1.4x"}
    spans = _peer()
    best: dict[str, float] = {}
    with collector() as endpoint, tempfile.TemporaryDirectory() as state:
        hook = otel_phi.install(endpoint=endpoint, service_name="bench", state_dir=state)
        for _ in range(ROUNDS):
            for form, given in forms.items():
                best[form] = min(best.get(form, 9.0), _cpu(partial(_fed, hook, given)) / TURNS)
                hook.flush(30)
            best["peer"] = min(best.get("peer", 9.0), _cpu(spans) / TURNS)
        hook.shutdown(10)
    for form in forms:
        row = f"{best['peer'] * 1e6:.0f} µs, one span", f"{best[form] * 1e6:.0f} µs, a turn"
        title = f"agent thread: 163 events as {form}, in the file, against one util-genai span"
        table.add_row(title, *row, f"{best[form] / best['peer']:.2f}x", goals[form])


def _fed(hook: otel_phi.Hook, events: Sequence[Any]) -> None:
    for event in events:
        hook(event)


def _cpu(work: Callable[[], Any]) -> float:
    """Returns the seconds of this thread's processor that some work takes, garbage of before collected first."""
    gc.collect()
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


# --- the longest calls ---------------------------------------------------------------------------------------------------


@contextmanager
def _busy_processes() -> Iterator[str]:
    """Keeps both cores busy with other processes."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 2))]
    try:
        yield "both cores busy"
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def _busy_thread() -> Iterator[str]:
    """Computes in a thread of the agent's own process."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1_000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield "a thread of the agent's computes"
    finally:
        stop.set()
        thread.join()


def _tail(table: Table, beside: Callable[[], AbstractContextManager[str]]) -> None:
    """Measures single calls, the hook's and the stock SDK's span start and end, one beside the other."""
    turns = [event for event in decoded(TURNS, 0) if not isinstance(event, AgentEnd)]
    ours: list[float] = []
    sdk: list[float] = []
    with collector() as endpoint, tempfile.TemporaryDirectory() as state, beside() as name:
        hook = otel_phi.install(endpoint=endpoint, service_name="bench", state_dir=state)
        provider = _sdk_provider(endpoint)
        tracer = provider.get_tracer("bench")
        until, events = time.monotonic() + TAIL_S, itertools.cycle(turns)
        while time.monotonic() < until:
            for event in itertools.islice(events, 10):
                _timed(ours, partial(hook, event))
            spans = [_timed(sdk, partial(tracer.start_span, "chat", attributes=_ATTRIBUTES)) for _ in range(4)]
            for span in spans:
                _timed(sdk, span.end)
            time.sleep(0.004)
        hook.shutdown(10)
        provider.shutdown()
    for label, index in (("p99", 989), ("p99.9", 998)):
        a, b = (statistics.quantiles(found, n=1000)[index] for found in (ours, sdk))
        row = f"{b * 1e6:.0f} µs, the SDK's span", f"{a * 1e6:.0f} µs", f"{a / b:.2f}x", "<= 1x"
        table.add_row(f"{label} of one call of the hook, {name}", *row)


_ATTRIBUTES = {"a": 1, "b": "x", "c": 2.5, "d": "y", "e": True, "f": "z", "g": 7}


def _timed(into: list[float], work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = work()
    into.append(time.perf_counter() - began)
    return found


# --- the delay while spans leave -----------------------------------------------------------------------------------------


def _delay(table: Table) -> None:
    finished = list(otel_phi.spans(decoded(BURST // 3, 0)))
    with collector() as endpoint, tempfile.TemporaryDirectory() as state:
        ours = _p99_late(lambda: _send_ours(endpoint, state))
    with collector() as endpoint:
        sdk = _p99_late(lambda: _send_sdk(endpoint, finished))
    row = f"{sdk * 1e3:.2f} ms", f"{ours * 1e3:.2f} ms", f"{ours / sdk:.2f}x", "<= 0.05x"
    table.add_row(f"p99 of the delay added while {BURST:,} spans are being sent", *row)


def _send_ours(endpoint: str, state: str) -> Callable[[], object]:
    hook = otel_phi.install(endpoint=endpoint, service_name="bench", state_dir=state)
    for event in decoded(BURST // 3, 0):
        hook(event)
    return lambda: hook.shutdown(60)


def _send_sdk(endpoint: str, finished: list[otel_phi.Span]) -> Callable[[], object]:
    provider = _sdk_provider(endpoint, max_queue_size=2 * BURST, schedule_delay_millis=100)
    replay(provider.get_tracer("bench"), finished)
    return partial(provider.shutdown)


def _sdk_provider(endpoint: str, **options: Any) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"), **options))
    return provider


def _p99_late(start: Callable[[], Callable[[], object]]) -> float:
    """Returns the 99th percentile of how late a thread that sleeps 1 ms wakes, while spans leave, over 1 s.

    What it waited for a core is taken off: that is the machine's other work, not what sends here.
    """
    asleep = _shortest_sleep()
    end = start()
    late = []
    until = time.perf_counter() + 1.0
    while time.perf_counter() < until:
        queued, began = _queued_s(), time.perf_counter()
        time.sleep(0.001)
        late.append(time.perf_counter() - began - asleep - (_queued_s() - queued))
    end()
    return max(statistics.quantiles(late, n=100)[98], 1e-6)


def _shortest_sleep() -> float:
    """Returns how long a sleep of 1 ms takes where nothing is in its way."""
    found = []
    for _ in range(200):
        began = time.perf_counter()
        time.sleep(0.001)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def _queued_s() -> float:
    """Returns for how long this thread has been waiting for a core so far; 0.0 where the system does not say."""
    try:
        return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


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
