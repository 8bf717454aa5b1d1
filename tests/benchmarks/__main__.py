"""Measures and prints the ratios of docs/speed.md. Takes about two minutes; nothing here fails on a slow machine."""

from __future__ import annotations

import gc
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice

from rich.console import Console
from rich.table import Table

from otel_phi.bridge import LEAN_BLOCK_EVENTS
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Batcher, batches
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import AttributeValue, Span, SpanEvent, SpanKind
from otel_phi.pipeline import Pipeline
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import TurnClosed
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import EventReader
from otel_phi.wire.decode import decode_event
from tests.benchmarks.agents import bench_agents
from tests.benchmarks.content import bench_content
from tests.benchmarks.folders import bench_folders
from tests.benchmarks.front import bench_front
from tests.benchmarks.live import bench_live
from tests.benchmarks.sdk_path import JsonAndSdk, replay, tracer
from tests.benchmarks.session_recorder import bench_session_recorder
from tests.benchmarks.streams import SESSION, session_lines
from tests.benchmarks.watch import bench_watch

ROUNDS = 7
_NOWHERE = tuple(b'{"type":"%s"' % kind for kind in (b"MessageUpdate", b"MessageStart", b"ToolExecutionUpdate"))
RESOURCE = Resource((("service.name", "bench"),))


def ours(data: bytes) -> int:
    """JSONL to OTLP bytes, as `Bridge.feed` does it."""
    road, batcher, size = Pipeline(MappingOptions(service_name="bench")), Batcher(Encoder(RESOURCE)), 0
    events = EventReader("bench", for_spans=True, content=False).read(read_lines(io.BytesIO(data)))
    while block := list(islice(events, LEAN_BLOCK_EVENTS)):
        for span in road.feed_block(block):
            full = batcher.add(span)
            size += len(full.body()) if full else 0
    last = batcher.cut()
    return size + (len(last.body()) if last else 0)


def seconds(work: Callable[[], object]) -> float:
    """Times one run, without the garbage of the run before."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> tuple[float, float, float]:
    """Runs both in turn, so that a noisy neighbour hits both; returns the medians and the median of the ratios."""
    pairs = [(seconds(slow), seconds(fast)) for _ in range(ROUNDS)]
    slow_s, fast_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return slow_s, fast_s, statistics.median(a / b for a, b in pairs)


def bench_span(table: Table) -> None:
    """RELIABILITY's span: ten attributes and three events of three, made and encoded, 512 to a request."""
    base: dict[str, AttributeValue] = {"gen_ai.operation.name": "agent_step", "gen_ai.conversation.id": SESSION, "session.id": SESSION,
            "gen_ai.agent.name": "bench", "openinference.span.kind": "CHAIN", "phi.loop.id": SESSION + ".a.1",
            "phi.turn.triggered_by": "user", "phi.turn.tool_call_count": 3, "phi.stop_reason": "toolUse"}  # fmt: skip
    count = 4_000

    def sdk() -> None:
        sdk_tracer, encoding = tracer()
        for n in range(count):
            span = sdk_tracer.start_span("turn", attributes={**base, "phi.turn.index": n}, start_time=n)
            for call in range(3):
                tool: dict[str, AttributeValue] = {
                    "gen_ai.tool.name": "bash",
                    "gen_ai.tool.call.id": f"{n}-{call}",
                    "phi.tool.duration_ms": n / 7,
                }
                span.add_event("phi.tool.execution", tool, n + 1)
            span.end(n + 2)
        encoding.flush()

    def build_and_encode() -> None:
        for batch in batches(map(turn, range(count)), Encoder(RESOURCE), 400_000):
            batch.body()

    def turn(n: int) -> Span:
        events = []
        for call in range(3):
            tool = (
                ("gen_ai.tool.name", "bash"),
                ("gen_ai.tool.call.id", f"{n}-{call}"),
                ("phi.tool.duration_ms", n / 7),
            )
            events.append(SpanEvent("phi.tool.execution", n + 1, tool))
        attributes = (*base.items(), ("phi.turn.index", n))
        return Span("turn", 1 << 100, n + 1, 7, SpanKind.INTERNAL, n, n + 2, attributes, tuple(events))

    slow, fast, times = ratio(sdk, build_and_encode)
    per_span = f"{slow / count * 1e6:.0f} µs", f"{fast / count * 1e6:.1f} µs"
    table.add_row("build and encode a span: 10 attributes, 3 events", *per_span, f"{times:.1f}x", ">= 12x")


def bench_turn(table: Table) -> None:
    """A turn, a chat and a tool span with all we put on them, from a notice, against the SDK making the same ones."""
    lines = b"\n".join(session_lines(700))
    events = list(EventReader("bench", for_spans=True, content=False).read(read_lines(io.BytesIO(lines))))
    core, options = RecorderCore(), MappingOptions(service_name="bench")
    notices = [notice for event in events for notice in core.on_event(event)]
    finished = [span for notice in notices for span in spans_of(notice, options)]

    def sdk() -> None:
        sdk_tracer, encoding = tracer()
        replay(sdk_tracer, finished)
        encoding.flush()

    def map_and_encode() -> None:
        for batch in batches((span for notice in notices for span in spans_of(notice, options)), Encoder(RESOURCE)):
            batch.body()

    slow, fast, times = ratio(sdk, map_and_encode)
    turns = sum(isinstance(notice, TurnClosed) for notice in notices)
    per_turn = f"{slow / turns * 1e6:.0f} µs", f"{fast / turns * 1e6:.0f} µs"
    table.add_row("map and encode a turn's three spans", *per_turn, f"{times:.1f}x", "")


def bench_jsonl(table: Table, name: str, turns: int, deltas: int, goals: tuple[str, str]) -> None:
    data = b"\n".join(session_lines(turns, deltas))
    lines = data.split(b"\n")
    slow, fast, times = ratio(lambda: JsonAndSdk().run(lines), lambda: ours(data))
    rate = len(lines) / 1000
    table.add_row(name, f"{rate / slow:.0f} k events/s", f"{rate / fast:.0f} k events/s", f"{times:.1f}x", goals[0])
    needed = [line for line in lines if not line.startswith(_NOWHERE)]
    fast, least, times = ratio(lambda: ours(data), lambda: [decode_event(line) for line in needed])
    per_turn = f"{least / turns * 1e6:.0f} µs a turn, decoding", f"{fast / turns * 1e6:.0f} µs a turn"
    table.add_row("the same, against decoding the lines that it needs", *per_turn, f"{times:.1f}x", goals[1])


def bench_length(table: Table) -> None:
    runs = {turns: [_child(turns) for _ in range(3)] for turns in (1_000, 100_000)}
    per_turn = {turns: min(run[0] for run in found) for turns, found in runs.items()}
    times = per_turn[100_000] / per_turn[1_000]
    table.add_row(
        "time a turn, 100,000 turns against 1,000",
        f"{per_turn[1_000]:.0f} µs at 1,000",
        f"{per_turn[100_000]:.0f} µs",
        f"{times:.2f}x",
        "<= 1.05x",
    )
    peak = max(run[1] for run in runs[100_000])
    small = max(run[1] for run in runs[1_000])
    table.add_row(
        "peak memory, 100,000 turns streamed",
        f"{small:.0f} MB at 1,000",
        f"{peak:.0f} MB",
        f"{peak / small:.2f}x",
        "<= 45 MB",
    )


def _child(turns: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "tests.benchmarks.long_session", str(turns)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(out[0]), float(out[1])


def main() -> None:
    table = Table("measure", "json + SDK", "otel-phi", "ratio", "goal")
    for title, measure in (
        ("a span", bench_span),
        ("a turn", bench_turn),
        ("JSONL", lambda found: bench_jsonl(found, "JSONL to OTLP bytes, no deltas", 1_000, 0, (">= 8x", "<= 3x"))),
        (
            "JSONL with deltas",
            lambda found: bench_jsonl(found, "JSONL to OTLP bytes, 150 deltas a turn", 200, 150, (">= 10x", "<= 6x")),
        ),
        ("long sessions", bench_length),
        ("the recorder", bench_session_recorder),
        ("the front door", bench_front),
        ("contents", bench_content),
        ("the hook", bench_live),
        ("folders", bench_folders),
        ("the watch", bench_watch),
        ("other agents' sessions", bench_agents),
    ):
        print(f"measuring {title} ...", file=sys.stderr)  # noqa: T201
        measure(table)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
