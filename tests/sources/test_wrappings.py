"""The same events as other tools hand them on: read as they were written, byte for byte of what is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from otel_phi.events import AgentEvent, AssistantMessage, Instant, TurnEnd, encode_event
from otel_phi.sources.converted import MAX_ARRAY_BYTES
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.lines import Block
from otel_phi.sources.reader import BadLine, EventReader, payload_of, read_events
from otel_phi.sources.stored import Stored
from otel_phi.sources.wrappings import Joiner, Line, unwrapped
from tests import golden

LINES = golden.DEMO.read_text().splitlines()
TIME = "2026-11-22T10:19:07.583123456Z"


def docker(text: str) -> str:
    return json.dumps({"log": text, "stream": "stdout", "time": TIME})


LINE_BY_LINE: dict[str, Callable[[str], str]] = {
    "docker compose logs": lambda line: f"agent-1        | {line}",
    "docker compose logs -t": lambda line: f"agent-1  | {TIME} {line}",
    "docker logs -t": lambda line: f"{TIME} {line}",
    "docker's file": lambda line: docker(line + "\n"),
    "kubectl logs --prefix": lambda line: f"[pod/agent-6d9/agent] {line}",
    "kubectl logs --prefix --timestamps": lambda line: f"[pod/agent-6d9/agent] {TIME} {line}",
    "CRI": lambda line: f"{TIME} stdout F {line}",
    "CRI with an offset": lambda line: f"2026-11-22T10:19:07.58+01:00 stderr F {line}",
    "journalctl -o json": lambda line: json.dumps({"_PID": "7", "MESSAGE": line, "PRIORITY": "6"}),
    "journalctl -o json, no UTF-8": lambda line: json.dumps({"MESSAGE": list(line.encode())}),
    "journalctl": lambda line: f"Nov 22 10:19:07 host agent[7]: {line}",
    "syslog, a one-digit day": lambda line: f"Nov  2 10:19:07 host agent: {line}",
    "RFC 7464": lambda line: f"\x1e{line}",
}
WHOLE: dict[str, Callable[[list[str]], bytes]] = {
    "PowerShell": lambda lines: "\r\n".join(lines).encode("utf-16"),
    "UTF-16, big endian": lambda lines: b"\xfe\xff" + "\r\n".join(lines).encode("utf-16-be"),
    "array": lambda lines: json.dumps([json.loads(line) for line in lines]).encode(),
    "array, indented": lambda lines: b"\xef\xbb\xbf\n" + json.dumps([json.loads(x) for x in lines], indent=2).encode(),
}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def events(path: Path) -> tuple[list[AgentEvent], list[BadLine]]:
    bad: list[BadLine] = []
    return list(read_events(path, on_bad_line=bad.append)), bad


PLAIN = [encode_event(event) for event in golden.demo()]


@pytest.mark.parametrize("name", LINE_BY_LINE)
def test_a_line_is_read_without_what_is_around_it(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "log", "\n".join(map(LINE_BY_LINE[name], LINES)) + "\n")
    found, bad = events(path)
    assert ([encode_event(event) for event in found], bad, kind_of(path)) == (PLAIN, [], "events")


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_of_another_form_is_read_whole(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "log", WHOLE[name](LINES))
    found, bad = events(path)
    assert ([encode_event(event) for event in found], bad, kind_of(path)) == (PLAIN, [], "converted")
    stored = Stored([tmp_path], final=True)
    assert stored.files == (path,)
    plain = Stored([golden.DEMO], final=True)
    assert [encode_event(one) for one in stored.events()] == [encode_event(one) for one in plain.events()]


# --- cut lines -------------------------------------------------------------------------------------------------------

_TEXT = Raw(json.dumps([{"type": "text", "text": "x" * 100_000 + "é\n"}], ensure_ascii=False).encode())
LONG = encode_event(
    TurnEnd(loop_id="l", message=AssistantMessage(model="m", content=_TEXT), timestamp=Instant(1))
).decode()


def pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def in_docker(text: str) -> list[str]:
    cut = pieces(text, 16_384)
    return [*map(docker, cut[:-1]), docker(cut[-1] + "\n")]


def in_cri(text: str) -> list[str]:
    cut = pieces(text, 16_384)
    return [*(f"{TIME} stdout P {piece}" for piece in cut[:-1]), f"{TIME} stdout F {cut[-1]}"]


def in_journal(text: str) -> list[str]:
    cut = pieces(text, 48_000)
    parts: list[dict[str, str]] = [{"MESSAGE": piece, "_PID": "7", "_LINE_BREAK": "line-max"} for piece in cut[:-1]]
    return [json.dumps(part) for part in [*parts, {"MESSAGE": cut[-1], "_PID": "7"}]]


@pytest.mark.parametrize("cut", [in_docker, in_cri, in_journal])
def test_a_line_that_a_runtime_cut_is_put_together(cut: Callable[[str], list[str]], tmp_path: Path) -> None:
    lines = [line for text in (LINES[0], LONG, LINES[1]) for line in cut(text)]
    assert len(lines) > 4
    found, bad = events(written(tmp_path / "log", "\n".join(lines)))
    assert [encode_event(event) for event in found] == [PLAIN[0], LONG.encode(), PLAIN[1]]
    assert bad == []


def test_pieces_of_two_streams_do_not_mix(tmp_path: Path) -> None:
    half = len(LINES[0]) // 2
    lines = [
        f"{TIME} stdout P {LINES[0][:half]}", f"{TIME} stderr P warning: ", f"{TIME} stdout F {LINES[0][half:]}",
        f"{TIME} stderr F all is well", f"{TIME} stdout F {LINES[1]}",
    ]  # fmt: skip
    found, bad = events(written(tmp_path / "log", "\n".join(lines)))
    assert [encode_event(event) for event in found] == PLAIN[:2]
    assert [line.line for line in bad] == [4]


def test_pieces_without_end_cost_no_more_memory_than_a_line_may() -> None:
    joiner = Joiner(1_000)
    given = [joiner.joined(Line(b"x" * 100, "stdout", more=True)) for _ in range(100)]
    assert max(len(line) for line in given if line is not None) <= 1_100


# --- what is no wrapping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b'DEBUG sending {"type":"AgentEnd"}', b'{"log":7}', b'{"log":null}', b'{"MESSAGE":[1,256]}', b'{"MESSAGE":{}}',
        b'{"name":"x","log', b"agent | words", b"words: {}", b'["log"]', b"2026-11-22T10:19:07Z words", b"| {}",
    ],
)  # fmt: skip
def test_anything_else_is_as_it_was(line: bytes) -> None:
    assert unwrapped(line) == Line(line)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise(data: bytes) -> None:
    unwrapped(data)
    payload_of(data)
    list(EventReader("x").read([Block(1, 0, [data])]))


@given(st.sampled_from(LINES), st.sampled_from(sorted(LINE_BY_LINE)))
def test_an_event_is_never_taken_for_a_wrapping_and_one_wrapping_is_taken_off(line: str, name: str) -> None:
    assert unwrapped(line.encode()) == Line(line.encode())
    assert unwrapped(LINE_BY_LINE[name](line).encode()).content == line.encode()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"[]", "json"),
        (b'[{"type":"FeatureCollection"}]', "json"),
        (b"[" + LINES[0].encode(), "other"),
        (b"[" * 5_000, "other"),
        ("words".encode("utf-16"), "other"),
        (b"\xff\xfe", "empty"),
        (b"\xff\xfe\x00", "other"),
        (docker("words\n").encode(), "json"),
    ],
)
def test_what_holds_no_event_is_called_what_it_is(content: bytes, kind: Kind, tmp_path: Path) -> None:
    assert kind_of(written(tmp_path / "x", content)) == kind


def test_an_array_larger_than_may_be_held_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x", b"[" + LINES[0].encode() + b" " * MAX_ARRAY_BYTES + b"]")
    assert kind_of(path) == "other"


@pytest.mark.parametrize("name", ["docker compose logs", "docker's file", "CRI", "journalctl -o json", "RFC 7464"])
def test_a_live_stream_is_read_too(name: str, tmp_path: Path) -> None:
    text = "\n".join(map(LINE_BY_LINE[name], LINES)) + "\n"
    command = [sys.executable, "-m", "otel_phi.cli", "pipe", "--file", str(tmp_path / "out")]
    done = subprocess.run(
        command, check=False, input=text, capture_output=True, text=True, timeout=60, cwd=golden.PROJECT
    )
    assert done.returncode == 0, done.stderr
    assert "could not be read" not in done.stderr
    assert (tmp_path / "out").stat().st_size > 10_000
