"""What folders cost: memory of sixty saved sessions, and of ten thousand logs against a thousand.

The command itself, in a process of its own, into a file: what is measured is the reading, not a collector.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.table import Table

from otel_phi.session.recorder import SessionRecorder
from tests.benchmarks.streams import SESSION, session_lines
from tests.benchmarks.watch import log_folder, run

SESSIONS, MANY, FEW = 60, 10_000, 1_000
_SESSION_BYTES = 16_700_000
_TURNS = 1_000
_GOALS = {"export": "<= 120 MB, <= 11x", "show": "<= 120 MB, <= 11x"}


def bench_folders(table: Table) -> None:
    """Adds the rows."""
    _saved(table)
    for command, goal in _GOALS.items():
        _logs(table, command, goal)


def _saved(table: Table) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "saved")
        folder.mkdir()
        content = _session()
        for number in range(SESSIONS):
            session = str(UUID(int=(0xB << 124) + number)).encode()
            (folder / f"{number}.json").write_bytes(content.replace(SESSION.encode(), session))
        export_s, export_mb = run(place, "export", folder, "--final", "--file", Path(place, "out"))
        watch_s, watch_mb = run(place, "watch", "--once", folder, "--file", "-")
    table.add_row(
        f"{SESSIONS} saved sessions of {len(content) / 1e6:.1f} MB: export, watch --once",
        "",
        f"{export_s:.0f} s, {export_mb:.0f} MB; {watch_s:.0f} s, {watch_mb:.0f} MB",
        "",
        "<= 150 MB each",
    )


def _session() -> bytes:
    """Returns a saved session as phi-core up to 0.13 has it, its messages made long until it is as large as asked."""
    recorder = SessionRecorder()
    for line in session_lines(_TURNS, 0):
        recorder.on_event(line)
    recorder.flush()
    (session,) = recorder.drain_completed()
    printed = session.to_dict()
    missing = _SESSION_BYTES - len(json.dumps(printed))
    _lengthen(printed, max(missing, 0) // (4 * _TURNS))
    return json.dumps(printed).encode()


def _lengthen(printed: dict[str, Any], by: int) -> None:
    """Makes each answer longer, wherever it stands: among the messages, on its turn, in two events."""
    (loop,) = printed["loops"]
    answers = [message for message in loop["messages"] if message.get("role") == "assistant"]
    answers += [turn["output_message"] for turn in loop["turns"]]
    answers += [
        event["event"]["message"] for event in loop["events"] if event["event"]["type"] in ("MessageEnd", "TurnEnd")
    ]
    for message in answers:
        message["content"] = [*message["content"], {"type": "text", "text": "x" * by}]


def _logs(table: Table, command: str, goal: str) -> None:
    took: dict[int, tuple[float, float]] = {}
    for logs in (FEW, MANY):
        with tempfile.TemporaryDirectory() as place:
            folder = log_folder(place, logs, turns=1, deltas=0)
            target = ("--final", "--file", Path(place, "out")) if command == "export" else ()
            took[logs] = run(place, command, folder, *target)
    (few_s, few_mb), (many_s, many_mb) = took[FEW], took[MANY]
    table.add_row(
        f"{command}: {MANY:,} logs of one turn, against {FEW:,}",
        f"{few_s:.1f} s, {few_mb:.0f} MB",
        f"{many_s:.1f} s, {many_mb:.0f} MB",
        f"{many_s / few_s:.1f}x",
        goal,
    )
