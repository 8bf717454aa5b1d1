"""What other agents' sessions cost: MB a second of processor time and peak memory, a format each; a folder of Claude Code's beside a peer."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from rich.table import Table

from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests.benchmarks.watch import command, peak_mb, run
from tests.sources.agents import opencode_made as opencode
from tests.sources.agents.opencode_made import Record

FILE_BYTES = 64_000_000
# Issue 15's row is of 1,000 MB, which takes minutes.
CLAUDE_MB = int(os.environ.get("OTEL_PHI_BENCH_CLAUDE_MB", "64"))
_SESSION_MB = 16
PEER = "agent-session-otel 0.2.0"  # `make bench` installs it beside us
SESSION = "8f9c1d2e-0000-4000-8000-000000000001"
_BEGIN = dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc)
_OUTPUT, _WORDS = "a line of output\n" * 120, "some words " * 60  # 2 kB and 660 bytes: of the order of real ones
_CALLS = 5  # a loop

Lines = Iterator[dict[str, Any]]


def _at(number: int) -> str:
    return (_BEGIN + dt.timedelta(seconds=number)).isoformat().replace("+00:00", "Z")


def claude_loop(first: int, session: str = SESSION) -> Lines:
    """Yields the lines of one loop of Claude Code; every session's records and calls have ids of their own."""
    own = session[-4:]

    def line(number: int, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        shared = {
            "sessionId": session,
            "version": "2.1.200",
            "cwd": "/w",
            "gitBranch": "main",
            "timestamp": _at(number),
        }
        return {**shared, "type": kind, "uuid": f"u{own}-{number}", "message": {"role": kind, **message}}

    used = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100}
    yield line(first, "user", {"content": "do it"})
    for number in range(first + 1, first + 2 * _CALLS, 2):
        blocks = [
            {"type": "text", "text": _WORDS},
            {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {}},
        ]
        said = {"id": f"m{own}-{number}", "model": "m", "stop_reason": "tool_use", "usage": used, "content": blocks}
        yield line(number, "assistant", said)
        content = [{"type": "tool_result", "tool_use_id": f"t{number}", "content": _OUTPUT}]
        yield line(number + 1, "user", {"content": content})
    last = {"id": f"m{own}-{first}", "model": "m", "stop_reason": "end_turn", "usage": used}
    yield line(first + 2 * _CALLS + 1, "assistant", {**last, "content": [{"type": "text", "text": _WORDS}]})


def codex_loop(first: int) -> Lines:
    """Yields the lines of one loop of Codex."""

    def line(number: int, kind: str, **payload: Any) -> dict[str, Any]:
        return {"timestamp": _at(number), "type": kind, "payload": payload}

    if not first:
        yield line(0, "session_meta", id=SESSION, cli_version="0.131.0", model_provider="openai", cwd="/w")
    yield line(first, "event_msg", type="task_started", turn_id=f"t{first}")
    for number in range(first + 1, first + 2 * _CALLS, 2):
        call = f"c{number}"
        yield line(number, "response_item", type="function_call", name="shell", call_id=call, arguments="{}")
        total = {"input_tokens": 10 * number, "output_tokens": number, "total_tokens": 11 * number}
        yield line(number, "event_msg", type="token_count", info={"total_token_usage": total})
        yield line(number + 1, "response_item", type="function_call_output", call_id=call, output=_OUTPUT + _WORDS)
    yield line(first + 2 * _CALLS + 1, "event_msg", type="task_complete")


def pi_loop(first: int) -> Lines:
    """Yields the lines of one loop of pi."""

    def line(number: int, **message: Any) -> dict[str, Any]:
        ids = {"id": f"{number:08}", "parentId": f"{number - 1:08}", "timestamp": _at(number)}
        return {"type": "message", **ids, "message": {"timestamp": 1_000 * (1_793_491_200 + number), **message}}

    if not first:
        yield {"type": "session", "version": 3, "id": SESSION, "timestamp": _at(0), "cwd": "/w"}
    yield line(first, role="user", content="do it")
    said = {"role": "assistant", "provider": "openai", "model": "m", "usage": {"input": 10, "output": 5}}
    for number in range(first + 1, first + 2 * _CALLS, 2):
        calls = [
            {"type": "text", "text": _WORDS},
            {"type": "toolCall", "id": f"c{number}", "name": "bash", "arguments": {}},
        ]
        yield line(number, **said, stopReason="toolUse", content=calls)
        content = [{"type": "text", "text": _OUTPUT}]
        yield line(number + 1, role="toolResult", toolCallId=f"c{number}", toolName="bash", content=content)
    yield line(first + 2 * _CALLS + 1, **said, stopReason="stop", content=[{"type": "text", "text": _WORDS}])


def atif_steps(first: int) -> Lines:
    """Yields the steps of one loop of a trajectory."""

    def step(number: int, source: str, **more: Any) -> dict[str, Any]:
        return {"step_id": number + 1, "timestamp": _at(number), "source": source, **more}

    yield step(first, "user", message="do it")
    used = {"prompt_tokens": 110, "completion_tokens": 5, "cached_tokens": 100}
    for number in range(first + 1, first + 2 * _CALLS, 2):
        calls = [{"tool_call_id": f"t{number}", "function_name": "bash", "arguments": {}}]
        results = [{"source_call_id": f"t{number}", "content": _OUTPUT}]
        said = {"message": _WORDS, "metrics": used, "tool_calls": calls, "observation": {"results": results}}
        yield step(number, "agent", **said)
    yield step(first + 2 * _CALLS + 1, "agent", message=_WORDS, metrics=used)


def gemini_loop(first: int) -> Lines:
    """Yields the lines of one loop of Gemini CLI: each answer is written again with its tools."""

    def line(number: int, kind: str, content: str, **more: Any) -> dict[str, Any]:
        return {"id": f"m{number}", "timestamp": _at(number), "type": kind, "content": content, **more}

    if not first:
        yield {"sessionId": SESSION, "projectHash": "abc", "startTime": _at(0), "lastUpdated": _at(0)}
    yield line(first, "user", "do it")
    used = {"tokens": {"input": 110, "output": 5, "cached": 100, "thoughts": 0, "tool": 0, "total": 115}, "model": "m"}
    for number in range(first + 1, first + 2 * _CALLS, 2):
        result = [{"functionResponse": {"response": {"output": _OUTPUT}}}]
        call = {"id": f"t{number}", "name": "ls", "args": {}, "status": "success", "timestamp": _at(number + 1)}
        yield line(number, "gemini", _WORDS, **used)
        yield line(number, "gemini", _WORDS, **used, toolCalls=[{**call, "result": result}])
    yield line(first + 2 * _CALLS + 1, "gemini", _WORDS, **used)


FORMATS: dict[str, Callable[[int], Lines]] = {
    "Claude Code": claude_loop,
    "Codex": codex_loop,
    "pi, OpenClaw": pi_loop,
    "Gemini CLI": gemini_loop,
}
ATIF = {"schema_version": "ATIF-v1.7", "session_id": SESSION, "agent": {"name": "a", "version": "1"}}
DOCUMENTS: dict[str, tuple[dict[str, Any], str, Callable[[int], Lines]]] = {"ATIF": (ATIF, "steps", atif_steps)}


def generate(path: Path, loop: Callable[[int], Lines], at_least: int) -> None:
    """Writes a session of that many bytes or a few more."""
    size = first = 0
    with path.open("w", encoding="utf-8") as out:
        while size < at_least:
            for line in loop(first):
                size += out.write(json.dumps(line) + "\n")
            first += 2 * _CALLS + 4


def generate_document(path: Path, of: tuple[dict[str, Any], str, Callable[[int], Lines]]) -> None:
    """Writes a document of `FILE_BYTES` or a few more, with its records in a list."""
    head, key, loop = of
    size = first = 0
    with path.open("w", encoding="utf-8") as out:
        out.write(f"{json.dumps(head)[:-1]}, {json.dumps(key)}: [")
        while size < FILE_BYTES:
            for line in loop(first):
                size += out.write((",\n" if size else "\n") + json.dumps(line, indent=1))
            first += 2 * _CALLS + 4
        out.write("]}")


def opencode_records() -> Iterator[Record]:
    """Yields the records of a session of opencode, loop after loop."""
    yield opencode.session()
    for first in count(0, 2 * _CALLS + 4):
        yield opencode.user(f"{first:08}", first)
        for number in range(first + 1, first + 2 * _CALLS, 2):
            parts = (opencode.said(_WORDS), opencode.tool(f"c{number}", number, number + 1, output=_OUTPUT))
            yield opencode.answer(f"{number:08}", number, number + 1, *parts, to=f"{first:08}")
        last = first + 2 * _CALLS + 1
        yield opencode.answer(f"{last:08}", last, last + 1, opencode.said(_WORDS), to=f"{first:08}")


def generate_opencode(path: Path, at_least: int) -> None:
    """Writes a session of about that many bytes, as a database or, by the name, as a document."""
    records = islice(opencode_records(), at_least // (len(_OUTPUT) + 2 * len(_WORDS)))
    if path.suffix == ".db":
        connection = opencode.open_database(path)
        opencode.insert(connection, records)
        connection.close()
        return
    with path.open("w", encoding="utf-8") as out:
        out.write(json.dumps(next(records))[:-1] + ', "messages": [')
        for number, record in enumerate(records):
            out.write(",\n"[not number :] + json.dumps(record))
        out.write("]}\n")


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    **{name: ("session.jsonl", partial(generate, loop=loop, at_least=FILE_BYTES)) for name, loop in FORMATS.items()},
    **{name: ("session.json", partial(generate_document, of=of)) for name, of in DOCUMENTS.items()},
    "opencode, its database": ("opencode.db", partial(generate_opencode, at_least=FILE_BYTES)),
    "opencode, exported": ("session.json", partial(generate_opencode, at_least=FILE_BYTES)),
}


def bench_agents(table: Table) -> None:
    """Adds a row a format, and those of a folder of sessions."""
    for name, (file, write) in WRITERS.items():
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / file
            write(path)
            child = [sys.executable, "-m", "tests.benchmarks.agents", str(path)]
            done = subprocess.run(child, capture_output=True, text=True, check=True)
            _, peak = run(place, "export", path, "--final", "--file", Path(place, "out"))
        rate, made = done.stdout.split()
        table.add_row(
            f"a session of {name}, {FILE_BYTES // 1_000_000} MB, to {made} spans; peak memory of export",
            "",
            f"{rate} MB/s, {peak:.0f} MB",
            "",
            "<= 100 MB",
        )
    bench_claude_sessions(table)


def bench_claude_sessions(table: Table) -> None:
    """Adds the rows of a folder: `export` beside agent-session-otel, `watch --once`, and again when nothing is new."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "projects")
        folder.mkdir()
        for number in range(-(-CLAUDE_MB // _SESSION_MB)):
            session = f"{SESSION[:-4]}{number:04}"
            generate(folder / f"{session}.jsonl", partial(claude_loop, session=session), _SESSION_MB * 1_000_000)
        title = f"{CLAUDE_MB} MB of Claude Code's sessions:"
        export_s, export_mb = _processor(command(place, "export", folder, "--final", "--file", Path(place, "out")))
        peer = _peer(folder, Path(place, "peer"))
        said_of_peer = "not installed" if peer is None else f"{peer[0]:.1f} s, {peer[1]:.0f} MB"
        table.add_row(
            f"{title} export to a file, against {PEER}",
            said_of_peer,
            f"{export_s:.1f} s, {export_mb:.0f} MB",
            "" if peer is None else f"{peer[0] / export_s:.1f}x",
            ">= 4x, <= 100 MB",
        )
        for words in ("watch --once of them", "the same again: nothing is new"):
            took_s, peak = _processor(command(place, "watch", "--once", folder, "--file", "-"))
            spans_sent = re.search(rb"([\d,]+) spans", Path(place, "said").read_bytes())
            sent = spans_sent[1].decode() if spans_sent else "no"
            table.add_row(f"{title} {words}", "", f"{took_s:.1f} s, {peak:.0f} MB, {sent} spans", "", "<= 100 MB")


def _peer(folder: Path, target: Path) -> tuple[float, float] | None:
    """Runs agent-session-otel on the same files; None where `make bench` did not install it."""
    peer = Path(sys.prefix, "peers", "bin", "agent-session-otel")
    if not peer.exists():
        return None
    arguments = [
        "export",
        "--vendor",
        "claude-code",
        "--claude-code-root",
        folder,
        "--format",
        "json",
        "--output",
        target,
    ]
    return _processor(subprocess.Popen([str(each) for each in (peer, *arguments)], stdout=subprocess.DEVNULL))


def _processor(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Waits for a process to end well; returns its seconds of processor time, and its peak memory in MB."""
    before = os.times()
    peak = peak_mb(process)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, peak


def measure(path: Path) -> tuple[float, int]:
    """Returns MB a second of processor time, and how many spans it gave."""
    began = time.process_time()
    stored = Stored([path], final=True, content=False)
    made = sum(1 for _ in spans(stored.events(), ahead=ahead_of(stored.starts)))
    return path.stat().st_size / 1e6 / (time.process_time() - began), made


if __name__ == "__main__":
    per_second, made_spans = measure(Path(sys.argv[1]))
    print(f"{per_second:.0f} {made_spans}")  # noqa: T201
