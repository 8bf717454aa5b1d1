"""Reading a folder takes flat memory: a small record a loop, never a folder's worth of content.

The bounds lie well above what is measured, and below what the same input took when sessions were held whole.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")

# What a process is known by begins with its parent's memory: in between stands a small one.
_MEASURE = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-m", "otel_phi.cli", *sys.argv[1:]])
_, status, used = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss // 1024, file=sys.stderr)
"""
_TEXT = "x" * 2000


def peak_mb(folder: Path, *arguments: str | Path) -> int:
    """Runs a command to its end; returns its peak memory in MB."""
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURE, *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OTEL_PHI_STATE_DIR": str(folder / "state")},
    )
    code, peak = ran.stderr.split()[-2:]
    assert code == b"0", ran.stderr
    return int(peak)


def at(second: int) -> str:
    return f"2026-09-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def answer() -> dict[str, Any]:
    usage = {"input": 3, "output": 4, "reasoning": 0, "cache_read": 0, "cache_write": 0, "total_tokens": 7}
    content = [{"type": "text", "text": _TEXT}]
    fields = {"role": "assistant", "content": content, "stopReason": "stop", "model": "m", "provider": "p"}
    return {**fields, "usage": usage, "timestamp": 1788220800000}


def events(session: str, turns: int) -> list[dict[str, Any]]:
    loop, message = f"{session}.c.1", answer()
    found: list[dict[str, Any]] = [
        {"type": "AgentStart", "session_id": session, "loop_id": loop, "agent_id": "a", "timestamp": at(0)}
    ]
    for turn in range(turns):
        found += [
            {"type": "TurnStart", "loop_id": loop, "turn_index": turn, "timestamp": at(turn), "triggered_by": "User"},
            {"type": "MessageEnd", "loop_id": loop, "message": message},
            {"type": "TurnEnd", "loop_id": loop, "message": message, "usage": message["usage"], "timestamp": at(turn), "tool_results": []},
        ]  # fmt: skip
    return [
        *found,
        {"type": "AgentEnd", "loop_id": loop, "messages": [message] * turns, "usage": {}, "timestamp": at(80_000)},
    ]


def saved(session: str, turns: int) -> bytes:
    told = events(session, turns)
    loop = {
        "loop_id": f"{session}.c.1",
        "session_id": session,
        "started_at": at(0),
        "ended_at": at(80_000),
        "messages": told[-1]["messages"],
        "events": [{"sequence": number, "event": event} for number, event in enumerate(told)],
    }
    return json.dumps({"session_id": session, "agent_id": "a", "loops": [loop]}).encode()


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Makes 24 saved sessions of 3 MB, all at the same time, one of them gzipped."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    name = "00000000-0000-4000-8000-{:012}"
    content = saved(name.format(0), 350)
    for number in range(24):
        of_its_own = content.replace(name.format(0).encode(), name.format(number).encode())
        (folder / f"{number}.json").write_bytes(gzip.compress(of_its_own, 1) if number == 0 else of_its_own)
    return folder


def test_export_of_saved_sessions_holds_none_of_them(sessions: Path, tmp_path: Path) -> None:
    assert peak_mb(tmp_path, "export", sessions, "--final", "--file", tmp_path / "out.jsonl") < 130


def test_watch_of_saved_sessions_holds_none_of_them(sessions: Path, tmp_path: Path) -> None:
    assert peak_mb(tmp_path, "watch", "--once", sessions, "--file", "-") < 115


def test_show_of_very_many_logs_under_way_at_one_time_holds_the_place_of_each(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(600):
        lines = (json.dumps(event) for event in events(f"00000000-0000-4000-9000-{number:012}", 12))
        (folder / f"{number}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert peak_mb(tmp_path, "show", folder) < 80
