"""What following files costs: from a line on disk to the receiver, a thousand logs at once, ten thousand old ones beside a live one.

The command itself, in a process of its own; the receiver is the parent. `export` of the same folder is what it is compared with.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from rich.table import Table

from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.mapping import semconv as s
from otel_phi.testing import Receiver
from tests.benchmarks.streams import SESSION, session_lines

LOGS, OLD_LOGS = 1_000, 10_000
TURNS_MEASURED = 200
_EVERY_S = 0.05  # a turn so often: faster than any agent
_MB = 1 << 10  # /proc counts KiB


def bench_watch(table: Table) -> None:
    """Adds the rows."""
    _latency(table)
    _many(table)
    _old(table)


def _latency(table: Table) -> None:
    with tempfile.TemporaryDirectory() as place, Receiver() as receiver:
        logs = Path(place, "logs")
        logs.mkdir()
        with _watching(place, receiver.endpoint):
            delays = sorted(_delays(logs / "live.jsonl", receiver))
    median, worst = statistics.median(delays), delays[int(len(delays) * 0.95)]
    table.add_row(
        "watch: from a turn's last line on disk to the receiver, 95th percentile",
        f"{median * 1e3:.0f} ms, median",
        f"{worst * 1e3:.0f} ms",
        "",
        "<= 1 s",
    )


def _delays(path: Path, receiver: Receiver) -> list[float]:
    """Writes turns and says how long each took; what arrives is counted afterwards, so that counting costs nobody his processor."""
    written: list[float] = []
    before = len(receiver.requests)
    with path.open("ab", buffering=0) as stream:
        for line in session_lines(TURNS_MEASURED, 0):
            stream.write(line + b"\n")
            if b'"TurnEnd"' in line:
                written.append(time.monotonic())
                time.sleep(_EVERY_S)
    until = time.monotonic() + 30
    while len(arrived := _arrivals(receiver, before)) < TURNS_MEASURED and time.monotonic() < until:
        time.sleep(0.5)
    return [there - here for here, there in zip(written, arrived, strict=True)]


def _arrivals(receiver: Receiver, before: int) -> list[float]:
    """Returns when each turn of the agent at work arrived, in their order."""
    found = []
    for request in receiver.requests[before:]:
        spans = decode_spans(request.body)
        found += [request.time_s for span in spans if span.name == "turn" and span.get(s.SESSION_ID) == SESSION]
    return found


def _many(table: Table) -> None:
    """A thousand logs of a thousand events, seen for the first time."""
    with tempfile.TemporaryDirectory() as place, Receiver() as receiver:
        logs = log_folder(place, LOGS)
        export_s, export_mb = run(place, "export", logs, "--endpoint", receiver.endpoint)
        watch_s, watch_mb = run(place, "watch", "--once", logs, "--endpoint", receiver.endpoint)
        again_s, again_mb = run(place, "watch", "--once", logs, "--endpoint", receiver.endpoint)
    table.add_row(
        f"watch --once: {LOGS:,} logs of 1,000 events, against export",
        f"{export_s:.1f} s, {export_mb:.0f} MB",
        f"{watch_s:.1f} s, {watch_mb:.0f} MB",
        f"{watch_s / export_s:.2f}x",
        "",
    )
    table.add_row(
        "the same again: nothing is new", "", f"{again_s:.1f} s, {again_mb:.0f} MB", f"{again_s / watch_s:.2f}x", ""
    )


def _old(table: Table) -> None:
    """Ten thousand logs that were sent before, and one that grows, on a quiet machine and beside busy neighbours."""
    for neighbours in (0, 2):
        with tempfile.TemporaryDirectory() as place, Receiver() as receiver:
            logs = log_folder(place, OLD_LOGS, turns=1, deltas=0)
            run(place, "watch", "--once", logs, "--endpoint", receiver.endpoint)
            with _burning(neighbours), _watching(place, receiver.endpoint) as process:
                before = _cpu_s(process.pid)
                started = time.monotonic()
                delays = sorted(_delays(logs / "live.jsonl", receiver))
                busy = (_cpu_s(process.pid) - before) / (time.monotonic() - started)
                resident = _memory_mb(process.pid, "VmRSS")
        beside = f", {neighbours} cores busy" if neighbours else ""
        table.add_row(
            f"watch: {OLD_LOGS:,} old logs and one live, 95th percentile, memory, processor{beside}",
            f"{statistics.median(delays) * 1e3:.0f} ms, median",
            f"{delays[int(len(delays) * 0.95)] * 1e3:.0f} ms, {resident:.0f} MB, {busy:.0%}",
            "",
            "<= 1 s",
        )


@contextmanager
def _burning(neighbours: int) -> Iterator[None]:
    """Keeps so many cores busy."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def log_folder(place: str, logs: int, turns: int = 6, deltas: int = 160) -> Path:
    folder = Path(place, "logs")
    folder.mkdir()
    content = b"".join(line + b"\n" for line in session_lines(turns, deltas))
    for number in range(logs):
        session = str(UUID(int=(0xA << 124) + number)).encode()
        (folder / f"{number}.events.jsonl").write_bytes(content.replace(SESSION.encode(), session))
    return folder


def command(place: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Starts a command with a state folder of its own; what it says is in the file `said`."""
    environment = {**os.environ, "OTEL_PHI_STATE_DIR": str(Path(place, "state"))}
    called = [sys.executable, "-m", "otel_phi.cli", *map(str, arguments)]
    # Nobody reads what it says at the end, which is more than a pipe holds.
    return subprocess.Popen(called, stdout=subprocess.DEVNULL, stderr=Path(place, "said").open("wb"), env=environment)


def run(place: str, *arguments: object) -> tuple[float, float]:
    """Runs a command to its end; returns seconds and peak memory in MB."""
    started = time.monotonic()
    peak = peak_mb(command(place, *arguments))
    return time.monotonic() - started, peak


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    """Waits for a process to end well; returns its peak memory in MB."""
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _memory_mb(process.pid, "VmHWM"))  # `ru_maxrss` would begin with this process's own
        time.sleep(0.02)
    assert process.returncode == 0, process.args
    return peak


@contextmanager
def _watching(place: str, endpoint: str) -> Iterator[subprocess.Popen[bytes]]:
    process = command(place, "watch", Path(place, "logs"), "--endpoint", endpoint)
    while b"watching" not in Path(place, "said").read_bytes():
        time.sleep(0.02)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return (
        next((int(line.split()[1]) for line in lines if line.startswith(field)), 0) / _MB
    )  # a process that ends has none
