"""Time of a SessionRecorder's event with 10 and with 10,000 loops in one session: what phi-core 0.10 searches, it looks up.

Each event here is one for which phi-core searches: a loop that ends looks for its parent among all loops of the session, a
parallel evaluation for its loops in every session, a checkpoint for what still runs.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time

import msgspec
from rich.console import Console
from rich.table import Table

from otel_phi.session.recorder import SessionRecorder

FEW, MANY = 10, 10_000
EVENTS = 2_000
ROUNDS = 5
_TIME = "2026-05-26T09:14:02.118402117Z"
_NO_TOKENS = {"input": 0, "output": 0}


def filled(loops: int) -> SessionRecorder:
    """Returns a recorder that holds one session of so many ended loops, each with a turn."""
    recorder = SessionRecorder()
    for number in range(loops):
        for line in _loop(f"s.c.{number}", None):
            recorder.on_event(line)
    return recorder


def searching_lines() -> list[bytes]:
    """Returns loops that name the session's oldest loop as parent, each a parallel evaluation of its own."""
    found: list[bytes] = []
    for number in range(EVENTS // 5 + 1):
        loop_id = f"s.d.{number}"
        found += _loop(loop_id, "s.c.0")
        found.append(
            _line(
                type="ParallelLoopEnd",
                session_id="s",
                selected_loop_id=loop_id,
                selected_config_index=0,
                evaluation_usage=_NO_TOKENS,
                timestamp=_TIME,
            )
        )
    return found[:EVENTS]


def microseconds_per_event(loops: int) -> float:
    """Feeds the searching events on top of so many loops, a checkpoint now and then."""
    recorder, lines = filled(loops), searching_lines()
    recorder.on_event(_loop("s.open.1", None)[0])  # the session stays open
    gc.collect()
    started = time.perf_counter()
    for number, line in enumerate(lines):
        recorder.on_event(line)
        if number % 100 == 0:
            recorder.checkpoint()
    return (time.perf_counter() - started) / len(lines) * 1e6


def measure() -> tuple[float, float, float]:
    """Returns microseconds an event with few loops and with many, and the median of the ratios, both measured in turn."""
    pairs = [(microseconds_per_event(FEW), microseconds_per_event(MANY)) for _ in range(ROUNDS)]
    few, many = (statistics.median(column) for column in zip(*pairs, strict=True))
    return few, many, statistics.median(large / small for small, large in pairs)


def bench_session_recorder(table: Table) -> None:
    """Adds the row to a table of five columns: measure, few, many, ratio, goal."""
    few, many, ratio = measure()
    table.add_row(
        f"SessionRecorder, an event at {MANY:,} loops against {FEW}",
        f"{few:.1f} µs",
        f"{many:.1f} µs",
        f"{ratio:.2f}x",
        "<= 1.5x",
    )


def _loop(loop_id: str, parent: str | None) -> list[bytes]:
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "yes"}],
        "stopReason": "stop",
        "model": "m",
        "provider": "p",
        "usage": _NO_TOKENS,
        "timestamp": 1,
    }
    start = {
        "agent_id": "a",
        "session_id": "s",
        "parent_loop_id": parent,
        "continuation_kind": "Default",
        "timestamp": _TIME,
    }
    return [
        _line(type="AgentStart", loop_id=loop_id, **start),
        _line(type="TurnStart", loop_id=loop_id, turn_index=0, timestamp=_TIME, triggered_by="User"),
        _line(type="TurnEnd", loop_id=loop_id, message=message, usage=_NO_TOKENS, timestamp=_TIME, tool_results=[]),
        _line(type="AgentEnd", loop_id=loop_id, messages=[message], usage=_NO_TOKENS, timestamp=_TIME, rejection=None),
    ]


def _line(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


if __name__ == "__main__":
    found = Table("measure", f"{FEW} loops", f"{MANY:,} loops", "ratio", "goal")
    print("measuring the SessionRecorder ...", file=sys.stderr)  # noqa: T201
    bench_session_recorder(found)
    Console(width=120).print(found)
